"""The access log: a request leaves a tuple, and lines are made of many tuples at once, later."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_Client = tuple[Any, ...] | None
_Request = tuple[_Client, str, bytes, str, int, float, float, str | bytes | None]
"""(client, method, target, http_version, status, end, duration, request_id); seconds of the monotonic clock."""

class AccessLog:
    """The requests that were answered since somebody has taken them."""

    def __init__(self, on_first: Callable[[], object], *, detailed: bool = False) -> None:
        """`on_first()` is called when there is something to take. Duration and id are found out if `detailed`."""

    @property
    def detailed(self) -> bool: ...
    def add(
        self,
        client: _Client,
        method: str,
        target: bytes,
        http_version: str,
        status: int,
        began: float,
        request_id: str | bytes | None,
    ) -> int:
        """Note an answered request, which `began` then. Returns 0."""

    def take(self) -> list[_Request]:
        """Hand over the requests, in the order in which they were answered."""

def printable(text: str) -> str:
    """A text, such as a request target, whose unusual characters are escaped."""

def text_lines(
    requests: Iterable[tuple[Any, ...]],
    prefix: str,
    opening: str,
    closing: str,
    answers: Mapping[int, str],
    format_client: Callable[[_Client], str],
) -> str:
    """The lines for requests in uvicorn's format; only the first five of the values of each count.

    `opening` and `closing` stand around the request line; `answers` has what is shown for a status. A `client` may be
    text already, which `format_client` makes of others.
    """

def json_lines(requests: Iterable[_Request]) -> str:
    """The lines for requests as JSON objects."""
