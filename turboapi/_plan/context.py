"""Where an endpoint was written: the context that validation errors carry for logs and debuggers."""

import inspect
from collections.abc import Callable
from typing import Any

from turboapi.exceptions import EndpointContext

__all__ = ["endpoint_context"]

_known: dict[int, tuple[Any, EndpointContext]] = {}  # by id: callables need not be hashable; the value keeps them alive


def endpoint_context(func: Callable[..., Any], *, method: str, root_path: str, path: str | None) -> EndpointContext:
    """Return file, line and name of `func`, and the request's method and route path below `root_path`."""
    known = _known.get(id(func))
    if known is None:
        known = _known[id(func)] = (func, _source_of(func))
    context = EndpointContext(**known[1])
    if path:
        context["path"] = f"{method} {root_path.rstrip('/')}{path}"
    return context


def _source_of(func: Callable[..., Any]) -> EndpointContext:
    context = EndpointContext()
    try:
        if (file := inspect.getsourcefile(func)) is not None:
            context["file"] = file
        context["line"] = inspect.getsourcelines(func)[1]
        if (name := getattr(func, "__name__", None)) is not None:
            context["function"] = name
    except (OSError, TypeError):
        return EndpointContext()  # built-ins and code without a source file
    return context
