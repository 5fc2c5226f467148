"""Where a callable was written: for the context of validation errors, and for the notes of definition errors."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from turboapi.exceptions import EndpointContext

__all__ = ["described", "endpoint_context", "located", "without_partial"]

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


@contextmanager
def located(part: str, call: Any) -> Iterator[None]:
    """Note on an exception that it is about `part` of `call`, and where that was written.

    Blocks inside each other give a note each, from the innermost: the parameter, who depends on it, the route.
    """
    try:
        yield
    except RecursionError:  # a circle of dependencies would note itself a thousand times
        raise
    except Exception as exc:
        exc.add_note(f"in {part} of {described(call)}")
        raise


def described(call: Any) -> str:
    """Return `module.function (file:line)`; of an instance, its class."""
    target = inspect.unwrap(without_partial(call))
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target)
    name = f"{target.__module__}.{target.__qualname__}"
    source = _source_of(target)
    return f"{name} ({source['file']}:{source['line']})" if "file" in source else name


def without_partial(call: Any) -> Any:
    """Return what `functools.partial` objects, perhaps several inside each other, call in the end."""
    while isinstance(call, partial):
        call = call.func
    return call
