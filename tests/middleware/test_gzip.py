import asyncio
import gzip
import threading
import zlib
from typing import Any

import pytest
import starlette.middleware.gzip
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware.gzip
from tests.middleware.exchanges import Message, exchange, headers_of, http_scope, public_attributes, response, sender
from turboapi import TurboAPI
from turboapi.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware, GZipResponder, IdentityResponder
from turboapi.responses import FileResponse, PlainTextResponse, StreamingResponse

OURS = turboapi.middleware.gzip.GZipMiddleware
THEIRS = starlette.middleware.gzip.GZipMiddleware

BODIES = [b"", b"short", b"x" * 300, bytes(range(256)) * 4]
GZIP = [("Accept-Encoding", "gzip")]

header_lists = st.lists(
    st.sampled_from(
        [
            ("Content-Length", "4000"),
            ("Content-Encoding", "br"),
            ("Content-Type", "text/plain"),
            ("Content-Type", "TEXT/Event-Stream; charset=utf-8"),
            ("Content-Type", "audio/ogg"),
            ("Content-Type", "application/grpc+proto"),
            ("Content-Type", ""),
            ("Vary", "Cookie"),
            ("Vary", "Accept-Encoding"),
            ("X-Other", "1"),
        ]
    ),
    max_size=4,
)
body_messages = st.fixed_dictionaries(
    {"type": st.just("http.response.body"), "body": st.sampled_from(BODIES)},
    optional={"more_body": st.booleans()},
)
other_messages = st.sampled_from(
    [
        {"type": "http.response.pathsend", "path": "/file"},
        {"type": "http.response.trailers", "headers": [(b"x", b"1")]},
        {"type": "http.response.early_hint", "links": [b"</style.css>"]},
        {"type": "http.response.unheard.of"},
    ]
)


@st.composite
def responses(draw: st.DrawFn) -> list[Message]:
    headers = [(name.lower().encode(), value.encode()) for name, value in draw(header_lists)]
    start = {"type": "http.response.start", "status": draw(st.sampled_from([200, 206, 404])), "headers": headers}
    if draw(st.booleans()):
        start["trailers"] = draw(st.booleans())
    before = draw(st.lists(other_messages.filter(lambda message: "pathsend" not in message["type"]), max_size=1))
    return [*before, start, *draw(st.lists(body_messages | other_messages, max_size=4))]


@given(
    messages=responses(),
    accepted=st.sampled_from([None, "gzip", "br, gzip;q=0.5", "identity", ""]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "minimum_size": st.sampled_from([0, 1, 300, 10**6]),
            "compresslevel": st.sampled_from([1, 9]),
            "thread_minimum_size": st.sampled_from([0, 1000]),
            "exclude_content_types": st.sampled_from([(), ("Text/Plain; charset=x",), ("text/*", "audio/ogg")]),
        },
    ),
)
@settings(max_examples=250, deadline=None)
def test_messages_are_those_of_the_reference(
    messages: list[Message], accepted: str | None, options: dict[str, Any]
) -> None:
    scope = http_scope([] if accepted is None else [("Accept-Encoding", accepted)])
    ours, theirs = (exchange(middleware(sender(*messages), **options), scope) for middleware in (OURS, THEIRS))
    assert ours == theirs


def test_attributes_are_those_of_the_reference() -> None:
    app = response()
    assert public_attributes(OURS(app, 1, 2, 3, exclude_content_types=("A/B ;c",))) == public_attributes(
        THEIRS(app, 1, 2, 3, exclude_content_types=("A/B ;c",))
    )
    assert starlette.middleware.gzip.DEFAULT_EXCLUDED_CONTENT_TYPES == DEFAULT_EXCLUDED_CONTENT_TYPES


def test_body_is_compressed_as_a_whole() -> None:
    body = b"turbo" * 1000
    log = exchange(GZipMiddleware(response([("Content-Length", "5000")], body)), http_scope(GZIP))
    assert gzip.decompress(log[1]["body"]) == body
    assert dict(headers_of(log)) == {
        "content-length": str(len(log[1]["body"])),
        "content-encoding": "gzip",
        "vary": "Accept-Encoding",
    }


@given(chunks=st.lists(st.binary(max_size=2000), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_every_chunk_of_a_stream_can_be_decompressed_when_it_arrives(chunks: list[bytes]) -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}
    bodies = [{"type": "http.response.body", "body": chunk, "more_body": True} for chunk in chunks]
    app = GZipMiddleware(sender(start, *bodies, {"type": "http.response.body", "body": b""}))
    log = exchange(app, http_scope(GZIP))
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert [decompressor.decompress(message["body"]) for message in log[1:]] == [*chunks, b""]
    assert decompressor.eof
    assert "content-length" not in dict(headers_of(log))


@pytest.mark.parametrize(("trailers", "has_length"), [(True, False), (False, True)])
def test_response_with_trailers_has_no_length(trailers: bool, has_length: bool) -> None:
    headers = [(b"content-length", b"1000")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers}
    messages = [start, {"type": "http.response.body", "body": b"x" * 1000}, {"type": "http.response.trailers"}]
    logs = [exchange(middleware(sender(*messages)), http_scope(GZIP)) for middleware in (OURS, THEIRS)]
    assert logs[0] == logs[1]
    assert ("content-length" in dict(headers_of(logs[0]))) == has_length


def test_message_without_a_body_is_an_empty_one() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": []}
    log = exchange(GZipMiddleware(sender(start, {"type": "http.response.body"}), minimum_size=0), http_scope(GZIP))
    assert gzip.decompress(log[1]["body"]) == b""


def test_only_large_pieces_are_compressed_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    class Responder(GZipResponder):
        def _compress_body(self, body: bytes, more_body: bool) -> bytes:
            threads.append(threading.current_thread())
            return super()._compress_body(body, more_body)

    for body in (b"x" * 999, b"x" * 1000):
        exchange(Responder(response(body=body), 0, thread_minimum_size=1000), http_scope())
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


def test_compression_does_not_wait_for_the_threads_of_handlers() -> None:
    import anyio.to_thread

    log: list[Message] = []

    async def send(message: Message) -> None:
        log.append(message)

    async def main() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        async with limiter:
            app = GZipMiddleware(response(body=b"x" * 1000), thread_minimum_size=1)
            async with asyncio.timeout(20):
                await app(http_scope(GZIP), asyncio.sleep, send)

    asyncio.run(main())
    assert gzip.decompress(log[1]["body"]) == b"x" * 1000


def test_responder_is_unusable_before_it_is_called() -> None:
    with pytest.raises(RuntimeError, match="send awaitable not set"):
        asyncio.run(IdentityResponder(response(), 0).send({"type": "http.response.start"}))


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_pass_unseen(kind: str) -> None:
    app = GZipMiddleware(sender({"type": "anything"}), minimum_size=0)
    assert exchange(app, http_scope(GZIP, type=kind)) == [{"type": "anything"}]


def test_application_sends_compressed_bodies(client_for: Any, tmp_path: Any) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("0123456789" * 500)
    app = TurboAPI()
    app.add_middleware(GZipMiddleware)

    @app.get("/large")
    async def large() -> list[int]:
        return list(range(1000))

    @app.get("/small", response_class=PlainTextResponse)
    def small() -> str:
        return "small"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"chunk"] * 100))

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(path)

    client = client_for(app)
    answers = {name: client.get(name, headers=dict(GZIP)) for name in ("/large", "/small", "/stream", "/file")}
    assert answers["/large"].json() == list(range(1000))
    assert answers["/stream"].content == b"chunk" * 100
    assert answers["/file"].text == path.read_text()
    assert answers["/small"].text == "small"
    assert {name: answer.headers.get("content-encoding") for name, answer in answers.items()} == {
        "/large": "gzip",
        "/small": None,
        "/stream": "gzip",
        "/file": "gzip",
    }
    part = client.get("/file", headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    assert (part.status_code, part.text, part.headers.get("content-encoding")) == (206, "0123456789", None)
    plain = client.get("/large", headers={"Accept-Encoding": "identity"})
    assert (plain.json(), plain.headers["vary"]) == (list(range(1000)), "Accept-Encoding")
