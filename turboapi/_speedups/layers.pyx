# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Middleware on our own server: what stands around the routes, without ASGI messages between the layers.

A layer is one middleware. A *hook* layer looks at the request and leaves, if it wants, a `ResponseHook` that edits the
response. A *dispatch* layer calls a function of its own with the request and `Inside.call_next`, which starts everything
inside with an `InnerExchange`: the response comes back in there.

What the layers inside of the outermost exchange raise, beyond what exception handlers expect, passes all of them.
"""

import asyncio

from turboapi._speedups.asgi cimport AsgiExchange
from turboapi._speedups.endpoint cimport Hooks, Site
from turboapi._speedups.endpoint import reply
from turboapi._speedups.exchange cimport HttpExchange
from turboapi._speedups.request cimport INNER_STACK, Exchange, ResponseHook
from turboapi._speedups.tasks cimport Runner
from turboapi._speedups.writer cimport allows_body, json_headers

from turboapi.exceptions import ClientDisconnect


class _AsAsgi:
    def __repr__(self):
        return "AS_ASGI"


AS_ASGI = _AsAsgi()
cdef object _AS_ASGI = AS_ASGI


cdef class Layer:
    """One middleware: a hook layer, unless it is a `DispatchLayer`."""

    def __init__(self, call, app, *, bint is_async=False):
        self.call = call
        self.app = app
        self.is_async = is_async


cdef class DispatchLayer(Layer):
    """A middleware that is a function of the request and `call_next`."""

    def __init__(self, call, app, *, inside_class, request_class, response_class):
        Layer.__init__(self, call, app)
        self.inside_class = inside_class
        self.request_class = request_class
        self.response_class = response_class


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


async def _run_outermost(Layers layers, Site site, Exchange exchange):
    cdef object failure = None
    try:
        try:
            await _proceed(layers, site, exchange, 0)
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


cdef object _proceed(Layers layers, Site site, Exchange exchange, Py_ssize_t position):
    """Go through the layers from `position` on: an awaitable of what is left to do, the first that may have to wait."""
    cdef Layer layer
    cdef dict scope
    while position < len(layers.layers):
        layer = layers.layers[position]
        if position > 0 and _is_changed(exchange):
            return _run_as_asgi((<Layer> layers.layers[position - 1]).app.app, exchange)
        position += 1
        if type(layer) is DispatchLayer:
            return _dispatch(_inside(layers, site, exchange, position, <DispatchLayer> layer))
        found = layer.call(exchange)
        if layer.is_async:
            return _proceed_later(layers, site, exchange, position, found)
        rest = _follow(layers, exchange, layer, found)
        if rest is not None:
            return rest
    if _is_changed(exchange):
        return _run_as_asgi((<Layer> layers.layers[position - 1]).app.app, exchange)
    exchange.go_inside()
    scope = exchange.known_scope()
    if scope is not None and site.add_to_scope is not None:
        site.add_to_scope(scope, exchange)
    return site.run_target(exchange)


async def _proceed_later(Layers layers, Site site, Exchange exchange, Py_ssize_t position, found):
    """The same behind a hook that has to wait."""
    rest = _follow(layers, exchange, layers.layers[position - 1], await found)
    await (rest if rest is not None else _proceed(layers, site, exchange, position))


cdef object _follow(Layers layers, Exchange exchange, Layer layer, object found):
    """Do what a hook has returned: None to go on inwards, or an awaitable that answers."""
    if found is None:
        return None
    if isinstance(found, ResponseHook):
        exchange.add_hook(found)
        return None
    if found is _AS_ASGI:
        return _run_as_asgi(layer.app, exchange)
    return reply(layers.hooks, exchange, found)


cdef object _run_as_asgi(object app, Exchange exchange):
    return app(exchange.scope(), exchange.receive, exchange.send)


cdef bint _is_changed(Exchange exchange) except -1:
    """Whether middleware has made another request of this one by editing its scope."""
    cdef dict scope = exchange.known_scope()
    cdef object path
    if scope is None:
        return False
    path = scope["path"]
    return (
        (path != exchange.path and path != scope["root_path"] + exchange.path)
        or scope["method"] != exchange.method
        or scope["query_string"] != exchange.query_string
        or (scope["headers"] is not exchange.headers and scope["headers"] != exchange.headers)  # `Headers` copies them
    )


# --- dispatch layers -------------------------------------------------------------------------------------------------


cdef class InnerExchange(AsgiExchange):
    """The request once more, for what is inside of a dispatch layer. It keeps the response instead of sending it."""

    cpdef dict scope(self):
        if self.state is None:
            self.state = self.outer.scope()
            if self.exits is not None:
                self.state[INNER_STACK] = self.exits.open_stack()
        return self.state

    cdef bint stands_alone(self):
        return True  # it has a task of its own

    cdef object running_loop(self):
        return self.runner.loop

    cdef dict known_scope(self):
        if self.state is None:
            self.state = self.outer.known_scope()
        return self.state

    cdef int go_inside(self) except -1:
        self.inside = True
        return self.outer.go_inside()

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

    cdef int keep(self, int status, list headers, object body) except -1:
        """Keep a complete response."""
        self.started = True
        self.status = status
        self.response_headers = headers
        self.whole = body if type(body) is bytes else bytes(body)
        self.end_hooks(None)
        if self.origin is not None:
            self.origin.progress()
        return 0

    cdef object read_body(self):
        return self.collect_body(self.receive)

    async def receive(self):
        """ASGI `receive`; a body that is known already is handed over, once."""
        if self.body is not None and not self.delivered:
            self.delivered = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        if self.origin is None:
            return {"type": "http.disconnect"}
        return await self.origin.receive_or_disconnect()

    async def send(self, message):
        """ASGI `send`, through the hooks of the layers on this side."""
        if message["type"] == "http.response.start":
            self.started = True
        if self.hooks is None:
            await self.send_unhooked(message)
            return
        if self.hooked_send is None:
            self.hooked_send = self.through_hooks(self.send_unhooked)
        await self.hooked_send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.end_hooks(None)

    async def send_unhooked(self, message):
        """ASGI `send` behind all hooks; nobody wants to know what comes after the end."""
        if self.origin is not None:
            await self.origin.send(message)

    cdef object settle(self):
        return None if self.origin is None else self.origin.wait_until_sent()

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
        self.end_hooks(ClientDisconnect() if self.error is None and self.carrier.connection.closed else self.error)
        return AsgiExchange.finished(self)


cdef class Inside:
    """What is inside of a dispatch layer, for one request."""

    async def call_next(self, request):
        """Start it, in a task of its own, and return its response as soon as that has begun."""
        cdef InnerExchange inner = self._start()
        while not inner.ended and inner.whole is None and self.head is None:
            self.waiter = self.runner.loop.create_future()
            await self.waiter
        if self.lends_body and inner.inside:
            self.request._stream_consumed = self.request._wrapped_rcv_consumed = True
        if inner.whole is not None:
            response = self.layer.response_class.__new__(self.layer.response_class)
            response.status_code = inner.status
            response.raw_headers = inner.response_headers
            response.whole = inner.whole
            return response
        if self.head is not None:
            return self.stream_response()
        if inner.error is None:
            raise RuntimeError("No response returned.")
        raise inner.error

    cdef InnerExchange _start(self):
        cdef Exchange outer = self.exchange
        cdef InnerExchange inner = InnerExchange.__new__(InnerExchange)
        inner.site = self.site
        inner.outer = outer
        inner.carrier = (<InnerExchange> outer).carrier if type(outer) is InnerExchange else <HttpExchange> outer
        inner.origin = self
        inner.method = outer.method
        inner.path = outer.path
        inner.raw_path = outer.raw_path
        inner.query_string = outer.query_string
        inner.headers = outer.headers
        inner.path_params = outer.path_params
        inner.target = outer.target
        inner.payload = outer.payload
        inner.runner = self.runner
        inner.body = self._take_body()
        self.inner = inner
        self.task = self.runner.run_inside(_run_inner(self, inner))
        return inner

    cdef object _take_body(self):
        """The body for what is inside; None where it is to be received."""
        request = self.request
        body = getattr(request, "_body", None)
        if body is None and not request._stream_consumed:
            self.lends_body = (
                self.exchange.body is not None
                and self.site.needs_body(self.exchange)
                and request._receive == self.exchange.receive
            )
            return self.exchange.body if self.lends_body else None
        request._wrapped_rcv_consumed = True
        return b"" if body is None else body

    cpdef progress(self):
        """The response has begun, or everything inside has ended."""
        if self.head is not None and self.inner is not None and self.inner.ended:
            self.close_stream()  # there is no more of it
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def settle(self):
        """None, or an awaitable for the moment at which the answer has been sent through the layers outside."""
        return self.exchange.settle()

    def forward(self, message):
        """An awaitable that sends a message as part of the outer response."""
        return self.exchange.send(message)


cdef Inside _inside(Layers layers, Site site, Exchange exchange, Py_ssize_t position, DispatchLayer layer):
    cdef Inside inside = layer.inside_class.__new__(layer.inside_class)
    cdef object request = layer.request_class.__new__(layer.request_class)
    inside.layer = layer
    inside.layers = layers
    inside.site = site
    inside.exchange = exchange
    inside.position = position
    if type(exchange) is InnerExchange:
        inside.runner = (<InnerExchange> exchange).runner
    else:
        inside.runner = (<HttpExchange> exchange).connection.runner
    request._exchange = exchange
    request._receive = exchange.receive
    request._send = exchange.send
    inside.request = request
    return inside


async def _dispatch(Inside inside):
    """Call a dispatch function, and answer by the response that it returns."""
    cdef Exchange exchange = inside.exchange
    cdef object failure = None
    cdef object pending
    try:
        response = await inside.layer.call(inside.request, inside.call_next)
        if type(response) is inside.layer.response_class and _is_untouched(response) and not exchange.changes_bodies():
            pending = exchange.respond(response.status_code, response.raw_headers, response.whole)
            if pending is not None:
                await pending
        elif inside.layers.hooks.is_native(type(response)):
            await reply(inside.layers.hooks, exchange, response)
        else:
            await response(exchange.scope(), inside.request.wrapped_receive, exchange.send)
    except BaseException as exc:
        failure = exc
    if failure is not None:
        if inside.task is not None or inside.head is not None:
            await inside.cancel()
    elif inside.task is not None or (inside.inner is not None and inside.inner.error is not None):
        await inside.finish()
    if inside.inner is not None:
        inside.inner.origin = inside.inner.error = None  # which would be cycles
    if failure is not None:
        raise failure


cdef bint _is_untouched(object response) except -1:
    """Whether the body is still what it was, and nothing is to be done after it."""
    return response._iterator is None and response.background is None


async def _run_inner(Inside inside, InnerExchange exchange):
    """Run what is inside, and keep what it raises for the dispatch layer."""
    try:
        await _proceed(inside.layers, inside.site, exchange, inside.position)
    except (Exception, SystemExit) as exc:
        exchange.error = exc
    finally:  # nothing is awaited here
        exchange.ended = True
        exchange.finished()
        inside.progress()
