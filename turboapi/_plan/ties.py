"""What ties a function to worker threads: code from which it can be seen which thread it runs in, or that waits.

Most functions that wait do so every time, and their times show it. But some do so only now and then, and some would not
only be late on the event loop, but wait for ever, or return something else.
"""

import inspect
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any

from turboapi._plan.context import without_partial

__all__ = ["find_tie"]

# Who refers to these sees which thread it runs in, waits for others, or has objects that belong to one thread.
_THREAD_MODULES = frozenset(
    {
        *("threading", "_thread", "concurrent", "multiprocessing", "queue", "_queue", "signal"),
        *("asyncio", "_asyncio", "anyio", "trio", "sniffio", "uvloop", "asgiref", "asyncer", "greenlet", "gevent"),
        *("socket", "_socket", "ssl", "select", "selectors", "subprocess", "sqlite3", "_sqlite3"),
    }
)
# Modules of which an object has no hidden state that could be waited for.
_PLAIN_MODULES = frozenset(sys.builtin_module_names) | {
    *("builtins", "abc", "collections", "contextvars", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "ipaddress", "itertools", "json", "logging", "math", "operator", "os", "pathlib"),
    *("random", "re", "string", "types", "typing", "typing_extensions", "uuid", "zoneinfo", "weakref"),
    *("annotated_types", "jinja2", "msgspec", "pydantic", "pydantic_core", "pydantic_settings"),
    *("fastapi", "starlette", "turboapi"),
}
_FRAMEWORKS = frozenset({"fastapi", "starlette", "turboapi"})
_WAITING = (time.sleep, input)
_LIBRARIES = tuple(
    {str(Path(path)) for path in (sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_DATA = (str, bytes, int, float, complex, NoneType)
_MOST_VALUES = 10_000
_MOST_ITEMS = 100  # of a container: as a rule all are of the same kind


def find_tie(func: Callable[..., Any]) -> str | None:
    """Return the name of something that `func` refers to and that ties it to threads, or None.

    All code of the application that it reaches is looked at: functions, methods, classes and objects by the names in
    the code. Libraries are not looked into; an object of theirs, such as a client or a connection pool,
    is a tie itself.

    Objects that do not let themselves be looked at may raise anything.
    """
    home = _top(getattr(without_partial(func), "__module__", None))
    seen: dict[Any, Any] = {}
    waiting: list[tuple[Any, frozenset[str]]] = [(func, frozenset())]
    is_first = True
    while waiting:
        value, names = waiting.pop()
        # Of an object, all is looked at when it is first met; of a module only what is named.
        key = (id(value), names) if isinstance(value, ModuleType) else id(value)
        if key in seen or isinstance(value, _DATA):
            continue
        seen[key] = value
        if len(seen) > _MOST_VALUES:
            return "more code than can be looked through"
        if _is_tie(value):
            return _label(value)
        if is_first or _is_of_application(value, home):
            waiting.extend(_below(value, names))
        elif isinstance(value, ModuleType):
            waiting.extend((vars(value)[name], names) for name in names & vars(value).keys())
        elif not _is_plain(value):
            return _label(type(value))
        is_first = False
    return None


def _top(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def _home(value: Any) -> str:
    """The top-level package that a value comes from; for an object, that of its class."""
    if isinstance(value, ModuleType):
        return _top(value.__name__)
    named = value if isinstance(value, (type, FunctionType, MethodType, BuiltinFunctionType)) else type(value)
    return _top(getattr(named, "__module__", None))


def _is_tie(value: Any) -> bool:
    return any(value is each for each in _WAITING) or _home(value) in _THREAD_MODULES


def _is_plain(value: Any) -> bool:
    """Whether a value of a library may be used anywhere: a function or class that was measured, or a plain object."""
    callables = (type, FunctionType, MethodType, BuiltinFunctionType)
    return isinstance(value, callables) or _home(value) in _PLAIN_MODULES


def _is_of_application(value: Any, home: str) -> bool:
    if isinstance(value, (partial, classmethod, staticmethod, property, cached_property, tuple, list, dict)):
        return True
    if isinstance(value, MethodType):
        return _is_of_application(value.__func__, home)
    package = _home(value)
    if package == home:
        return True
    if package in _FRAMEWORKS or package in sys.stdlib_module_names:
        return _wrapped(value) is not None
    module = sys.modules.get(package)
    file = value.__code__.co_filename if isinstance(value, FunctionType) else getattr(module, "__file__", None)
    return file is not None and not str(file).startswith(_LIBRARIES)


def _below(value: Any, names: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Give the values that a value of the application refers to, each with the names that are asked of it."""
    if isinstance(value, FunctionType):
        yield from _below_function(value)
    elif isinstance(value, MethodType):
        yield from ((value.__func__, names), (value.__self__, frozenset(_names_of(value.__func__.__code__))))
    elif isinstance(value, partial):
        yield from ((each, names) for each in (value.func, *value.args, *value.keywords.values()))
    elif isinstance(value, (classmethod, staticmethod)):
        yield value.__func__, names
    elif isinstance(value, cached_property):
        yield value.func, names
    elif isinstance(value, property):
        yield from ((each, names) for each in (value.fget, value.fset) if each is not None)
    elif isinstance(value, ModuleType):
        yield from ((vars(value)[name], names) for name in names & vars(value).keys())
    elif isinstance(value, (tuple, list)):
        yield from ((each, names) for each in value[:_MOST_ITEMS])
    elif isinstance(value, dict):
        yield from ((each, names) for each in islice(value.copy().values(), _MOST_ITEMS))
    elif isinstance(value, type):
        yield from _below_class(value, names)
    else:
        yield type(value), names
        yield _wrapped(value), names
        with suppress(AttributeError):
            yield from ((each, names) for each in list(object.__getattribute__(value, "__dict__").values()))


def _wrapped(value: Any) -> Any:
    """What a decorator was put around, or None; looked up in a way that runs no code of the application."""
    return inspect.getattr_static(value, "__wrapped__", None)


def _below_function(func: FunctionType) -> Iterator[tuple[Any, frozenset[str]]]:
    names = frozenset(_names_of(func.__code__))
    yield from ((func.__globals__[name], names) for name in names & func.__globals__.keys())
    imported = _THREAD_MODULES & {_top(name) for name in names}  # inside of the function, as far as one can tell
    yield from ((sys.modules[name], names) for name in imported & sys.modules.keys())
    yield _wrapped(func), names
    yield from ((each, names) for each in (*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values()))
    for cell in func.__closure__ or ():
        with suppress(ValueError):  # not assigned so far
            yield cell.cell_contents, names


def _below_class(cls: type, names: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Its base classes and all its functions: which of them are called depends on more than names."""
    yield from ((base, names) for base in cls.__bases__)
    yield from ((each, names) for each in vars(cls).values() if hasattr(each, "__get__"))


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of(constant)


def _label(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
