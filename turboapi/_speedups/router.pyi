"""The compiled route table: the answer of a linear scan over the routes, at a cost that does not grow with them."""

from collections.abc import Callable, Set
from re import Pattern
from typing import Any, final

@final
class Match:
    """The outcome for one request.

    Read only: a match that carries neither values nor payload is shared between requests.
    """

    @property
    def entry(self) -> Entry:
        """The entry that answered."""

    @property
    def full(self) -> bool:
        """False when the path matches and the method does not."""

    @property
    def params(self) -> dict[str, Any] | None:
        """Converted path values in template order, a new dict per request; None when the template has no parameters."""

    @property
    def payload(self) -> Any:
        """What an opaque entry answered, else None."""

@final
class Entry:
    """One row of a table. The same entry may stand in several tables."""

    def __init__(
        self,
        target: Any,
        path_regex: Pattern[str],
        param_convertors: dict[str, Any],
        path: str,
        methods: Set[str] | None,
    ) -> None:
        """A route.

        target: handed back untouched, as `Match.entry.target`.
        path_regex: decides whether a path matches; one that is not simply what `path` stands for is always asked.
        param_convertors: parameter name -> object with `regex` and `convert(text)`. Those of `turboapi.convertors` are
            reproduced natively; any other is called, and what it raises reaches the caller of `Router.match`.
        path: the template, such as "/users/{id:int}".
        methods: the accepted methods; None or an empty set accepts every one.
        """

    @staticmethod
    def opaque(target: Any, matches: Callable[[Any], tuple[bool, Any] | None], prefix: str | None = None) -> Entry:
        """An entry that decides by itself: a mount, a host, a custom route class.

        matches: called with the exchange, unless an entry of lower index matched in full. It answers None, or
            (full, payload); with full=False the entry counts as one whose path matches and whose method does not.
        prefix: a text that every matching path starts with. One that ends in "/" is found without a comparison for
            each request.
        """

    @property
    def target(self) -> Any: ...
    @property
    def path(self) -> str | None:
        """The template, None for an opaque entry."""

    @property
    def methods(self) -> frozenset[str] | None:
        """The accepted methods, None for any."""

@final
class Router:
    """A table over entries in registration order, immutable once built.

    Raises TypeError for an item that is not an Entry.
    """

    def __init__(self, entries: list[Entry]) -> None: ...
    @property
    def entries(self) -> tuple[Entry, ...]: ...
    def match(self, method: str, path: str, exchange: Any) -> Match | None:
        """The first entry that matches path and method, else the first that matches the path, else None.

        method, path: as in the request; HEAD is a method like any other, nothing is decoded or normalized.
        exchange: handed to opaque entries.
        Raises what a convertor or an opaque entry raises, and ValueError for an integer with more digits than
        `sys.get_int_max_str_digits()`.
        """
