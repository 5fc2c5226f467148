# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""One request and its response, whatever carried them.

`Exchange` holds what the pipeline reads (method, path, query, headers, path values, body) and declares the few verbs by
which it answers. The two entrances subclass it: `http.HttpExchange` (our server) and `asgi.AsgiExchange` (any other).

A verb that may have to wait returns None when it is done, or an awaitable.
"""

import logging
from asyncio import _get_running_loop as get_running_loop

from turboapi._speedups.headers cimport check_headers, find_header, find_headers
from turboapi._speedups.query cimport parse_cookies, parse_query

from turboapi.exceptions import ClientDisconnect


logger = logging.getLogger("turboapi.error")

cdef str INNER_STACK = "fastapi_inner_astack"  # the scope key of the exit stack that runs at the very end of a request


cdef class ResponseHook:
    def head(self, int status, list headers):
        pass

    def end(self, error):
        pass

    def sender(self, send):
        async def hooked_send(message):
            if message["type"] == "http.response.start":
                headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
                self.head(message["status"], headers)
                message = {**message, "headers": headers}
            await send(message)

        return hooked_send


cdef class HeaderHook(ResponseHook):
    def __init__(self, list pairs, *, tuple unless=(), otherwise=None):
        check_headers(pairs)
        self.pairs = pairs
        self.unless = unless
        self.otherwise = otherwise

    cdef bint is_enough(self, list headers) except -1:
        """Whether the pairs just have to be added to these."""
        cdef tuple pair
        for pair in headers:
            if (<bytes> pair[0]).startswith(self.unless):
                return False
        return True

    def head(self, int status, list headers):
        if not self.unless or self.is_enough(headers):
            headers += self.pairs
        else:
            self.otherwise(headers)


cdef class ScopeHook(ResponseHook):
    def open(self, scope):
        raise NotImplementedError


cdef object _plain_sender = ResponseHook.sender


cdef class BodyHook(ResponseHook):
    def whole(self, int status, list headers, bytes body):
        raise NotImplementedError

    def sender(self, send):
        raise NotImplementedError


cdef class Exchange:
    """One request/response pair."""

    cdef list query_pairs(self):
        if self.pairs is None:
            self.pairs = parse_query(self.query_string) if self.query_string else []
        return self.pairs

    cdef dict cookies(self):
        if self.jar is None:
            self.jar = parse_cookies(find_headers(self.headers, b"cookie"))
        return self.jar

    cdef int add_errors(self, list found) except -1:
        if self.errors is None:
            self.errors = []
        self.errors.extend(found)
        return 0

    cpdef object get_request(self, object cls):
        """The framework's Request for this exchange, made once.

        PERF: nobody calls it. It has `_exchange` in place of its scope, and takes it from there when somebody looks at it.
        """
        if self.request is None:
            request = cls.__new__(cls)
            request._exchange = self
            request._receive = self.receive
            request._send = self.send
            self.request = request
        return self.request

    cpdef dict scope(self):
        """The ASGI scope of this request; the same dict each time."""
        raise NotImplementedError

    cdef dict known_scope(self):
        """The scope, if somebody has asked for it."""
        return self.state

    cdef bint stands_alone(self):
        """Whether nobody can have put a cancel scope around the pipeline."""
        return False

    cdef object running_loop(self):
        """The event loop in which the pipeline runs; None where that is not one of asyncio's."""
        return get_running_loop()

    cdef int use_exits(self, Exits exits) except -1:
        """Let the scope show their stack."""
        cdef dict scope = self.known_scope()
        self.exits = exits
        if scope is not None:
            scope[INNER_STACK] = exits.open_stack()
        return 0

    cdef int go_inside(self) except -1:
        """The request has come through all middleware."""
        self.inside = True
        return 0

    cpdef bytes header(self, bytes name):
        """The first value of a header, or None."""
        return find_header(self.headers, name)

    cdef object read_body(self):
        """Make `body` the whole request body: None if it is there, or an awaitable."""
        raise NotImplementedError

    cdef object collect_body(self, object receive):
        """An awaitable that makes `body` what there is to receive. It raises ClientDisconnect."""
        return _collect_body(self, receive)

    cdef object respond(self, int status, list headers, object body):
        """Send a complete response: `headers` are raw pairs, `body` is bytes or a memoryview."""
        raise NotImplementedError

    cdef object respond_json(self, int status, bytes body, list extra):
        """Send `body` as application/json, with the `extra` raw header pairs (or None)."""
        raise NotImplementedError

    cdef object fail(self, object exc):
        """The pipeline raised `exc`: an awaitable that answers it, or raises it further."""
        raise NotImplementedError

    cdef bint survives(self, object exc):
        """Whether `exc`, a SystemExit or CancelledError of the application, is for `fail` instead of for the event loop."""
        return False

    cdef object returned(self, object result):
        """The ASGI application has returned: None, or an awaitable that answers in its place."""
        return None

    cdef object settle(self):
        """Let nothing that has been answered wait for what the pipeline still does; that may have to wait itself."""
        return None

    # --- what middleware still has to do with the response ------------------------------------------------------------

    cdef int add_hook(self, ResponseHook hook) except -1:
        if isinstance(hook, ScopeHook) and not self.defers(<ScopeHook> hook):
            hook = (<ScopeHook> hook).open(self.scope())
        if self.hooks is None:
            self.hooks = []
        self.hooks.append(hook)
        return 0

    cdef bint defers(self, ScopeHook hook):
        """Whether a hook can wait until somebody asks for the scope, and then is opened."""
        return False

    cdef int open_hooks(self) except -1:
        """Let the hooks that have waited for the scope see it."""
        cdef list hooks = self.hooks
        cdef Py_ssize_t index
        if hooks is not None:
            for index in range(len(hooks)):
                if isinstance(hooks[index], ScopeHook):
                    hooks[index] = (<ScopeHook> hooks[index]).open(self.state)
        return 0

    cdef list hooked_extra(self, list extra, Py_ssize_t size):
        """`extra` header pairs of a JSON response, with what the hooks add; None: one of them has to see the response."""
        cdef list headers = [] if extra is None else list(extra)
        cdef Py_ssize_t index = len(self.hooks)
        while index > 0:
            index -= 1
            hook = self.hooks[index]
            if type(hook) is HeaderHook:
                if (<HeaderHook> hook).unless and headers and not (<HeaderHook> hook).is_enough(headers):
                    return None
                headers += (<HeaderHook> hook).pairs
            elif isinstance(hook, BodyHook):
                if size >= (<BodyHook> hook).least:
                    return None
            elif not isinstance(hook, ScopeHook):
                return None
        return headers

    cdef object run_hooks(self, int status, list headers, object body):
        """Let the hooks edit a complete response, innermost first: its body, or an awaitable of it."""
        return _run_hooks(self.hooks, len(self.hooks), status, headers, body if type(body) is bytes else bytes(body))

    cdef object through_hooks(self, object send):
        """ASGI `send` with the hooks before it."""
        for hook in self.hooks:
            send = hook.sender(send)
        return send

    cdef bint changes_bodies(self):
        return self.hooks is not None and any([isinstance(hook, BodyHook) for hook in self.hooks])

    cdef bint watches_bodies(self):
        return self.hooks is not None and any([type(hook).sender is not _plain_sender for hook in self.hooks])

    cpdef end_hooks(self, error):
        """The response is complete, or `error` came instead of it or its rest; no hook sees what is sent from now on."""
        cdef list hooks = self.hooks
        self.hooks = self.hooked_send = None
        if hooks is None:
            return
        for hook in reversed(hooks):
            if type(hook) is HeaderHook:
                continue
            try:
                hook.end(error)
            except Exception:
                logger.exception("Exception at the end of a middleware")

    cdef int finished(self) except -1:
        """The pipeline has ended, however it ended."""
        self.request = None  # it holds methods of this object: a cycle
        return 0


async def _collect_body(Exchange exchange, receive):
    cdef list chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    exchange.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)


cdef object _run_hooks(list hooks, Py_ssize_t index, int status, list headers, object body):
    """Run the hooks before `index`, the last one first."""
    while index > 0:
        index -= 1
        hook = hooks[index]
        if not isinstance(hook, BodyHook):
            hook.head(status, headers)
            continue
        if len(body) < (<BodyHook> hook).least:
            continue
        body = hook.whole(status, headers, body)
        if type(body) is not bytes:
            return _run_hooks_later(hooks, index, status, headers, body)
    return body


async def _run_hooks_later(list hooks, Py_ssize_t index, int status, list headers, pending):
    """The same behind a hook that has to wait."""
    body = _run_hooks(hooks, index, status, headers, await pending)
    return body if type(body) is bytes else await body
