from typing import Any

import fastapi.sse
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from turboapi import sse
from turboapi.responses import StreamingResponse
from turboapi.sse import EventSourceResponse, ServerSentEvent, format_sse_event

# Time says nothing here: the machine may be busy, and the first text drawn builds a table of all characters.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.none() | st.text(st.sampled_from("ab:\r\n \u2028☃"), max_size=8)


@relaxed
@given(data_str=texts, event=texts, id=texts, retry=st.none() | st.integers(0, 10), comment=texts)
def test_wire_format_is_that_of_the_reference(**fields: Any) -> None:
    assert format_sse_event(**fields) == fastapi.sse.format_sse_event(**fields)


def test_multi_line_data_becomes_several_fields() -> None:
    event = format_sse_event(data_str="a\r\nb\rc\n", event="update", id="7", retry=10, comment="x\ny")
    assert event == b": x\n: y\nevent: update\ndata: a\ndata: b\ndata: c\ndata: \nid: 7\nretry: 10\n\n"


field_values = {
    "data": st.none() | st.integers() | st.text(max_size=3) | st.just({"a": [1]}),
    "raw_data": st.none() | st.text(max_size=3),
    "event": st.none() | st.text(st.sampled_from("ab\r\n\0"), max_size=3) | st.integers(),
    "id": st.none() | st.text(st.sampled_from("ab\r\n\0"), max_size=3),
    "retry": st.none() | st.integers(-2, 5) | st.just("7"),
    "comment": st.none() | st.text(max_size=3),
}


@relaxed
@given(st.fixed_dictionaries({}, optional=field_values))
def test_events_are_validated_like_in_the_reference(fields: dict[str, Any]) -> None:
    def validate(model: Any) -> Any:
        try:
            return model(**fields).model_dump()
        except ValidationError as exc:
            return exc.errors(include_url=False, include_context=False)

    assert validate(ServerSentEvent) == validate(fastapi.sse.ServerSentEvent)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"data": 1, "raw_data": "x"}, "Cannot set both 'data' and 'raw_data'"),
        ({"event": "a\nb"}, "SSE 'event' must be a single line"),
        ({"id": "a\rb"}, "SSE 'id' must be a single line"),
        ({"id": "a\0b"}, "SSE 'id' must not contain null characters"),
        ({"retry": -1}, "greater than or equal to 0"),
    ],
)
def test_invalid_events_are_refused(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        ServerSentEvent(**fields)


def test_response_is_a_stream_of_its_own_media_type() -> None:
    response = EventSourceResponse([b"data: 1\n\n"])
    assert isinstance(response, StreamingResponse)
    assert response.headers["content-type"] == fastapi.sse.EventSourceResponse([]).headers["content-type"]


def test_constants_and_schema_are_those_of_the_reference() -> None:
    assert fastapi.sse.KEEPALIVE_COMMENT == sse.KEEPALIVE_COMMENT
    assert fastapi.sse._PING_INTERVAL == sse.PING_INTERVAL
    assert fastapi.sse._SSE_EVENT_SCHEMA == sse.EVENT_SCHEMA
    assert (
        ServerSentEvent.model_json_schema()["properties"]
        == (fastapi.sse.ServerSentEvent.model_json_schema()["properties"])
    )
