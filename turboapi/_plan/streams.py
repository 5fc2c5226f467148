"""Handlers that yield: raw bytes and text, JSON Lines, server-sent events."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
from anyio.abc import ObjectReceiveStream

from turboapi._foreign import derives_from
from turboapi._plan.dependencies import is_async_gen_callable
from turboapi._plan.result import ResultRoute, actual_response_class, finite, make_item_dumper, response_arguments
from turboapi.concurrency import iterate_in_threadpool
from turboapi.encoders import jsonable_encoder
from turboapi.requests import Request
from turboapi.responses import Response, StreamingResponse
from turboapi.sse import KEEPALIVE_COMMENT, PING_INTERVAL, ServerSentEvent, format_sse_event
from turboapi.types import ASGIApp, Receive, Scope, Send

__all__ = ["make_event_streamer", "make_line_streamer", "make_raw_streamer", "without_stream"]

Responder = Callable[..., Awaitable[Response]]


def without_stream(response: Any, route: Any) -> ASGIApp:
    """Return what answers HEAD on a route for GET: the head of a stream, which is closed and never run.

    Anything else answers itself; what it sends as a body is dropped by the server (RFC 9110, section 9.3.2). So does a
    stream of a route that declares HEAD.
    """
    stream = getattr(response, "body_iterator", None)
    if stream is None or "HEAD" in route.methods:
        return cast(ASGIApp, response)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        # That there would be more keeps the length open, as it is in the answer to GET.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if hasattr(stream, "aclose"):
            await stream.aclose()
        if response.background is not None:
            await response.background()

    return answer


def make_raw_streamer(route: ResultRoute) -> Responder:
    """Return the responder of a generator with a response class of its own: what it yields is sent as it is."""
    response_class = actual_response_class(route)
    is_async = is_async_gen_callable(route.dependant.call)

    async def respond(request: Request, generator: Any, background: Any, injected: Response | None) -> Response:
        content = _with_checkpoints(generator) if is_async else generator
        response = response_class(content=content, **response_arguments(route, background, injected))
        return _with_headers(response, injected)

    return respond


def make_line_streamer(route: ResultRoute) -> Responder:
    """Return the responder of a generator whose items become the lines of an application/jsonl body."""
    is_async = is_async_gen_callable(route.dependant.call)

    async def respond(request: Request, generator: Any, background: Any, injected: Response | None) -> Response:
        dump = make_item_dumper(route, request.scope)

        def lines() -> Iterator[bytes]:
            for item in generator:
                yield dump(item) + b"\n"

        async def async_lines() -> AsyncIterator[bytes]:
            async for item in generator:
                yield dump(item) + b"\n"
                await anyio.sleep(0)  # a point at which a stream that never waits can be cancelled

        response = StreamingResponse(
            async_lines() if is_async else lines(),
            media_type="application/jsonl",
            **response_arguments(route, background, injected),
        )
        return _with_headers(response, injected)

    return respond


def make_event_streamer(route: ResultRoute) -> Responder:
    """Return the responder of a generator whose items become server-sent events, with keep-alive comments between."""
    is_async = is_async_gen_callable(route.dependant.call)

    async def respond(request: Request, generator: Any, background: Any, injected: Response | None) -> Response:
        dump = make_item_dumper(route, request.scope)
        items = generator if is_async else iterate_in_threadpool(generator)
        stack: AsyncExitStack = request.scope["fastapi_inner_astack"]
        # The exit stack outlives the response, so the tasks behind the stream end in an orderly way.
        events = await stack.enter_async_context(_with_keep_alive(_event(dump, item) async for item in items))
        stack.push_async_callback(events.aclose)
        response = StreamingResponse(
            _with_checkpoints(events),
            media_type="text/event-stream",
            **response_arguments(route, background, injected),
        )
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold the events back
        return _with_headers(response, injected)

    return respond


def _with_headers(response: Response, injected: Response | None) -> Response:
    if injected is not None:
        response.raw_headers.extend(injected.raw_headers)
    return response


async def _with_checkpoints(items: Any) -> AsyncIterator[Any]:
    async for item in items:
        yield item
        await anyio.sleep(0)  # a point at which a stream that never waits can be cancelled


def _event(dump: Callable[[Any], bytes], item: Any) -> bytes:
    if not derives_from(type(item), ServerSentEvent):
        return format_sse_event(data_str=dump(item).decode())
    return format_sse_event(
        data_str=_event_data(item), event=item.event, id=item.id, retry=item.retry, comment=item.comment
    )


def _event_data(event: ServerSentEvent) -> str | None:
    if event.raw_data is not None or event.data is None:
        return event.raw_data
    if hasattr(event.data, "model_dump_json"):
        text: str = event.data.model_dump_json()
        return text
    return json.dumps(finite(jsonable_encoder(event.data)))


@asynccontextmanager
async def _with_keep_alive(events: AsyncIterator[bytes]) -> AsyncIterator[ObjectReceiveStream[bytes]]:
    """Give a stream of the events, and of a comment whenever none has come for a while.

    The generator is drained by a task of its own: a time limit around its `__anext__` would break the generator.
    """
    produced_in, produced = anyio.create_memory_object_stream[bytes](max_buffer_size=1)
    out_in, out = anyio.create_memory_object_stream[bytes](max_buffer_size=1)

    async def produce() -> None:
        async with produced_in:
            async for event in events:
                await produced_in.send(event)

    async def forward() -> None:
        async with out_in, produced:
            while True:
                event = KEEPALIVE_COMMENT
                with anyio.move_on_after(PING_INTERVAL):
                    try:
                        event = await produced.receive()
                    except anyio.EndOfStream:
                        return
                await out_in.send(event)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(produce)
        tasks.start_soon(forward)
        yield out
        tasks.cancel_scope.cancel()
