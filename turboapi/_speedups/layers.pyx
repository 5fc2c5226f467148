# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Middleware on our own server: what stands around the routes, without ASGI messages between the layers.

A layer is one middleware. A *hook* layer looks at the request and leaves, if it wants, a `ResponseHook` that edits the
response. A *dispatch* layer is a function of its own around everything inside: it starts that with `Inside.start`, which
answers an `InnerExchange`, and the response comes back in there.

What the layers inside of the outermost exchange raise, beyond what exception handlers expect, passes all of them.
"""

import asyncio

from turboapi._speedups.asgi cimport AsgiExchange
from turboapi._speedups.endpoint cimport Endpoint, Hooks, Site
from turboapi._speedups.endpoint import reply
from turboapi._speedups.exchange cimport HttpExchange
from turboapi._speedups.request cimport Exchange, ResponseHook
from turboapi._speedups.tasks cimport Runner
from turboapi._speedups.writer cimport allows_body, json_headers


cdef enum:
    LAYER_HOOK = 0              # (exchange) -> None, a ResponseHook, a Response, or AS_ASGI
    LAYER_HOOK_ASYNC = 1        # the same, to be awaited
    LAYER_DISPATCH = 2          # (exchange, Inside) -> awaitable, answers the exchange


class _AsAsgi:
    def __repr__(self):
        return "AS_ASGI"


AS_ASGI = _AsAsgi()
cdef object _AS_ASGI = AS_ASGI


cdef class Layer:
    """One middleware."""

    def __init__(self, int kind, call, app):
        self.kind = kind
        self.call = call
        self.app = app


cdef class Layers:
    """The middleware of a site, outermost first."""

    def __init__(self, list layers, *, Hooks hooks, on_expected, on_unexpected, scope_keys):
        self.layers = layers
        self.hooks = hooks
        self.on_expected = on_expected
        self.on_unexpected = on_unexpected
        self.scope_keys = scope_keys

    def run(self, Site site, Exchange exchange):
        """The coroutine that answers a resolved exchange."""
        return _run_outermost(self, site, exchange)

    def add_to_scope(self, dict scope):
        """Add what a scope has outside of the routes."""
        scope.update(self.scope_keys)

    cdef object run_from(self, Site site, Exchange exchange, Py_ssize_t position):
        """The coroutine that goes through the layers from `position` on, and then to the routes."""
        return _run_layers(self, site, exchange, position)

    cdef object inner_app(self, Py_ssize_t position):
        """What is inside of the layers before `position`, as an ASGI application."""
        return (<Layer> self.layers[position - 1]).app.app


async def _run_outermost(Layers layers, Site site, Exchange exchange):
    cdef object failure = None
    try:
        try:
            await _run_layers(layers, site, exchange, 0)
        except Exception as exc:
            failure = exc
        except (SystemExit, asyncio.CancelledError) as exc:
            if not exchange.survives(exc):
                raise
            failure = exc
        if failure is not None:
            exchange.end_hooks(failure)
            await (layers.on_unexpected(exchange, failure) if isinstance(failure, Exception) else exchange.fail(failure))
    finally:
        exchange.finished()


async def _run_layers(Layers layers, Site site, Exchange exchange, Py_ssize_t position):
    cdef Layer layer
    cdef Py_ssize_t count = len(layers.layers)
    while True:
        if exchange.state is not None and position > 0 and _is_changed(exchange):
            await layers.inner_app(position)(exchange.scope(), exchange.receive, exchange.send)
            return
        if position == count:
            break
        layer = layers.layers[position]
        position += 1
        if layer.kind == LAYER_DISPATCH:
            await layer.call(exchange, _inside(layers, site, exchange, position))
            return
        found = layer.call(exchange)
        if layer.kind == LAYER_HOOK_ASYNC:
            found = await found
        if found is None:
            continue
        if isinstance(found, ResponseHook):
            exchange.add_hook(found)
        elif found is _AS_ASGI:
            await layer.app(exchange.scope(), exchange.receive, exchange.send)
            return
        else:
            await reply(layers.hooks, exchange, found)
            return
    exchange.inside = True
    if exchange.state is not None and site.add_to_scope is not None:
        site.add_to_scope(exchange.state, exchange)
    await site.run_target(exchange)


cdef bint _is_changed(Exchange exchange):
    """Whether middleware has made another request of this one by editing its scope."""
    cdef dict scope = exchange.state
    cdef object path = scope["path"]
    return (
        (path != exchange.path and path != scope["root_path"] + exchange.path)
        or scope["method"] != exchange.method
        or scope["query_string"] != exchange.query_string
        or (scope["headers"] is not exchange.headers and scope["headers"] != exchange.headers)  # `Headers` copies them
    )


cdef class InnerExchange(AsgiExchange):
    """The request once more, for what is inside of a dispatch layer. It keeps the response instead of sending it."""

    cdef object respond_json(self, int status, bytes body, list extra):
        if status == 205 or not allows_body(status):
            body = b""
        return self.respond(status, json_headers(status, body, extra), body)

    cdef object respond(self, int status, list headers, object body):
        if self.hooks is not None:
            body = self.run_hooks(status, headers, body)
            if type(body) is not bytes:
                return self._keep_later(status, headers, body)
        self.keep(status, headers, body)
        return None

    async def _keep_later(self, int status, list headers, pending):
        self.keep(status, headers, await pending)

    def keep(self, int status, list headers, body):
        """Keep a complete response."""
        self.started = True
        self.status = status
        self.response_headers = headers
        self.whole = body if type(body) is bytes else bytes(body)
        self.end_hooks(None)
        self.progress()

    async def send(self, message):
        """ASGI `send`, through the hooks of the layers on this side."""
        if message["type"] == "http.response.start":
            self.started = True
        if self.hooks is None:
            await self.server_send(message)
            return
        if self.hooked_send is None:
            self.hooked_send = self.through_hooks(self.server_send)
        await self.hooked_send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.end_hooks(None)

    cdef object settle(self):
        return self.sent()

    cdef object fail(self, object exc):
        return self._fail(exc)

    async def _fail(self, exc):
        """Answer what exception handlers expect; anything else is for the layers outside."""
        try:
            await (<Layers> self.site.layers).on_expected(self, exc)
        except Exception as error:
            self.error = error
            raise

    cdef int finished(self) except -1:
        self.end_hooks(self.error)
        return AsgiExchange.finished(self)


cdef class Inside:
    """What is inside of a dispatch layer, for one request."""

    @property
    def changes_bodies(self):
        """Whether a layer outside changes bodies: then it matters in which parts they come."""
        return self.exchange.changes_bodies()

    def start(self, body, receive, send, progress, sent):
        """Start it, in a task of its own: the exchange in which the response will be, and the task if it has to wait."""
        cdef Exchange outer = self.exchange
        cdef InnerExchange exchange = InnerExchange.__new__(InnerExchange)
        exchange.site = self.site
        exchange.state = outer.scope()
        exchange.server_receive = receive
        exchange.server_send = send
        exchange.method = outer.method
        exchange.path = outer.path
        exchange.raw_path = outer.raw_path
        exchange.query_string = outer.query_string
        exchange.headers = outer.headers
        exchange.path_params = outer.path_params
        exchange.target = outer.target
        exchange.payload = outer.payload
        exchange.body = body
        exchange.runner = self.runner
        exchange.progress = progress
        exchange.sent = sent
        return exchange, self.runner.run_inside(_run_inner(self, exchange))

    @property
    def needs_body(self):
        """Whether the whole body is at hand because the route needs it."""
        return type(self.exchange.target) is Endpoint and (<Endpoint> self.exchange.target).needs_body

    @property
    def body(self):
        """The whole body, once it has arrived."""
        return self.exchange.body

    @property
    def receive(self):
        """ASGI `receive` of the outer exchange."""
        return self.exchange.receive

    def answer(self, int status, list headers, bytes body):
        """Answer the outer exchange by a complete response: None, or an awaitable."""
        return self.exchange.respond(status, headers, body)

    def settle(self):
        """None, or an awaitable for the moment at which the answer has been sent through the layers outside."""
        return self.exchange.settle()

    def is_native(self, response):
        """Whether `reply` may answer by the response without calling it."""
        return self.layers.hooks.is_native(type(response))

    def reply(self, response):
        """Answer the outer exchange by a Response."""
        return reply(self.layers.hooks, self.exchange, response)


cdef Inside _inside(Layers layers, Site site, Exchange exchange, Py_ssize_t position):
    cdef Inside inside = Inside.__new__(Inside)
    inside.layers = layers
    inside.site = site
    inside.exchange = exchange
    inside.position = position
    if type(exchange) is InnerExchange:
        inside.runner = (<InnerExchange> exchange).runner
    else:
        inside.runner = (<HttpExchange> exchange).connection.runner
    return inside


async def _run_inner(Inside inside, InnerExchange exchange):
    """Run what is inside, and keep what it raises for the dispatch layer."""
    try:
        await inside.layers.run_from(inside.site, exchange, inside.position)
    except (Exception, SystemExit) as exc:
        exchange.error = exc
    finally:  # nothing is awaited here
        exchange.ended = True
        exchange.finished()
        exchange.progress()
