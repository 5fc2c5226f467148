"""TLS with certificates that the `openssl` command makes."""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import time

import httpx
import pytest
import websockets.sync.client

from tests.running import PATIENCE, Running
from tests.wire.harness import request
from turboapi import TurboAPI, WebSocket
from turboapi.responses import Response, StreamingResponse
from turboapi.server import ConfigError, ServerConfig, ServerError
from turboapi.server.tls import open_tls

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

APP = """
import os
from turboapi import Request, TurboAPI
app = TurboAPI()
@app.get("/")
def root(request: Request): return [str(request.url), os.getpid()]
"""


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True, timeout=PATIENCE)


def make_certificate(folder, name, *, issuer="authority", subject="localhost"):
    """NAME.pem and NAME.key."""
    extensions = (
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "authorityKeyIdentifier=keyid",
        "subjectKeyIdentifier=hash",
    )
    (folder / "extensions").write_text("\n".join(extensions) + "\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={subject}")
    openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=folder)
    signing = ("-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial", "-extfile", "extensions")
    openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-days", "2", "-out", f"{name}.pem", cwd=folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with an authority, and certificates and keys of it."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=authority")
    usage = ("-addext", "keyUsage=critical,keyCertSign")  # Python 3.13 insists on it
    openssl(
        "req", "-x509", *curve, *usage, "-days", "2", "-keyout", "authority.key", "-out", "authority.pem", cwd=folder
    )
    for name in ("server", "other", "client"):
        make_certificate(folder, name)
    openssl("ec", "-in", "server.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key", cwd=folder)
    (folder / "both.pem").write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    (folder / "text").write_text("no PEM\n")
    return folder


@pytest.fixture
def files(made, monkeypatch):
    """The same as working directory."""
    monkeypatch.chdir(made)
    return made


def trusting(folder, **given):
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    for name, value in given.items():
        getattr(context, name)(*value)
    return context


@pytest.fixture
def app():
    app = TurboAPI()

    @app.post("/")
    async def root(request: dict):
        return request

    @app.websocket("/ws")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_text(f"{websocket.url.scheme} {await websocket.receive_text()}")
        await websocket.close()

    @app.get("/scheme")
    async def scheme():
        return await asyncio.sleep(0, "https")

    return app


PAIR = {"ssl_certfile": "server.pem", "ssl_keyfile": "server.key"}


@pytest.mark.parametrize(
    "options",
    [
        PAIR,
        {"ssl_certfile": "both.pem"},
        {"ssl_certfile": "server.pem", "ssl_keyfile": "locked.key", "ssl_keyfile_password": "secret"},
    ],
)
def test_requests_and_websockets(serve, app, files, options):
    with serve(app, **options) as served:
        url = f"https://localhost:{served.port}"
        with httpx.Client(base_url=url, verify=trusting(files), trust_env=False) as client:
            for text in ("a", "b" * 2_000_000):
                assert client.post("/", json={"text": text}).json() == {"text": text}
        with websockets.sync.client.connect(f"wss://localhost:{served.port}/ws", ssl=trusting(files)) as websocket:
            websocket.send("hello")
            assert websocket.recv() == "wss hello"


MUCH = 30_000_000


@contextlib.contextmanager
def asked_for_much(serve, app, files, path, *headers, **options):
    """A client that has asked for much, and a poll object that tells of errors of its connection."""

    @app.get("/endless")
    async def endless():
        async def content():
            while True:
                yield bytes(65536)

        return StreamingResponse(content())

    @app.get("/whole")
    async def whole():
        return Response(bytes(MUCH))

    with serve(app, **PAIR, **options) as served, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(PATIENCE)
        sock.connect((served.host, served.port))
        context = trusting(files)
        with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as client:
            client.sendall(request(f"GET {path} HTTP/1.1", *headers))
            errors = select.poll()
            errors.register(client, 0)
            yield client, errors


@pytest.mark.parametrize("path", ["/endless", "/whole"])
def test_a_client_that_reads_nothing_is_left(serve, app, files, path):
    with asked_for_much(serve, app, files, path, timeout_write=1.0) as (client, errors):
        assert errors.poll(PATIENCE * 1000) == [(client.fileno(), select.POLLERR | select.POLLHUP)]


def test_a_client_that_is_slow_gets_everything_before_the_end(serve, app, files):
    with asked_for_much(serve, app, files, "/whole", "Connection: close") as (client, errors):
        assert errors.poll(4000) == []  # longer than anybody waits for the end of a connection
        received = 0
        while part := client.recv(1_000_000):
            received += len(part)
        assert received > MUCH


def test_a_client_that_does_not_agree_to_the_end_is_left(serve, app, files):
    with asked_for_much(serve, app, files, "/scheme", "Connection: close") as (client, _):
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        with socket.socket(fileno=os.dup(client.fileno())) as below:  # where nobody answers for the client
            below.settimeout(PATIENCE)
            while below.recv(1000):
                pass


def test_http_1_1_is_agreed_on(serve, app, files):
    context = trusting(files, set_alpn_protocols=[["h2", "http/1.1"]])
    with serve(app, **PAIR) as served:
        sock = socket.create_connection((served.host, served.port), PATIENCE)
        with context.wrap_socket(sock, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"


def test_a_client_that_needs_a_certificate(serve, app, files):
    options = {**PAIR, "ssl_ca_certs": "authority.pem", "ssl_cert_reqs": 2}
    with serve(app, **options) as served:
        url = f"https://localhost:{served.port}/scheme"
        with pytest.raises(httpx.TransportError):
            httpx.get(url, verify=trusting(files), trust_env=False)
        known = trusting(files, load_cert_chain=("client.pem", "client.key"))
        assert httpx.get(url, verify=known, trust_env=False).json() == "https"


def test_ciphers(serve, app, files):
    with serve(app, **PAIR, ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384") as served:
        for cipher, code in (("ECDHE-ECDSA-AES256-GCM-SHA384", 0), ("ECDHE-ECDSA-AES128-GCM-SHA256", 1)):
            done = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{served.port}", "-tls1_2", "-cipher", cipher],
                input=b"", capture_output=True, timeout=PATIENCE,
            )  # fmt: skip
            assert done.returncode == code


def test_clients_that_speak_no_tls_hold_up_neither_others_nor_the_end(files, tmp_path):
    (tmp_path / "main.py").write_text(APP)
    pair = ("--ssl-certfile", str(files / "server.pem"), "--ssl-keyfile", str(files / "server.key"))
    server = Running("main:app", *pair, cwd=tmp_path)
    try:
        address = ("127.0.0.1", int(server.wait_for(server.err, r"running on https://0.0.0.0:(\d+) ")[1]))
        with (
            socket.create_connection(address, PATIENCE) as silent,
            socket.create_connection(address, PATIENCE) as plain,
        ):
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert not plain.recv(1000).startswith(b"HTTP")
            url = f"https://localhost:{address[1]}/"
            assert httpx.get(url, verify=trusting(files), trust_env=False).status_code == 200
            server.signal(signal.SIGTERM)
            assert server.ended() == 0
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1000) == b""
        assert server.marks("Traceback") == server.marks("ResourceWarning") == 0
    finally:
        server.process.kill()


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["none", "half a hello"])
def test_a_handshake_that_stalls_is_ended(serve, app, files, hello):
    with (
        serve(app, **PAIR, timeout_header=0.2) as served,
        socket.create_connection((served.host, served.port), PATIENCE) as client,
    ):
        client.sendall(hello)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""


def test_old_versions_are_not_spoken(files):
    assert open_tls(ServerConfig(**PAIR)).minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"ssl_certfile": "text"}, "ssl_certfile 'text' has no certificate in PEM format"),
        ({"ssl_certfile": "server.pem"}, "ssl_certfile 'server.pem' has no private key in PEM format"),
        ({**PAIR, "ssl_keyfile": "text"}, "ssl_keyfile 'text' has no private key in PEM format"),
        ({**PAIR, "ssl_keyfile": "other.key"}, "ssl_keyfile 'other.key' is not the key of 'server.pem'"),
        ({**PAIR, "ssl_keyfile": "locked.key"}, "ssl_keyfile 'locked.key' needs ssl_keyfile_password"),
        (
            {**PAIR, "ssl_keyfile": "locked.key", "ssl_keyfile_password": "no"},
            "ssl_keyfile 'locked.key' needs another ssl_keyfile_password",
        ),
        ({**PAIR, "ssl_ca_certs": "text"}, "ssl_ca_certs 'text' has no certificate in PEM format"),
        ({**PAIR, "ssl_ciphers": "NONE-OF-THESE"}, "ssl_ciphers 'NONE-OF-THESE' names no cipher that OpenSSL has"),
    ],
)
def test_files_that_do_not_work(files, options, line):
    with pytest.raises(ServerError) as caught:
        open_tls(ServerConfig(**options))
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"ssl_certfile": "no.pem"}, "ssl_certfile must be a file, not 'no.pem'"),
        ({"ssl_keyfile": "server.key"}, "ssl_keyfile needs ssl_certfile"),
        ({"ssl_certfile": "server.pem", "ssl_cert_reqs": 2}, "ssl_cert_reqs needs ssl_ca_certs, by which certificates"),
        ({"ssl_cert_reqs": 3}, "ssl_cert_reqs must be between 0 and 2, not 3"),
    ],
)
def test_options_that_do_not_fit_together(files, options, line):
    with pytest.raises(ConfigError) as caught:
        ServerConfig(**options)
    assert str(caught.value).startswith(line)


def serial_number(port, folder):
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with trusting(folder).wrap_socket(sock, server_hostname="localhost") as connection:
        return connection.getpeercert()["serialNumber"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_loads_the_certificate_again(tmp_path, made, workers):
    for name in ("authority.pem", "authority.key"):
        shutil.copy(made / name, tmp_path)
    make_certificate(tmp_path, "server")
    (tmp_path / "main.py").write_text(APP)
    pair = ("--ssl-certfile", "server.pem", "--ssl-keyfile", "server.key")
    server = Running("main:app", "--workers", workers, *pair, cwd=tmp_path)
    try:
        port = int(server.wait_for(server.err, r"running on https://0.0.0.0:(\d+) ")[1])
        first = serial_number(port, tmp_path)
        url = f"https://localhost:{port}/"
        with httpx.Client(verify=trusting(tmp_path), trust_env=False) as client:
            assert client.get(url).json()[0] == url
            key = (tmp_path / "server.key").read_text()
            (tmp_path / "server.key").write_text("broken")
            server.signal(signal.SIGHUP)
            server.wait_for(server.err, "'server.key' has no private key in PEM format")
            server.wait_for(server.err, "The old certificate stays|the others stay")
            assert serial_number(port, tmp_path) == first
            (tmp_path / "server.key").write_text(key)
            make_certificate(tmp_path, "server")
            server.signal(signal.SIGHUP)
            server.wait_for(server.err, "Certificate loaded again|All workers are replaced")
            deadline = time.monotonic() + PATIENCE
            while serial_number(port, tmp_path) == first:  # a worker that ends still answers those who came before
                assert time.monotonic() < deadline
            assert client.get(url).status_code == 200
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
