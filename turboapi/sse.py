"""Server-sent events: the event as a value, and its wire format.

https://html.spec.whatwg.org/multipage/server-sent-events.html: an event is a few `field: value` lines and an empty
line; lines that start with a colon are comments. The routing layer encodes what a path operation with
`response_class=EventSourceResponse` yields, and sends `KEEPALIVE_COMMENT` when nothing was yielded for `PING_INTERVAL`.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, model_validator

from turboapi.responses import EventSourceResponse

__all__ = [
    "EVENT_SCHEMA",
    "KEEPALIVE_COMMENT",
    "PING_INTERVAL",
    "EventSourceResponse",
    "ServerSentEvent",
    "format_sse_event",
]

KEEPALIVE_COMMENT = b": ping\n\n"

PING_INTERVAL: float = 15.0
"""Seconds of silence after which a keep-alive comment is sent."""

EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
"""JSON schema of one event in the OpenAPI document (OpenAPI 3.2, section 4.14.4)."""


def _require_single_line(value: str | None, info: ValidationInfo) -> str | None:
    # A line break would end the field, and what follows would be read as further fields.
    if value is not None and ("\r" in value or "\n" in value):
        raise ValueError(f"SSE '{info.field_name}' must be a single line")
    return value


def _forbid_null(value: str | None) -> str | None:
    if value is not None and "\0" in value:
        raise ValueError("SSE 'id' must not contain null characters")
    return value


class ServerSentEvent(BaseModel):
    """One event, yielded by a path operation; anything else that is yielded becomes the `data` of one.

    `data` is always serialized to JSON, strings too: `data="hello"` arrives as `"hello"` with its quotes. `raw_data` is
    sent as it is. Only one of the two may be set.
    """

    data: Any = None
    """The payload, any JSON-serializable value."""
    raw_data: str | None = None
    """The payload as text that is ready to be sent."""
    event: Annotated[str | None, AfterValidator(_require_single_line)] = None
    """The type of the event, which clients listen for; `message` when there is none. A single line."""
    id: Annotated[str | None, AfterValidator(_forbid_null), AfterValidator(_require_single_line)] = None
    """Sent back by clients as `Last-Event-ID` when they reconnect. A single line without null characters."""
    retry: Annotated[int | None, Field(ge=0)] = None
    """How many milliseconds clients should wait before they reconnect."""
    comment: str | None = None
    """Comment lines, ignored by clients; they keep idle connections open."""

    @model_validator(mode="after")
    def _check_one_payload(self) -> Self:
        if self.data is not None and self.raw_data is not None:
            raise ValueError(
                "Cannot set both 'data' and 'raw_data' on the same ServerSentEvent. "
                "Use 'data' for JSON-serialized payloads or 'raw_data' for pre-formatted strings."
            )
        return self


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    """Return the bytes of one event, with the fields that are given. `data_str` is serialized already.

    Data and comment may have several lines, which become several fields; the other values must be single lines.
    """
    lines: list[str] = []
    if comment is not None:
        lines += [f": {line}" for line in _split_lines(comment)]
    if event is not None:
        lines.append(f"event: {event}")
    if data_str is not None:
        lines += [f"data: {line}" for line in _split_lines(data_str)]
    if id is not None:
        lines.append(f"id: {id}")
    if retry is not None:
        lines.append(f"retry: {retry}")
    return "".join(f"{line}\n" for line in (*lines, "")).encode("utf-8")


def _split_lines(text: str) -> list[str]:
    # Not `splitlines()`, which also splits where the format does not and drops a last empty line.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
