"""Objects of the packages `fastapi` and `starlette` themselves, where these are installed beside TurboAPI.

An application of TurboAPI may use libraries that import `fastapi`: their dependencies declare `fastapi.Query()`, ask
for `starlette.requests.Request`, raise `fastapi.HTTPException`. What is declared is translated into our own objects
once, while the application is defined. Neither package is ever imported here: a class is known by the names it was
defined under. Under the alias (`turboapi.compat`) there is nothing to translate.
"""

import sys
import types
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from turboapi import exceptions, params, responses, sse
from turboapi.background import BackgroundTasks, StarletteBackgroundTasks
from turboapi.datastructures import (
    FormData,
    Headers,
    ImmutableMultiDict,
    QueryParams,
    StarletteUploadFile,
    UploadFile,
    _Unset,
)
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import Response
from turboapi.security.base import SecurityBase
from turboapi.security.oauth2 import SecurityScopes
from turboapi.websockets import WebSocket, WebSocketState

__all__ = [
    "derives_from",
    "is_foreign",
    "own_annotation",
    "own_class",
    "own_classes",
    "own_depends",
    "own_marker",
    "receiver",
    "register",
    "their_response",
]

_PREFIXES = ("fastapi.", "starlette.")
_PARAMS = ("Param", "Path", "Query", "Header", "Cookie", "Body", "Form", "File")

# Full name there -> our class, for everything that counts by its class.
_TWINS: dict[str, type[Any]] = {
    "starlette.requests.HTTPConnection": HTTPConnection,
    "starlette.requests.Request": Request,
    "starlette.websockets.WebSocket": WebSocket,
    "starlette.background.BackgroundTasks": StarletteBackgroundTasks,
    "starlette.datastructures.UploadFile": StarletteUploadFile,
    "fastapi.background.BackgroundTasks": BackgroundTasks,
    "fastapi.datastructures.UploadFile": UploadFile,
    "fastapi.security.base.SecurityBase": SecurityBase,
    "fastapi.security.oauth2.SecurityScopes": SecurityScopes,
    "fastapi.params.Depends": params.Depends,
    "fastapi.params.Security": params.Security,
    **{f"fastapi.params.{name}": getattr(params, name) for name in _PARAMS},
    "starlette.exceptions.HTTPException": exceptions.StarletteHTTPException,
    "starlette.exceptions.WebSocketException": exceptions.StarletteWebSocketException,
    **{
        f"fastapi.exceptions.{name}": getattr(exceptions, name)
        for name in (
            *("HTTPException", "WebSocketException", "ValidationException", "RequestValidationError"),
            *("WebSocketRequestValidationError", "ResponseValidationError"),
        )
    },
    **{
        f"starlette.responses.{name}": getattr(responses, name)
        for name in (
            *("Response", "HTMLResponse", "PlainTextResponse", "JSONResponse", "RedirectResponse"),
            *("StreamingResponse", "FileResponse"),
        )
    },
    "fastapi.sse.EventSourceResponse": sse.EventSourceResponse,
    "fastapi.sse.ServerSentEvent": sse.ServerSentEvent,
}

# The abstract classes of theirs that accept our objects, by module.
_ACCEPTING: dict[str, dict[str, type[Any]]] = {
    "starlette.requests": {"HTTPConnection": HTTPConnection, "Request": Request},
    "starlette.websockets": {"WebSocket": WebSocket},
    "starlette.datastructures": {
        "Headers": Headers,
        "QueryParams": QueryParams,
        "ImmutableMultiDict": ImmutableMultiDict,
        "FormData": FormData,
    },
}


def is_foreign(value: Any) -> bool:
    """Say whether a class or function is defined in one of the packages."""
    return str(getattr(value, "__module__", "")).startswith(_PREFIXES)


def own_classes(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield our classes for what a class of theirs is or derives from, the closest one first."""
    for base in cls.__mro__:
        if is_foreign(base) and (twin := _TWINS.get(f"{base.__module__}.{base.__qualname__}")) is not None:
            yield twin


def own_class(cls: Any) -> Any:
    """Return our class in place of exactly theirs; anything else, a subclass of theirs too, is returned unchanged."""
    if isinstance(cls, type) and is_foreign(cls):
        return _TWINS.get(f"{cls.__module__}.{cls.__qualname__}", cls)
    return cls


def derives_from(cls: Any, own: type[Any]) -> bool:
    """Say whether `cls` is a subclass of ours or of theirs of the same name."""
    return isinstance(cls, type) and (issubclass(cls, own) or any(issubclass(twin, own) for twin in own_classes(cls)))


def _loaded_class(module: str, name: str) -> Any:
    """Return a class of theirs if somebody has imported its module, else None; never one of ours under the alias."""
    found = getattr(sys.modules.get(module), name, None)
    return found if is_foreign(found) else None


# --- declarations -----------------------------------------------------------------------------------------------------


def own_annotation(annotation: Any) -> Any:
    """Return an annotation with our classes and markers in place of theirs; the same one if there are none in it."""
    if "starlette" not in sys.modules:
        return annotation
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return next(own_classes(annotation), annotation)
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    before = get_args(annotation)
    if origin is Annotated:
        after = (own_annotation(before[0]), *map(own_marker, before[1:]))
    else:
        after = tuple(map(own_annotation, before))
    if all(one is other for one, other in zip(before, after, strict=True)):
        return annotation
    if origin is Union:
        return Union[after]  # noqa: UP007
    if origin is types.UnionType:
        return reduce(or_, after)
    return Annotated[after] if origin is Annotated else _with_arguments(annotation, origin, after)


def _with_arguments(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if hasattr(annotation, "copy_with"):
        return annotation.copy_with(arguments)
    return types.GenericAlias(origin, arguments)


def own_marker(marker: Any) -> Any:
    """Return our marker that says the same as theirs (`Query()`, `Depends()`, …); all else is returned unchanged."""
    twin = next(own_classes(type(marker)), None)
    if twin is None:
        return marker
    if issubclass(twin, params.Depends):
        return own_depends(marker)
    return _own_field(marker, twin) if isinstance(marker, FieldInfo) else marker


def own_depends(depends: Any) -> params.Depends:
    """Return our declaration of the same dependency; ours is returned unchanged."""
    if isinstance(depends, params.Depends):
        return depends
    twin = next(own_classes(type(depends)), params.Depends)
    names = [name for name in twin.__dataclass_fields__ if hasattr(depends, name)]
    made: params.Depends = twin(**{name: getattr(depends, name) for name in names})
    return made


def _own_field(field: FieldInfo, twin: type[Any]) -> Any:
    made = object.__new__(twin)
    slots = [name for base in FieldInfo.__mro__ for name in getattr(base, "__slots__", ()) if hasattr(field, name)]
    for name, value in {**{name: getattr(field, name) for name in slots}, **vars(field)}.items():
        object.__setattr__(made, name, _own_attribute(value))
    return made


def _own_attribute(value: Any) -> Any:
    if not is_foreign(type(value)):
        return value.copy() if isinstance(value, (dict, list)) else value
    if type(value).__name__ == "ParamTypes":
        return params.ParamTypes(value.value)
    return _Unset if type(value).__name__ == "DefaultPlaceholder" else value


# --- requests ---------------------------------------------------------------------------------------------------------


def receiver(annotation: Any) -> Callable[[Any], Any] | None:
    """Return what makes the object that a parameter with their annotation gets of ours; None where ours will do."""
    if not isinstance(annotation, type) or not any(map(is_foreign, annotation.__mro__)):
        return None
    twin = next(own_classes(annotation), None)
    if twin is SecurityScopes:
        return annotation
    return _their_connection if twin is not None and issubclass(twin, HTTPConnection) else None


def _their_connection(connection: Any) -> Any:
    """Return their Request or WebSocket for ours, always the same one."""
    theirs = getattr(connection, "_theirs", None)
    if theirs is None:
        theirs = connection._theirs = _make_connection(connection)
    return theirs


def _make_connection(connection: Any) -> Any:
    if not isinstance(connection, WebSocket):
        request_class = _loaded_class("starlette.requests", "Request")
        return _shared_request(request_class)(connection)
    websocket_class = _loaded_class("starlette.websockets", "WebSocket")
    if websocket_class is None:  # they have asked for a connection of any kind
        return connection
    theirs = websocket_class(connection.scope, connection._receive, connection._send)
    state = sys.modules["starlette.websockets"].WebSocketState
    for name in ("client_state", "application_state"):
        own: WebSocketState = getattr(connection, name)
        setattr(theirs, name, state[own.name])
    return theirs


@lru_cache(maxsize=1)
def _shared_request(request_class: type[Any]) -> Callable[[Request], Any]:
    class SharedRequest(request_class):  # type: ignore[misc]
        """Their Request, which reads its body through ours, so that neither leaves the other without."""

        def __init__(self, own: Request) -> None:
            super().__init__(own.scope, own.receive, own._send)
            self._own = own
            self._form = own._form

        def stream(self) -> AsyncGenerator[bytes, None]:
            return self._own.stream()

        async def body(self) -> bytes:
            return await self._own.body()

        async def is_disconnected(self) -> bool:
            return await self._own.is_disconnected()

    SharedRequest.__name__ = SharedRequest.__qualname__ = "Request"
    return SharedRequest


def register() -> None:
    """Let their abstract classes accept our objects in `isinstance`, as far as their modules have been imported."""
    for module, classes in _ACCEPTING.items():
        for name, own in classes.items():
            if (theirs := _loaded_class(module, name)) is not None and not issubclass(own, theirs):
                theirs.register(own)


def their_response() -> type[Response] | None:
    """Return their Response class if it has been imported."""
    found: type[Response] | None = _loaded_class("starlette.responses", "Response")
    return found
