"""One application, two frameworks: the names an application is written with, taken from FastAPI or from TurboAPI.

A program is either a function of a `Framework` (`def build(api): app = api.App(); ...; return app`), or Python text whose
globals are `Framework.namespace`, which is what the strategies draw: a failing example then reads like an application.
"""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from tests.compat import values

# module -> names that both packages have there
_HOMES = {
    "routing": ("APIRouter", "APIRoute"),
    "param_functions": (
        "Body",
        "Cookie",
        "Depends",
        "File",
        "Form",
        "Header",
        "Path",
        "Query",
        "Security",
    ),
    "exceptions": ("HTTPException", "RequestValidationError", "ResponseValidationError"),
    "requests": ("Request",),
    "background": ("BackgroundTasks",),
    "concurrency": ("run_in_threadpool",),
    "exception_handlers": ("http_exception_handler", "request_validation_exception_handler"),
    "datastructures": ("UploadFile",),
    "responses": (
        "FileResponse",
        "HTMLResponse",
        "JSONResponse",
        "PlainTextResponse",
        "RedirectResponse",
        "Response",
        "StreamingResponse",
    ),
    "security": (
        "APIKeyCookie",
        "APIKeyHeader",
        "APIKeyQuery",
        "HTTPBasic",
        "HTTPBearer",
        "HTTPDigest",
        "OAuth2AuthorizationCodeBearer",
        "OAuth2PasswordBearer",
        "OAuth2PasswordRequestForm",
        "OAuth2PasswordRequestFormStrict",
        "OpenIdConnect",
        "SecurityScopes",
    ),
    "encoders": ("jsonable_encoder",),
    "sse": ("EventSourceResponse", "ServerSentEvent"),
    "staticfiles": ("StaticFiles",),
}
# the same for what FastAPI leaves to Starlette
_STARLETTE_HOMES = {
    "background": ("BackgroundTask",),
    "authentication": ("AuthCredentials", "AuthenticationBackend", "AuthenticationError", "SimpleUser"),
    "middleware": ("Middleware",),
    "middleware.authentication": ("AuthenticationMiddleware",),
    "middleware.base": ("BaseHTTPMiddleware",),
    "middleware.body_limit": ("RequestBodyLimitMiddleware",),
    "middleware.cors": ("CORSMiddleware",),
    "middleware.gzip": ("GZipMiddleware",),
    "middleware.httpsredirect": ("HTTPSRedirectMiddleware",),
    "middleware.sessions": ("SessionMiddleware",),
    "middleware.trustedhost": ("TrustedHostMiddleware",),
    "routing": ("Host", "Mount", "Route", "Router"),
}


class Framework:
    """The public names of one of the two packages, as attributes; `App` is the application class."""

    def __init__(
        self, package: str, applications: str, app_class: str, starlette_exceptions: str, starlette_http_exception: str
    ) -> None:
        self.name = package
        self.deprecation = importlib.import_module(f"{package}.exceptions").FastAPIDeprecationWarning
        self.namespace: dict[str, Any] = {
            "App": getattr(importlib.import_module(f"{package}.{applications}"), app_class)
        }
        for base, homes in ((package, _HOMES), (starlette_exceptions.partition(".")[0], _STARLETTE_HOMES)):
            for module, names in homes.items():
                home = importlib.import_module(f"{base}.{module}")
                self.namespace |= {name: getattr(home, name) for name in names}
        self.namespace["StarletteHTTPException"] = getattr(
            importlib.import_module(starlette_exceptions), starlette_http_exception
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self.namespace[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return self.name

    def run(self, source: str, log: list[Any], **names: Any) -> Any:
        """Run a program's text and return its `app`. It may use `log`, `names` and everything of `tests.compat.values`."""
        program = {**vars(values), **self.namespace, **names, "log": log, "__name__": values.__name__}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.deprecation)  # what is deprecated still has to work
            exec(compile(source, "<program>", "exec", dont_inherit=True), program)
        return program["app"]


FASTAPI = Framework("fastapi", "applications", "FastAPI", "starlette.exceptions", "HTTPException")
# Its application class is that of the alias, which leaves out what TurboAPI does better on purpose (`auto_head`).
TURBOAPI = Framework(
    "turboapi", "compat.fastapi.applications", "FastAPI", "turboapi.exceptions", "StarletteHTTPException"
)

Build = Callable[[Framework, list[Any]], Any]
