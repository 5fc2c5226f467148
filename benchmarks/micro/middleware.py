"""µs per request that each middleware adds on the built-in server: bytes into the protocol, bytes to a transport.

`python -m benchmarks.micro.middleware [requests]`
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.micro.protocol import HOST, time_of
from turboapi import Request, Response, TurboAPI
from turboapi._speedups import Hub, Settings
from turboapi.authentication import AuthenticationBackend
from turboapi.middleware import (
    AuthenticationMiddleware,
    BaseHTTPMiddleware,
    CORSMiddleware,
    CustomMiddleware,
    GZipMiddleware,
    LoggingMiddleware,
    RateLimitMiddleware,
    RequestBodyLimitMiddleware,
    SessionMiddleware,
)
from turboapi.middleware import TrustedHostMiddleware as TrustedHost

REQUEST = b"GET /hello HTTP/1.1\r\nOrigin: https://example.org\r\nAccept-Encoding: gzip\r\n" + HOST + b"\r\n"


async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-seen"] = "1"
    return response


async def before(request: Request) -> None:
    request.state.seen = True


class Nobody(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> None:
        return None


STACKS: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "none": [],
    "CORS": [(CORSMiddleware, {"allow_origins": ["*"]})],
    "GZip (small body)": [(GZipMiddleware, {})],
    "TrustedHost": [(TrustedHost, {"allowed_hosts": ["localhost"]})],
    "Session (no cookie)": [(SessionMiddleware, {"secret_key": "secret"})],
    "RequestBodyLimit": [(RequestBodyLimitMiddleware, {"max_body_size": 1000})],
    "Authentication": [(AuthenticationMiddleware, {"backend": Nobody()})],
    "RateLimit (memory)": [(RateLimitMiddleware, {"limits": "1000000000/hour"})],
    "Logging (to nowhere)": [(LoggingMiddleware, {})],
    "Logging (1 %)": [(LoggingMiddleware, {"sample": 0.01})],
    "Custom (before)": [(CustomMiddleware, {"before": before})],
    "@app.middleware": [(BaseHTTPMiddleware, {"dispatch": dispatch})],
    "CORS, GZip, @app.middleware": [
        (CORSMiddleware, {"allow_origins": ["*"]}),
        (GZipMiddleware, {}),
        (BaseHTTPMiddleware, {"dispatch": dispatch}),
    ],
}


def make_app(stack: list[tuple[Any, dict[str, Any]]]) -> TurboAPI:
    app = TurboAPI()
    for middleware, options in stack:
        app.add_middleware(middleware, **options)

    @app.get("/hello")
    async def hello() -> Any:
        return {"message": "Hello, World!"}

    return app


def main() -> None:
    requests = logging.getLogger("turboapi.requests")
    requests.setLevel(logging.INFO)
    requests.addHandler(logging.NullHandler())
    requests.propagate = False
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)

    def run() -> None:
        base = 0.0
        for name, stack in STACKS.items():
            spent = time_of(REQUEST, Hub(loop, make_app(stack).freeze(), Settings(), {}), count)
            base = base or spent
            print(f"{name:28} {spent:6.2f} µs  +{spent - base:.2f}")
        loop.stop()

    loop.call_soon(run)
    loop.run_forever()
    loop.close()


if __name__ == "__main__":
    main()
