"""Where plain functions run, and that nobody can tell from the answers.

What a test has to know of the thread it hands to the functions by an `async def` dependency (`Tools`): functions whose
code refers to `threading` itself are never called on the loop.
"""

import asyncio
import contextlib
import functools
import logging
import operator
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Annotated, Any

import anyio.from_thread
import anyio.to_thread
import httpx
import pytest
from pydantic import BaseModel

import turboapi
from turboapi import APIRouter, BackgroundTasks, Depends, HTTPException, Request, Response, Security, TurboAPI
from turboapi._plan.ties import find_tie
from turboapi.responses import JSONResponse, PlainTextResponse
from turboapi.testclient import TestClient
from turboapi.types import SyncMode

ClientFor = Callable[..., httpx.Client]

PATIENCE = 20.0
ENOUGH = 64  # calls in a row that prove a function, if all of them are short
MODES: tuple[SyncMode, ...] = ("auto", "thread", "inline")


async def give_tools() -> SimpleNamespace:
    return SimpleNamespace(ident=threading.get_ident, sleep=time.sleep, get_loop=asyncio.get_running_loop)


Tools = Annotated[Any, Depends(give_tools)]


def add_loop_route(app: TurboAPI) -> None:
    @app.get("/loop")
    async def loop_thread() -> int:
        return threading.get_ident()


def is_inline(client: httpx.Client, path: str) -> bool:
    """Whether the function at `path`, which returns its thread, runs on the loop."""
    return bool(client.get(path).json() == client.get("/loop").json())


def wait_until_inline(client: httpx.Client, path: str) -> None:
    """Ask until the function runs inline: how soon that is depends on how busy the machine is."""
    deadline = time.monotonic() + PATIENCE
    while not is_inline(client, path):
        assert time.monotonic() < deadline, f"{path} is still called in threads"


def ask(client: httpx.Client, path: str, times: int = 2 * ENOUGH) -> None:
    for _ in range(times):
        client.get(path)


# --- modes -----------------------------------------------------------------------------------------------------------


def where(tools: Tools) -> int:
    return tools.ident()  # type: ignore[no-any-return]


def where_fresh() -> Callable[..., int]:
    """The same as a function of which nothing has been learned so far."""

    def where(tools: Tools) -> int:
        return tools.ident()  # type: ignore[no-any-return]

    return where


def test_a_short_function_is_called_on_the_loop_in_time(client_for: ClientFor) -> None:
    app = TurboAPI()
    add_loop_route(app)
    app.get("/where")(where_fresh())
    client = client_for(app)
    assert not is_inline(client, "/where")
    wait_until_inline(client, "/where")


def test_so_are_dependencies(client_for: ClientFor) -> None:
    app = TurboAPI()
    add_loop_route(app)

    def outer(inner: Annotated[int, Depends(where_fresh())], tools: Tools) -> list[int]:
        return [inner, tools.ident()]

    @app.get("/where")
    def handler(found: Annotated[list[int], Depends(outer)], tools: Tools) -> list[int]:
        return [*found, tools.ident()]

    client = client_for(app)
    loop = client.get("/loop").json()
    assert loop not in client.get("/where").json()
    deadline = time.monotonic() + PATIENCE
    while client.get("/where").json() != [loop] * 3:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_an_application(mode: SyncMode, client_for: ClientFor) -> None:
    app = TurboAPI(sync_mode=mode)
    add_loop_route(app)
    app.get("/where")(where_fresh())
    client = client_for(app)
    assert is_inline(client, "/where") == (mode == "inline")
    if mode == "thread":
        ask(client, "/where")
        assert not is_inline(client, "/where")


def on_route(app: TurboAPI, mode: SyncMode) -> None:
    app.get("/where", sync_mode=mode)(where_fresh())


def on_router(app: TurboAPI, mode: SyncMode) -> None:
    router = APIRouter(sync_mode=mode)
    router.get("/where")(where_fresh())
    app.include_router(router)


def on_inclusion(app: TurboAPI, mode: SyncMode) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.get("/where")(where_fresh())
    outer.include_router(inner)
    app.include_router(outer, sync_mode=mode)


def on_route_of_router(app: TurboAPI, mode: SyncMode) -> None:
    router = APIRouter(sync_mode="auto")
    router.get("/where", sync_mode=mode)(where_fresh())
    app.include_router(router, sync_mode="auto")


def on_dependency(app: TurboAPI, mode: SyncMode) -> None:
    @app.get("/where", sync_mode="thread" if mode == "inline" else "inline")
    async def handler(found: Annotated[int, Depends(where_fresh(), sync_mode=mode)]) -> int:
        return found


def on_security(app: TurboAPI, mode: SyncMode) -> None:
    @app.get("/where")
    async def handler(found: Annotated[int, Security(where_fresh(), sync_mode=mode)]) -> int:
        return found


def on_route_for_dependency(app: TurboAPI, mode: SyncMode) -> None:
    @app.get("/where", sync_mode=mode)
    async def handler(found: Annotated[int, Depends(where_fresh())]) -> int:
        return found


@pytest.mark.parametrize("mode", ["inline", "thread"])
@pytest.mark.parametrize(
    "declare",
    [on_route, on_router, on_inclusion, on_route_of_router, on_dependency, on_security, on_route_for_dependency],
)
def test_the_nearest_mode_counts(declare: Callable[[TurboAPI, SyncMode], None], mode: SyncMode) -> None:
    app = TurboAPI(sync_mode="thread" if mode == "inline" else "inline")
    add_loop_route(app)
    declare(app, mode)
    with TestClient(app) as client:
        assert is_inline(client, "/where") == (mode == "inline")


def test_an_overridden_dependency_keeps_the_mode() -> None:
    app = TurboAPI(sync_mode="inline")
    add_loop_route(app)

    def replaced() -> int:
        raise AssertionError

    @app.get("/where")
    async def handler(found: Annotated[int, Depends(replaced, sync_mode="thread")]) -> int:
        return found

    app.dependency_overrides[replaced] = where
    with TestClient(app) as client:
        assert not is_inline(client, "/where")


@pytest.mark.parametrize(
    "declare",
    [
        lambda: TurboAPI(sync_mode="threads"),  # type: ignore[arg-type]
        lambda: TurboAPI().get("/", sync_mode="threads")(where),  # type: ignore[typeddict-item]
        lambda: Depends(where, sync_mode="threads"),  # type: ignore[arg-type]
    ],
)
def test_an_unknown_mode_is_refused(declare: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="sync_mode must be one of 'auto', 'thread', 'inline', not 'threads'"):
        declare()


def test_under_trio_everything_runs_in_threads() -> None:
    app = TurboAPI(sync_mode="inline")
    add_loop_route(app)

    @app.get("/where")
    def handler() -> int:
        return threading.get_ident()

    with TestClient(app, backend="trio") as client:
        assert not is_inline(client, "/where")


# --- functions that block -------------------------------------------------------------------------------------------


def test_a_function_that_waits_is_never_called_on_the_loop(client_for: ClientFor) -> None:
    app = TurboAPI()
    add_loop_route(app)

    @app.get("/wait")
    def wait(tools: Tools) -> int:
        tools.sleep(1e-6)  # that is short; but it waits
        return tools.ident()  # type: ignore[no-any-return]

    client = client_for(app)
    loop = client.get("/loop").json()
    assert loop not in [client.get("/wait").json() for _ in range(2 * ENOUGH)]


def answer_while_blocked(client: httpx.Client, path: str, entered: threading.Event, released: threading.Event) -> None:
    """Have `path` block until something else has been answered."""
    blocked = threading.Thread(target=client.get, args=(path,))
    blocked.start()
    try:
        assert entered.wait(PATIENCE)
        assert client.get("/loop").status_code == 200
    finally:
        released.set()
        blocked.join(PATIENCE)
        entered.clear()
        released.clear()


def test_a_function_that_starts_to_block_does_so_once(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    entered, released = threading.Event(), threading.Event()
    app = TurboAPI()
    add_loop_route(app)

    async def give_block() -> Callable[[], bool]:
        entered.set()
        return lambda: released.wait(PATIENCE)

    @app.get("/where")
    def handler(tools: Tools, block: Annotated[Any, Depends(give_block)], sleep: float = 0, wait: bool = False) -> int:
        if sleep:
            tools.sleep(sleep)
        if wait:
            block()
        return tools.ident()  # type: ignore[no-any-return]

    with serve(app) as served, httpx.Client(base_url=served.url, timeout=PATIENCE, trust_env=False) as client:
        wait_until_inline(client, "/where")
        caplog.clear()
        with caplog.at_level(logging.INFO, "turboapi.error"):
            assert is_inline(client, "/where?sleep=0.1")
            assert not is_inline(client, "/where?sleep=0.1")
        records = [record for record in caplog.records if "on the event loop" in record.message]
        assert [record.levelno for record in records] == [logging.INFO]
        assert records[0].args[1] >= 100  # type: ignore[index, operator]
        assert f"{handler.__qualname__} ({__file__}:" in records[0].message
        assert "took 1" in records[0].message
        entered.clear()
        answer_while_blocked(client, "/where?wait=1", entered, released)
        assert not is_inline(client, "/where")


def test_what_a_function_must_prove_grows(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = TurboAPI()
    add_loop_route(app)

    @app.get("/where")
    def handler(tools: Tools, sleep: float = 0) -> int:
        tools.sleep(sleep) if sleep else None
        return tools.ident()  # type: ignore[no-any-return]

    with TestClient(app) as client:
        wait_until_inline(client, "/where")
        assert is_inline(client, "/where?sleep=0.1")
        ask(client, "/where", 2 * ENOUGH)
        assert not is_inline(client, "/where")
        wait_until_inline(client, "/where")


def test_blocked_workers_do_not_keep_the_loop_from_answering(serve: Any) -> None:
    """As many as there are workers, and some more."""
    released = threading.Event()
    entered: queue.Queue[None] = queue.Queue()
    app = TurboAPI()
    add_loop_route(app)

    @app.get("/block")
    def block() -> None:
        entered.put(None)
        released.wait(PATIENCE)

    app.get("/short", sync_mode="inline")(where_fresh())
    with serve(app) as served, httpx.Client(base_url=served.url, timeout=PATIENCE, trust_env=False) as client:
        threads = [threading.Thread(target=httpx.get, args=(f"{served.url}/block",)) for _ in range(50)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(40):
                entered.get(timeout=PATIENCE)
            assert is_inline(client, "/short")
            assert entered.empty()
        finally:
            released.set()
            for thread in threads:
                thread.join(PATIENCE)


def test_the_number_of_workers_is_that_of_anyio() -> None:
    active = 0
    most = 0

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2
        yield

    app = TurboAPI(lifespan=lifespan)

    @app.get("/")
    def handler() -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        time.sleep(0.01)
        active -= 1

    with TestClient(app) as client:
        threads = [threading.Thread(target=client.get, args=("/",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert most == 2


def test_values_of_generators_are_used_in_threads() -> None:
    """What they yield is given back later: who waits for it on the loop would keep the others from doing so."""
    app = TurboAPI()
    add_loop_route(app)

    def resource() -> Iterator[int]:
        yield 1

    async def async_resource() -> AsyncIterator[int]:
        yield 1

    async def through(value: Annotated[int, Depends(async_resource)]) -> int:
        return value

    for path, dependency in (("/sync", resource), ("/async", async_resource), ("/through", through)):

        def handler(value: Annotated[int, Depends(dependency)], tools: Tools) -> int:
            return tools.ident()  # type: ignore[no-any-return]

        app.get(path)(handler)

    @app.get("/beside", dependencies=[Depends(resource)])
    def beside(tools: Tools) -> int:
        return tools.ident()  # type: ignore[no-any-return]

    with TestClient(app) as client:
        for path in ("/sync", "/async", "/through"):
            ask(client, path)
            assert not is_inline(client, path)
        wait_until_inline(client, "/beside")


def test_values_made_in_threads_are_used_in_threads() -> None:
    app = TurboAPI()
    add_loop_route(app)

    def value() -> int:
        return threading.get_ident()

    @app.get("/where")
    def handler(value: Annotated[int, Depends(value)], tools: Tools) -> int:
        return tools.ident()  # type: ignore[no-any-return]

    with TestClient(app) as client:
        ask(client, "/where")
        assert not is_inline(client, "/where")


def test_a_limited_dependency_runs_in_threads() -> None:
    app = TurboAPI(sync_mode="inline")
    add_loop_route(app)

    @app.get("/where")
    async def handler(found: Annotated[int, Depends(where_fresh(), max_concurrency=1)]) -> int:
        return found

    with TestClient(app) as client:
        assert not is_inline(client, "/where")


# --- what a function sees --------------------------------------------------------------------------------------------

number: ContextVar[int] = ContextVar("number", default=0)


@pytest.mark.parametrize("mode", MODES)
def test_context_variables(mode: SyncMode, client_for: ClientFor) -> None:
    app = TurboAPI(sync_mode=mode)

    async def set_outside() -> None:
        number.set(1)

    def add_one() -> int:
        number.set(number.get() + 1)
        return number.get()

    @app.get("/", dependencies=[Depends(set_outside)])
    def handler(found: Annotated[int, Depends(add_one)]) -> list[int]:
        seen = number.get()
        number.set(10)
        return [found, seen]

    client = client_for(app)
    for _ in range(3 * ENOUGH):
        assert client.get("/").json() == [2, 1]


def test_thread_locals() -> None:
    """Inline the loop's thread is seen; a function that refers to thread-locals itself is never called there."""
    local = threading.local()
    app = TurboAPI()
    add_loop_route(app)

    @app.get("/set")
    async def set_local() -> None:
        local.value = "loop"

    async def give_local() -> Any:
        return local

    def read(local: Annotated[Any, Depends(give_local)]) -> str | None:
        return getattr(local, "value", None)

    app.get("/inline", sync_mode="inline")(read)
    app.get("/thread", sync_mode="thread")(read)

    @app.get("/auto")
    def auto() -> str | None:
        return getattr(local, "value", None)

    with TestClient(app) as client:
        client.get("/set")
        assert client.get("/inline").json() == "loop"
        assert client.get("/thread").json() is None
        assert [client.get("/auto").json() for _ in range(3 * ENOUGH)] == [None] * (3 * ENOUGH)


@pytest.mark.parametrize("mode", ["thread", "inline"])
def test_no_event_loop_is_running(mode: SyncMode, client_for: ClientFor) -> None:
    app = TurboAPI(sync_mode=mode)

    @app.get("/loop")
    def running() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    @app.get("/run")
    def run() -> int:
        async def one() -> int:
            await asyncio.sleep(0)
            return 1

        return asyncio.run(one())

    @app.get("/after")
    async def after(found: Annotated[bool, Depends(running)]) -> bool:
        return found or asyncio.get_running_loop() is None

    client = client_for(app)
    for path, expected in (("/loop", False), ("/run", 1), ("/after", False)):
        assert client.get(path).json() == expected


def test_the_loop_can_be_called_from_a_function_that_refers_to_it(client_for: ClientFor) -> None:
    """Even if it does so only sometimes."""
    app = TurboAPI()

    async def double(value: int) -> int:
        await asyncio.sleep(0)
        return 2 * value

    @app.get("/")
    def handler(value: int = 0) -> int:
        return anyio.from_thread.run(double, value) if value else 0

    client = client_for(app)
    ask(client, "/", 3 * ENOUGH)
    assert client.get("/?value=2").json() == 4


def test_a_runtime_error_on_the_loop_is_the_last_one_there(caplog: pytest.LogCaptureFixture) -> None:
    app = TurboAPI()
    add_loop_route(app)

    async def give_call() -> Any:
        return anyio.from_thread.run_sync

    @app.get("/where")
    def handler(tools: Tools, call: Annotated[Any, Depends(give_call)], back: bool = False) -> int:
        return call(tools.ident) if back else tools.ident()  # type: ignore[no-any-return]

    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_inline(client, "/where")
        caplog.clear()
        with caplog.at_level(logging.INFO, "turboapi.error"):
            assert client.get("/where?back=1").status_code == 500
        assert [r.levelname for r in caplog.records if "will always run in worker threads" in r.message] == ["INFO"]
        assert is_inline(client, "/where?back=1")  # by way of the loop
        ask(client, "/where")
        assert not is_inline(client, "/where")


def raising(exc: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise exc

    return raise_it


@pytest.mark.parametrize("as_dependency", [False, True], ids=["handler", "dependency"])
@pytest.mark.parametrize(
    "exc",
    [ValueError("v"), StopIteration(1), StopAsyncIteration(2), RuntimeError("r"), HTTPException(418, "teapot")],
    ids=repr,
)
def test_exceptions(exc: Exception, as_dependency: bool, client_for: ClientFor) -> None:
    async def show(request: Request, exc: Exception) -> Response:
        return PlainTextResponse(f"{exc!r} {exc.__cause__!r}")

    app = TurboAPI(exception_handlers={ValueError: show, RuntimeError: show, StopAsyncIteration: show})
    for mode in ("thread", "inline"):
        raises = raising(exc)
        if as_dependency:
            app.get(f"/{mode}", sync_mode=mode, dependencies=[Depends(raises)])(where)
        else:
            app.get(f"/{mode}", sync_mode=mode)(raises)
    client = client_for(app)
    inline, thread = client.get("/inline"), client.get("/thread")
    assert (inline.status_code, inline.text) == (thread.status_code, thread.text)


# --- results ---------------------------------------------------------------------------------------------------------


class Item(BaseModel):
    name: str
    tags: list[str] = []


class Secret(Item):
    password: str = "hidden"


def make_shop(mode: SyncMode) -> TurboAPI:
    """Plain functions with everything that a request can bring and a response can be made of."""
    app = TurboAPI(sync_mode=mode)
    log: list[str] = []

    def page(first: int = 0, count: int = 2) -> slice:
        return slice(first, first + count)

    def user(request: Request) -> str:
        if (name := request.headers.get("x-user")) is None:
            raise HTTPException(401, "Who are you?")
        return name

    @app.get("/items")
    def items(page: Annotated[slice, Depends(page)]) -> list[str]:
        return ["a", "b", "c", "d"][page]

    @app.get("/secret", response_model=Item)
    def secret(user: Annotated[str, Depends(user)]) -> Any:
        return Secret(name=user)

    @app.post("/items", status_code=201)
    def create(item: Item, response: Response, tasks: BackgroundTasks) -> Item:
        response.headers["x-name"] = item.name
        tasks.add_task(log.append, item.name)
        return item

    @app.get("/raw")
    def raw(kind: str = "json") -> Response:
        return JSONResponse({"kind": kind}, 202) if kind == "json" else PlainTextResponse(kind)

    @app.get("/wrong", response_model=Item)
    def wrong() -> Any:
        return {"tags": "none"}

    @app.get("/log")
    def read_log() -> int:
        return len(log)

    return app


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/items", {}),
    ("GET", "/items?first=1&count=3", {}),
    ("GET", "/items?first=x", {}),
    ("GET", "/secret", {"headers": {"x-user": "me"}}),
    ("GET", "/secret", {}),
    ("POST", "/items", {"json": {"name": "lamp", "tags": ["home"]}}),
    ("POST", "/items", {"json": {"tags": []}}),
    ("GET", "/raw", {}),
    ("GET", "/raw?kind=text", {}),
    ("GET", "/wrong", {}),
]


def answers_of(client: httpx.Client, times: int) -> list[tuple[int, str, str | None]]:
    responses = [client.request(method, url, **more) for _ in range(times) for method, url, more in REQUESTS]
    deadline = time.monotonic() + PATIENCE
    while client.get("/log").json() != times:  # the last background tasks may still be at work
        assert time.monotonic() < deadline
    return [(response.status_code, response.text, response.headers.get("x-name")) for response in responses]


def test_promotion_never_changes_an_answer(client_for: ClientFor) -> None:
    times = 2 * ENOUGH
    auto, thread = (answers_of(client_for(make_shop(mode)), times) for mode in ("auto", "thread"))
    assert auto == thread


# --- what ties a function to threads ---------------------------------------------------------------------------------

lock = threading.Lock()
a_queue: queue.Queue[int] = queue.Queue()
http = httpx.Client()
logger = logging.getLogger(__name__)
settings = SimpleNamespace(lock=None, name="settings")


def uses_lock() -> None:
    with lock:
        pass


def calls_it() -> None:
    uses_lock()


def has_default(wait: Any = time.sleep) -> None:
    wait(1)


def imports_inside() -> None:
    import asyncio  # the subject of the test

    asyncio.run(asyncio.sleep(0))


def in_a_comprehension() -> list[None]:
    return [time.sleep(each) for each in range(3)]


class Service:
    helper = staticmethod(uses_lock)

    def __init__(self) -> None:
        self.client: Any = None

    def __call__(self) -> Any:
        return self.client


class Lazy:
    @functools.cached_property
    def value(self) -> Any:
        return a_queue.get()


class Harmless:
    def __init__(self) -> None:
        self.names = {"a": 1}

    def find(self, name: str) -> int:
        return self.names[name]

    def __call__(self) -> int:
        return self.find("a")


class HasClient(Harmless):
    def __init__(self) -> None:
        super().__init__()
        self.client = http


harmless = Harmless()


def plain(item: Item, name: str = "x") -> dict[str, Any]:
    logger.info("plain")
    if name == "none":
        raise HTTPException(404)
    return {"found": harmless.find(name), "at": time.time(), "item": Item.model_validate(item), "s": settings.name}


def closes_over(value: Any) -> Callable[[], Any]:
    def inner() -> Any:
        return value

    return inner


def names_the_clock_only() -> float:
    return time.time() + sleeps()


def sleeps() -> float:
    time.sleep(1)
    return 0.0


def imports_below() -> None:
    import anyio.from_thread

    anyio.from_thread.check_cancelled()


@functools.lru_cache
def cached() -> int:
    return 1


@functools.lru_cache
def cached_lock() -> Any:
    return lock


def wrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


@pytest.mark.parametrize(
    ("func", "tie"),
    [
        (uses_lock, "_thread.lock"),
        (calls_it, "_thread.lock"),
        (has_default, "time.sleep"),
        (imports_inside, "asyncio"),
        (in_a_comprehension, "time.sleep"),
        (names_the_clock_only, "time.sleep"),
        (imports_below, "anyio"),
        (Service, "_thread.lock"),
        (Service(), "_thread.lock"),
        (Service().__call__, "_thread.lock"),
        (Lazy, "queue.Queue"),
        (HasClient(), "httpx.Client"),
        (HasClient().find, "httpx.Client"),
        (closes_over(http), "httpx.Client"),
        (closes_over([1, {"pool": http}]), "httpx.Client"),
        (closes_over(a_queue), "queue.Queue"),
        (cached_lock, "_thread.lock"),
        (wrapped(uses_lock), "_thread.lock"),
        (functools.partial(wrapped, uses_lock), "_thread.lock"),
        (lambda: threading.get_ident(), "threading"),
        (lambda: anyio.from_thread.run(int), "anyio"),
        (plain, None),
        (harmless, None),
        (harmless.find, None),
        (Harmless, None),
        (Item, None),
        (cached, None),
        (wrapped(plain), None),
        (functools.partial(plain, name="y"), None),
        (closes_over(turboapi), None),
        (closes_over([1] * 100_000), None),
        (operator.itemgetter(0), None),
    ],
)
def test_ties(func: Callable[..., Any], tie: str | None) -> None:
    found = find_tie(func)
    assert found == tie or (tie and found and found.startswith(tie))


def tree(depth: int) -> Any:
    return closes_over([tree(depth - 1) for _ in range(22)] if depth else None)


def test_more_code_than_can_be_looked_through() -> None:
    assert find_tie(tree(2)) is None
    assert find_tie(tree(3)) == "more code than can be looked through"


class Proxy:
    """As of an object that exists only while a request lasts."""

    @property
    def __class__(self) -> Any:
        raise LookupError("outside of a request")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...

    def name(self) -> str:
        return "proxy"


def test_what_cannot_be_looked_at_stays_in_threads(client_for: ClientFor) -> None:
    app = TurboAPI()
    add_loop_route(app)
    proxy = Proxy()

    @app.get("/where")
    def handler(tools: Tools, name: bool = False) -> int:
        return proxy.name() if name else tools.ident()  # type: ignore[no-any-return, return-value]

    with pytest.raises(LookupError):
        find_tie(handler)
    client = client_for(app)
    ask(client, "/where")
    assert not is_inline(client, "/where")


def test_a_function_is_known_again() -> None:
    """What was learned of a dependency in one route counts in all."""
    app = TurboAPI()
    add_loop_route(app)
    found = where_fresh()

    @app.get("/first")
    async def first(value: Annotated[int, Depends(found)]) -> int:
        return value

    @app.get("/second")
    async def second(value: Annotated[int, Depends(found)]) -> int:
        return value

    with TestClient(app) as client:
        wait_until_inline(client, "/first")
        assert is_inline(client, "/second")
