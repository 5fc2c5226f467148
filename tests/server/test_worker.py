"""The server on real sockets. The order of a stop is checked with a hub that writes down what it is told."""

import asyncio
import contextlib
import http.client
import json
import logging
import os
import signal
import socket
import threading
import time

import httpx
import pytest

from tests.conftest import Served
from tests.wire.harness import respond
from turboapi import TurboAPI
from turboapi.middleware import LoggingMiddleware
from turboapi.server import Server, ServerConfig, StartupError, worker
from turboapi.server.sockets import bind
from turboapi.server.worker import site_of

PATIENCE = 20.0


class App:
    """An ASGI application whose steps can be followed, and held up at `gate` for requests to /wait and /block."""

    def __init__(self):
        self.events = []
        self.waiting = threading.Event()
        self.gate = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        try:
            await self.hold(scope["path"])
        except asyncio.CancelledError:
            self.events.append("cancelled")
            await asyncio.sleep(0.05)
            self.events.append("cleaned up")
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
        self.events.append(f"answered {scope['path']}")

    async def lifespan(self, receive, send):
        await receive()
        self.events.append("startup")
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        except asyncio.CancelledError:
            self.events.append("lifespan cancelled")
            raise
        self.events.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def hold(self, path):
        if path == "/wait":
            self.waiting.set()
            while not self.gate.is_set():
                await asyncio.sleep(0.01)
        elif path == "/block":
            self.waiting.set()
            self.gate.wait(PATIENCE)


@pytest.fixture
def app():
    return App()


def get(served, path="/"):
    """Sends a request on a connection of its own, and returns the socket."""
    sock = socket.create_connection((served.host, served.port), timeout=PATIENCE)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    return sock


def answer(sock):
    """Status, Connection header and body of the answer that arrives on `sock`."""
    with sock, http.client.HTTPResponse(sock) as response:
        response.begin()
        return response.status, response.getheader("connection"), response.read()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def refused(host, port):
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


# --- serving ----------------------------------------------------------------------------------------------------------


def test_serves_on_a_free_port_between_startup_and_shutdown(serve, app):
    with serve(app) as served:
        assert served.port > 0
        assert app.events == ["startup"]
        assert answer(get(served))[::2] == (200, b"hello")
    assert app.events == ["startup", "answered /", "shutdown"]
    assert refused(served.host, served.port)


def test_one_client_for_both_entrances(client_for, app):
    response = client_for(app).get("/there")
    assert (response.status_code, response.text) == (200, "hello")
    assert app.events == ["startup", "answered /there"]


def test_options_reach_the_protocol(serve, app):
    with serve(app, server_header=False, date_header=False) as served, get(served) as sock:
        head = sock.recv(65536).lower()
    assert head.startswith(b"http/1.1 200") and b"server:" not in head and b"date:" not in head


def test_the_lifespan_state_reaches_each_request(serve):
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["pool"] = "pool"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with serve(app) as served:
        for _ in range(2):
            assert answer(get(served))[0] == 204
    assert seen == [{"pool": "pool"}] * 2


def test_ipv6(serve, app):
    try:
        bind("::1", 0)[0].close()
    except StartupError:
        pytest.skip("this machine has no IPv6")
    with serve(app, host="::1") as served:
        assert answer(get(served))[0] == 200


def test_given_sockets_are_used_and_closed(app):
    async def main():
        server = Server(app, ServerConfig(access_log=False))
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        task = asyncio.create_task(server.serve([sock]))
        await asyncio.to_thread(server.started.wait, PATIENCE)
        assert server.port == port
        server.should_exit = True
        await task
        assert sock.fileno() == -1

    asyncio.run(main())


def test_the_line_that_says_where(serve, app, caplog):
    caplog.set_level(logging.INFO, "turboapi.error")
    with serve(app, host="localhost") as served:
        assert f"TurboAPI running on http://localhost:{served.port} (Press CTRL+C to quit)" in caplog.messages


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log(serve, app, caplog, access_log):
    caplog.set_level(logging.INFO, "turboapi.access")
    with serve(app, access_log=access_log) as served, get(served, "/there?q=1") as sock:
        host, port = sock.getsockname()
        answer(sock)
    lines = [each.getMessage() for each in caplog.records if each.name == "turboapi.access"]
    assert lines == ([f'{host}:{port} - "GET /there?q=1 HTTP/1.1" 200'] if access_log else [])


def test_the_health_path(serve, app, caplog):
    caplog.set_level(logging.INFO, "turboapi.access")
    with serve(app, access_log=True, health_path="/health", shutdown_delay=3600) as served:
        with httpx.Client(base_url=served.url, trust_env=False) as client:
            assert client.get("/health").json() == {"status": "ready"}
            served.server.should_exit = True
            while (response := client.get("/health")).status_code == 200:
                pass
            assert (response.status_code, response.json()) == (503, {"status": "draining"})
            assert response.headers.get("connection") is None
        assert httpx.get(served.url + "/hello", trust_env=False).status_code == 200  # on a new connection
        served.server.force_exit = True
    lines = [each.getMessage() for each in caplog.records if each.name == "turboapi.access"]
    assert len(lines) == 1 and "GET /hello " in lines[0]


def test_a_delay_that_ends(serve, app):
    with serve(app, shutdown_delay=0.1):
        pass
    assert app.events == ["startup", "shutdown"]


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.fields = []

    def emit(self, record):
        self.fields.append(json.loads(record.getMessage()))


@pytest.fixture
def json_lines():
    """What is written to the access log, as it is parsed."""
    handler, logger = Lines(), logging.getLogger("turboapi.access")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield handler.fields
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_an_access_log_in_json(serve, json_lines):
    app = TurboAPI()
    app.add_middleware(LoggingMiddleware, exclude_paths=["*"])

    @app.get("/items")
    async def items():
        return []

    with (
        serve(app, access_log=True, access_log_format="json") as served,
        httpx.Client(base_url=served.url, trust_env=False) as client,
    ):
        made = client.get("/items?q=1", headers={"X-Forwarded-For": "192.0.2.9"}).headers["x-request-id"]
        client.post("/items", headers={"X-Request-ID": "order-5"})
    for fields in json_lines:
        assert fields.pop("time") and fields.pop("duration_ms") > 0
    common = {"level": "info", "path": "/items"}
    assert json_lines == [
        {**common, "client": "192.0.2.9", "method": "GET", "query": "q=1", "request_id": made, "status": 200},
        {**common, "client": "127.0.0.1", "method": "POST", "request_id": "order-5", "status": 405},
    ]


@pytest.mark.parametrize("inherited", [False, True])
def test_a_unix_socket(app, caplog, tmp_path, monkeypatch, inherited):
    monkeypatch.chdir(tmp_path)  # a path short enough
    caplog.set_level(logging.INFO, "turboapi.error")
    caplog.set_level(logging.INFO, "turboapi.access")
    scopes = []

    async def recording(scope, receive, send):
        scopes.append(scope)
        await app(scope, receive, send)

    def connect():
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect("app.sock")
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        return client

    held = worker.open_sockets(ServerConfig(uds="app.sock")) if inherited else []
    options = {"fd": os.dup(held[0].fileno())} if inherited else {"uds": "app.sock"}
    server = Server(recording, ServerConfig(**options))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        assert server.started.wait(PATIENCE)
        assert answer(connect())[::2] == (200, b"hello")
        with pytest.raises(LookupError):
            _ = server.port
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert os.path.exists("app.sock") == inherited  # whoever holds the socket takes the file away
    for sock in held:
        sock.close()
    assert not os.path.exists("app.sock")
    assert "TurboAPI running on unix socket app.sock (Press CTRL+C to quit)" in caplog.messages
    assert (scopes[1]["client"], scopes[1]["server"]) == (None, ("app.sock", None))
    assert '- - "GET / HTTP/1.1" 200' in caplog.messages


def test_the_documentation_is_announced(serve, caplog):
    caplog.set_level(logging.INFO, "turboapi.error")
    with serve(TurboAPI(docs_url="/manual")) as served:
        assert f"Documentation at {served.url}/manual" in caplog.messages
    caplog.clear()
    for silent in (TurboAPI(docs_url=None), TurboAPI(openapi_url=None)):
        with serve(silent):
            assert "Documentation" not in caplog.text


def test_it_stops_by_itself_after_as_many_requests(app, caplog):
    server = Server(app, ServerConfig(port=0, limit_max_requests=3))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    assert server.started.wait(PATIENCE)
    served = Served(server, "127.0.0.1", server.port)
    for _ in range(3):
        assert answer(get(served))[0] == 200
    thread.join(PATIENCE)
    assert not thread.is_alive() and server.should_exit
    assert "Stopping after 3 requests, as limit_max_requests says" in caplog.messages
    assert app.events[-1] == "shutdown"


def test_headers_and_the_limit_of_connections_reach_the_protocol(serve, app):
    with serve(app, header=["X-Tea: green"], limit_concurrency=1) as served, get(served) as first:
        assert b"x-tea: green\r\n" in first.recv(65536)
        with get(served) as second:
            head = second.recv(65536)
        assert head.startswith(b"HTTP/1.1 503 ") and b"x-tea: green\r\n" in head and b"retry-after: 1\r\n" in head


def test_there_is_no_port_before_the_start(app):
    with pytest.raises(LookupError):
        _ = Server(app).port


# --- what prevents a start --------------------------------------------------------------------------------------------


def test_a_taken_port_is_noticed_before_the_application_starts(app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            asyncio.run(Server(app, ServerConfig(port=port)).serve())
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert app.events == []


def test_a_port_taken_during_the_startup_is_noticed_too(app, monkeypatch):
    """Two sockets may be bound to one port with SO_REUSEADDR, but only one of them can listen."""
    port = 0

    async def slow(scope, receive, send):
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            rival.bind(("127.0.0.1", port))
            rival.listen()
            await app(scope, receive, send)

    server = Server(slow, ServerConfig(port=0))
    monkeypatch.setattr(worker, "open_sockets", lambda config: keep(bind(config.host, config.port)))

    def keep(sockets):
        nonlocal port
        port = sockets[0].getsockname()[1]
        return sockets

    with pytest.raises(StartupError, match=r"cannot listen on http://127\.0\.0\.1:\d+: address already in use"):
        asyncio.run(server.serve())
    assert app.events == ["startup", "shutdown"]


def test_a_failed_startup_listens_on_nothing():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "RuntimeError: no database"})

    server = Server(app, ServerConfig(port=0))
    with pytest.raises(StartupError, match="^application startup failed: RuntimeError: no database$"):
        asyncio.run(server.serve())
    assert not server.started.is_set()


def test_an_application_that_cannot_be_frozen_is_shut_down_again(app):
    class Broken(App):
        def freeze(self):
            raise ValueError("two routes of one name\nand more")

    broken = Broken()
    with pytest.raises(StartupError, match="^the application cannot be served: ValueError: two routes") as caught:
        asyncio.run(Server(broken, ServerConfig(port=0)).serve())
    assert isinstance(caught.value.__cause__, ValueError)
    assert broken.events == ["startup", "shutdown"]


def test_a_frozen_site_is_served_as_it_is_and_any_other_application_whole(app):
    frozen = site_of(app)
    assert frozen.asgi is app

    class Freezing:
        def freeze(self):
            return frozen

    class Unrelated(App):
        def freeze(self):
            return "ice"

    unrelated = Unrelated()
    assert site_of(Freezing()) is frozen
    assert site_of(unrelated).asgi is unrelated


# --- the stop ---------------------------------------------------------------------------------------------------------


def test_a_running_request_is_answered_and_its_connection_closed(serve, app, caplog):
    caplog.set_level(logging.INFO, "turboapi.error")
    with serve(app) as served:
        running = get(served, "/wait")
        app.waiting.wait(PATIENCE)
        served.server.should_exit = True
        until(lambda: "Waiting for connections to close." in caplog.text)
        assert refused(served.host, served.port)
        app.gate.set()
        assert answer(running) == (200, "close", b"hello")
    assert app.events == ["startup", "answered /wait", "shutdown"]


@pytest.mark.parametrize("clients", [1, 40])
def test_connections_that_nobody_has_accepted_yet_are_answered(serve, app, clients):
    """The loop is held up while clients connect: they wait in the kernel's backlog when the stop begins."""
    with serve(app) as served:
        blocking = get(served, "/block")
        app.waiting.wait(PATIENCE)
        waiting = [get(served) for _ in range(clients)]
        served.server.should_exit = True
        app.gate.set()
        assert [answer(each)[::2] for each in [blocking, *waiting]] == [(200, b"hello")] * (clients + 1)


def test_the_backlog_is_emptied_by_hand(serve, app, monkeypatch):
    """As before, but the clients arrive when the loop has already ceased to accept."""
    late = []
    real = worker._backlog

    def arriving(sock):
        late.extend(get(served) for _ in range(5))
        return real(sock)

    monkeypatch.setattr(worker, "_backlog", arriving)
    with serve(app) as served:
        pass
    assert [answer(each)[::2] for each in late] == [(200, b"hello")] * 5


def test_a_connection_accepted_just_before_the_stop_may_still_send_its_request(serve, app, monkeypatch):
    monkeypatch.setattr(worker, "SETTLE", 1.0)
    with serve(app) as served, socket.create_connection((served.host, served.port), timeout=PATIENCE) as sock:
        answer(get(served))  # by now the first connection has been accepted, too
        served.server.should_exit = True
        until(lambda: refused(served.host, served.port))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert answer(sock)[::2] == (200, b"hello")


def test_clients_that_come_and_go_during_the_stop_see_whole_answers_or_a_refusal(serve, app):
    """Under load, a connection that was accepted is answered; one that was not is refused."""
    broken, answers = [], []

    def hammer(served):
        while True:
            try:
                sock = get(served)
            except (ConnectionRefusedError, ConnectionResetError):
                return
            try:
                answers.append(answer(sock)[0])
            except ConnectionResetError:
                return  # the handshake was in progress when the socket was closed: nothing was accepted
            except Exception as exc:
                broken.append(exc)
                return

    with serve(app) as served:
        threads = [threading.Thread(target=hammer, args=(served,)) for _ in range(3)]
        for each in threads:
            each.start()
        until(lambda: len(answers) > 50)
    for each in threads:
        each.join(PATIENCE)
    assert broken == []
    assert set(answers) == {200}


def test_idle_connections_do_not_hold_up_the_stop(serve, app):
    with serve(app, timeout_keep_alive=0, timeout_graceful_shutdown=PATIENCE) as served, get(served) as idle:
        until(lambda: "answered /" in app.events)
        served.server.should_exit = True
        received = b""
        while part := idle.recv(65536):
            received += part
        assert received.endswith(b"hello")
    assert app.events[-1] == "shutdown"


def test_what_runs_too_long_is_cancelled_and_cleaned_up_before_the_shutdown(serve, app, caplog):
    with serve(app, timeout_graceful_shutdown=0.2) as served, get(served, "/wait") as running:
        app.waiting.wait(PATIENCE)
        served.server.should_exit = True
        assert cut_off(running)
    assert app.events == ["startup", "cancelled", "cleaned up", "shutdown"]
    assert "Cutting off 1 connections with 1 running requests" in caplog.text


def cut_off(sock):
    """Whether the connection ends without an answer."""
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:
        return True


def test_forcing_waits_for_nothing_and_skips_the_shutdown(serve, app):
    with serve(app, timeout_graceful_shutdown=PATIENCE) as served, get(served, "/wait") as running:
        app.waiting.wait(PATIENCE)
        served.server.should_exit = True
        served.server.force_exit = True
        assert cut_off(running)
    assert app.events == ["startup", "cancelled", "cleaned up", "lifespan cancelled"]
    assert served.server.exit_code == 1


def test_forcing_ends_a_startup_that_hangs():
    reached = threading.Event()

    async def app(scope, receive, send):
        reached.set()
        await asyncio.Event().wait()

    server = Server(app, ServerConfig(port=0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    reached.wait(PATIENCE)
    server.force_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (server.exit_code, server.started.is_set()) == (1, False)


def test_a_stop_during_the_startup_waits_for_it_and_never_listens(app):
    server = Server(app, ServerConfig(port=0))
    server.should_exit = True
    asyncio.run(server.serve())
    assert app.events == ["startup", "shutdown"]
    assert not server.started.is_set()


def test_a_startup_that_hangs_is_cut_off_some_time_after_a_stop(caplog):
    reached, events = threading.Event(), []

    async def app(scope, receive, send):
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    server = Server(app, ServerConfig(port=0, timeout_graceful_shutdown=0.1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    reached.wait(PATIENCE)
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (server.exit_code, server.started.is_set(), events) == (1, False, ["cancelled"])
    assert "Application startup cut off" in caplog.text


def test_a_stop_cannot_be_taken_back(app):
    with pytest.raises(ValueError, match="cannot be told to go on"):
        Server(app).should_exit = False


def test_a_failed_shutdown_shows_in_the_exit_code(serve):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "cannot save"})

    with serve(app) as served:
        pass
    assert served.server.exit_code == 1


class Hub:
    """Writes down what the server tells it; `busy` connections stay until `abort`."""

    busy = 0

    def __init__(self, loop, site, settings, state, open_websocket, health):
        self.steps = site.asgi.events
        self.connections = self.requests = self.tasks = self.busy
        self.protocol = asyncio.Protocol

    def call_when_full(self, limit, callback):
        assert limit == 0

    def start(self):
        self.steps.append("start")

    def drain(self):
        self.steps.append("drain")

    def close_idle(self):
        self.steps.append("close_idle")

    def abort(self):
        self.steps.append("abort")
        self.connections = self.requests = self.tasks = 0

    def stop(self):
        self.steps.append("stop")


class BusyHub(Hub):
    busy = 2


@pytest.mark.parametrize(
    ("hub", "steps"),
    [
        (Hub, ["startup", "start", "drain", "close_idle", "stop", "shutdown"]),
        (BusyHub, ["startup", "start", "drain", "close_idle", "abort", "stop", "shutdown"]),
    ],
)
def test_the_order_of_a_stop(serve, app, monkeypatch, hub, steps):
    monkeypatch.setattr(worker, "Hub", hub)
    with serve(app, timeout_graceful_shutdown=0.1):
        pass
    assert app.events == steps


def test_cancelling_serve_stops_without_waiting(app, monkeypatch):
    monkeypatch.setattr(worker, "Hub", BusyHub)

    async def main():
        server = Server(app, ServerConfig(port=0, timeout_graceful_shutdown=PATIENCE * 10))
        task = asyncio.create_task(server.serve())
        await asyncio.to_thread(server.started.wait, PATIENCE)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    assert app.events == ["startup", "start", "drain", "close_idle", "abort", "stop", "shutdown"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stops_on_a_signal_and_passes_it_on(app, number):
    """Within a larger program: once the server has stopped, the program's own handler learns of the signal."""
    passed_on = []

    async def main():
        server = Server(app, ServerConfig(port=0))
        task = asyncio.create_task(server.serve())
        await asyncio.to_thread(server.started.wait, PATIENCE)
        signal.raise_signal(number)
        await task
        return server

    previous = signal.signal(number, lambda *_: passed_on.append(list(app.events)))
    try:
        server = asyncio.run(main())
        assert signal.getsignal(number) is not None
    finally:
        signal.signal(number, previous)
    assert passed_on == [["startup", "shutdown"]]
    assert server.exit_code == 0


def test_run_returns_the_exit_code_and_leaves_the_signals_as_they_were(app, monkeypatch):
    before = [signal.getsignal(number) for number in worker.STOP_SIGNALS]
    server = Server(app, ServerConfig(port=0, log_level="critical"))
    monkeypatch.setattr(worker, "configure_logging", lambda config: app.events.append(config.log_level))
    stopper = threading.Thread(target=lambda: server.started.wait(PATIENCE) and signal.raise_signal(signal.SIGTERM))
    stopper.start()
    assert server.run() == 0
    stopper.join(PATIENCE)
    assert [signal.getsignal(number) for number in worker.STOP_SIGNALS] == before
    assert app.events == ["critical", "startup", "shutdown"]


def test_a_stop_waits_for_what_comes_after_the_answers(serve):
    ended = []

    async def app(scope, receive, send):
        await respond(send, b"answered")
        await asyncio.sleep(0.2)
        ended.append(True)

    with serve(app, timeout_graceful_shutdown=PATIENCE) as served, contextlib.closing(socket.socket()) as client:
        client.connect((served.host, served.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        while client.recv(65536):
            pass
    assert ended == [True]
