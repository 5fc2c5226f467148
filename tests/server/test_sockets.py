import contextlib
import errno
import os
import socket
import stat
import sys

import pytest

from turboapi.server import ServerConfig, StartupError, sockets
from turboapi.server.sockets import adopt, bind, bind_path, name_of, open_groups, open_sockets, urls_of


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("no-such-host.invalid", r"cannot listen on no-such-host\.invalid:80: .*(not known|resolution|address).*"),
        ("192.0.2.1", r"cannot listen on 192\.0\.2\.1:80: cannot assign requested address"),
        ("a" * 70, r"cannot listen on a+:80: .*"),
    ],
)
def test_a_host_that_cannot_be_used(host, line):
    with pytest.raises(StartupError, match=f"^{line}$"):
        bind(host, 80)


def test_every_address_of_a_name_gets_the_same_port(monkeypatch):
    def two(host, port, **rules):
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(sockets.socket, "getaddrinfo", two)
    names = []
    for sock in bind("name", 0):
        with sock:
            names.append(sock.getsockname())
    assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1] > 0


def test_one_address_of_several_may_be_missing(monkeypatch):
    def two(host, port, **rules):
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("192.0.2.1", "127.0.0.1")]

    monkeypatch.setattr(sockets.socket, "getaddrinfo", two)
    (sock,) = bind("name", 0)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_sockets_are_closed_when_a_later_one_fails(monkeypatch):
    opened = []
    real = sockets._bound

    def failing(family, address):
        if opened:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        opened.append(real(family, address))
        return opened[0]

    def two(host, port, **rules):
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(sockets.socket, "getaddrinfo", two)
    monkeypatch.setattr(sockets, "_bound", failing)
    with pytest.raises(StartupError):
        bind("name", 0)
    assert opened[0].fileno() == -1


# --- a Unix socket ----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A path short enough for a socket."""
    monkeypatch.chdir(tmp_path)
    return "app.sock"


def test_a_file_that_everybody_may_connect_to_and_that_goes_with_the_socket(path):
    with bind_path(path) as sock:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
        assert name_of(sock) == "unix socket app.sock"
        sock.dup().close()
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_a_file_left_behind_is_replaced(path):
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)
    bind_path(path).close()
    assert not os.path.exists(path)


def test_a_file_of_somebody_else_is_left_alone_at_the_end(path):
    sock = bind_path(path)
    os.unlink(path)
    open(path, "x").close()
    sock.close()
    assert os.path.exists(path)


@pytest.mark.parametrize("backlog", [0, 10])
def test_a_socket_on_which_somebody_listens_is_taken(path, backlog):
    with socket.socket(socket.AF_UNIX) as rival:
        rival.bind(path)
        rival.listen(backlog)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)  # a backlog of 0 is full now
            with pytest.raises(StartupError, match=r"^cannot listen on unix socket app\.sock: address already in use$"):
                bind_path(path)
        assert os.path.exists(path)


@pytest.mark.parametrize(
    ("path", "reason"), [("file", "address already in use"), ("no/dir/x", "no such file"), ("x" * 200, "AF_UNIX")]
)
def test_a_path_that_cannot_be_used(path, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StartupError, match=f"^cannot listen on unix socket {path}: (?i:{reason})"):
        bind_path(path)
    assert (tmp_path / "file").read_text() == "kept"


# --- an inherited socket ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_the_socket_behind_a_descriptor(family):
    with socket.socket(family) as sock, adopt(os.dup(sock.fileno())) as adopted:
        assert (adopted.family, adopted.type, adopted.gettimeout()) == (family, socket.SOCK_STREAM, 0.0)


def test_descriptors_that_cannot_be_used(tmp_path):
    with open(tmp_path / "file", "w") as file:
        number = file.fileno()
        with pytest.raises(StartupError, match=f"^cannot listen on file descriptor {number}: socket operation on non-"):
            adopt(number)
    with pytest.raises(StartupError, match=f"^cannot listen on file descriptor {number}: bad file descriptor$"):
        adopt(number)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        number = os.dup(sock.fileno())
    with pytest.raises(StartupError, match=f"^cannot listen on file descriptor {number}: it is no TCP or Unix"):
        adopt(number)
    with pytest.raises(OSError):
        os.fstat(number)  # closed, as nobody else could do it


def test_the_configuration_says_which(path):
    with socket.socket() as sock:
        (adopted,) = open_sockets(ServerConfig(fd=os.dup(sock.fileno())))
        adopted.close()
    (unix,) = open_sockets(ServerConfig(uds=path))
    assert unix.getsockname() == path
    unix.close()
    (tcp,) = open_sockets(ServerConfig(port=0))
    assert tcp.getsockname()[0] == "127.0.0.1"
    tcp.close()


def test_where_a_server_is_reached():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert urls_of([sock], ServerConfig(host="::1")) == [f"http://[::1]:{port}"]
        assert urls_of([sock], ServerConfig(fd=3)) == [f"http://127.0.0.1:{port}"]
        assert urls_of([sock], ServerConfig(), bound=False) == [f"http://127.0.0.1:{port}"]


# --- for several workers ----------------------------------------------------------------------------------------------


@pytest.fixture
def groups():
    """`groups(**options)`: sockets that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(**options):
            found = open_groups(ServerConfig(**options))
            for group in found:
                for sock in group:
                    stack.enter_context(sock)
            return found

        yield opened


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections")
def test_each_worker_gets_sockets_of_its_own_on_a_port_that_nobody_else_gets(groups):
    found = groups(port=0, workers=3)
    (port,) = {sock.getsockname()[1] for group in found for sock in group}
    assert [len(group) for group in found] == [1, 1, 1]
    found[1][0].listen()
    with pytest.raises(StartupError, match="address already in use"):
        groups(port=port, workers=3)


def test_workers_share_a_path_and_an_inherited_socket(groups, path):
    assert [len(group) for group in groups(uds=path, workers=3)] == [1]
    with socket.socket() as sock:
        assert [len(group) for group in groups(fd=os.dup(sock.fileno()), workers=3)] == [1]
