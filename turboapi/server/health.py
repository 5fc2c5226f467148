"""The health path: what orchestrators and load balancers ask to know whether to send requests here."""

from turboapi.types import Receive, Scope, Send

_METHODS = ("GET", "HEAD")


class Health:
    """An ASGI application that answers 200 while the server is ready, and 503 as soon as it is `draining`."""

    def __init__(self) -> None:
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = (503, b'{"status":"draining"}') if self.draining else (200, b'{"status":"ready"}')
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if scope["method"] not in _METHODS:
            status, body = 405, b'{"detail":"Method Not Allowed"}'
            headers.append((b"allow", b", ".join(name.encode() for name in _METHODS)))
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
