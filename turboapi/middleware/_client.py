"""Who sends a request: the address of the connection's peer, or what trusted proxies say about it.

Each proxy appends the address it was called from, so the header is read from the right, and only as far as the hops are
trusted: whatever is left of the first untrusted address may have been made up by the client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from turboapi.types import Scope

__all__ = [
    "ClientAddresses",
    "ProxyHeader",
    "TrustedProxies",
    "forwarded_elements",
    "group_address",
    "parse_address",
    "parse_node",
]

ProxyHeader = Literal["X-Forwarded-For", "Forwarded"]
_IPAddress = IPv4Address | IPv6Address
_UNIX = "unix"

# RFC 7239 section 6: a port may be hidden behind a name.
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}|_[\w.-]+))?", re.ASCII)
# RFC 7239 section 4. An address with a port is sent without quotes by many, though it is no token.
_FORWARDED_PAIR = re.compile(
    r"""[ \t]*(?:(?P<name>[\w!#$%&'*+.^`|~-]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s;,"]+)))?"""
    r"""[ \t]*(?P<end>[;,]|\Z)"""
)
_QUOTED_PAIR = re.compile(r"\\(.)")


class TrustedProxies:
    """Whom to believe what a header says about clients.

    Args:
        trusted: addresses and networks ("10.0.0.0/8") of proxies; "unix" stands for connections without an address,
            which come over a Unix socket.

    Raises:
        ValueError: for what is not an address or a network.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        names = set(trusted)
        self._trusts_unix = _UNIX in names
        self._networks = [ip_network(network) for network in sorted(names - {_UNIX})]

    def __bool__(self) -> bool:
        return self._trusts_unix or bool(self._networks)

    def include_peer(self, host: str) -> bool:
        """Tell whether the peer of a connection is one of them; `host` is empty if it has no address."""
        return self.include(parse_address(host)) if host else self._trusts_unix

    def include(self, address: _IPAddress | None) -> bool:
        """Tell whether `address` is one of theirs; None is not."""
        return address is not None and any(address in network for network in self._networks)


class ClientAddresses:
    """Finds the addresses of clients.

    Args:
        trusted_proxies: those whose header is believed, as for `TrustedProxies`.
        proxy_header: the one header that they write. The other is never read: proxies pass it on as the client sent it.

    Raises:
        ValueError: for what is not an address or a network, or an unknown header.
    """

    def __init__(self, trusted_proxies: Iterable[str] = (), proxy_header: ProxyHeader = "X-Forwarded-For") -> None:
        if isinstance(trusted_proxies, str):
            raise ValueError("trusted_proxies must be a list of addresses or networks, not a string")
        if proxy_header not in ("X-Forwarded-For", "Forwarded"):
            raise ValueError(f"proxy_header must be 'X-Forwarded-For' or 'Forwarded', not {proxy_header!r}")
        self._trusted = TrustedProxies(trusted_proxies)
        self._header = proxy_header.lower().encode()
        self._read_hops = _forwarded_for if proxy_header == "X-Forwarded-For" else _forwarded

    def find(self, scope: Scope) -> str:
        """Return the client's address; the name of a peer that has none, or "unknown"."""
        client = scope.get("client")
        host: str = client[0] if client else ""
        if not self._trusted:
            return str(parse_address(host) or host or "unknown") if ":" in host else host or "unknown"
        peer = parse_address(host)
        found = self._walk(peer, scope) if self._trusted.include_peer(host) else peer
        return str(found or host or "unknown")

    def _walk(self, peer: _IPAddress | None, scope: Scope) -> _IPAddress | None:
        """Return the first address from the right that is not trusted; else the last that a trusted hop has named."""
        values = [bytes(value).decode("latin-1") for name, value in scope["headers"] if name == self._header]
        address = peer
        for hop in self._read_hops(", ".join(values)):
            found = parse_node(hop)
            if found is None:
                break
            address, _ = found
            if not self._trusted.include(address):
                break
        return address


def group_address(address: str, ipv6_prefix: int) -> str:
    """Return the address, or the first one of its network of `ipv6_prefix` bits: one client may use all of them."""
    parsed = parse_address(address) if ":" in address else None
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, ipv6_prefix), strict=False).network_address)
    return address


def parse_address(text: str) -> _IPAddress | None:
    """Return an address without its zone; an IPv4 address that is mapped into IPv6 is one of IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_node(text: str) -> tuple[_IPAddress, int] | None:
    """Return address and port in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.

    The port is 0 where it is not there, or hidden. None if there is no address.
    """
    match = _HOST_AND_PORT.fullmatch(text)
    address = parse_address((match["v6"] or match["v4"] or "") if match else text)
    port = match["port"] if match else None
    return None if address is None else (address, int(port) if port and port.isdigit() else 0)


def forwarded_elements(value: str) -> list[dict[str, str]]:
    """Return the elements of a Forwarded header (RFC 7239 section 4): parameters by their names, which are lower case.

    It is empty if anything is malformed, or twice in an element: an open quote that a client has sent could otherwise
    swallow what the proxy has appended.
    """
    elements: list[dict[str, str]] = [{}]
    position, end = 0, ","
    while end:
        match = _FORWARDED_PAIR.match(value, position)
        if match is None:
            return []
        if match["name"]:
            name = match["name"].lower()
            if name in elements[-1]:
                return []
            elements[-1][name] = match["bare"] or _QUOTED_PAIR.sub(r"\1", match["quoted"] or "")
        position, end = match.end(), match["end"]
        if end == ",":
            elements.append({})
    return elements


def _forwarded_for(value: str) -> Iterator[str]:
    return (hop.strip(" \t") for hop in reversed(value.split(",")))


def _forwarded(value: str) -> Iterator[str]:
    return (element.get("for", "") for element in reversed(forwarded_elements(value)))
