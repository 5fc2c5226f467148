"""Request -> argument list. Frozen at definition time by `turboapi._plan.endpoint`."""

from collections.abc import Awaitable, Callable
from typing import Any

class Argument:
    """One parameter of a callable: where its text is found, which type it has, what to do without it."""

    def __init__(
        self,
        *,
        source: int,
        kind: int,
        slot: int,
        key: str,
        required: bool,
        direct: bool,
        default: Any,
        shared_default: bool,
        validate: Callable[[str], Any] | None,
        exact: Callable[[Any], tuple[Any, Any]],
    ) -> None:
        """A parameter.

        source: 0 path, 1 query, 2 header, 3 cookie.
        kind: a `KIND_*` of `convert`, KIND_EXACT for what is no plain scalar.
        slot: where the value goes in the call's values.
        key: the name to look for; of a header in any case.
        direct: whether the parameter is one text under one key; otherwise only `exact` looks.
        default: taken when there is no text and `shared_default` says that requests may share it.
        validate: text -> value for KIND_EXACT; what it raises leads to `exact`.
        exact: request -> (value, errors), the last word.
        """

    @property
    def source(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def direct(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def shared_default(self) -> bool: ...

class Call:
    """A callable and what it is called with."""

    def __init__(
        self,
        *,
        func: Callable[..., Any],
        arguments: tuple[Argument, ...],
        names: tuple[str, ...],
        injections: tuple[tuple[int, int, Any], ...],
        subs: tuple[tuple[int, int], ...],
        body_slot: int,
        body_exact: Callable[[Any], Awaitable[tuple[dict[str, Any], Any]]] | None,
        positional: bool,
    ) -> None:
        """A callable.

        arguments: in the order of their errors: path, query, header, cookie.
        names: the parameter name of each slot.
        injections: (slot, what, payload); what: 0 the request, 1 the response, 2 the background tasks, 3 what the
            payload answers when it is called.
        subs: (slot or -1, index of the visit whose value it is).
        body_slot: where a directly decoded body goes, or -1.
        body_exact: body -> ({name: value}, errors), for any other body.
        positional: whether the values may be passed by position.
        """

    @property
    def func(self) -> Callable[..., Any]: ...
    @property
    def arguments(self) -> tuple[Argument, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def injections(self) -> tuple[tuple[int, int, Any], ...]: ...
    @property
    def subs(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def sub_visits(self) -> frozenset[int]:
        """The visits that this call depends on."""

    @property
    def body_slot(self) -> int: ...
    @property
    def body_exact(self) -> Callable[[Any], Awaitable[tuple[dict[str, Any], Any]]] | None: ...
    @property
    def positional(self) -> bool: ...
