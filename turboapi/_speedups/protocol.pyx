# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The connection: asyncio Protocol, httptools callbacks, keep-alive, pipelining, limits, timeouts, back-pressure.

What is read becomes exchanges, queued in order; one at a time is answered. A read is parsed as a whole, then its requests are
worked on one after the other as long as each is answered at once, and their answers leave in a single write.

A request that can not be accepted sets `refusal`: it is answered, and the connection closed, after the requests before it.
A WebSocket handshake is the last request, too: when those before it are answered, the transport gets another protocol.
"""

import logging
import re
from contextvars import copy_context
from socket import AF_INET6, inet_pton

import httptools

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from turboapi._speedups.access cimport AccessLog
from turboapi._speedups.clock cimport seconds_now
from turboapi._speedups.bodies cimport BodyReader, ReadBuffer
from turboapi._speedups.endpoint cimport Site
from turboapi._speedups.exchange cimport Connection, HttpExchange, Settings
from turboapi._speedups.exchange import Settings
from turboapi._speedups.headers cimport find_header, lower_name
from turboapi._speedups.outlet cimport new_outlet
from turboapi._speedups.query cimport unquote_path
from turboapi._speedups.stepping cimport Outermost
from turboapi._speedups.tasks cimport Runner
from turboapi._speedups.writer cimport last_response

logger = logging.getLogger("turboapi.error")


cdef enum:
    HIGH_WATER = 65536              # body bytes held for nobody, before reading is paused
    GATHER_LIMIT = 262144           # bytes of answers held back for one write
    BULK = 65536                    # bytes of a body, more than which are read past the parser
    PARTS_AT_ONCE = 4               # of such a body, before everybody else has a turn
    TRAILER_LIMIT = 16384
    LINGER_SECONDS = 2
    RETRY_AFTER_SECONDS = 1
    SWITCHING_PROTOCOLS = 101       # as a `refusal`: the last answer is a WebSocket handshake's
    OVERHEAD_LIMIT = 65536          # bytes around a body that are always allowed
    REFUSALS_LOGGED = 10            # each second, before they are only counted

cdef object _RequestParser = httptools.HttpRequestParser
cdef object _ParserError = httptools.HttpParserError
cdef object _ParserUpgrade = httptools.HttpParserUpgrade

cdef dict _METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
}
cdef dict _REASONS = {
    400: b"Invalid HTTP request received.",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}
# Methods for which the parser expects RTSP or Icecast instead of HTTP: it answers to these, but does not say so.
cdef frozenset _FOREIGN_METHODS = frozenset((
    b"ANNOUNCE", b"DESCRIBE", b"FLUSH", b"GET_PARAMETER", b"PAUSE", b"PLAY", b"RECORD", b"REDIRECT", b"SETUP",
    b"SET_PARAMETER", b"SOURCE", b"TEARDOWN",
))
# uri-host [":" port] of RFC 9110, section 7.2; the group is an address in brackets
cdef object _match_host = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[-A-Za-z0-9._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
).fullmatch
# Transfer codings of which the last one is chunked (RFC 9112, section 6.1), in lower case
cdef object _ends_chunked = re.compile(rb"(?:[-!#$%&'*+.^_`|~0-9a-z]+[ \t]*,[ \t]*)+chunked[ \t]*").fullmatch


cdef class Hub:
    """The connections of one worker, and what they share."""

    def __init__(self, loop, Site site, Settings settings, state=None, open_websocket=None, health=None):
        self.loop = loop
        self.site = site
        self.settings = settings
        self.state = state
        self.open_websocket = open_websocket
        self.health = None if health is None or settings.health_path is None else Site(asgi=health)
        self.runner = Runner(loop)
        self.context = copy_context()
        self.open = set()
        self.websockets = set()
        self.read_buffer = ReadBuffer()
        # asyncio's own transports want a BufferedProtocol of its own, and read no more for it than for others.
        self.fills_buffers = any([base.__module__.startswith("uvloop") for base in type(loop).__mro__])
        self.now = loop.time()

    def protocol(self):
        """A protocol for a new connection: the factory for `loop.create_server`."""
        return HttpProtocol(self)

    @property
    def connections(self):
        """How many connections are open."""
        return len(self.open) + len(self.websockets)

    def call_when_full(self, long limit, callback):
        """Call `callback()` at every new connection with which as many as `limit`, or more, are open."""
        self.limit = limit
        self.on_full = callback

    @property
    def tasks(self):
        """How many requests have something left to do: background tasks and exit code, besides answers."""
        return len(self.runner.suspended)

    def start(self):
        """Begin the sweep that, once a second, closes connections whose client is late or reads nothing, and reviews the site."""
        self._sweep()

    def stop(self):
        """End the sweep."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.sum_up_refusals()

    def _sweep(self):
        cdef HttpProtocol connection
        self.now = self.loop.time()
        for connection in list(self.open):
            connection.look_at_clock()
        for websocket in list(self.websockets):
            if websocket.is_stuck(self.now, self.settings.timeout_write):
                websocket.abort()
        self.sum_up_refusals()
        self.timer = self.loop.call_later(1.0, self._sweep)
        self.site = self.site.reviewed()

    def drain(self):
        """Let every connection end with its next answer, which says `connection: close`, and every WebSocket now."""
        cdef HttpProtocol connection
        self.draining = True
        for connection in list(self.open):
            connection.draining = True
        for websocket in list(self.websockets):
            websocket.drain()

    def close_idle(self):
        """Close the connections on which nothing has been asked since their last answer."""
        cdef HttpProtocol connection
        for connection in list(self.open):
            if not connection.queue and connection.fed == 0:
                connection.close()

    def abort(self):
        """Cancel what still runs and close every connection at once."""
        cdef HttpProtocol connection
        self.runner.cancel_all()
        for connection in list(self.open):
            connection.abort()
        for websocket in list(self.websockets):
            websocket.abort()

    cdef int log_refusal(self, object client, int status) except -1:
        """Warn of a request that is refused; in a flood of them only of the first ones each second."""
        self.refusals += 1
        if self.refusals <= REFUSALS_LOGGED:
            reason = _REASONS[status].decode() if status in _REASONS else "WebSocket handshake refused"
            logger.warning("%s - %d %s", "%s:%s" % client if client else "-", status, reason)
        return 0

    cdef int sum_up_refusals(self) except -1:
        if self.refusals > REFUSALS_LOGGED:
            logger.warning("%d more requests were refused", self.refusals - REFUSALS_LOGGED)
        self.refusals = 0
        return 0

    cdef bint lacks_websockets(self) except -1:
        """Whether a WebSocket that is asked for is not to be had, which is said once."""
        if self.open_websocket is None and not self.warned:
            self.warned = True
            logger.warning(
                "A WebSocket is asked for, but the library for it is missing, so it is answered as HTTP; "
                "run: pip install 'turboapi[websockets]'"
            )
        return self.open_websocket is None


cdef class HttpProtocol(Connection):
    """One HTTP/1 connection (RFC 9112)."""

    def __init__(self, Hub hub):
        self.hub = hub
        self.loop = hub.loop
        self.runner = hub.runner
        self.settings = hub.settings
        self.state = hub.state
        self.queue = []
        self.gathered = []
        self.writable = []

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport):
        self.transport = transport
        self.parser = _RequestParser(self)
        self.feed = self.parser.feed_data
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        is_plain = transport.get_extra_info("sslcontext") is None
        self.scheme = "http" if is_plain else "https"
        self.reads_bodies = is_plain and self.hub.fills_buffers
        self.outlet = new_outlet(transport)
        self.proxied = self.settings.proxies is not None and self.settings.proxies.trusts(self.client)
        self.draining = self.hub.draining
        self.hub.open.add(self)
        self.surplus = 0 < self.settings.limit_concurrency < self.hub.connections
        self.attentive = self.surplus or self.hub.health is not None or self.is_timed()
        if 0 < self.hub.limit <= self.hub.connections:
            self.hub.on_full()
        self.deadline = self.within(self.settings.timeout_header)

    def connection_lost(self, exc):
        cdef HttpExchange exchange
        self.closed = True
        self.hub.open.discard(self)
        self.resume_writing()
        self.arriving = self.handshake = None
        if self.busy:
            exchange = self.queue[0]
            del self.queue[0]
            self.forget_queue()
            self.queue.append(exchange)
            exchange.disconnect()
            if exchange.task is not None:
                exchange.task.cancel()
        else:
            self.forget_queue()
        # The parser holds this object's methods, and the exchange may outlive the connection.
        self.transport = self.outlet = self.parser = self.feed = None
        self.gathered = []

    def eof_received(self):
        return None

    def pause_writing(self):
        self.write_paused = True

    def resume_writing(self):
        self.write_paused = False
        if self.outlet is not None:
            self.outlet.moved()
        for waiter in self.writable:
            if not waiter.done():
                waiter.set_result(None)
        self.writable = []
        if self.queue and not self.busy and not self.closed:
            self.schedule()

    def data_received(self, bytes data):
        if self.last_request or self.closed:
            if self.handshake is not None:
                self.keep_early(data)
            return
        self.feed_data(data)
        self.process()

    # --- parsing ------------------------------------------------------------------------------------------------------

    cdef int feed_data(self, bytes data) except -1:
        cdef Py_ssize_t size = len(data)
        cdef object rest = data
        if self.reading == READING_HEAD and self.fed == 0:
            self.deadline = self.within(self.settings.timeout_header)
        self.fed += size
        self.overhead += size
        while len(rest):
            try:
                self.feed(rest)
                break
            except _ParserUpgrade as upgrade:
                if self.last_request:
                    if self.handshake is not None:
                        self.keep_early(bytes(memoryview(rest)[upgrade.args[0]:]))
                    break
                # The client asked for another protocol, which we do not speak: on in HTTP/1.1 (RFC 9110, section 7.8).
                self.parser = _RequestParser(self)
                self.feed = self.parser.feed_data
                rest = memoryview(rest)[upgrade.args[0]:]
                if self.body_skipped:
                    self._resume_body()
            except _ParserError:
                self.refuse(400)
                break
        # The parser keeps unfinished lines to itself, and skips chunk extensions: neither may go on for ever.
        if self.reading == READING_HEAD:
            if self.fed > self.settings.limit_header_size + self.settings.limit_request_line:
                self.refuse(431)
        elif self.arriving is not None and self.overhead > OVERHEAD_LIMIT + 8 * self.arriving.received:
            self.refuse(400)
        elif self.arriving is not None and self.announced - self.arriving.received > BULK and self.reads_bodies:
            self.read_rest()
        return 0

    cdef int read_rest(self) except -1:
        """Read the rest of a large body past the parser."""
        cdef Py_ssize_t missing = self.announced - self.arriving.received
        self.transport.set_protocol(BodyReader.new(self, self.hub.read_buffer, missing))
        return 0

    cdef int body_arrived(self, bytes data, bint last) except -1:
        if self.last_request or self.closed:
            self.transport.set_protocol(self)  # which reads nothing more
            return 0
        self.fed += len(data)
        self.arriving.add_chunk(data)
        if last:
            self.parser = _RequestParser(self)  # the last one does not know that the body has ended
            self.feed = self.parser.feed_data
            self.transport.set_protocol(self)
            self.on_message_complete()
        else:
            self.parts += 1
            if self.parts % PARTS_AT_ONCE:
                self.arriving.wake_now()
            else:
                self.arriving.wake()
        self.process()
        return 0

    cdef int refuse(self, int status) except -1:
        """Read nothing more. `status` is the last answer, or what `receive` raises in the request whose body it is."""
        cdef HttpExchange exchange = self.arriving
        if self.last_request:
            return 0
        self.last_request = True
        self.arriving = None
        if exchange is None:
            self.refusal = status
        elif exchange.answered:
            self.linger()
        elif self.busy and self.queue[0] is exchange:
            exchange.refuse_body(status)
        else:
            self.refusal = status
            self.queue.pop()
            self.hub.requests -= 1
        return 0

    cdef int keep_early(self, bytes data) except -1:
        """Keep what comes behind a handshake that is not answered; the client should have waited (RFC 6455, 4.1)."""
        if data:
            self.handshake.add_chunk(data)
            if self.handshake.buffered > HIGH_WATER:
                self.handshake = None
                self.refusal = 400
        return 0

    def _resume_body(self):
        """Let the new parser go on with the body of the request whose head the last one has read."""
        name = b"content-length" if self.announced else b"transfer-encoding"
        self.feed(b"POST / HTTP/1.1\r\n%b: %b\r\n\r\n" % (name, find_header(self.headers, name)))
        self.body_skipped = False

    def on_message_begin(self):
        if self.body_skipped:
            return
        self.reading = READING_HEAD
        self.fed = self.fed or 1  # it may start in the middle of what was read
        self.target = b""
        self.headers = []
        self.head_size = 0
        self.hosts = 0
        self.announced = 0
        self.expects_continue = self.asks_upgrade = self.states_connection = self.is_coded = False

    def on_url(self, bytes part):
        if self.body_skipped:
            return
        self.head_size += len(part)
        self.target = part if not self.target else self.target + part
        if len(self.target) > self.settings.limit_request_line:
            self.refuse(414)

    def on_header(self, bytes name, bytes value):
        cdef bytes lower
        cdef Py_ssize_t size
        if self.body_skipped:
            return
        self.head_size += len(name) + len(value) + 4
        if self.reading == READING_BODY:  # a trailer: bounded, and never a header (RFC 9110, section 6.5.1)
            if self.head_size > TRAILER_LIMIT:
                self.refuse(431)
            elif self.arriving is not None and not self.arriving.answered:
                if lower_name(name) in (b"connection", b"proxy-connection"):
                    self.arriving.keep_alive = False  # as the parser may not read on
            return
        lower = lower_name(name)
        size = PyBytes_GET_SIZE(lower)  # tells nearly all others from those that matter here
        if size == 4 and lower == b"host":
            self.hosts += 1
            if value != self.hub.known_host:
                if not _is_host(value):
                    self.refuse(400)
                else:
                    self.hub.known_host = value
        elif (size == 10 and lower == b"connection") or (size == 16 and lower == b"proxy-connection"):
            self.states_connection = True  # to the parser both are the same
        elif size == 14 and lower == b"content-length":
            self.announced = int(value)
        elif size == 6 and lower == b"expect":
            self.expects_continue = value.lower() == b"100-continue"
        elif size == 7 and lower == b"upgrade":
            self.asks_upgrade = True
        elif size == 17 and lower == b"transfer-encoding":
            self.is_coded = True
            value = value.strip().lower()
            if value != b"chunked":  # RFC 9112, sections 6.1 and 6.3
                self.refuse(400 if _ends_chunked(value) is None else 501)
        self.headers.append((lower, value))
        if len(self.headers) > self.settings.limit_header_count or self.head_size > self.settings.limit_header_size:
            self.refuse(431)

    def on_headers_complete(self):
        cdef HttpExchange exchange
        if self.last_request or self.body_skipped:
            return
        exchange = self._new_exchange()
        if exchange is None:
            return
        self.reading = READING_BODY
        self.head_size = self.fed = self.overhead = 0
        self.arriving = exchange
        self.queue.append(exchange)
        self.hub.requests += 1
        if self.asks_upgrade and self.parser.should_upgrade():
            if find_header(self.headers, b"upgrade").lower() == b"websocket" and not self.hub.lacks_websockets():
                self.handshake = self.queue.pop()
                self.hub.requests -= 1
                self.arriving = None
                self.refuse(SWITCHING_PROTOCOLS)
            else:
                self.body_skipped = self.announced > 0 or self.is_coded

    cdef HttpExchange _new_exchange(self):
        """The exchange of the head that has just ended; None when the head is refused."""
        cdef HttpExchange exchange = HttpExchange.__new__(HttpExchange)
        cdef bytes method = self.parser.get_method()
        cdef bint keep_alive = self.parser.should_keep_alive()
        cdef str version = "1.1"
        if self.states_connection or not keep_alive or self.hosts != 1:
            # Only then it can be another one: by default HTTP/1.1 keeps the connection, and no other version does.
            version = self.parser.get_http_version()
            if version != "1.1":
                if version != "1.0":
                    self.refuse(505)
                    return None
                keep_alive = keep_alive and not self.is_coded  # RFC 9112, section 6.1
            if self.hosts != 1 and (self.hosts or version == "1.1"):
                self.refuse(400)  # RFC 9112, section 3.2
                return None
        if self.settings.limit_body and self.announced > self.settings.limit_body:
            self.refuse(413)
            return None
        if method == b"GET":
            exchange.method = "GET"
        elif method in _FOREIGN_METHODS:
            self.refuse(400)
            return None
        else:
            exchange.method = <str> _METHODS.get(method) or method.decode("ascii")
        if exchange.method == "CONNECT":
            self.refuse(501)
            return None
        if not self._set_target(exchange, self.target):
            self.refuse(400)
            return None
        exchange.http_version = version
        exchange.keep_alive = keep_alive
        exchange.expects_continue = self.expects_continue and version == "1.1"
        exchange.headers = self.headers
        exchange.connection = self
        exchange.site = self.hub.site
        # PERF: one look for all that is only wanted sometimes.
        return self._attend(exchange) if self.attentive else exchange

    cdef HttpExchange _attend(self, HttpExchange exchange):
        """What is done with requests if an option says so; None when the request is refused."""
        if self.hub.health is not None and exchange.path == self.settings.health_path:
            exchange.site = self.hub.health
            exchange.target = exchange.site.asgi
            return exchange
        if self.surplus:
            self.refuse(503)
            return None
        if self.is_timed():
            exchange.began = seconds_now()
        return exchange

    cdef bint is_timed(self):
        """Whether somebody wants to know how long requests take."""
        return self.settings.access_log is not None and self.settings.access_log.detailed

    cdef int _set_target(self, HttpExchange exchange, bytes target) except -1:
        """Take the request target apart (RFC 9112, section 3.2); 0 when it is none, or names an impossible host."""
        cdef const char* text
        cdef const char* mark
        cdef Py_ssize_t size
        exchange.target_bytes = target
        if PyBytes_AS_STRING(target)[0] != 47:  # not "/...": absolute form, or an asterisk
            authority, target = _origin_form(target)
            if authority is None:
                if target != b"*" or exchange.method != "OPTIONS":
                    return 0
            else:
                if authority[:1] in b":" or not _is_host(authority):  # an empty host (RFC 9110, section 4.2.1)
                    return 0
                self.headers = [(b"host", authority), *(pair for pair in self.headers if pair[0] != b"host")]
        text = PyBytes_AS_STRING(target)
        size = PyBytes_GET_SIZE(target)
        mark = <const char*> memchr(text, 35, size)  # "#": a fragment is the client's own business
        if mark != NULL:
            size = mark - text
        mark = <const char*> memchr(text, 63, size)  # "?"
        if mark != NULL:
            exchange.query_string = PyBytes_FromStringAndSize(mark + 1, text + size - mark - 1)
            size = mark - text
        else:
            exchange.query_string = b""
        exchange.raw_path = target if size == PyBytes_GET_SIZE(target) else PyBytes_FromStringAndSize(text, size)
        exchange.path = unquote_path(exchange.raw_path)
        return 1

    def on_body(self, bytes data):
        if self.arriving is not None:
            self.overhead -= len(data)
            self.arriving.add_chunk(data)
            self.arriving.wake()
            if self.settings.limit_body and self.arriving.received > self.settings.limit_body:
                self.refuse(413)

    def on_message_complete(self):
        cdef HttpExchange exchange = self.arriving
        if self.body_skipped:
            return
        self.reading = READING_HEAD
        self.head_size = self.fed = 0
        self.arriving = None
        if exchange is None:
            return
        exchange.end_body()
        if not exchange.keep_alive:
            self.last_request = True

    # --- answering ----------------------------------------------------------------------------------------------------

    cdef int process(self) except -1:
        """Answer what is queued, up to the first exchange that has to wait for something."""
        cdef HttpExchange exchange
        self.scheduled = False
        if self.processing or self.closed:
            return 0
        self.processing = True
        try:
            while self.queue and not self.busy and not self.write_paused:
                exchange = self.queue[0]
                if (exchange.target is not None or self.find(exchange)) and not self.start(exchange):
                    break
                if self.closed:
                    return 0
            if self.refusal and not self.queue:
                if self.handshake is not None:
                    self.switch()
                else:
                    self.answer_last(self.refusal, [], _REASONS[self.refusal])
            elif self.draining and not self.queue and self.fed == 0:
                self.close()
        finally:
            self.processing = False
        self.flush()
        if not self.closed:
            self.regulate()
            self.set_deadline()
        return 0

    cdef int find(self, HttpExchange exchange) except -1:
        """Find the route; 0 when the application raised, and is answering that."""
        cdef Site site
        cdef object failure = None
        try:
            site = exchange.site = self.hub.site = self.hub.site.current()
            site.resolve(exchange)
        except Exception as exc:
            failure = exc
        if failure is not None:
            self.busy = True
            self.hub.runner.run(_fail(exchange, failure))
            return 0
        return 1

    cdef int start(self, HttpExchange exchange) except -1:
        """Run the exchange; 0 when its body has to arrive first."""
        if exchange.site.needs_body(exchange):
            if exchange.complete:
                exchange.take_body()
            elif exchange.site.layers is None:  # middleware may answer before the body has arrived
                exchange.go_ahead()
                return 0
        self.busy = True
        task = self.hub.runner.run(exchange.site.run(exchange))
        if task is not None and exchange.site.cancels:
            exchange.task = task
        return 1

    cdef int forget_queue(self) except -1:
        """Drop the requests that have not been started."""
        self.hub.requests -= len(self.queue)
        self.queue = []
        return 0

    cdef int answered(self, HttpExchange exchange) except -1:
        self.hub.total_requests += 1
        if self.settings.access_log is not None and exchange.site is not self.hub.health:
            self.log(self.settings.access_log, exchange)
        self.dropped(exchange)
        if not exchange.keep_alive:
            self.last_request = True
            self.refusal = 0
            self.handshake = None
            self.forget_queue()
            if exchange.complete:
                self.close()
            else:
                self.linger()
        elif not self.processing:
            self.schedule()
        return 0

    cdef int log(self, AccessLog log, HttpExchange exchange) except -1:
        return log.add(
            exchange.client(), exchange.method, exchange.target_bytes, exchange.http_version, exchange.status,
            exchange.began, exchange.request_id() if log.detailed else None,
        )

    cdef int dropped(self, HttpExchange exchange) except -1:
        self.busy = False
        self.hub.requests -= 1
        if self.queue:
            del self.queue[0]
        return 0

    cdef int schedule(self) except -1:
        """Work on the queue soon: not from inside the task that has just answered, nor in its context."""
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._process_soon, context=self.hub.context)
        return 0

    def _process_soon(self):
        self.process()

    cdef int answer_last(self, int status, list headers, bytes reason) except -1:
        """Answer with a reason in plain text, and close."""
        cdef list all_headers = [*(self.settings.headers or ()), (b"content-type", b"text/plain; charset=utf-8"), *headers]
        if self.target and self.parser.get_method() == b"HEAD":
            reason = b""  # RFC 9110, section 9.3.2
        if status == 503:
            all_headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        self.write(last_response(status, all_headers, reason, self.settings.write_flags))
        if not self.hub.draining:
            self.hub.log_refusal(self.client, status)
        self.linger()
        return 0

    cdef int switch(self) except -1:
        """Leave the connection to the WebSocket that was asked for, or refuse it."""
        cdef HttpExchange exchange = self.handshake
        self.handshake = None
        if self.hub.draining:
            return self.answer_last(503, [], _REASONS[503])
        has_body = self.announced > 0 or self.is_coded
        websocket, refusal = self.hub.open_websocket(self.hub, exchange, self.transport, has_body)
        if websocket is None:
            return self.answer_last(refusal[0], refusal[1], refusal[2])
        self.flush()
        self.closed = True  # for HTTP
        self.hub.open.discard(self)
        self.transport.set_protocol(websocket)
        if self.read_paused:
            self.transport.resume_reading()
        if self.write_paused:
            websocket.pause_writing()
        self.transport = self.outlet = self.parser = self.feed = None
        self.hub.websockets.add(websocket)
        exchange.take_body()
        if exchange.body:
            websocket.data_received(exchange.body)
        self.hub.runner.run(Outermost(websocket.run()))
        return 0

    # --- output -------------------------------------------------------------------------------------------------------

    cdef int write(self, bytes data) except -1:
        if self.closed or self.transport is None:
            return 0
        if self.processing:
            self.gathered.append(data)
            self.gathered_size += len(data)
            if self.gathered_size > GATHER_LIMIT:
                self.flush()
        else:
            self.outlet.write(data)
        return 0

    cdef int push(self) except -1:
        return self.flush()

    cdef int flush(self) except -1:
        """Send the answers of one read in one write."""
        cdef list gathered = self.gathered
        if gathered and self.transport is not None:
            self.gathered = []
            self.gathered_size = 0
            self.outlet.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))
        return 0

    cdef object drain(self):
        if not self.write_paused or self.closed:
            return None
        waiter = self.loop.create_future()
        self.writable.append(waiter)
        return waiter

    cdef int open_output(self) except -2:
        if self.is_ending() or self.outlet.socket < 0:
            return -1
        self.transport.set_write_buffer_limits(0)  # writing is paused until the last byte of it has gone
        self.flush()
        return self.outlet.socket

    cdef int close_output(self) except -1:
        if not self.is_ending():
            self.transport.set_write_buffer_limits()
        return 0

    cdef bint is_ending(self):
        # NOTE: the transport keeps the socket open until it has called `connection_lost`.
        return self.closed or self.transport is None or self.transport.is_closing()

    cdef int close(self) except -1:
        """Close when everything written has been sent, however long a client that goes on reading takes for that."""
        if self.transport is not None and not self.closed:
            self.closing = True
            self.deadline = 0.0
            self.flush()
            self.outlet.shut()
            self.transport.close()
        return 0

    cdef int linger(self) except -1:
        """Close, but let the client finish sending first: unread data would reset the connection, and with it our answer."""
        if self.transport is None or self.closed:
            return 0
        self.flush()
        self.outlet.shut()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.deadline = self.within(LINGER_SECONDS)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
        return 0

    cdef int abort(self) except -1:
        if self.transport is not None and not self.closed:
            self.last_request = True
            if not self.busy:
                self.forget_queue()
            self.flush()
            self.outlet.shut()
            self.transport.abort()
        return 0

    # --- back-pressure and time ---------------------------------------------------------------------------------------

    cdef int wants_reading(self) except -1:
        self.regulate()
        if not self.deadline:
            self.set_deadline()
        return 0

    cdef int regulate(self) except -1:
        """Read on, unless the client has sent more than we can answer or hold."""
        cdef HttpExchange exchange
        cdef bint pause = len(self.queue) > self.settings.limit_pipeline or (self.write_paused and bool(self.queue))
        if self.arriving is not None and not pause:
            exchange = self.arriving
            if exchange.buffered > HIGH_WATER:
                pause = not (self.queue[0] is exchange and not self.busy)
        if self.transport is None or self.closed:
            return 0
        if pause and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        elif self.read_paused and not pause:
            self.read_paused = False
            self.transport.resume_reading()
        return 0

    cdef double within(self, double seconds) noexcept:
        """The deadline `seconds` from now, at the sweep's resolution; 0 for none."""
        return self.hub.now + seconds + 1.0 if seconds > 0 else 0.0

    cdef int set_deadline(self) except -1:
        """What does the client owe us, and until when?"""
        cdef HttpExchange exchange
        if self.last_request and not self.queue:
            return 0  # closing: `linger` has set it
        if self.arriving is not None:
            # The rest of a body, unless it is us who keep the client waiting.
            exchange = self.arriving
            if self.read_paused or (exchange.expects_continue and exchange.received == 0):
                self.deadline = 0.0
            else:
                self.deadline = self.within(self.settings.timeout_body)
        elif self.queue:
            self.deadline = 0.0
        elif self.fed == 0:
            self.deadline = self.within(self.settings.timeout_keep_alive)
        elif not self.deadline:
            self.deadline = self.within(self.settings.timeout_header)
        return 0

    cdef int look_at_clock(self) except -1:
        """Do what time has come for; once a second."""
        if self.deadline and self.deadline < self.hub.now:
            self.late()
        if self.outlet.is_stuck(self.hub.now, self.settings.timeout_write):
            self.abort()
        elif self.closing and not self.deadline and not self.outlet.patience:
            # The client has taken everything, and only has to agree to the end, as TLS wants it.
            self.deadline = self.within(LINGER_SECONDS)
        return 0

    cdef late(self):
        """The client has let its deadline pass (RFC 9110, section 15.5.9)."""
        if self.last_request or self.closing:
            if self.transport.get_write_buffer_size():  # the last answer is still on its way to a slow client
                self.deadline = self.within(LINGER_SECONDS)
            else:
                self.abort()
        elif self.arriving is not None or (self.fed and not self.queue):
            self.refuse(408)
            self.process()
        else:
            self.close()


cdef object _address(object name):
    """A socket name as ASGI wants it: (host, port), (path, None), or None."""
    if isinstance(name, tuple):
        return (str(name[0]), int(name[1]))
    return (name, None) if isinstance(name, str) and name else None


cdef bint _is_host(bytes value) except -1:
    """Whether the value may stand in Host."""
    cdef object match = _match_host(value)
    if match is None:
        return False
    if match[1] is not None:
        try:
            inet_pton(AF_INET6, match[1].decode("ascii"))
        except OSError:
            return False
    return True


cdef tuple _origin_form(bytes target):
    """Authority, path and query of an absolute-form target (RFC 9112, section 3.2.2); others stay as they are."""
    cdef Py_ssize_t start = target.find(b"://") + 3
    cdef Py_ssize_t end = start
    if start < 3:
        return None, target
    while end < len(target) and target[end] not in b"/?#":
        end += 1
    return target[start:end], target[end:] if target[end:end + 1] == b"/" else b"/" + target[end:]


async def _fail(HttpExchange exchange, exc):
    """Answer a request for which no route could be found, as finding it raised."""
    try:
        await exchange.fail(exc)
    finally:
        exchange.finished()
