"""What trusted proxies say about clients: X-Forwarded-For and X-Forwarded-Proto with uvicorn's rules, or Forwarded.

The compiled connection asks once whether its peer is trusted, and reads the headers only when somebody wants to know
the client or the scheme.
"""

import re
from functools import lru_cache
from typing import Any

from turboapi.middleware._client import TrustedProxies, forwarded_elements, parse_node

EVERYBODY = "*"
_SCHEMES = frozenset({b"http", b"https", b"ws", b"wss"})
_CACHED_ADDRESSES = 4096
_HOST_AND_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::(?P<v6_port>\d+)|:.*)?|(?P<host>[^:\[][^:]*)?:(?P<port>\d+)")

Client = tuple[str, int | None] | None


class ProxyHeaders:
    """Believes the peers in `trusted`, as the option `forwarded_allow_ips` lists them.

    Raises ValueError for what is no address, no network and none of the words for others.
    """

    def __init__(self, trusted: str) -> None:
        names = {name.strip() for name in trusted.split(",")} - {""}
        self._trusts_everybody = EVERYBODY in names
        self._trusted = TrustedProxies(names - {EVERYBODY})
        self._is_trusted = lru_cache(_CACHED_ADDRESSES)(self._trusted.include_peer)

    def trusts(self, client: Client) -> bool:
        """Whether the peer of a connection is believed. `client` is its address; of a Unix socket a path, or None."""
        return self._trusts_everybody or self._is_trusted("" if client is None or client[1] is None else client[0])

    def client(self, forwarded_for: bytes) -> Client:
        """Whom the values of X-Forwarded-For, joined by commas, name: the last one that is not trusted.

        It is the first one if all are. None where that is empty.
        """
        hops = [_host_and_port(hop.strip()) for hop in forwarded_for.decode("latin-1").split(",")]
        found = hops[0]
        if not self._trusts_everybody:
            found = next((hop for hop in reversed(hops) if not hop[0] or not self._is_trusted(hop[0])), found)
        return found if found[0] else None

    def scheme(self, forwarded_proto: bytes) -> str | None:
        """The scheme that X-Forwarded-Proto names; None if it is none of HTTP's."""
        name = forwarded_proto.strip()
        return name.decode("ascii") if name in _SCHEMES else None

    def forwarded(self, value: bytes) -> tuple[Client, str | None]:
        """Client and scheme that the values of Forwarded (RFC 7239), joined by commas, name; None for what they do not.

        The client is the last address that is not trusted, or the first one if all are. What is left of it, or of
        somebody without an address (`unknown`, or a made-up name), is not looked at: the client could have written
        it. The scheme is that by which this one has come.
        """
        client, scheme = None, None
        for element in reversed(forwarded_elements(value.decode("latin-1"))):
            scheme = self.scheme(element.get("proto", "").lower().encode("latin-1"))
            node = parse_node(element.get("for", ""))
            if node is None:
                break
            client = str(node[0]), node[1]
            if not self.trusts(client):
                break
        return client, scheme


def _host_and_port(hop: str) -> tuple[str, int]:
    """`192.0.2.1:80`, `[2001:db8::1]:80`, either without a port, or whatever somebody has written."""
    match: Any = _HOST_AND_PORT.fullmatch(hop)
    if match is None:
        return hop, 0
    return match["v6"] or match["host"] or "", int(match["v6_port"] or match["port"] or 0)
