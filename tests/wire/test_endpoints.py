"""An endpoint that is resumed past its Task and all that awaits it sees and does what it would if it were not.

The oracle is the same application inside of something that is no coroutine: through that, steps take the usual way.
"""

import asyncio
import contextlib
import contextvars
import gc
import sys
import traceback
import types

import anyio
import pytest

from tests.wire.frames import TEXT, UPGRADE, close, frame, parse_frames
from tests.wire.harness import request
from turboapi import TurboAPI, WebSocket, WebSocketDisconnect
from turboapi._speedups.stepping import Outermost, innermost

HANDSHAKE = request("GET /ws HTTP/1.1", *UPGRADE)
MESSAGES = 6
SCENARIOS = []
variable = contextvars.ContextVar("variable", default="outside")


def scenario(function):
    SCENARIOS.append(function)
    return function


async def receive_all(websocket, log):
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            log.append(await websocket.receive_text())


@scenario
async def echoes(websocket, log):
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


@scenario
async def returns(websocket, log):
    log.append(await websocket.receive_text())


@scenario
async def raises(websocket, log):
    log.append(await websocket.receive_text())
    raise ValueError("no")


@scenario
async def lets_the_disconnect_pass(websocket, log):
    while True:
        log.append(await websocket.receive_text())


@scenario
async def closes(websocket, log):
    log.append(await websocket.receive_text())
    await websocket.close(4001, "enough")
    try:
        await websocket.receive_text()
    except RuntimeError as exc:
        log.append(str(exc))


@scenario
async def waits_for_other_things(websocket, log):
    loop = asyncio.get_running_loop()
    log.append(await websocket.receive_text())
    await asyncio.sleep(0)
    log.append(await websocket.receive_text())
    future = loop.create_future()
    loop.call_soon(future.set_result, "done")
    log.append(await future)
    done = loop.create_future()
    done.set_result("at once")
    log.append(await done)
    with pytest.raises(RuntimeError, match="was never yielded|got bad yield|not iterable"):
        await bad_yield()
    await receive_all(websocket, log)


@types.coroutine
def bad_yield():
    yield "nothing that can be waited for"


@scenario
async def has_its_task_and_context(websocket, log):
    task = asyncio.current_task()
    variable.set("inside")
    for _ in range(MESSAGES - 1):
        await websocket.receive_text()
        log.append((asyncio.current_task() is task, task in asyncio.all_tasks(), variable.get(), task.cancelling()))
        log.append(asyncio.get_running_loop() is task.get_loop())


@scenario
async def is_timed_out(websocket, log):
    try:
        async with asyncio.timeout(None) as limit:
            log.append(await websocket.receive_text())
            limit.reschedule(0)
            await websocket.receive_text()
    except TimeoutError as exc:
        log.append((limit.expired(), repr(exc.__cause__)))
    log.append(asyncio.current_task().cancelling())
    await receive_all(websocket, log)


@scenario
async def is_cancelled_while_it_waits(websocket, log):
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for message in ("first", "second"):
        log.append(await websocket.receive_text())
        loop.call_soon(task.cancel, message)
        try:
            await websocket.receive_text()
        except asyncio.CancelledError as exc:
            log.append((exc.args, task.uncancel()))
    await receive_all(websocket, log)


@scenario
async def cancels_itself_and_waits(websocket, log):
    task = asyncio.current_task()
    for _ in range(2):
        log.append(await websocket.receive_text())
        task.cancel("myself")
        try:
            await websocket.receive_text()
        except asyncio.CancelledError as exc:
            log.append((exc.args, task.uncancel()))
    await receive_all(websocket, log)


@scenario
async def cancels_itself_and_waits_for_other_things(websocket, log):
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    log.append(await websocket.receive_text())
    task.cancel("myself")
    future = loop.create_future()
    try:
        await future
    except asyncio.CancelledError as exc:
        log.append((exc.args, future.cancelled(), task.uncancel()))
    log.append(await websocket.receive_text())
    task.cancel("again")
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as exc:
        log.append((exc.args, task.uncancel()))
    await receive_all(websocket, log)


@scenario
async def cancels_itself_and_returns(websocket, log):
    log.append(await websocket.receive_text())
    asyncio.current_task().cancel("myself")


@scenario
async def cancels_itself_and_raises(websocket, log):
    log.append(await websocket.receive_text())
    asyncio.current_task().cancel("myself")
    raise ValueError("no")


@scenario
async def uses_cancel_scopes(websocket, log):
    loop = asyncio.get_running_loop()
    log.append(await websocket.receive_text())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await websocket.receive_text()
    log.append((scope.cancelled_caught, await websocket.receive_text()))
    with anyio.CancelScope() as scope:
        loop.call_soon(scope.cancel)
        await websocket.receive_text()
    log.append(scope.cancelled_caught)
    async with anyio.create_task_group() as group:
        group.start_soon(receive_all, websocket, log)
        log.append(await websocket.receive_text())


@scenario
async def receives_in_other_tasks(websocket, log):
    waiting = [asyncio.create_task(websocket.receive_text()) for _ in range(3)]
    log.append(await websocket.receive_text())
    log.append(sorted(await asyncio.gather(*waiting)))
    late = asyncio.ensure_future(websocket.receive_text())
    log.append(await asyncio.wait_for(late, 5))
    await receive_all(websocket, log)


@scenario
async def receives_while_another_task_receives(websocket, log):
    async def other():
        log.append(("other", await websocket.receive_text()))

    for _ in range(2):
        log.append(await websocket.receive_text())
        task = asyncio.create_task(other())
        log.append(await websocket.receive_text())
        await task


@scenario
async def handles_an_exception_meanwhile(websocket, log):
    try:
        raise KeyError("handled")
    except KeyError:
        for _ in range(2):
            await websocket.receive_text()
            log.append(repr(sys.exception()))
        try:
            raise ValueError
        except ValueError as exc:
            log.append(repr(exc.__context__))
    await websocket.receive_text()
    log.append(sys.exception())


@scenario
async def iterates(websocket, log):
    async for text in websocket.iter_text():
        log.append(text)
        await websocket.send_json({"got": text})


@scenario
async def iterates_over_json(websocket, log):
    async for value in websocket.iter_json():
        log.append(value)
        await websocket.send_bytes(b"%d" % value)


class Stepwise:
    """Awaits a coroutine, and is no coroutine itself."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return (yield from self.coroutine.__await__())


def usual(app):
    async def stepwise(scope, receive, send):
        await Stepwise(app(scope, receive, send))

    return stepwise


def direct(app):
    return app


def logging_middleware(log):
    """Middleware that tells how the application has ended."""

    def wrapped(app):
        async def middleware(scope, receive, send):
            try:
                await app(scope, receive, send)
            except BaseException as exc:
                log.append(("ended", repr(exc), repr(exc.__context__)))
                raise
            log.append("ended")
            await asyncio.sleep(0)
            log.append(("ended", asyncio.current_task().cancelling()))

        return middleware

    return wrapped


def conversation(wire, script, way, feed):
    """What an endpoint has seen, and the client, of some messages and a close."""
    log = []
    app = TurboAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket):
        await websocket.accept()
        await script(websocket, log)

    app.add_middleware(logging_middleware(log))
    here = wire(way(app), websockets={})
    peer = here.connect().feed(HANDSHAKE)
    peer.transport.writes.clear()
    messages = [*(frame(TEXT, b"%d" % number) for number in range(MESSAGES)), close(4000, b"bye")]
    feed(peer, messages)
    here.settle()
    return log, parse_frames(peer.output)


def one_by_one(peer, messages):
    peer.feed(*messages)


def at_once(peer, messages):
    peer.feed(b"".join(messages))


@pytest.mark.parametrize("feed", [one_by_one, at_once])
@pytest.mark.parametrize("script", SCENARIOS, ids=lambda script: script.__name__)
def test_an_endpoint_sees_what_it_sees_when_it_is_resumed_step_by_step(wire, script, feed, caplog):
    expected = conversation(wire, script, usual, feed)
    reported = [(record.levelname, record.message) for record in caplog.records]
    caplog.clear()
    assert conversation(wire, script, direct, feed) == expected
    assert [(record.levelname, record.message) for record in caplog.records] == reported


def depths(wire, way):
    """How many frames of Python an endpoint is called from, after each message."""

    async def script(websocket, log):
        for _ in range(3):
            await websocket.receive_text()
            log.append([each.name for each in traceback.extract_stack()].count("middleware"))

    log, _ = conversation(wire, script, way, one_by_one)
    return log[:3]


def test_the_coroutines_between_are_not_resumed(wire):
    assert depths(wire, direct) == [0, 0, 0]
    assert depths(wire, usual) == [1, 1, 1]


def test_they_are_where_an_exception_is_being_handled_around_the_endpoint(wire):
    def handling(app):
        async def middleware(scope, receive, send):
            try:
                raise KeyError("around")
            except KeyError:
                await app(scope, receive, send)

        return middleware

    async def script(websocket, log):
        await websocket.receive_text()
        log.append(repr(sys.exception()))

    log, _ = conversation(wire, script, handling, one_by_one)
    assert log[0] == "KeyError('around')"
    assert depths(wire, handling) == [2, 2, 2]


def test_the_traceback_of_an_endpoint_has_all_that_await_it(wire, caplog):
    async def script(websocket, log):
        await websocket.receive_text()
        raise ValueError("no")

    conversation(wire, script, direct, one_by_one)
    [record] = [record for record in caplog.records if record.exc_info]
    names = [each.name for each in traceback.extract_tb(record.exc_info[2])]
    assert names[0] == "run" and names[-2:] == ["endpoint", "script"] and "middleware" in names


@pytest.mark.parametrize("way", [usual, direct])
def test_a_keyboard_interrupt_ends_the_loop(wire, way):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await innermost(endpoint(receive))

    async def endpoint(receive):
        await receive()
        raise KeyboardInterrupt

    here = wire(way(app), websockets={})
    peer = here.connect().feed(HANDSHAKE)
    with pytest.raises(KeyboardInterrupt):
        peer.feed(frame(TEXT, b"one"))
    here.settle()
    gc.collect()
    [error] = here.loop.errors
    assert error["message"].endswith("Task exception was never retrieved")
    here.loop.errors.clear()


def test_a_stopped_server_cancels_the_endpoint(wire):
    log = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await innermost(endpoint(receive))

    async def endpoint(receive):
        try:
            while True:
                log.append(await receive())
        finally:
            log.append(sys.exception())

    here = wire(app, websockets={})
    here.connect().feed(HANDSHAKE, frame(TEXT, b"one"))
    here.hub.abort()
    here.settle()
    assert len(log) == 2 and isinstance(log[1], asyncio.CancelledError)


def test_without_an_outermost_the_endpoint_is_awaited_as_it_is():
    async def endpoint():
        return 7

    async def main():
        coroutine = endpoint()
        assert innermost(coroutine) is coroutine
        return await coroutine

    assert asyncio.run(main()) == 7


def test_an_outermost_is_a_coroutine_for_a_task():
    async def endpoint():
        await asyncio.sleep(0)
        return 7

    async def around():
        return await innermost(endpoint())

    async def main():
        outermost = Outermost(around())
        assert asyncio.iscoroutine(outermost)
        assert (outermost.__name__, outermost.cr_code.co_name) == ("around", "around")
        return await asyncio.create_task(outermost)

    assert asyncio.run(main()) == 7
