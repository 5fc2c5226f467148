"""From the text `module:attribute` to an application, with one clear line for everything that can be wrong."""

import difflib
import importlib
import inspect
import os
import sys
from types import ModuleType, TracebackType
from typing import Any

from turboapi.server.config import ConfigError, ServerConfig, ServerError


class ImportAppError(ServerError):
    """The application cannot be loaded. `__cause__` is set when the user's own code failed, and worth showing then."""


def load_app(app: Any, config: ServerConfig) -> Any:
    """The ASGI application that `app` is or, as `"module:attribute"`, names; with `config.factory` what it returns.

    Raises ConfigError for a malformed text, ImportAppError for all else.
    """
    where = "what is to be served"
    if isinstance(app, str):
        where, app = repr(app), import_app(app, app_dir=config.app_dir)
    if config.factory:
        app = _call_factory(where, app)
    _check_callable(where, app)
    return app


def import_app(target: str, app_dir: str = ".") -> Any:
    """The object that `target`, `"module:attribute"` or `"package.module:object.attribute"`, names.

    `app_dir` is put first on `sys.path`. Raises ConfigError when `target` has not that form, ImportAppError when
    there is no such module or attribute or the module fails while it is imported.
    """
    module_name, _, path = target.partition(":")
    if not all(part.isidentifier() for part in path.split(".")) or not module_name or module_name.startswith("."):
        example = f"{_dotted(module_name) or 'main'}:app"
        raise ConfigError(f"{target!r} does not name an application; write module:attribute, for example {example}")
    directory = os.path.abspath(app_dir)
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    found: Any = _import_module(module_name, directory)
    for name in path.split("."):
        found = _attribute(found, name, module_name)
    return found


def _import_module(name: str, directory: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and _is_part(exc.name, name):
            raise ImportAppError(_not_found(name, exc.name, directory)) from None
        raise _failed(name, exc) from exc
    except Exception as exc:
        raise _failed(name, exc) from exc


def _is_part(missing: str, name: str) -> bool:
    """Whether `missing` is `name` or one of its parent packages, not something that `name` imports."""
    return f"{name}.".startswith(f"{missing}.")


def _not_found(name: str, missing: str, directory: str) -> str:
    if name.endswith(".py"):
        return f"no module named {name!r}; write it without the file ending and with dots: {_dotted(name)}:app"
    inside = "" if missing == name else f" (there is no {missing!r})"
    return f"no module named {name!r}{inside} in {directory} or elsewhere on the import path"


def _dotted(path: str) -> str:
    return path.removesuffix(".py").strip("./").replace(os.sep, ".")


def _failed(name: str, exc: Exception) -> ImportAppError:
    exc.__traceback__ = _user_frames(exc.__traceback__)
    return ImportAppError(f"{name!r} failed while it was imported: {summary(exc)}")


def _user_frames(traceback: TracebackType | None) -> TracebackType | None:
    """`traceback` from the first frame that is neither this file's nor the import machinery's."""
    step = traceback
    while step is not None and _is_machinery(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return step


def _is_machinery(filename: str) -> bool:
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")


def summary(exc: BaseException) -> str:
    """`exc` in one line, `ValueError: no such thing`."""
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__


def _attribute(owner: Any, name: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        close = difflib.get_close_matches(name, dir(owner), n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ImportAppError(f"{module_name!r} has no attribute {name!r}{hint}") from None


def _call_factory(where: str, factory: Any) -> Any:
    if not callable(factory):
        raise ImportAppError(f"{where} is not a function that returns an application, but {_kind(factory)}")
    try:
        return factory()
    except Exception as exc:
        exc.__traceback__ = _user_frames(exc.__traceback__)
        raise ImportAppError(f"{where} failed to make an application: {summary(exc)}") from exc


def _check_callable(where: str, app: Any) -> None:
    if not callable(app):
        raise ImportAppError(f"{where} is not an application, but {_kind(app)}")
    if _accepts(app, 0) and not _accepts(app, 3):
        raise ImportAppError(
            f"{where} takes no arguments; if it is a function that returns an application, use --factory"
        )
    if not _accepts(app, 3):
        raise ImportAppError(f"{where} is not an ASGI application: it does not take scope, receive and send")


def _accepts(app: Any, count: int) -> bool:
    """Whether `app` can be called with `count` arguments, as far as its signature tells."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # built-in or compiled, without a signature
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
