"""From an application's name to the application, with one clear line for everything that can be wrong."""

import difflib
import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.discovery import Location, dotted, locate

PREFERRED_NAMES = ("app", "api")


class ImportAppError(ServerError):
    """The application cannot be loaded. `__cause__` is set when the user's own code failed, and worth showing then."""


def load_app(app: Any, config: ServerConfig) -> Any:
    """The ASGI application that `app` is or, as a text or None, names; with `config.factory` what it returns.

    A name is `module:attribute` or the path of a file or package; None stands for what `discovery.locate` finds.
    Raises ConfigError for a malformed name, ImportAppError for all else.
    """
    where = "what is to be served"
    if app is None or isinstance(app, str):
        location = locate(app, config)
        where, app = repr(str(location)), import_from(location)
    if config.factory:
        app = _call_factory(where, app)
    _check_callable(where, app)
    return app


def import_app(target: str, app_dir: str = ".") -> Any:
    """The object that `target`, `"module:attribute"` or `"package.module:object.attribute"` or a path, names.

    `app_dir` is put first on `sys.path`, or for a path the folder that its module is imported from. Raises ConfigError
    when `target` is malformed, ImportAppError when there is no such module or attribute or the module fails while it
    is imported.
    """
    return import_from(locate(target, ServerConfig(app_dir=app_dir)))


def import_from(location: Location) -> Any:
    """The object that is there. Raises ImportAppError."""
    if sys.path[:1] != [location.directory]:
        sys.path.insert(0, location.directory)
    module = _import_module(location.module, location.directory)
    if location.attribute is None:
        return getattr(module, _name_of_application(module))
    found: Any = module
    for name in location.attribute.split("."):
        found = _attribute(found, name, location.module)
    return found


def _name_of_application(module: ModuleType) -> str:
    """The name of the TurboAPI application in a module: a usual one, or the first in alphabetical order."""
    names = dir(module)
    for name in (*(usual for usual in PREFERRED_NAMES if usual in names), *names):
        if _is_turboapi(getattr(module, name, None)):
            return name
    raise ImportAppError(
        f"{module.__name__!r} has no TurboAPI application; if it has another object to serve, use --app NAME"
    )


def _is_turboapi(value: Any) -> bool:
    return not isinstance(value, type) and callable(getattr(type(value), "freeze", None)) and callable(value)


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
        return f"no module named {name!r}; write it without the file ending and with dots: {dotted(name)}:app"
    inside = "" if missing == name else f" (there is no {missing!r})"
    return f"no module named {name!r}{inside} in {directory} or elsewhere on the import path"


def _failed(name: str, exc: Exception) -> ImportAppError:
    return ImportAppError(f"{name!r} failed while it was imported: {summary(exc)}")


def summary(exc: BaseException) -> str:
    """`exc` in one line, with what its notes begin with: `ValueError: no such thing; in parameter 'q' of app.read`."""
    lines = str(exc).strip().splitlines()
    text = f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__
    notes = [note.strip().splitlines()[0] for note in getattr(exc, "__notes__", ()) if note.strip()]
    return "; ".join([text, *notes])


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
        raise ImportAppError(f"{where} failed to make an application: {summary(exc)}") from exc


def _check_callable(where: str, app: Any) -> None:
    if not callable(app):
        raise ImportAppError(f"{where} is not an application, but {_kind(app)}")
    if _accepts(app, 0) and not _accepts(app, 3):
        raise ImportAppError(
            f"{where} takes no arguments; if it is a function that returns an application, use --factory"
        )
    if not _accepts(app, 3):
        raise ImportAppError(
            f"{where} is not an ASGI application: it does not take scope, receive and send{_hint(app)}"
        )


def _hint(app: Any) -> str:
    """What to do with an application of another kind, as far as its signature tells."""
    if _accepts(app, 1):
        return ". If it is an ASGI 2 application, wrap it with asgiref.compatibility.double_to_single_callable"
    if _accepts(app, 2):
        return ". If it is a WSGI application, wrap it with turboapi.middleware.wsgi.WSGIMiddleware"
    return ""


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
