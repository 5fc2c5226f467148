import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from typing import Any

import anyio
import anyio.to_thread
import pytest
import starlette.testclient
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import RunVar

from turboapi import testclient
from turboapi.exceptions import StarletteDeprecationWarning
from turboapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from turboapi.testclient import TestClient, WebSocketDenialResponse
from turboapi.types import ASGIApp, Receive, Scope, Send
from turboapi.websockets import WebSocket, WebSocketDisconnect

PATIENCE = 10  # seconds until a test that waits for something gives up
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"body"}
TRAILED_START = {**START, "trailers": True}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-item", b"one")]}


def sending(*messages: Any) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    return app


async def echo_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the scope, whatever its type, in a form JSON can hold."""
    seen = {
        name: value
        for name, value in scope.items()
        if isinstance(value, str | int | list | tuple | dict) and name != "headers"
    }
    seen |= {name: scope[name].decode() for name in ("raw_path", "query_string")}
    seen["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    if scope["type"] == "http":
        await JSONResponse(seen)(scope, receive, send)
        return
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    await websocket.send_json(seen)
    await websocket.close()


async def echo_body(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name == b"content-type"}
    await Response(message["body"], headers=headers)(scope, receive, send)


@pytest.mark.parametrize(
    ("client_options", "url", "options"),
    [
        ({}, "/", {}),
        ({}, "/a%20b/ü?x=1&y=%20", {"params": {"z": "España"}}),
        ({"root_path": "/api", "client": ("10.0.0.1", 1)}, "relative", {"headers": [("X-A", "1"), ("x-a", "2")]}),
        ({"base_url": "https://example.org:8443/v1/"}, "/sub", {"cookies": {"a": "b"}}),
        ({"base_url": "http://[::1]:0"}, "/", {}),
        ({"headers": {"Authorization": "x"}}, "https://other.example/", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
def test_scope_is_that_of_the_reference(client_options: dict[str, Any], url: str, options: dict[str, Any]) -> None:
    def ask(client_class: Any) -> Any:
        return client_class(echo_scope, **client_options).get(url, **options).json()

    assert ask(TestClient) == ask(starlette.testclient.TestClient)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("/", {}),
        ("/a%20b?x=1", {"subprotocols": ["soap", "wamp"]}),
        ("wss://example.org:123/", {"params": {"y": "2"}, "headers": {"x-a": "1"}}),
    ],
)
def test_websocket_scope_is_that_of_the_reference(url: str, options: dict[str, Any]) -> None:
    def ask(client_class: Any) -> Any:
        with client_class(echo_scope).websocket_connect(url, **options) as websocket:
            return websocket.receive_json()

    assert ask(TestClient) == ask(starlette.testclient.TestClient)


@pytest.mark.parametrize(
    "options",
    [{"content": b"raw"}, {"content": iter([b"a", b"b"])}, {"json": {"a": 1}}, {"data": {"a": "b c"}}, {}],
    ids=["bytes", "iterator", "json", "form", "nothing"],
)
def test_request_bodies_arrive(options: dict[str, Any]) -> None:
    response = TestClient(echo_body).post("/", **options)
    expected = {"content": b"ab", "json": b'{"a":1}', "data": b"a=b+c"}
    assert response.content == (
        b"raw" if options.get("content") == b"raw" else expected.get(next(iter(options), ""), b"")
    )


def test_user_agent_is_a_default_and_the_callers_headers_are_left_alone() -> None:
    headers = {"User-Agent": "mine"}
    assert TestClient(echo_scope, headers=headers).headers["user-agent"] == "mine"
    assert TestClient(echo_scope).headers["user-agent"] == "testclient"
    with TestClient(echo_scope).websocket_connect("/", headers=headers):
        pass
    assert headers == {"User-Agent": "mine"}


def test_redirects_are_followed_unless_told_otherwise() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = PlainTextResponse("here") if scope["path"] == "/target" else RedirectResponse("/target")
        await response(scope, receive, send)

    assert TestClient(app).get("/").text == "here"
    assert TestClient(app, follow_redirects=False).get("/").status_code == 307
    assert TestClient(app).get("/", follow_redirects=False).status_code == 307


def test_cookies_are_kept_between_requests() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sent = [value for name, value in scope["headers"] if name == b"cookie"]
        response = Response(b"; ".join(sent))
        response.set_cookie("a", "b")
        await response(scope, receive, send)

    client = TestClient(app, cookies={"c": "d"})
    assert client.get("/").text == "c=d"
    assert sorted(client.get("/").text.split("; ")) == ["a=b", "c=d"]


def test_asgi2_applications_work() -> None:
    def app(scope: Scope) -> Any:
        async def instance(receive: Receive, send: Send) -> None:
            await PlainTextResponse("two")(scope, receive, send)

        return instance

    assert TestClient(app).get("/").text == "two"  # type: ignore[arg-type]


def test_classes_are_applications_of_either_version() -> None:
    class Three:
        def __init__(self, *channels: Any) -> None:
            self.channels = channels

        def __await__(self) -> Generator[Any, None, None]:
            return PlainTextResponse("three")(*self.channels).__await__()

    class Two:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await PlainTextResponse("two")(self.scope, receive, send)

    apps: list[Any] = [Three, Two]
    assert [TestClient(app).get("/").text for app in apps] == ["three", "two"]


def test_host_is_added_to_requests_without_one() -> None:
    client = TestClient(echo_scope)
    request = client.build_request("GET", "/")
    del request.headers["host"]
    assert client.send(request).json()["headers"][0] == ["host", "testserver"]


def test_unknown_messages_are_ignored() -> None:
    assert TestClient(sending(START, {"type": "http.response.push"}, BODY)).get("/").content == b"body"


def test_interrupt_while_the_application_starts_cancels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Lingering(finish=False)
    start_task_soon = BlockingPortal.start_task_soon

    def interrupted(portal: BlockingPortal, func: Any, *args: Any, **kwargs: Any) -> Any:
        future = start_task_soon(portal, func, *args, **kwargs)
        if func.__name__ == "run":
            raise KeyboardInterrupt
        return future

    monkeypatch.setattr(BlockingPortal, "start_task_soon", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TestClient(app).get("/")
    assert app.ended == ["cancelled"]


def test_timeout_argument_warns() -> None:
    with pytest.warns(StarletteDeprecationWarning, match="You should not use the 'timeout' argument"):
        TestClient(echo_scope).get("/", timeout=1)


def test_exceptions_are_raised_or_answered() -> None:
    app = sending(KeyError("broken"))
    with pytest.raises(KeyError, match="broken"):
        TestClient(app).get("/")
    response = TestClient(app, raise_server_exceptions=False).get("/")
    assert (response.status_code, response.content) == (500, b"")


def test_exceptions_after_the_response_are_raised_or_ignored() -> None:
    app = sending(START, BODY, KeyError("late"))
    with pytest.raises(KeyError, match="late"):
        TestClient(app).get("/")
    assert TestClient(app, raise_server_exceptions=False).get("/").content == b"body"


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], "TestClient did not receive any response."),
        ([BODY], 'Received "http.response.body" without "http.response.start".'),
        ([START, START], 'Received multiple "http.response.start" messages.'),
        ([START, BODY, BODY], 'Received "http.response.body" after'),
        ([TRAILERS], 'Received "http.response.trailers" without declaring trailers.'),
        ([TRAILED_START, TRAILERS], 'Received "http.response.trailers" before body completed.'),
        ([TRAILED_START, BODY, BODY], 'Received "http.response.body" after body completed.'),
        ([TRAILED_START, BODY, TRAILERS, TRAILERS], 'Received "http.response.trailers" after response completed.'),
    ],
)
def test_messages_out_of_order_are_errors(messages: list[Any], error: str) -> None:
    with pytest.raises(AssertionError, match=error):
        TestClient(sending(*messages)).get("/")


def test_trailers_and_debug_information_are_extensions_of_the_response() -> None:
    info = {"template": "page.html", "context": {"name": "x"}, "more": 1}
    debug = {"type": "http.response.debug", "info": info}
    response: Any = TestClient(sending(debug, TRAILED_START, BODY, {**TRAILERS, "more_trailers": True}, TRAILERS)).get(
        "/"
    )
    assert response.content == b"body"
    assert response.extensions["http.response.trailers"] == [(b"x-item", b"one")] * 2
    assert response.extensions["http.response.debug"] == info
    assert (response.template, response.context) == ("page.html", {"name": "x"})
    other: Any = TestClient(sending({**debug, "info": {"template": "x"}}, START, BODY)).get("/")
    assert other.template == "x"
    assert not hasattr(other, "context")
    plain = TestClient(sending(START, BODY)).get("/")
    assert {"http.response.trailers", "http.response.debug"}.isdisjoint(plain.extensions)
    assert not hasattr(plain, "template")


def test_head_requests_have_no_body() -> None:
    assert TestClient(sending(START, BODY)).head("/").content == b""


def test_responses_stream_with_back_pressure() -> None:
    sent: list[int] = []
    second = threading.Event()

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            sent.append(number)
            if number:
                second.set()
            yield b"%d" % number

    with TestClient(StreamingResponse(chunks())).stream("GET", "/") as response:
        received = response.iter_raw()
        assert next(received) == b"0"
        assert second.wait(PATIENCE)
        assert len(sent) < 3
        assert list(received) == [b"1", b"2"]


def test_buffers_may_be_reused_after_sending() -> None:
    async def chunks() -> AsyncIterator[memoryview]:
        buffer = bytearray(b"one")
        yield memoryview(buffer)
        buffer[:] = b"two"
        yield memoryview(buffer)

    assert TestClient(StreamingResponse(chunks())).get("/").content == b"onetwo"


class Lingering:
    """Responds and then waits; notes whether it was cancelled or came to its end."""

    def __init__(self, *messages: Any, finish: bool) -> None:
        self.messages = messages
        self.finish = finish
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send(message)
        try:
            if self.finish:
                await anyio.sleep(0.05)
            else:
                with anyio.fail_after(PATIENCE):
                    await anyio.sleep_forever()
            self.ended.append("finished")
        except anyio.get_cancelled_exc_class():
            self.ended.append("cancelled")
            raise


@pytest.mark.parametrize(
    ("messages", "finish", "end"),
    [
        ([START, {**BODY, "more_body": True}], False, "cancelled"),
        ([TRAILED_START, BODY], False, "cancelled"),
        ([START, BODY], True, "finished"),
    ],
    ids=["body incomplete", "trailers missing", "complete"],
)
def test_closing_a_response_cancels_an_incomplete_exchange_and_waits_for_a_complete_one(
    messages: list[Any], finish: bool, end: str
) -> None:
    app = Lingering(*messages, finish=finish)
    with TestClient(app).stream("GET", "/") as response:
        assert next(response.iter_raw()) == b"body"
    assert app.ended == [end]


@pytest.mark.parametrize("by_lifespan", [True, False])
def test_closing_the_client_cancels_responses_left_open(by_lifespan: bool) -> None:
    lingering = Lingering(START, BODY, finish=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (with_lifespan if scope["type"] == "lifespan" else lingering)(scope, receive, send)

    with_lifespan = Lifespan()
    client = TestClient(app)
    with client if by_lifespan else closing(client):
        response = client.send(client.build_request("GET", "/"), stream=True)
        chunks = response.iter_raw()  # kept: httpx2 closes the response when its iterator goes
        assert next(chunks) == b"body"
    assert lingering.ended == ["cancelled"]


def test_disconnect_is_received_only_after_the_response_was_read() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.CancelScope() as impatient:
            impatient.cancel()
            seen.append(await receive())
        await send(START)
        await send(BODY)
        seen.append(await receive())
        with anyio.CancelScope() as impatient:
            impatient.cancel()
            seen.append(await receive())

    TestClient(app).get("/")
    assert seen == [{"type": "http.disconnect"}] * 2


loop_number: RunVar[int] = RunVar("loop_number")


class Lifespan:
    """An application with a lifespan; answers requests with the number of their event loop."""

    def __init__(self, fail: str = "", reply: str = "complete") -> None:
        self.fail = fail
        self.reply = reply
        self.events: list[str] = []
        self.loops = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if loop_number.get(None) is None:
            self.loops += 1
            loop_number.set(self.loops)
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
        else:
            await JSONResponse([loop_number.get(), scope["state"]])(scope, receive, send)

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            assert (await receive()) == {"type": f"lifespan.{step}"}
            self.events.append(f"{step} {loop_number.get()}")
            if step == self.fail:
                await send({"type": f"lifespan.{step}.failed", "message": "failed"})
                raise RuntimeError(f"{step} failed")
            scope["state"]["started"] = True
            await send({"type": f"lifespan.{step}.{self.reply}"})


def test_lifespan_runs_in_the_loop_of_the_requests_and_shares_its_state() -> None:
    app = Lifespan()
    client = TestClient(app)
    assert client.get("/").json() == [1, {}]
    for loop in (2, 3):
        with client as entered:
            assert entered is client
            assert [client.get("/").json() for _ in range(2)] == [[loop, {"started": True}]] * 2
    assert app.events == ["startup 2", "shutdown 2", "startup 3", "shutdown 3"]
    assert client.get("/").json()[0] == 4
    assert client.portal is None


def test_state_of_one_request_does_not_reach_the_next() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen = dict(scope["state"])
        scope["state"]["mark"] = True
        await JSONResponse(seen)(scope, receive, send)

    client = TestClient(app)
    assert [client.get("/").json() for _ in range(2)] == [{}, {}]


@pytest.mark.parametrize("step", ["startup", "shutdown"])
def test_failing_lifespan_raises(step: str) -> None:
    app = Lifespan(fail=step)
    entered = False
    client = TestClient(app)
    with pytest.raises(RuntimeError, match=f"{step} failed"), client:
        entered = True
    assert entered is (step == "shutdown")
    assert client.portal is None


def test_lifespan_must_answer_in_order() -> None:
    with pytest.raises(AssertionError), TestClient(Lifespan(reply="other")):
        pytest.fail("must not start")


def test_application_without_lifespan_raises_its_own_error() -> None:
    with pytest.raises(KeyError, match="no lifespan"), TestClient(sending(KeyError("no lifespan"))):
        pytest.fail("must not start")


def test_backend_options_choose_the_event_loop() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        import asyncio

        await PlainTextResponse(type(asyncio.get_running_loop()).__module__)(scope, receive, send)

    assert TestClient(app, backend_options={"use_uvloop": True}).get("/").text.startswith("uvloop")
    assert TestClient(app).get("/").text.startswith("asyncio")


def test_client_works_inside_an_application() -> None:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        inner = await anyio.to_thread.run_sync(TestClient(sending(START, BODY)).get, "/")
        await Response(inner.content + b"!")(scope, receive, send)

    assert TestClient(outer).get("/").content == b"body!"


def websocket_app(*script: Any) -> ASGIApp:
    """An application that accepts and then runs through the script: coroutine functions of the WebSocket."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept(subprotocol="wamp", headers=[(b"x-a", b"b")])
        for step in script:
            await step(websocket)

    return app


async def echo(websocket: WebSocket) -> None:
    message = await websocket.receive()
    await websocket.send({"type": "websocket.send", **{k: v for k, v in message.items() if k != "type"}})


async def close(websocket: WebSocket) -> None:
    await websocket.close(4000, "bye")


def test_websocket_sessions_send_receive_and_see_the_handshake() -> None:
    with TestClient(websocket_app(echo, echo, echo, echo, close)).websocket_connect("/") as session:
        assert (session.accepted_subprotocol, session.extra_headers) == ("wamp", [(b"x-a", b"b")])
        session.send_text("text")
        assert session.receive_text() == "text"
        session.send_bytes(b"bytes")
        assert session.receive_bytes() == b"bytes"
        session.send_json({"a": "ü"})
        assert session.receive() == {"type": "websocket.send", "text": '{"a":"ü"}'}
        session.send_json([1], mode="binary")
        assert session.receive_json(mode="binary") == [1]
        with pytest.raises(WebSocketDisconnect) as caught:
            session.receive_text()
    assert (caught.value.code, caught.value.reason) == (4000, "bye")


def test_leaving_a_session_disconnects() -> None:
    seen: list[Any] = []

    async def note(websocket: WebSocket) -> None:
        seen.append(await websocket.receive())

    with TestClient(websocket_app(note)).websocket_connect("/") as session:
        session.close(1001, "away")
    with TestClient(websocket_app(note)).websocket_connect("/"):
        pass
    assert [(message["code"], message["reason"]) for message in seen[:1]] == [(1001, "away")]


def test_leaving_a_session_cancels_an_application_that_does_not_listen() -> None:
    ended: list[bool] = []

    async def wait(websocket: WebSocket) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with TestClient(websocket_app(wait)).websocket_connect("/"):
        pass
    assert ended == [True]


def test_errors_of_a_websocket_application_are_raised() -> None:
    async def fail(websocket: WebSocket) -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"), TestClient(websocket_app(fail)).websocket_connect("/"):
        pass


def test_refused_handshakes_raise_disconnect() -> None:
    app = sending({"type": "websocket.close", "code": 1008, "reason": "no"})
    with pytest.raises(WebSocketDisconnect) as caught, TestClient(app).websocket_connect("/"):
        pytest.fail("must not connect")
    assert (caught.value.code, caught.value.reason) == (1008, "no")


def test_denied_handshakes_raise_the_response() -> None:
    part = {"type": "websocket.http.response.body", "body": b"no"}
    app = sending(
        {"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-a", b"b")]},
        {**part, "more_body": True},
        part,
    )
    with pytest.raises(WebSocketDenialResponse) as caught, TestClient(app).websocket_connect("/"):
        pytest.fail("must not connect")
    denial = caught.value
    assert isinstance(denial, WebSocketDisconnect)
    assert isinstance(denial, testclient.httpx.Response)
    assert (denial.status_code, denial.content, denial.headers["x-a"]) == (403, b"nono", "b")


def test_websocket_connect_needs_a_websocket_url() -> None:
    with pytest.raises(RuntimeError, match="Expected WebSocket upgrade"):
        TestClient(sending(START, BODY)).websocket_connect("http://testserver/")


def test_response_is_an_httpx_response() -> None:
    assert issubclass(TestClient, testclient.httpx.Client)
    assert isinstance(TestClient(sending(START, BODY)).get("/"), testclient.httpx.Response)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_missing_httpx_is_explained() -> None:
    result = run_python("import sys; sys.modules.update(httpx=None, httpx2=None)\nimport turboapi.testclient")
    assert "RuntimeError: The turboapi.testclient module requires the httpx package to be installed." in result.stderr
    assert "pip install turboapi[testclient]" in result.stderr


def test_httpx_alone_is_enough_and_no_reason_to_warn() -> None:
    result = run_python("import sys; sys.modules.update(httpx2=None)\nimport turboapi.testclient as t; print(t.httpx)")
    assert result.stderr == ""
    assert "module 'httpx' from" in result.stdout


def test_httpx2_is_preferred() -> None:
    fake = "import httpx, sys, types; fake = types.ModuleType('fake'); vars(fake).update(vars(httpx))"
    result = run_python(
        f"{fake}; sys.modules.update(httpx2=fake)\nimport turboapi.testclient as t\nprint(t.httpx is fake)"
    )
    assert (result.stdout, result.stderr) == ("True\n", "")
