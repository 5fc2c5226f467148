# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""One request/response under any other server: the same pipeline between ASGI's scope, receive and send."""

from turboapi._speedups.endpoint cimport Endpoint, Site
from turboapi._speedups.request cimport Exchange
from turboapi._speedups.writer cimport allows_body, json_headers


cdef class AsgiExchange(Exchange):
    """An exchange that is an ASGI call."""

    def __init__(self, Site site, dict scope, receive, send):
        self.site = site
        self.state = scope
        self.server_receive = receive
        self.server_send = send
        self.method = scope["method"]
        self.path = _route_path(scope["path"], scope.get("root_path", ""))
        self.query_string = scope.get("query_string", b"")
        headers = scope["headers"]
        self.headers = headers if type(headers) is list and all(type(pair) is tuple for pair in headers) else [
            (bytes(name), bytes(value)) for name, value in headers
        ]

    cpdef dict scope(self):
        return self.state

    async def receive(self):
        """ASGI `receive`; a body that the pipeline has read already is handed over again, once."""
        if self.body is not None and not self.delivered:
            self.delivered = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        return await self.server_receive()

    async def send(self, message):
        """ASGI `send`, which notices that the response starts."""
        if message["type"] == "http.response.start":
            self.started = True
        await self.server_send(message)

    cdef object read_body(self):
        return self.collect_body(self.server_receive)

    cdef object respond(self, int status, list headers, object body):
        return self.send_whole(status, headers, body)

    cdef object respond_json(self, int status, bytes body, list extra):
        if status == 205 or not allows_body(status):  # RFC 9110, section 15.3.6
            body = b""
        return self.send_whole(status, json_headers(status, body, extra), body)

    async def send_whole(self, status, headers, body):
        self.started = True
        await self.server_send({"type": "http.response.start", "status": status, "headers": headers})
        await self.server_send({"type": "http.response.body", "body": body})

    cdef object fail(self, object exc):
        return self.site.on_asgi_error(self, exc)


cdef str _route_path(str path, str root_path):
    """The path below the prefix under which the application is mounted or served."""
    if not root_path or not path.startswith(root_path):
        return path
    if len(path) == len(root_path):
        return ""
    return path[len(root_path):] if path[len(root_path)] == "/" else path


async def answer(Site site, dict scope, receive, send):
    """ASGI entrance of a site's routes: finds the endpoint, adds what it found to the scope, runs it."""
    cdef AsgiExchange exchange
    site = site.current()
    exchange = AsgiExchange(site, scope, receive, send)
    site.resolve(exchange)
    await site.run(exchange)
