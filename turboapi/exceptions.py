"""Every exception and warning of the public API, in one leaf module.

The number is the HTTP status (or WebSocket close code) a client sees when nobody handles the exception first::

    Exception
    ├── StarletteHTTPException            its own `status_code`
    │   └── HTTPException                 its own `status_code`; `detail` may be any JSON value
    ├── StarletteWebSocketException       close with its own `code`
    │   └── WebSocketException
    ├── ValidationException
    │   ├── RequestValidationError            422
    │   ├── WebSocketRequestValidationError   close 1008
    │   └── ResponseValidationError           500
    ├── MultiPartException                400 when it happens inside an application
    ├── ClientDisconnect                  none: there is nobody left to answer
    ├── WebSocketDisconnect               likewise
    └── RuntimeError
        └── FastAPIError                  raised while an application is being defined
            ├── DependencyScopeError
            └── PydanticV1NotSupportedError
    UserWarning
    ├── FastAPIDeprecationWarning
    └── StarletteDeprecationWarning

The two `Starlette…` exceptions are what the framework itself raises (404, 405, bad forms), so a handler registered for
them sees those and the application's own `HTTPException`; one registered for `HTTPException` sees only the latter.
Both carry the plain name in `__name__`, because that is what `repr()`, logs and telemetry show.
"""

from collections.abc import Mapping, Sequence
from http.client import responses as _reason_phrases
from typing import Any, TypedDict

from pydantic import BaseModel, create_model

__all__ = [
    "ClientDisconnect",
    "DependencyScopeError",
    "EndpointContext",
    "FastAPIDeprecationWarning",
    "FastAPIError",
    "HTTPException",
    "MultiPartException",
    "PydanticV1NotSupportedError",
    "RequestErrorModel",
    "RequestValidationError",
    "ResponseValidationError",
    "StarletteDeprecationWarning",
    "StarletteHTTPException",
    "StarletteWebSocketException",
    "ValidationException",
    "WebSocketDisconnect",
    "WebSocketErrorModel",
    "WebSocketException",
    "WebSocketRequestValidationError",
]


class StarletteHTTPException(Exception):
    """An error answer: status code, detail and optional headers. The detail defaults to the status' reason phrase."""

    def __init__(self, status_code: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status_code
        self.detail = _reason_phrases.get(status_code, "") if detail is None else detail
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code!r}, detail={self.detail!r})"


StarletteHTTPException.__name__ = "HTTPException"


class StarletteWebSocketException(Exception):
    """Close the WebSocket with `code` (RFC 6455 section 7.4) and `reason` (empty by default)."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        self.code = code
        self.reason = reason or ""

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, reason={self.reason!r})"


StarletteWebSocketException.__name__ = "WebSocketException"


class HTTPException(StarletteHTTPException):
    """Raise it in a handler or dependency to answer with an error.

    Args:
        status_code: the HTTP status to send.
        detail: any JSON-serialisable value, sent under the key `detail`; the reason phrase when omitted.
        headers: extra headers for the answer.
    """

    def __init__(self, status_code: int, detail: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status_code=status_code, detail=detail, headers=headers)


class WebSocketException(StarletteWebSocketException):
    """Raise it in a WebSocket handler or dependency to close the connection with `code` and `reason`."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        super().__init__(code=code, reason=reason)


class EndpointContext(TypedDict, total=False):
    """Where the endpoint that failed validation is defined; shown in the text of the exception."""

    function: str
    path: str
    file: str
    line: int


class ValidationException(Exception):
    """Data did not match its declaration. `errors()` returns the list of error dictionaries."""

    def __init__(self, errors: Sequence[Any], *, endpoint_ctx: EndpointContext | None = None) -> None:
        self._errors = errors
        self.endpoint_ctx = endpoint_ctx
        context: EndpointContext = endpoint_ctx or {}
        self.endpoint_function = context.get("function")
        self.endpoint_path = context.get("path")
        self.endpoint_file = context.get("file")
        self.endpoint_line = context.get("line")

    def errors(self) -> Sequence[Any]:
        """The errors, each a dictionary with `type`, `loc`, `msg`, `input` and perhaps `ctx`."""
        return self._errors

    def _format_endpoint_context(self) -> str:
        path = self.endpoint_path
        if self.endpoint_file and self.endpoint_line and self.endpoint_function:
            place = f'\n  File "{self.endpoint_file}", line {self.endpoint_line}, in {self.endpoint_function}'
            return f"{place}\n    {path}" if path else place
        return f"\n  Endpoint: {path}" if path else ""

    def __str__(self) -> str:
        count = len(self._errors)
        lines = [f"{count} validation error{'' if count == 1 else 's'}:\n", *(f"  {error}\n" for error in self._errors)]
        return ("".join(lines) + self._format_endpoint_context()).rstrip()


class RequestValidationError(ValidationException):
    """The client's request is invalid; `body` is what was received."""

    def __init__(self, errors: Sequence[Any], *, body: Any = None, endpoint_ctx: EndpointContext | None = None) -> None:
        super().__init__(errors, endpoint_ctx=endpoint_ctx)
        self.body = body


class WebSocketRequestValidationError(ValidationException):
    """The request that opened a WebSocket is invalid."""


class ResponseValidationError(ValidationException):
    """The handler's result does not match its response model; `body` is that result."""

    def __init__(self, errors: Sequence[Any], *, body: Any = None, endpoint_ctx: EndpointContext | None = None) -> None:
        super().__init__(errors, endpoint_ctx=endpoint_ctx)
        self.body = body


class MultiPartException(Exception):
    """A form body is malformed or exceeds a limit; `message` says which."""

    def __init__(self, message: str) -> None:
        self.message = message


class ClientDisconnect(Exception):
    """The client went away before its whole request body was read."""


class WebSocketDisconnect(Exception):
    """The other side closed the connection, with `code` (RFC 6455 section 7.4) and `reason`."""

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        self.code = code
        self.reason = reason or ""


class FastAPIError(RuntimeError):
    """An application is declared in a way that cannot work."""


class DependencyScopeError(FastAPIError):
    """A dependency needs another one whose scope ends before its own."""


class PydanticV1NotSupportedError(FastAPIError):
    """A `pydantic.v1` model was used."""


class FastAPIDeprecationWarning(UserWarning):
    """A feature will go away. A `UserWarning`, since Python hides a `DeprecationWarning` by default."""


class StarletteDeprecationWarning(UserWarning):
    """A feature of the ASGI toolkit layer will go away. A `UserWarning`, so that it is visible by default."""


RequestErrorModel: type[BaseModel] = create_model("Request")
WebSocketErrorModel: type[BaseModel] = create_model("WebSocket")
