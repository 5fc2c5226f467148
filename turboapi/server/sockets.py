"""The sockets a server listens on: bound to a host and port or to a path, or inherited from who started us."""

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Self

from turboapi.server.config import ServerConfig
from turboapi.server.lifespan import StartupError
from turboapi.server.logging import format_address

SYSTEMD_FIRST = 3  # descriptor of the first socket that systemd hands over
# Only Linux spreads connections over the sockets that share a port.
_SPREADS = sys.platform == "linux"
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
# "localhost" names ::1 also on machines without IPv6; one address of several may be missing.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def open_sockets(config: ServerConfig) -> list[socket.socket]:
    """The sockets that `config` says, or that systemd hands over; bound. Raises StartupError when there are none."""
    return _given_sockets(config) or bind(config.host, config.port)


def _given_sockets(config: ServerConfig) -> list[socket.socket]:
    """Those that are not bound to host and port."""
    if config.fd is not None:
        return [adopt(config.fd)]
    if config.uds is not None:
        return [bind_path(config.uds, int(config.uds_mode, 8))]
    return [adopt(number) for number in activated()]


def activated() -> range:
    """The descriptors of the sockets by which systemd has activated this process (see sd_listen_fds(3))."""
    try:
        count = int(os.environ["LISTEN_FDS"]) if int(os.environ["LISTEN_PID"]) == os.getpid() else 0
    except (KeyError, ValueError):
        count = 0
    return range(SYSTEMD_FIRST, SYSTEMD_FIRST + count)


def open_groups(config: ServerConfig) -> list[list[socket.socket]]:
    """As `open_sockets`, one group for each of `config.workers`, over which the kernel spreads the connections.

    It is a single group for all of them where the kernel does not, and for a path or inherited sockets.
    """
    given = _given_sockets(config)
    groups = [given or bind(config.host, config.port)]
    if given or not _SPREADS:
        return groups
    with contextlib.ExitStack() as opened:
        for sock in groups[0]:
            opened.enter_context(sock)
            # NOTE: only now, so that a port on which somebody else listens is not shared with them by mistake.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(config.workers - 1):
            group = []
            for sock in groups[0]:
                with explained(name_of(sock)):
                    group.append(opened.enter_context(_bound(sock.family, sock.getsockname(), shared=True)))
            groups.append(group)
        opened.pop_all()
    return groups


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address that `host` has, not yet listening, all on the same port.

    Raises StartupError when the name is not known, the port is taken or may not be used.
    """
    with explained(format_address(host, port)), contextlib.ExitStack() as opened:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets: list[socket.socket] = []
        missing = OSError(f"{host} has no address")
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if sockets:  # with port 0 the first address decides
                port = sockets[0].getsockname()[1]
            try:
                sockets.append(opened.enter_context(_bound(family, (address[0], port, *address[2:]))))
            except OSError as exc:
                if exc.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = exc
        if not sockets:
            raise missing
        opened.pop_all()
        return sockets


def _bound(family: int, address: tuple[Any, ...], *, shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the IPv4 addresses get sockets of their own
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


class UnixListener(socket.socket):
    """A Unix socket that takes its file away when it is closed, unless the file has become another one."""

    inode: int | None = None

    @classmethod
    def bound(cls, path: str, mode: int) -> Self:
        """One bound to `path`, in place of a file that a server has left there without listening any more."""
        _remove_stale(path)
        sock = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind(path)
            sock.inode = os.stat(path).st_ino
            os.chmod(path, mode)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Closes it. Its duplicates have no file to take away."""
        inode, self.inode = self.inode, None
        if inode is not None:
            with contextlib.suppress(OSError):
                path = self.getsockname()
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
        super().close()


def bind_path(path: str, mode: int = 0o666) -> socket.socket:
    """A Unix socket bound to `path`, a file with these permissions: a proxy in front of us usually is another user.

    Raises StartupError when another server listens there, or no file can be made."""
    with explained(f"unix socket {path}"):
        return UnixListener.bound(path, mode)


def _remove_stale(path: str) -> None:
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        probe.setblocking(False)  # a listener whose backlog is full is one, too
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def adopt(fd: int) -> socket.socket:
    """The socket behind an inherited file descriptor. Raises StartupError when that is none we can listen on."""
    with explained(f"file descriptor {fd}"):
        sock = socket.socket(fileno=fd)
        if sock.type != socket.SOCK_STREAM or sock.family not in _FAMILIES:
            sock.close()
            raise OSError("it is no TCP or Unix stream socket")
        sock.setblocking(False)
        sock.set_inheritable(False)  # programs that the application starts have no use for it
        return sock


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns an OSError within into a StartupError of one line."""
    try:
        yield
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise StartupError(f"cannot listen on {where}: {reason[:1].lower()}{reason[1:]}") from None


def name_of(sock: socket.socket, scheme: str = "http") -> str:
    """The address a socket is bound to, as a URL where it has one."""
    address = sock.getsockname()
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        return f"{scheme}://{format_address(address[0], address[1])}"
    return f"unix socket {address}" if isinstance(address, str) else f"socket {address!r}"


def port_of(sockets: Iterable[socket.socket]) -> int:
    """The port that they are bound to. LookupError when there is none."""
    for sock in sockets:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            return int(sock.getsockname()[1])
    raise LookupError("the server listens on no port")


def urls_of(sockets: Iterable[socket.socket], config: ServerConfig, *, bound: bool = True) -> list[str]:
    """Where a server is reached: under its host name if it has `bound` its sockets to that, or else where they are."""
    scheme = "http" if config.ssl_certfile is None else "https"
    if bound and config.uds is None and config.fd is None and not activated():
        return [f"{scheme}://{format_address(config.host, port_of(sockets))}"]
    return [name_of(sock, scheme) for sock in sockets]
