"""The application: what is declared on it, and the two ways in which it answers.

`TurboAPI` is an ASGI application, for any server. `freeze()` gives the same routes to the built-in server, which
answers them without ASGI messages, middleware included, unless some of that is ASGI only.
"""

import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, ParamSpec, Unpack, cast

from turboapi import params, server
from turboapi._api_routes import documented
from turboapi._application import Starlette
from turboapi._body_limit import AppBodyLimitMiddleware
from turboapi._exception_handler import lookup_exception_handler
from turboapi._frontend import Fallback, resolve_check_dir
from turboapi._included import INCLUDE_DEFAULTS
from turboapi._plan.endpoint import HOOKS
from turboapi._plan.forms import FormLimits
from turboapi._plan.handlers import is_instrumented
from turboapi._speedups import Endpoint, Layer, Layers, Site, answer_500, log_and_answer_500, reply
from turboapi._utils import is_async_callable
from turboapi.concurrency import run_in_threadpool
from turboapi.datastructures import Default, DefaultPlaceholder, State
from turboapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
from turboapi.exceptions import (
    ClientDisconnect,
    FastAPIDeprecationWarning,
    RequestValidationError,
    StarletteHTTPException,
    WebSocketRequestValidationError,
)
from turboapi.middleware import Middleware
from turboapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from turboapi.middleware.base import BaseHTTPMiddleware
from turboapi.middleware.errors import ServerErrorMiddleware
from turboapi.middleware.exceptions import ExceptionMiddleware
from turboapi.middleware.hooks import NativeMiddleware
from turboapi.openapi.pages import RoutesWatch, add_documentation
from turboapi.openapi.utils import get_openapi
from turboapi.requests import Request
from turboapi.responses import JSONResponse, Response
from turboapi.routing import APIRouter, BaseRoute, IncludeOptions, RouteOptions, Verbs
from turboapi.telemetry import TelemetryConfig
from turboapi.telemetry._api import AVAILABLE, SCOPE_KEY, _exception, complete_config
from turboapi.telemetry._runtime import lifespan as telemetry_lifespan
from turboapi.types import (
    ASGIApp,
    DecoratedCallable,
    ExceptionHandler,
    Lifespan,
    Receive,
    Scope,
    Send,
    SyncMode,
    check_sync_mode,
)
from turboapi.utils import generate_unique_id

if AVAILABLE:
    from turboapi.telemetry._asgi import NativeTelemetry, has_otel_middleware

__all__ = ["TurboAPI"]

P = ParamSpec("P")
_ROOT_PATH_DEPRECATED = (
    "The `root_path` parameter is deprecated. Configure the server's root path instead, for example with "
    "`fastapi run --root-path /api/v1`."
)

_CALL = Starlette.__call__  # instrumentations replace it

logger = logging.getLogger("turboapi.error")


class _ObservedErrorMiddleware(ServerErrorMiddleware):
    """Tells telemetry of exceptions that nobody has handled, before the request ends with the answer to them."""

    async def make_response(self, request: Request, exc: Exception) -> Response:
        _exception(scope=request.scope, exc=exc)
        return await super().make_response(request, exc)


class TurboAPI(Verbs, Starlette):
    """A web application: path operations, declared by decorators as in FastAPI.

    Args:
        debug: show tracebacks to clients.
        routes: routes to start with.
        title, summary, description, version, terms_of_service, contact, license_info, openapi_tags, servers: describe
            the API.
        dependencies, default_response_class, responses, callbacks, deprecated, include_in_schema, tags of routers,
            generate_unique_id_function, strict_content_type, max_body_size, form_limits: apply to every path operation.
        sync_mode: where plain functions among handlers and dependencies run: in worker threads until they prove short,
            then on the event loop (`"auto"`), always in a `"thread"`, or always `"inline"`.
        auto_head: let path operations for GET answer HEAD, too (RFC 9110, section 9.1); `False` answers 405 as FastAPI.
        cancel_on_disconnect: cancel a request that is not answered yet when its client leaves, on the built-in server.
        redirect_slashes: answer 307 when only a slash at the end of the path is wrong.
        middleware, exception_handlers: as added by `add_middleware` and `exception_handler`.
        lifespan: an async context manager around the time in which the application serves; what it yields becomes
            `request.state`. on_startup, on_shutdown: functions in its place.
        root_path: the prefix that a proxy takes off the path. Deprecated: configure the server.
        telemetry: what to report to OpenTelemetry, and where to; see `TelemetryConfig`.
    """

    router: APIRouter

    _error_middleware = _ObservedErrorMiddleware
    _auto_head = True  # unless the application says

    def __init__(
        self,
        *,
        telemetry: TelemetryConfig | None = None,
        debug: bool = False,
        routes: list[BaseRoute] | None = None,
        title: str = "FastAPI",
        summary: str | None = None,
        description: str = "",
        version: str = "0.1.0",
        openapi_url: str | None = "/openapi.json",
        openapi_tags: list[dict[str, Any]] | None = None,
        servers: list[dict[str, str | Any]] | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        default_response_class: type[Response] | DefaultPlaceholder = Default(JSONResponse),  # noqa: B008
        redirect_slashes: bool = True,
        docs_url: str | None = "/docs",
        redoc_url: str | None = "/redoc",
        swagger_ui_oauth2_redirect_url: str | None = "/docs/oauth2-redirect",
        swagger_ui_init_oauth: dict[str, Any] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        lifespan: Lifespan[Any] | None = None,
        terms_of_service: str | None = None,
        contact: dict[str, str | Any] | None = None,
        license_info: dict[str, str | Any] | None = None,
        root_path: str = "",
        root_path_in_servers: bool = True,
        responses: dict[int | str, dict[str, Any]] | None = None,
        callbacks: list[BaseRoute] | None = None,
        webhooks: APIRouter | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        swagger_ui_parameters: dict[str, Any] | None = None,
        generate_unique_id_function: Callable[[Any], str] | DefaultPlaceholder = Default(  # noqa: B008
            generate_unique_id
        ),
        separate_input_output_schemas: bool = True,
        openapi_external_docs: dict[str, Any] | None = None,
        strict_content_type: bool = True,
        max_body_size: int | None = None,
        form_limits: FormLimits | None = None,
        sync_mode: SyncMode = "auto",
        auto_head: bool | None = None,
        cancel_on_disconnect: bool = False,
    ) -> None:
        check_sync_mode(sync_mode)
        self.cancel_on_disconnect = cancel_on_disconnect
        self.debug = debug
        self._telemetry = complete_config(telemetry)
        self._native_telemetry = NativeTelemetry(self._telemetry) if AVAILABLE else None
        self.max_body_size = max_body_size
        self.title = title
        self.summary = summary
        self.description = description
        self.version = version
        self.terms_of_service = terms_of_service
        self.contact = contact
        self.license_info = license_info
        self.openapi_url = openapi_url
        self.openapi_tags = openapi_tags
        self.root_path_in_servers = root_path_in_servers
        self.docs_url = docs_url
        self.redoc_url = redoc_url
        self.swagger_ui_oauth2_redirect_url = swagger_ui_oauth2_redirect_url
        self.swagger_ui_init_oauth = swagger_ui_init_oauth
        self.swagger_ui_parameters = swagger_ui_parameters
        self.servers = servers or []
        self.separate_input_output_schemas = separate_input_output_schemas
        self.openapi_external_docs = openapi_external_docs
        self.openapi_version = "3.1.0"
        self.openapi_schema: dict[str, Any] | None = None
        if openapi_url:
            assert title, "A title must be provided for OpenAPI, e.g.: 'My API'"
            assert version, "A version must be provided for OpenAPI, e.g.: '2.1.0'"
        self.webhooks = webhooks or APIRouter()
        if root_path:
            warnings.warn(_ROOT_PATH_DEPRECATED, category=FastAPIDeprecationWarning, stacklevel=2)
        self.root_path = root_path
        self.state = State()
        self.dependency_overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.router = APIRouter(
            routes=routes,
            redirect_slashes=redirect_slashes,
            dependency_overrides_provider=self,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            lifespan=lifespan,
            default_response_class=default_response_class,
            dependencies=dependencies,
            callbacks=callbacks,
            deprecated=deprecated,
            include_in_schema=include_in_schema,
            responses=responses,
            generate_unique_id_function=generate_unique_id_function,
            strict_content_type=strict_content_type,
            max_body_size=max_body_size,
            form_limits=form_limits,
            sync_mode=sync_mode,
            auto_head=self._auto_head if auto_head is None else auto_head,
        )
        self.exception_handlers: dict[Any, ExceptionHandler] = {
            StarletteHTTPException: cast(ExceptionHandler, http_exception_handler),
            RequestValidationError: cast(ExceptionHandler, request_validation_exception_handler),
            WebSocketRequestValidationError: cast(ExceptionHandler, websocket_request_validation_exception_handler),
            **(exception_handlers or {}),
        }
        self.user_middleware = list(middleware or [])
        self.middleware_stack: ASGIApp | None = None
        self._routes_watch = RoutesWatch()
        self.setup()

    # --- declaring --------------------------------------------------------------------------------------------------

    @documented(RouteOptions)
    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Unpack[RouteOptions]) -> None:
        """Declare `endpoint` as the handler of `path`."""
        self.router.add_api_route(path, endpoint, **options)

    @documented(IncludeOptions, INCLUDE_DEFAULTS)
    def include_router(self, router: APIRouter, **options: Unpack[IncludeOptions]) -> None:
        """Serve the routes of `router`, present and future ones."""
        self.router.include_router(router, **options)

    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[params.Depends] | None = None,
    ) -> None:
        """Declare `endpoint`, which takes a WebSocket, as the handler of `path`."""
        self.router.add_api_websocket_route(path, endpoint, name=name, dependencies=dependencies)

    def websocket_route(self, path: str, name: str | None = None) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Declare a plain WebSocket route: `handler(websocket)`, without parameters or validation."""
        return self.router.websocket_route(path, name=name)

    def frontend(
        self,
        path: str,
        *,
        directory: str | os.PathLike[str],
        fallback: Fallback = "auto",
        check_dir: bool | Literal["auto"] = "auto",
    ) -> None:
        """Serve the files of a built frontend below `path`, where no route answers; see `APIRouter.frontend`."""
        check_dir = resolve_check_dir(directory, check_dir)
        self.router.frontend(path, directory=directory, fallback=fallback, check_dir=check_dir)

    def add_event_handler(self, event_type: str, func: Callable[[], Any]) -> None:
        """Run `func` at "startup" or "shutdown"."""
        self.router.add_event_handler(event_type, func)

    def on_event(self, event_type: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Run the decorated function at "startup" or "shutdown". Deprecated: use `lifespan`."""
        return self.router.on_event(event_type)

    def middleware(self, middleware_type: str) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Add the decorated `async def f(request, call_next) -> Response` as middleware of type "http"."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_middleware(BaseHTTPMiddleware, dispatch=func)
            return func

        return decorate

    def exception_handler(
        self, exc_class_or_status_code: int | type[Exception]
    ) -> Callable[[DecoratedCallable], DecoratedCallable]:
        """Answer exceptions of a class, or with a status code, by the decorated `f(request, exc) -> Response`."""

        def decorate(func: DecoratedCallable) -> DecoratedCallable:
            self.add_exception_handler(exc_class_or_status_code, cast(ExceptionHandler, func))
            return func

        return decorate

    # --- the OpenAPI document ------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Add the routes of the OpenAPI document and of its pages."""
        add_documentation(self)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; it is kept in `openapi_schema` until the routes change."""
        if self._routes_watch.changed(self.routes):
            self.openapi_schema = None
        if not self.openapi_schema:
            self.openapi_schema = get_openapi(
                title=self.title,
                version=self.version,
                openapi_version=self.openapi_version,
                summary=self.summary,
                description=self.description,
                terms_of_service=self.terms_of_service,
                contact=self.contact,
                license_info=self.license_info,
                routes=self.routes,
                webhooks=self.webhooks.routes,
                tags=self.openapi_tags,
                servers=self.servers,
                external_docs=self.openapi_external_docs,
                separate_input_output_schemas=self.separate_input_output_schemas,
            )
        return self.openapi_schema

    # --- serving by any ASGI server ---------------------------------------------------------------------------------

    def _limiting_middleware(self) -> list[Middleware]:
        return [Middleware(cast(Any, AppBodyLimitMiddleware), max_body_size=self.max_body_size)]

    def _innermost_middleware(self) -> list[Middleware]:
        return [Middleware(cast(Any, AsyncExitStackMiddleware))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entrance."""
        if self.root_path:
            scope["root_path"] = self.root_path
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        app = self.middleware_stack if Starlette.__call__ is _CALL else super().__call__
        if scope["type"] == "lifespan":
            await telemetry_lifespan(config=self._telemetry, app=app, scope=scope, receive=receive, send=send)
            return
        native = self._native_telemetry
        if native is None or SCOPE_KEY in scope or not native.enabled():
            await app(scope, receive, send)
        else:
            is_reported = has_otel_middleware(self.middleware_stack)
            await native(app=app, scope=scope, receive=receive, send=send, legacy_otel=is_reported)

    # --- serving by the built-in server -----------------------------------------------------------------------------

    def freeze(self) -> Site:
        """Return what the built-in server serves: the compiled routes behind those middleware that it can run itself.

        From the first one that is ASGI only, everything is left to ASGI.
        """
        site = self._freeze()
        site.cancels = self.cancel_on_disconnect
        return site

    def _freeze(self) -> Site:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        if not self._has_usual_entrance() or is_instrumented() or self._is_observed():
            return Site(asgi=self)
        layers, rest = _split_stack(self.middleware_stack)
        if not isinstance(rest, ExceptionMiddleware):
            return self._asgi_site(layers, rest)
        return self._native_site(layers)

    def _has_usual_entrance(self) -> bool:
        """Whether nobody has changed how the application is called and its middleware put together."""
        names = ("__call__", "build_middleware_stack")
        return (
            type(self.middleware_stack) in (ServerErrorMiddleware, _ObservedErrorMiddleware)
            and all(getattr(type(self), name) is getattr(TurboAPI, name) and name not in vars(self) for name in names)
            and Starlette.__call__ is _CALL
            and TurboAPI.__call__ is _OWN_CALL
        )

    def _native_site(self, layers: list[Layer]) -> Site:
        answer_error = _ErrorAnswers(self, *self.split_exception_handlers())
        return self.router.site(
            on_error=answer_error,
            add_to_scope=answer_error.add_to_scope,
            root_path=self.root_path,
            layers=answer_error.layers(layers),
            refresh=self.freeze,
            outdated=self._outdated,
        )

    def _asgi_site(self, layers: list[Layer], rest: ASGIApp) -> Site:
        """Return the site whose middleware, from `rest` on, is ASGI only."""
        answer_error = _ErrorAnswers(self, *self.split_exception_handlers())
        return Site(
            asgi=rest,
            on_error=answer_error.unexpected_only,
            add_to_scope=answer_error.add_keys_to_scope,
            layers=answer_error.layers(layers),
            refresh=self.freeze,
            outdated=self._outdated,
            changed=lambda: False,
        )

    @property
    def _outdated(self) -> Callable[[], bool] | None:
        """What tells that the site would be another one now; None: nothing could make it one."""
        return None if self._native_telemetry is None else self._is_observed

    def _is_observed(self) -> bool:
        """Say whether telemetry wants to look: somebody has given a provider, or set one globally by now."""
        return self._native_telemetry is not None and self._native_telemetry.has_effect()

    def run(self, **options: Any) -> None:
        """Serve the application with the built-in server until it is stopped; options are as on the command line."""
        server.run(self, **options)


_KEPT_HANDLERS = 256
_OWN_CALL = TurboAPI.__call__  # instrumentations replace this one, too


def _split_stack(stack: ASGIApp) -> tuple[list[Layer], ASGIApp]:
    """Return the middleware that the built-in server runs itself, outermost first, and what is inside of them."""
    limit = cast(Any, stack).app
    layers = [limit.layer()] if isinstance(limit, AppBodyLimitMiddleware) else []
    inside = limit.inside if layers else limit
    while isinstance(inside, NativeMiddleware) and (layer := inside.layer()) is not None:
        layers.append(layer)
        inside = inside.app
    return [layer for layer in layers if layer is not None], inside


class _ErrorAnswers:
    """What `ServerErrorMiddleware` and `ExceptionMiddleware` do, for exchanges of the built-in server."""

    def __init__(
        self, app: TurboAPI, expected: dict[Any, ExceptionHandler], unexpected: ExceptionHandler | None
    ) -> None:
        self.app = app
        self.status_handlers = {key: handler for key, handler in expected.items() if isinstance(key, int)}
        self.class_handlers = ExceptionMiddleware(app, expected)._exception_handlers
        self.unexpected = ServerErrorMiddleware(app, unexpected, app.debug)
        self.found_keys: dict[Any, dict[str, Any]] = {}
        self.found_handlers: dict[Any, Callable[[Request, Exception], Awaitable[Any]] | None] = {}
        self.scope_keys = {"app": app, **({"root_path": app.root_path} if app.root_path else {})}

    def layers(self, layers: list[Layer]) -> Layers | None:
        """Return the layers of a site, None without any."""
        if not layers:
            return None
        return Layers(
            layers,
            hooks=HOOKS,
            on_expected=self.expected_only,
            on_unexpected=self.unexpected_only,
            scope_keys=self.scope_keys,
        )

    def add_keys_to_scope(self, scope: Any, exchange: Any) -> None:
        """Add what the outermost application adds to the scope."""
        scope.update(self.scope_keys)

    def add_to_scope(self, scope: Any, exchange: Any) -> None:
        """Add what the middleware stack and the routing add to the scope."""
        found = self.found_keys.get(exchange.target)
        if found is None or "router" in scope:
            self._find_keys(scope, exchange)
        else:
            scope.update(found)
            scope["path_params"] = {} if exchange.path_params is None else dict(exchange.path_params)

    def _find_keys(self, scope: Any, exchange: Any) -> None:
        before = set(scope)
        scope.update(self.scope_keys)
        scope["starlette.exception_handlers"] = (self.class_handlers, self.status_handlers)
        self.app.router._add_to_scope(scope, exchange)
        found = {key: value for key, value in scope.items() if key not in before or key in self.scope_keys}
        # PERF: nearly always they are those of the route. Not where one of them can be changed by a request.
        if isinstance(exchange.target, Endpoint) and "router" in found and "fastapi" not in scope:
            self.found_keys[exchange.target] = {key: found[key] for key in found if key != "path_params"}

    async def __call__(self, exchange: Any, exc: Exception) -> None:
        """Answer an exchange whose pipeline raised `exc`."""
        left = await self._answer_expected(exchange, exc)
        if left is not None:
            await self.unexpected_only(exchange, left)

    async def expected_only(self, exchange: Any, exc: Exception) -> None:
        """Let the exception handlers answer; raises what they do not."""
        left = await self._answer_expected(exchange, exc)
        if left is not None:
            try:
                raise left
            finally:
                del exc, left  # its traceback has this frame, which must not have it: that would be a cycle

    async def _answer_expected(self, exchange: Any, exc: Exception) -> Exception | None:
        """Let the exception handlers answer, and return what they do not."""
        # What a handler raises is for the handlers once more: they stand around the endpoint and around the router.
        for _ in range(2 if isinstance(exchange.target, Endpoint) else 1):
            call = self._find_handler(exc)
            if call is None:
                return exc
            try:
                await self._answer_by(call, exchange, exc)
                return None
            except Exception as error:
                exc = error
        return exc

    async def _answer_by(
        self, call: Callable[[Request, Exception], Awaitable[Any]], exchange: Any, exc: Exception
    ) -> None:
        if exchange.started:
            raise RuntimeError("Caught handled exception, but response already started.") from exc
        response = await call(exchange.get_request(Request), exc)
        if response is not None:
            await reply(HOOKS, exchange, response)
        exc.__traceback__ = None  # an exception that is raised again and again would collect tracebacks

    def _find_handler(self, exc: Exception) -> Callable[[Request, Exception], Awaitable[Any]] | None:
        """Return what calls the handler for an exception; None without one."""
        status = getattr(exc, "status_code", None)
        key = (type(exc), status if isinstance(status, int) else None)
        if key not in self.found_handlers:
            if len(self.found_handlers) >= _KEPT_HANDLERS:  # somebody makes exception classes as he goes
                self.found_handlers.clear()
            handler = lookup_exception_handler(self.class_handlers, self.status_handlers, exc)
            self.found_handlers[key] = None if handler is None else _awaitable(handler)
        return self.found_handlers[key]

    async def unexpected_only(self, exchange: Any, exc: Exception) -> None:
        """Answer for the server: outside of all middleware."""
        exchange.end_hooks(exc)
        if exchange.closed and isinstance(exc, (ClientDisconnect, OSError)):
            return  # the client has gone, and that is all that has happened
        if exchange.refused and isinstance(exc, StarletteHTTPException):
            await log_and_answer_500(exchange, exc)  # middleware has read a body that is too large, say
            return
        # The handler is called in any case: it may be what reports errors, of background tasks for example.
        try:
            response = await self.unexpected.make_response(exchange.get_request(Request), exc)
            if not exchange.started:
                await reply(HOOKS, exchange, response)
        except Exception as error:
            exc = error
            await answer_500(exchange)
        logger.error("Exception in %s %s", exchange.method, exchange.path, exc_info=exc)


def _awaitable(handler: Any) -> Callable[[Request, Exception], Awaitable[Any]]:
    """Return the handler itself, or what calls it in a worker thread."""
    call = handler if is_async_callable(handler) else partial(run_in_threadpool, handler)
    return cast("Callable[[Request, Exception], Awaitable[Any]]", call)
