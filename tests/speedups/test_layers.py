"""Middleware as layers of the built-in server: order of bytes and events, disconnects, what is left over."""

import asyncio
import contextvars
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Annotated

import pytest

from tests.wire.harness import Wire, request
from turboapi import BackgroundTasks, Depends, Request, TurboAPI
from turboapi.middleware import (
    BaseHTTPMiddleware,
    CORSMiddleware,
    GZipMiddleware,
    HookMiddleware,
    Middleware,
    ResponseHook,
    SessionMiddleware,
)
from turboapi.responses import PlainTextResponse, Response, StreamingResponse

GET = request("GET / HTTP/1.1")


@pytest.fixture
def wire() -> Iterator[Callable[[TurboAPI], Wire]]:
    made: list[Wire] = []

    def make(app: TurboAPI) -> Wire:
        site = app.freeze()
        assert site.layers is not None
        made.append(Wire(site))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def pass_on(request, call_next):
    return await call_next(request)


FUNCTION = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
STACKS = {
    "function": [FUNCTION],
    "functions": [FUNCTION, FUNCTION, FUNCTION],
    "hooks": [
        Middleware(CORSMiddleware, allow_origins=["*"]),
        Middleware(GZipMiddleware),
        Middleware(SessionMiddleware, "secret"),
    ],
    "all": [Middleware(CORSMiddleware, allow_origins=["*"]), FUNCTION, Middleware(GZipMiddleware), FUNCTION],
}


@pytest.mark.parametrize("stack", ["functions", "hooks"])
def test_pipelined_answers_keep_their_order_and_leave_in_one_write(wire, stack):
    app = TurboAPI(middleware=STACKS[stack])

    @app.get("/{number}")
    async def number(number: int):
        return number

    peer = wire(app).connect().feed(b"".join(request(f"GET /{n} HTTP/1.1") for n in range(5)))
    assert [answer.body for answer in peer.answers()] == [b"0", b"1", b"2", b"3", b"4"]
    assert len(peer.transport.writes) == 1


def test_a_stream_is_sent_as_it_is_made(wire):
    app = TurboAPI(middleware=[FUNCTION])
    go_on = []

    @app.get("/")
    async def stream():
        async def parts():
            for part in (b"first", b"second"):
                event = asyncio.Event()
                go_on.append(event)
                yield part
                await event.wait()

        return StreamingResponse(parts())

    site = wire(app)
    peer = site.connect().feed(GET)
    assert peer.output.endswith(b"\r\n5\r\nfirst\r\n")
    site.call(go_on[0].set)
    assert peer.output.endswith(b"\r\n6\r\nsecond\r\n")
    site.call(go_on[1].set)
    assert [answer.body for answer in peer.answers()] == [b"firstsecond"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_client_that_leaves_ends_the_stream(wire, stack):
    app = TurboAPI(middleware=STACKS[stack])
    ended = []

    @app.get("/")
    async def stream():
        async def parts():
            try:
                while True:
                    yield b"more"
                    await asyncio.sleep(0)
            finally:
                ended.append(True)

        return StreamingResponse(parts())

    site = wire(app)
    peer = site.connect().feed(GET)
    peer.leave()
    site.settle(100)
    gc.collect()
    site.settle(100)
    assert ended == [True]


def test_a_slow_client_stops_the_stream(wire):
    app = TurboAPI(middleware=[FUNCTION])
    made = []

    @app.get("/")
    async def stream():
        async def parts():
            for number in range(100):
                made.append(number)
                yield b"x" * 1000

        return StreamingResponse(parts())

    site = wire(app)
    peer = site.connect(high_water=3000).feed(GET)
    assert len(made) < 10
    for _ in range(100):
        peer.transport.read_all()
        site.settle()
    assert len(made) == 100
    assert len(peer.answers()[0].body) == 100_000


def test_what_comes_after_the_response(wire):
    log = []

    async def dispatch(request, call_next):
        response = await call_next(request)
        log.append("out")
        return response

    app = TurboAPI(middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])

    async def resource():
        yield
        log.append("exit")

    async def task(peer):
        log.append(("task", len(peer.answers())))

    @app.get("/")
    async def handler(tasks: BackgroundTasks, _: Annotated[None, Depends(resource)]):
        tasks.add_task(task, peer)
        return "answer"

    peer = wire(app).connect()
    peer.feed(GET)
    assert log == ["out", ("task", 1), "exit"]


def test_context_and_task_inside_are_their_own(wire):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def dispatch(request, call_next):
        variable.set("outside")
        task = asyncio.current_task()
        response = await call_next(request)
        seen.append((variable.get(), asyncio.current_task() is task))
        return response

    app = TurboAPI(middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])

    @app.get("/")
    async def handler(wait: bool = False):
        seen.append(variable.get())
        variable.set("inside")
        task = asyncio.current_task()
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001 if wait else 0)
        return asyncio.current_task() is task

    site = wire(app)
    first = site.connect().feed(GET)
    second = site.connect().feed(request("GET /?wait=1 HTTP/1.1"))
    site.run(asyncio.sleep(0.01))
    assert [answer.body for peer in (first, second) for answer in peer.answers()] == [b"true", b"true"]
    assert seen == ["outside", ("outside", True)] * 2


def test_a_function_that_gives_up_lets_what_is_inside_end(wire):
    go_on = asyncio.Event()
    log = []

    async def dispatch(request, call_next):
        try:
            async with asyncio.timeout(0.001):
                return await call_next(request)
        except TimeoutError:
            return PlainTextResponse("late", 504)

    app = TurboAPI(middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])

    @app.get("/")
    async def handler():
        await go_on.wait()
        log.append("ended")

    site = wire(app)
    peer = site.connect().feed(GET)
    site.run(asyncio.sleep(0.01))
    assert (peer.statuses(), log) == ([504], [])
    site.call(go_on.set)
    assert log == ["ended"]


def test_cancelling_a_function_cancels_what_is_inside(wire):
    log = []
    app = TurboAPI(middleware=[FUNCTION])

    @app.get("/")
    async def handler():
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    site = wire(app)
    site.connect().feed(GET)
    outer = min(site.hub.runner.suspended, key=lambda task: task.get_name())
    site.call(outer.cancel)
    assert log == ["ended"]


def test_an_exception_passes_hooks_without_their_heads(wire, caplog):
    log = []

    class Hook(ResponseHook):
        def head(self, status, headers):
            log.append(status)

        def end(self, error):
            log.append(repr(error))

    class Hooked(HookMiddleware):
        def before(self, exchange):
            return Hook()

    app = TurboAPI(middleware=[Middleware(Hooked), FUNCTION, Middleware(Hooked)])

    @app.get("/")
    async def handler():
        raise ValueError("inside")

    peer = wire(app).connect().feed(GET)
    assert peer.statuses() == [500]
    assert log == ["ValueError('inside')", "ValueError('inside')"]
    assert "ValueError: inside" in caplog.text


def test_a_hook_that_fails_is_an_error_of_the_application(wire, caplog):
    class Hook(ResponseHook):
        def head(self, status, headers):
            raise LookupError("head")

        def end(self, error):
            raise LookupError("end")

    class Hooked(HookMiddleware):
        def before(self, exchange):
            return Hook()

    app = TurboAPI(middleware=[Middleware(Hooked)])

    @app.get("/")
    async def handler():
        return 1

    peer = wire(app).connect().feed(GET)
    assert peer.statuses() == [500]
    assert [repr(record.exc_info[1]) for record in caplog.records] == ["LookupError('end')", "LookupError('head')"]


def test_bad_headers_of_a_hook_are_refused_before_a_byte_is_sent(wire, caplog):
    class Hook(ResponseHook):
        def head(self, status, headers):
            headers.append((b"x-split", b"a\r\nset-cookie: b"))

    class Hooked(HookMiddleware):
        def before(self, exchange):
            return Hook()

    app = TurboAPI(middleware=[Middleware(Hooked)])

    @app.get("/")
    async def handler():
        return 1

    [answer] = wire(app).connect().feed(GET).answers()
    assert (answer.status, answer.header("set-cookie")) == (500, None)


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_of_a_request_is_left(wire, stack, caplog):
    caplog.set_level(logging.CRITICAL + 1, "turboapi.error")  # its records keep frames
    dead = []

    def watch(value):
        dead.append(weakref.ref(value))
        return value

    app = TurboAPI(middleware=STACKS[stack])

    @app.get("/plain")
    async def plain(request: Request):
        watch(request)
        return 1

    @app.get("/waits")
    async def waits(request: Request):
        watch(request)
        await asyncio.sleep(0)
        return Response("x" * 1000)

    @app.get("/fails")
    async def fails(request: Request):
        watch(request)
        raise ValueError

    site = wire(app)
    peer = site.connect()
    paths = ["/plain", "/waits", "/fails"]
    for path in paths:
        peer.feed(request(f"GET {path} HTTP/1.1"))
    dead.clear()
    gc.collect()
    for path in paths:
        peer.feed(request(f"GET {path} HTTP/1.1"))
    gc.collect()
    assert len(dead) == len(paths)
    assert [path for path, ref in zip(paths, dead, strict=True) if ref() is not None] == []


def test_objects_do_not_grow(wire):
    app = TurboAPI(middleware=STACKS["all"])

    @app.get("/")
    async def handler():
        return "x" * 600

    site = wire(app)
    peer = site.connect()
    message = request("GET / HTTP/1.1", "Accept-Encoding: gzip", "Origin: https://a.example") * 16

    def batch(count):
        for _ in range(count):
            peer.feed(message)
            site.settle(300)
            assert b"".join(peer.transport.writes).count(b"HTTP/1.1 200") == 16
            peer.transport.writes.clear()

    batch(20)
    gc.collect()
    objects = len(gc.get_objects())
    batch(100)
    gc.collect()
    assert len(gc.get_objects()) - objects < 50


def test_a_session_is_opened_when_somebody_looks(wire):
    opened = []

    class Watched(SessionMiddleware):
        def _open_session(self, scope):
            opened.append(scope["path"])
            return super()._open_session(scope)

    app = TurboAPI(middleware=[Middleware(Watched, "secret")])

    @app.get("/blind")
    async def blind():
        return 1

    @app.get("/looks")
    async def looks(request: Request):
        request.session["a"] = 1
        return 1

    peer = wire(app).connect().feed(request("GET /blind HTTP/1.1") + request("GET /looks HTTP/1.1"))
    first, second = peer.answers()
    assert opened == ["/looks"]
    assert (first.header("set-cookie"), first.header("vary")) == (None, None)
    assert second.header("set-cookie").startswith("session=") and second.header("vary") == "Cookie"


@pytest.mark.parametrize("is_outside", [False, True])
def test_a_function_sees_the_session_and_the_route_after_the_response(wire, is_outside):
    seen = []

    async def dispatch(request, call_next):
        response = await call_next(request)
        seen.append((dict(request.session), request.scope["route"].path, request.path_params))
        return response

    session, function = Middleware(SessionMiddleware, "secret"), Middleware(BaseHTTPMiddleware, dispatch=dispatch)
    app = TurboAPI(middleware=[function, session] if is_outside else [session, function])

    @app.get("/{key}")
    async def handler(key: str):
        return key

    peer = wire(app).connect().feed(request("GET /a HTTP/1.1"))
    assert peer.statuses() == [200]
    assert seen == [({}, "/{key}", {"key": "a"})]


@pytest.mark.parametrize("others", [{}, {"vary": "Accept"}, {"access-control-allow-origin": "https://other.example"}])
def test_headers_that_the_response_has_already_are_not_repeated(wire, others):
    app = TurboAPI(middleware=[Middleware(CORSMiddleware, allow_origins=["https://a.example"])])

    @app.get("/")
    async def handler(response: Response):
        response.headers.update(others)
        return 1

    [answer] = wire(app).connect().feed(request("GET / HTTP/1.1", "Origin: https://a.example")).answers()
    pairs = [(name, value) for name, value in answer.headers if name in ("vary", "access-control-allow-origin")]
    assert sorted(pairs) == [
        ("access-control-allow-origin", "https://a.example"),
        ("vary", "Accept, Origin" if "vary" in others else "Origin"),
    ]
