"""Who is believed about clients: the same as by uvicorn, and what comes through a real nginx."""

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.running import PATIENCE
from turboapi import Request, TurboAPI, WebSocket
from turboapi.responses import StreamingResponse
from turboapi.server import ConfigError, Server, ServerConfig
from turboapi.server.proxies import ProxyHeaders
from turboapi.server.sockets import bind, bind_path
from turboapi.sse import EventSourceResponse

TRUSTED = ["127.0.0.1", "127.0.0.1, ::1,unix", "*", "10.0.0.0/8,2001:db8::/32,127.0.0.1", ""]
PEERS = [("127.0.0.1", 1), ("10.1.2.3", 1), ("192.0.2.1", 1), ("2001:db8::7", 1), None]
FORWARDED_FOR = [
    [],
    [b""],
    [b"192.0.2.9"],
    [b"192.0.2.9:1234"],
    [b"192.0.2.9:port"],
    [b"192.0.2.9, 10.0.0.1"],
    [b"192.0.2.9", b"10.0.0.1 , 127.0.0.1:80"],
    [b"10.0.0.2, 10.0.0.1"],
    [b"192.0.2.8, 192.0.2.9, 10.0.0.1"],
    [b"2001:db8::1, ::1"],
    [b"[2001:db9::1]:443, [2001:db8::2]:80"],
    [b"[2001:db9::1]:x"],
    [b"[2001:db9::1]"],
    [b"[2001:db9::1"],
    [b"unknown, 127.0.0.1"],
    [b"_hidden"],
    [b"unix"],
    [b", 10.0.0.1"],
    [b"192.0.2.1, , 10.0.0.1"],
    [b":80"],
    [b"\xe9\xff"],
]
FORWARDED_PROTO = [[], [b"https"], [b" wss "], [b"HTTPS"], [b"http", b"https"], [b"https", b"ftp"]]


async def echo(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = json.dumps([scope["client"], scope["scheme"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def uvicorns(trusted, client, headers):
    """Client and scheme, as they are behind uvicorn's middleware."""
    scope = {"type": "http", "scheme": "http", "client": client, "headers": headers}

    async def app(scope, receive, send): ...

    asyncio.run(ProxyHeadersMiddleware(app, trusted)(scope, None, None))
    return scope["client"], scope["scheme"]


@pytest.mark.parametrize("trusted", TRUSTED)
def test_what_is_believed_is_what_uvicorn_believes(trusted):
    proxies = ProxyHeaders(trusted)
    for peer in PEERS[: -1 if "unix" in trusted else None]:
        for values in FORWARDED_FOR:
            for schemes in FORWARDED_PROTO:
                headers = [(b"x-forwarded-for", value) for value in values]
                headers += [(b"x-forwarded-proto", value) for value in schemes]
                client, scheme = peer, "http"
                if proxies.trusts(peer):
                    client = (proxies.client(b", ".join(values)) if values else None) or peer
                    scheme = (proxies.scheme(schemes[-1]) if schemes else None) or "http"
                assert (client, scheme) == uvicorns(trusted, peer, headers), (peer, headers)


def test_a_unix_socket_is_trusted_by_its_word():
    assert ProxyHeaders("unix").trusts(None) and ProxyHeaders("unix").trusts(("/run/client", None))
    assert not ProxyHeaders("127.0.0.1").trusts(None)
    assert not ProxyHeaders("unix").trusts(("127.0.0.1", 80))


@pytest.mark.parametrize("given", ["localhost", "127.0.0.1,10.0.0.1/8", "1.2.3.4:80"])
def test_a_wrong_list(given):
    with pytest.raises(ConfigError, match=r"^forwarded_allow_ips must be addresses, networks, unix or \*: "):
        ServerConfig(forwarded_allow_ips=given)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.9;proto=https;by=10.0.0.1;host=a", (("192.0.2.9", 0), "https")),
        ("For=192.0.2.9; PROTO=HTTPS", (("192.0.2.9", 0), "https")),
        ('for="192.0.2.9:4711"', (("192.0.2.9", 4711), None)),
        ('for="[2001:db9::17]:4711";proto=wss', (("2001:db9::17", 4711), "wss")),
        ('for="[2001:db9::17]"', (("2001:db9::17", 0), None)),
        ('for="192.0.2.9:_hidden"', (("192.0.2.9", 0), None)),
        ('for="\\192.0.2.9"', (("192.0.2.9", 0), None)),
        ("proto=https", (None, "https")),
        ("for=192.0.2.9;proto=ftp", (("192.0.2.9", 0), None)),
        # Hops that are trusted, one after the other; the scheme is that of the client's own connection.
        ("for=192.0.2.9;proto=https, for=10.0.0.2;proto=http", (("192.0.2.9", 0), "https")),
        ("for=10.0.0.3;proto=https, for=10.0.0.2;proto=http", (("10.0.0.3", 0), "https")),
        ('for=192.0.2.9, for="[2001:db8::2]:80"', (("192.0.2.9", 0), None)),
        # What a client has sent to the first trusted one.
        ("for=1.1.1.1;proto=https, for=192.0.2.9;proto=http", (("192.0.2.9", 0), "http")),
        ("for=10.0.0.9;proto=https, for=192.0.2.9", (("192.0.2.9", 0), None)),
        ('for="x, for=192.0.2.9;proto=https', (None, None)),
        ('for=1.1.1.1;x=", for=192.0.2.9;proto=https', (None, None)),
        # Nobody that can be named.
        ("for=unknown;proto=https", (None, "https")),
        ("for=192.0.2.9, for=_SEVKISEK, for=10.0.0.2", (("10.0.0.2", 0), None)),
        ("for=192.0.2.9, proto=https", (None, "https")),
        # Malformed.
        ("", (None, None)),
        ("for", (None, None)),
        ("for=", (None, None)),
        ("for =192.0.2.9", (None, None)),
        ("for=192.0.2.9;for=192.0.2.9", (None, None)),
        ("for=192.0.2.9 proto=https", (None, None)),
        ("for=192.0.2.9;proto=https;=", (None, None)),
        ("for=192.0.2.9\xe9", (None, None)),
        ("for=[2001:db9::17", (None, None)),
        ('for="999.0.0.1"', (None, None)),
        ('for="192.0.2.9:123456"', (None, None)),
    ],
)
def test_forwarded(value, expected):
    assert ProxyHeaders("10.0.0.0/8,2001:db8::/32").forwarded(value.encode("latin-1")) == expected


def test_forwarded_where_everybody_is_trusted():
    proxies = ProxyHeaders("*")
    assert proxies.forwarded(b"for=1.1.1.1;proto=https, for=192.0.2.9") == (("1.1.1.1", 0), "https")
    assert proxies.forwarded(b"for=_x;proto=https, for=192.0.2.9;proto=http") == (("192.0.2.9", 0), "https")


@pytest.mark.parametrize(
    ("options", "headers", "believed"),
    [
        ({}, [("Forwarded", "for=192.0.2.9;proto=https")], ["192.0.2.9", "https"]),
        ({}, [("Forwarded", "for=1.1.1.1"), ("Forwarded", 'for="192.0.2.9:80";proto=https')], ["192.0.2.9", "https"]),
        ({}, [("Forwarded", "for=192.0.2.9;proto=https;")], ["192.0.2.9", "https"]),
        ({}, [("Forwarded", 'for="192.0.2.9')], ["127.0.0.1", "http"]),
        ({}, [("Forwarded", "for=1.1.1.1;proto=https"), ("X-Forwarded-For", "192.0.2.9")], ["192.0.2.9", "http"]),
        ({}, [("Forwarded", "for=1.1.1.1"), ("X-Forwarded-Proto", "https")], ["127.0.0.1", "https"]),
        ({}, [("Forwarded", "for=1.1.1.1;proto=https"), ("X-Forwarded-For", "")], ["127.0.0.1", "http"]),
        ({"forwarded_allow_ips": "192.0.2.0/24"}, [("Forwarded", "for=192.0.2.9;proto=https")], ["127.0.0.1", "http"]),
        ({"proxy_headers": False}, [("Forwarded", "for=192.0.2.9;proto=https")], ["127.0.0.1", "http"]),
    ],
)
def test_forwarded_over_a_socket(serve, options, headers, believed):
    with serve(echo, **options) as served:
        (host, _), scheme = httpx.get(served.url, headers=headers, trust_env=False).json()
    assert [host, scheme] == believed


FORWARDED = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("options", "believed"),
    [({}, True), ({"forwarded_allow_ips": "192.0.2.0/24"}, False), ({"proxy_headers": False}, False)],
)
def test_over_a_socket(serve, caplog, options, believed):
    caplog.set_level(logging.INFO, "turboapi.access")
    with (
        serve(echo, access_log=True, **options) as served,
        httpx.Client(base_url=served.url, trust_env=False) as client,
    ):
        forwarded = client.get("/", headers=FORWARDED).json()
        plain = client.get("/").json()
    if believed:
        assert forwarded == [["192.0.2.9", 0], "https"]
    else:
        assert forwarded == plain
    assert plain[0][0] == "127.0.0.1" and plain[1] == "http"
    assert ("192.0.2.9:0 - " in caplog.text) is believed


def test_a_websocket_over_a_socket(serve, app):
    with serve(app) as served:
        for scheme in ("https", "wss"):
            headers = {**FORWARDED, "X-Forwarded-Proto": scheme}
            url = f"ws://127.0.0.1:{served.port}/ws"
            with websockets.sync.client.connect(url, additional_headers=headers) as websocket:
                assert json.loads(websocket.recv()) == ["wss", "192.0.2.9"]


# --- nginx ------------------------------------------------------------------------------------------------------------

# The configuration is that of the documentation, with places of our own.
SITE = Path(__file__).parents[2] / "examples" / "deployment" / "nginx.conf"
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  {site}
}}
"""


@pytest.fixture
def app():
    app = TurboAPI()

    @app.api_route("/", methods=["GET", "POST"])
    async def root(request: dict | None = None):
        return request

    @app.get("/client")
    async def client(request: Request):
        return [request.client.host, str(request.url)]

    @app.get("/port")
    async def port(request: Request):
        return request.client.port

    async def numbers():
        gate = app.state.gate = asyncio.Event()
        app.state.loop = asyncio.get_running_loop()
        for number in range(3):
            yield number
            await gate.wait()

    @app.get("/stream")
    async def stream():
        lines = (f"{number}\n" async for number in numbers())
        return StreamingResponse(lines, headers={"X-Accel-Buffering": "no"})

    @app.get("/events", response_class=EventSourceResponse)
    async def events():
        async for number in numbers():
            yield number

    @app.post("/uploads/")
    async def upload(request: Request):
        size = 0
        async for part in request.stream():
            app.state.arrived.set()
            size += len(part)
        return size

    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_json([websocket.url.scheme, websocket.client.host])
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return app


@contextlib.contextmanager
def nginx(folder, server):
    """The port of an nginx in front of `server`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = SITE.read_text()
    for documented, own in (("listen 80;", f"listen 127.0.0.1:{port};"), ("unix:/run/shop.sock;", f"{server};")):
        assert documented in site
        site = site.replace(documented, own)
    (folder / "nginx.conf").write_text(NGINX.format(site=site))
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def serving(app, sock, **options):
    server = Server(app, ServerConfig(timeout_graceful_shutdown=1, **options))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])))
    thread.start()
    try:
        assert server.started.wait(PATIENCE)
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")


@pytest.fixture(params=["port", "unix"])
def proxied(request, app, tmp_path):
    """A client of the application behind nginx."""
    is_unix = request.param == "unix"
    sock = bind_path(str(tmp_path / "app.sock")) if is_unix else bind("127.0.0.1", 0)[0]
    address = f"unix:{sock.getsockname()}" if is_unix else f"127.0.0.1:{sock.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(app, sock))
        port = stack.enter_context(nginx(tmp_path, address))
        yield stack.enter_context(httpx.Client(base_url=f"http://localhost:{port}", trust_env=False, timeout=PATIENCE))


@needs_nginx
def test_behind_nginx(proxied):
    spoofed = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "ftp"}
    for _ in range(3):
        host, url = proxied.get("/client", headers=spoofed).json()
        assert (host, url) == ("1.2.3.4", str(proxied.base_url.join("/client")))
    large = {"text": "x" * 3_000_000}
    assert proxied.post("/", json=large).json() == large
    assert proxied.post("/", json={"text": "x" * 11_000_000}).status_code == 413


@needs_nginx
@pytest.mark.parametrize(("path", "prefix"), [("/stream", ""), ("/events", "data: ")])
def test_streams_behind_nginx(proxied, app, path, prefix):
    with proxied.stream("GET", path) as response:
        lines = filter(None, response.iter_lines())
        assert next(lines) == f"{prefix}0"  # before the second one is made
        app.state.loop.call_soon_threadsafe(app.state.gate.set)
        assert list(lines) == [f"{prefix}1", f"{prefix}2"]


@needs_nginx
def test_uploads_behind_nginx(proxied, app):
    arrived = app.state.arrived = threading.Event()

    def parts():
        yield b"x" * 100_000
        assert arrived.wait(PATIENCE)  # before the second one is sent
        yield b"x"

    assert proxied.post("/uploads/", content=parts()).json() == 100_001


@needs_nginx
def test_websockets_behind_nginx(proxied):
    with websockets.sync.client.connect(f"ws://localhost:{proxied.base_url.port}/ws") as websocket:
        assert json.loads(websocket.recv()) == ["ws", "127.0.0.1"]
        for text in ("a", "b" * 200_000):
            websocket.send(text)
            assert websocket.recv() == text


@needs_nginx
def test_nginx_keeps_its_connections(app, tmp_path):
    sock = bind("127.0.0.1", 0)[0]
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    with serving(app, sock, proxy_headers=False), nginx(tmp_path, address) as port:
        url = f"http://localhost:{port}/port"
        assert len({httpx.get(url, trust_env=False).json() for _ in range(5)}) == 1
