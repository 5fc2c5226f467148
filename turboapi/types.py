"""The vocabulary of ASGI, and a few types shared by the definition layer. Nothing here exists at request time."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import BaseModel
from pydantic.main import IncEx

if TYPE_CHECKING:
    from turboapi.requests import Request
    from turboapi.responses import Response
    from turboapi.websockets import WebSocket

__all__ = [
    "ASGIApp",
    "AppType",
    "DecoratedCallable",
    "DependencyCacheKey",
    "ExceptionHandler",
    "HTTPExceptionHandler",
    "IncEx",
    "Lifespan",
    "Message",
    "ModelNameMap",
    "Receive",
    "Scope",
    "Send",
    "StatefulLifespan",
    "StatelessLifespan",
    "SyncMode",
    "UnionType",
    "WebSocketExceptionHandler",
    "check_sync_mode",
]

AppType = TypeVar("AppType")
DecoratedCallable = TypeVar("DecoratedCallable", bound=Callable[..., Any])

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

StatelessLifespan = Callable[[AppType], AbstractAsyncContextManager[None]]
StatefulLifespan = Callable[[AppType], AbstractAsyncContextManager[Mapping[str, Any]]]
Lifespan = StatelessLifespan[AppType] | StatefulLifespan[AppType]

HTTPExceptionHandler = Callable[["Request", Exception], "Response | Awaitable[Response]"]
WebSocketExceptionHandler = Callable[["WebSocket", Exception], Awaitable[None]]
ExceptionHandler = HTTPExceptionHandler | WebSocketExceptionHandler

ModelNameMap = dict[type[BaseModel] | type[Enum], str]
DependencyCacheKey = tuple[Callable[..., Any] | None, tuple[str, ...], str]
"""(the callable, its sorted security scopes, the scope its exit code belongs to)."""

SyncMode = Literal["auto", "thread", "inline"]
"""Where plain functions run: in a worker thread until they prove short, always in one, or always on the event loop."""


def check_sync_mode(mode: Any) -> None:
    """Raise ValueError for what is no mode."""
    if mode not in (modes := get_args(SyncMode)):
        raise ValueError(f"sync_mode must be one of {', '.join(map(repr, modes))}, not {mode!r}")
