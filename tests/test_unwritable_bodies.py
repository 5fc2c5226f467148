"""JSON bodies that can be read but not written: NaN, infinities, lone surrogates, and what is nested too deeply."""

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from turboapi import Body, TurboAPI

HEADERS = {"content-type": "application/json"}
UNWRITABLE = {
    b"NaN": "NaN",
    b"Infinity": "Infinity",
    b"-Infinity": "-Infinity",
    b"1e400": "Infinity",
    b"-1e400": "-Infinity",
    rb'"\ud800"': r"\ud800",
    rb'"a\udfffb"': r"a\udfffb",
    b'"\xed\xa0\x80"': r"\ud800",
}
PLACES = {
    "/model": (b"%b", lambda value: value, ["body"]),
    "/integer": (b'{"count": %b}', lambda value: value, ["body", "count"]),
    "/finite": (b'{"price": [%b]}', lambda value: [value], ["body", "price"]),
    "/missing": (b'{"other": %b}', lambda value: {"other": value}, ["body", "name"]),
    "/list": (b"[[%b]]", lambda value: [value], ["body", 0]),
    "/embedded": (b'{"a": {"b": %b}, "b": "b"}', lambda value: {"b": value}, ["body", "a"]),
}


class Model(BaseModel):
    name: str = ""


class Integer(BaseModel):
    count: int


class Finite(BaseModel):
    price: float


class Missing(BaseModel):
    name: str


def strictly(body: bytes) -> Any:
    """The body as JSON by the book (RFC 8259): no NaN, no lone surrogates."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(body, parse_constant=refuse)
    json.dumps(found, ensure_ascii=False).encode()
    return found


@pytest.fixture
def client(client_for):
    app = TurboAPI()

    @app.post("/model")
    async def model(value: Model): ...

    @app.post("/integer")
    async def integer(value: Integer): ...

    @app.post("/finite")
    async def finite(value: Finite): ...

    @app.post("/missing")
    def missing(value: Missing): ...

    @app.post("/list")
    async def numbers(value: list[int]): ...

    @app.post("/embedded")
    async def embedded(a: Annotated[int, Body()], b: Annotated[str, Body()]): ...

    @app.post("/any")
    async def anything(value: Annotated[Any, Body()]) -> str:
        return ascii(value)

    @app.post("/float")
    async def number(value: dict[str, float]) -> str:
        return repr(value)

    return client_for(app)


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("sent", UNWRITABLE)
def test_mistakes_are_listed_with_what_was_sent_as_text(client, path, sent):
    form, shown, place = PLACES[path]
    answer = client.post(path, content=form % sent, headers=HEADERS)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")
    [mistake] = strictly(answer.content)["detail"]
    assert (mistake["loc"], mistake["input"]) == (place, shown(UNWRITABLE[sent]))


def test_keys_are_shown_as_text(client):
    answer = client.post("/missing", content=rb'{"\udc00": NaN}', headers=HEADERS)
    assert answer.status_code == 422
    assert strictly(answer.content)["detail"][0]["input"] == {r"\udc00": "NaN"}


@pytest.mark.parametrize(
    ("path", "sent", "seen"),
    [
        ("/any", b"[NaN, -1e400]", "[nan, -inf]"),
        ("/any", rb'"\ud800"', r"'\ud800'"),
        ("/float", b'{"a": NaN, "b": 1e400}', "{'a': nan, 'b': inf}"),
    ],
)
def test_what_a_type_accepts_is_accepted(client, path, sent, seen):
    answer = client.post(path, content=sent, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (200, seen)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("innermost", ["1", "NaN"])
@pytest.mark.parametrize("path", ["/model", "/list", "/embedded"])
def test_deeply_nested_documents_are_no_failure(client, path, opening, closing, innermost):
    """Some are too deep to be read, some only to be shown; the limits are Python's, and differ between its versions."""
    for depth in (60, 70, 300, 600, *range(940, 1000, 3), 1500, 5000, 20_000, 100_000):
        body = opening * depth + innermost + closing * depth
        answer = client.post(path, content=body.encode(), headers=HEADERS)
        expected = (200, 400, 422) if (path, opening) == ("/model", '{"a":') else (400, 422)
        assert answer.status_code in expected, (depth, answer.text[:100])
        assert answer.status_code != 400 or answer.json() == {"detail": "There was an error parsing the body"}
    assert client.post("/model", content=b"{}", headers=HEADERS).status_code == 200


def test_documents_without_end_are_no_failure(client):
    for opening in (b"[", b'{"a":', b'[{"a":'):
        assert client.post("/model", content=opening * 100_000, headers=HEADERS).status_code in (400, 422)
