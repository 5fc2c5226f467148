# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""One request/response on our own server: collects the body, writes the answer, speaks ASGI to whoever asks.

No parsing and no socket here: `protocol.HttpProtocol` feeds the body and is the `Connection` that takes the bytes.
"""

import asyncio
import logging
import os

from turboapi._speedups.access cimport AccessLog
from turboapi._speedups.arrivals cimport Arrivals
from turboapi._speedups.endpoint cimport Site
from turboapi._speedups.endpoint import answer_500, log_and_answer_500
from turboapi._speedups.headers cimport check_headers, find_header, find_headers
from turboapi._speedups.request cimport INNER_STACK, Exchange, ScopeHook
from turboapi._speedups.writer cimport (
    WRITE_CHUNKED, WRITE_CLOSE, WRITE_KEEP_ALIVE, WRITE_LENGTH, WRITE_NO_BODY, WRITE_NO_DATE, WRITE_NO_SERVER,
    allows_body, chunk, is_json_head, json_headers, json_response, response_head,
)

from turboapi.exceptions import ClientDisconnect, HTTPException


logger = logging.getLogger("turboapi.error")


cdef class Settings:
    """Limits, timeouts and switches of the connections of a server. Sizes in bytes, times in seconds."""

    def __init__(
        self, *, Py_ssize_t limit_header_size=65536, Py_ssize_t limit_header_count=128,
        Py_ssize_t limit_request_line=16384, Py_ssize_t limit_body=100 * 1024 * 1024, Py_ssize_t limit_pipeline=16,
        double timeout_keep_alive=5.0, double timeout_header=20.0, double timeout_body=60.0,
        double timeout_write=60.0, str root_path="", bint server_header=True, bint date_header=True,
        AccessLog access_log=None, Py_ssize_t limit_concurrency=0, object proxies=None, list headers=None,
        str health_path=None,
    ):
        self.limit_header_size = limit_header_size
        self.limit_header_count = limit_header_count
        self.limit_request_line = limit_request_line
        self.limit_body = limit_body
        self.limit_pipeline = limit_pipeline
        self.timeout_keep_alive = timeout_keep_alive
        self.timeout_header = timeout_header
        self.timeout_body = timeout_body
        self.timeout_write = timeout_write
        self.root_path = root_path
        self.access_log = access_log
        self.limit_concurrency = limit_concurrency
        self.proxies = proxies
        self.health_path = health_path
        if headers:
            check_headers(headers)
            self.headers = headers
            server_header = server_header and find_header(headers, b"server") is None
            date_header = date_header and find_header(headers, b"date") is None
        self.write_flags = (0 if server_header else WRITE_NO_SERVER) | (0 if date_header else WRITE_NO_DATE)


cdef class Connection:
    cdef int write(self, bytes data) except -1:
        raise NotImplementedError

    cdef int push(self) except -1:
        """Send now what `write` has taken."""
        raise NotImplementedError

    cdef object drain(self):
        """None, or an awaitable while the client is slow to read."""
        raise NotImplementedError

    cdef int open_output(self) except -2:
        """The descriptor of the socket, -1 where that is not to be had. What was written has been passed on when `drain` says so.

        It may be written to whenever `is_ending` is false and `drain` returns None.
        """
        raise NotImplementedError

    cdef int close_output(self) except -1:
        """The socket is written to by the connection alone again."""
        raise NotImplementedError

    cdef bint is_ending(self):
        """Whether the connection is closed, or about to be."""
        raise NotImplementedError

    cdef int wants_reading(self) except -1:
        """Somebody waits for more of the request."""
        raise NotImplementedError

    cdef int answered(self, HttpExchange exchange) except -1:
        """The exchange's response is complete."""
        raise NotImplementedError

    cdef int dropped(self, HttpExchange exchange) except -1:
        """The exchange has ended without a complete response."""
        raise NotImplementedError

    cdef int abort(self) except -1:
        """Close without a word: the response can not be completed."""
        raise NotImplementedError

    cdef int body_arrived(self, bytes data, bint last) except -1:
        """A `BodyReader` has read more of the body; `last`: its end."""
        raise NotImplementedError


cdef frozenset _OURS = frozenset((
    b"connection", b"content-length", b"content-type", b"date", b"server", b"transfer-encoding",
))


cdef bint _are_plain(list headers) except -1:
    """Whether header pairs neither concern the framing nor replace what the writer adds."""
    cdef tuple pair
    for pair in headers:
        if pair[0] in _OURS:
            return False
    return True


cdef enum:
    REFILL = 16384                  # bytes of a file that are handed to the transport when the socket is full
    MAX_REQUEST_ID = 128            # characters; longer ones are not logged


cdef Py_ssize_t _sendfile(int output, int file, Py_ssize_t offset, Py_ssize_t size) except -2:
    """sendfile(2): 0 at the end of the file, or for an error that reading it or writing would meet, too; -1: no room now."""
    try:
        return os.sendfile(output, file, offset, size)
    except BlockingIOError:
        return -1
    except OSError:
        return 0


def file_sender(send):
    """The `send_file` of the exchange whose `send` this is. None: somebody else's, or middleware has to see the body."""
    cdef HttpExchange exchange
    owner = getattr(send, "__self__", None)
    if type(owner) is not HttpExchange or send != owner.send:
        return None
    exchange = owner
    return None if exchange.watches_bodies() or not hasattr(os, "sendfile") else exchange.send_file


cdef class HttpExchange(Exchange):
    """One request/response of an HTTP/1 connection."""

    # --- the request -------------------------------------------------------------------------------------------------

    cdef int add_chunk(self, bytes data) except -1:
        """A part of the body has arrived; who waits for it has to be woken."""
        self.received += len(data)
        if not self.answered:  # otherwise nobody is going to read it
            if self.chunks is None:
                self.chunks = []
            self.chunks.append(data)
            self.buffered += len(data)
        return 0

    cdef int end_body(self) except -1:
        self.complete = True
        return self.wake()

    cdef int refuse_body(self, int status) except -1:
        """Nothing more of the body is accepted, while the application is at work: the next `receive` says so."""
        self.refused = status
        self.keep_alive = False
        self.chunks = None
        self.buffered = 0
        return self.wake()

    cdef int take_body(self) except -1:
        """Make `body` the whole body, which has arrived."""
        if self.chunks is None:
            self.body = b""
        elif len(self.chunks) == 1:
            self.body = self.chunks[0]
        else:
            self.body = b"".join(self.chunks)
        self.chunks = None
        self.buffered = 0
        return 0

    cdef object read_body(self):
        if not self.complete:
            return self._read_while_it_arrives()
        self.take_body()
        return None

    async def _read_while_it_arrives(self):
        await self.collect_body(self.receive)
        self.delivered = False  # whoever else wants the body receives all of it

    cdef int disconnect(self) except -1:
        return self.wake()

    cdef int wake(self) except -1:
        """Let those who wait for something go on when the loop gets to it."""
        return 0 if self.arrivals is None else self.arrivals.wake()

    cdef int wake_now(self) except -1:
        """The same at once. Not to be called from within a task, nor a parser."""
        return 0 if self.arrivals is None else self.arrivals.wake_now()

    cdef int go_ahead(self) except -1:
        """Tell a client that waits for it to send the body (RFC 9110, section 10.1.1)."""
        if self.expects_continue and not self.started:
            self.expects_continue = False
            if not self.complete and self.received == 0:
                self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return 0

    cdef object client(self):
        """Who sends the request: the peer of the connection, or whom a trusted proxy names."""
        cdef Connection connection = self.connection
        cdef list values
        found = None
        if connection.proxied:
            values = find_headers(self.headers, b"x-forwarded-for")
            found = connection.settings.proxies.client(b", ".join(values)) if values else self.forwarded(0)
        return connection.client if found is None else found

    cdef str scheme(self):
        """By which scheme it has been sent, to us or to a trusted proxy."""
        cdef Connection connection = self.connection
        cdef list values
        found = None
        if connection.proxied:
            values = find_headers(self.headers, b"x-forwarded-proto")
            found = connection.settings.proxies.scheme(values[len(values) - 1]) if values else self.forwarded(1)
        return connection.scheme if found is None else found

    cdef object forwarded(self, Py_ssize_t index):
        """The client (0) or the scheme (1) that Forwarded names, None if it does not.

        Who sends X-Forwarded-For or -Proto may pass on a Forwarded that a client has made up, so that is not looked at.
        """
        cdef list values = find_headers(self.headers, b"forwarded")
        if not values or find_header(self.headers, b"x-forwarded-for") is not None:
            return None
        if find_header(self.headers, b"x-forwarded-proto") is not None:
            return None
        return self.connection.settings.proxies.forwarded(b", ".join(values))[index]

    cdef object request_id(self):
        """The id that `LoggingMiddleware` has given the request, or else that it came with; None without a usable one."""
        cdef object found = None
        if self.state is not None and isinstance(self.state.get("state"), dict):
            found = self.state["state"].get("request_id")
        if type(found) is not str:
            found = find_header(self.headers, b"x-request-id")
        return None if found is None or len(found) > MAX_REQUEST_ID else found

    cpdef dict new_scope(self, str kind, str spec_version):
        """A new ASGI connection scope of this request, of type `kind`."""
        cdef Connection connection = self.connection
        cdef str root_path = connection.settings.root_path
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "http_version": self.http_version,
            "server": connection.server,
            "client": self.client(),
            "scheme": self.scheme(),
            "method": self.method,
            "root_path": root_path,
            "path": root_path + self.path,
            "raw_path": root_path.encode("ascii", "replace") + self.raw_path,
            "query_string": self.query_string,
            "headers": self.headers,
            "state": dict(connection.state) if connection.state else {},
        }

    cpdef dict scope(self):
        """The ASGI HTTP connection scope of this request."""
        if self.state is None:
            self.state = self.new_scope("http", "2.3")
            if self.site.layers is not None and not self.inside:
                self.site.layers.add_to_scope(self.state)
            elif self.site.add_to_scope is not None:
                self.site.add_to_scope(self.state, self)
            if self.hooks is not None:
                self.open_hooks()
            if self.exits is not None:
                self.state[INNER_STACK] = self.exits.open_stack()
        return self.state

    cdef bint stands_alone(self):
        return True

    cdef object running_loop(self):
        return self.connection.loop  # PERF: to ask for it is a system call

    cdef bint defers(self, ScopeHook hook):
        return self.state is None

    async def receive(self):
        """ASGI `receive`: the next part of the body, or `http.disconnect`."""
        if self.body is not None and not self.delivered:
            self.delivered = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        self.go_ahead()
        while True:
            if self.refused and not self.started:
                raise HTTPException(status_code=self.refused)
            if self.chunks or (self.complete and not self.delivered):
                body = b"" if not self.chunks else self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
                self.chunks = None
                self.buffered = 0
                self.delivered = self.complete
                return {"type": "http.request", "body": body, "more_body": not self.complete}
            if self.connection.closed or self.answered or self.refused:
                return {"type": "http.disconnect"}
            self.connection.wants_reading()
            if self.arrivals is None:
                self.arrivals = Arrivals(self.connection.loop)
            await self.arrivals.add()

    # --- the response ------------------------------------------------------------------------------------------------

    cdef int flags(self) noexcept:
        """How the head of the answer is written, and whether the connection stays open after it."""
        cdef int flags = self.connection.settings.write_flags
        if self.connection.draining or (self.expects_continue and not self.complete):
            self.keep_alive = False  # a client that was not told to go ahead may or may not send its body
        if not self.keep_alive:
            flags |= WRITE_CLOSE
        elif self.http_version == "1.0":
            flags |= WRITE_KEEP_ALIVE
        if self.method == "HEAD":
            flags |= WRITE_NO_BODY
        return flags

    cdef int finish_answer(self) except -1:
        self.answered = True
        self.chunks = None
        self.buffered = 0
        self.wake()
        if self.hooks is not None:
            self.end_hooks(None)
        return self.connection.answered(self)

    cdef object respond_json(self, int status, bytes body, list extra):
        cdef list added
        if self.hooks is not None:
            if status == 205 or not allows_body(status):
                body = b""
            added = self.hooked_extra(extra, len(body))
            if added is None:
                return self.respond(status, json_headers(status, body, extra), body)
            extra = added
        if self.connection.settings.headers is None and (not extra or _are_plain(extra)):
            self._write_json(status, body, extra)
        else:
            self.respond_whole(status, [(b"content-type", b"application/json"), *(extra or ())], body)
        return None

    cdef int _write_json(self, int status, bytes body, list extra) except -1:
        if extra:
            check_headers(extra)
        cdef bytes data = json_response(status, body, extra, self.flags())
        self.started = True
        self.status = status
        self.connection.write(data)
        return self.finish_answer()

    cdef object respond(self, int status, list headers, object body):
        if self.hooks is not None and self.hooked_send is None:
            body = self.run_hooks(status, headers, body)
            if type(body) is not bytes:
                return self._respond_later(status, headers, body)
        self.respond_whole(status, headers, body)
        return None

    async def _respond_later(self, int status, list headers, pending):
        self.respond_whole(status, headers, await pending)

    cdef int respond_whole(self, int status, list headers, object body) except -1:
        cdef list extra
        # PERF: nearly always, who edits the headers of a JSON response only adds some.
        if type(body) is bytes and self.connection.settings.headers is None and is_json_head(status, headers, <bytes> body):
            extra = headers[2:]
            if _are_plain(extra):
                return self._write_json(status, <bytes> body, extra)
        self.start_response(status, headers)
        return self.write_part(body, True)

    cdef int start_response(self, int status, list headers) except -1:
        """Check and keep the head; it is sent together with the first part of the body."""
        cdef tuple pair
        cdef bytes name
        check_headers(headers)
        self.missing = -1
        for pair in headers:
            name = pair[0]
            if name == b"content-length":
                if not (<bytes> pair[1]).isdigit():
                    raise ValueError(f"Invalid content-length of a response: {pair[1]!r}")
                self.missing = int(pair[1])
            elif name == b"connection" and (<bytes> pair[1]).lower() == b"close":
                self.keep_alive = False
        self.status = status
        self.pending_head = headers
        self.started = True
        return 0

    cdef int write_head(self, bytes body, bint last) except -1:
        """Send the head, with as much of the body as there is."""
        cdef list headers = self.pending_head
        cdef int flags = self.flags()
        cdef Py_ssize_t length = 0
        self.pending_head = None
        if flags & WRITE_CLOSE or find_header(headers, b"transfer-encoding") is not None:
            headers = [
                pair for pair in headers if (<tuple> pair)[0] != b"connection" and (<tuple> pair)[0] != b"transfer-encoding"
            ]
        if self.connection.settings.headers is not None:
            headers = self.connection.settings.headers + headers
        if find_header(headers, b"date") is not None:
            flags |= WRITE_NO_DATE
        if find_header(headers, b"server") is not None:
            flags |= WRITE_NO_SERVER
        if not allows_body(self.status):
            flags |= WRITE_NO_BODY
            if self.status != 304:  # RFC 9110, section 8.6
                headers = [pair for pair in headers if (<tuple> pair)[0] != b"content-length"]
        elif self.missing < 0:
            if last:
                flags |= WRITE_LENGTH
                length = self.missing = len(body)
            elif self.http_version == "1.0":
                self.keep_alive = False  # the end of the connection is the end of the body
                flags = (flags & ~WRITE_KEEP_ALIVE) | WRITE_CLOSE
            else:
                flags |= WRITE_CHUNKED
                self.chunked = True
        cdef bytes data = response_head(self.status, headers, length, flags)
        if body and not flags & WRITE_NO_BODY:
            data += chunk(body) if self.chunked else body
        return self.connection.write(data)

    cdef int write_part(self, object data, bint last) except -1:
        """Send a part of the body, and the head before the first one."""
        cdef Py_ssize_t size = len(data)
        cdef bint first = self.pending_head is not None
        cdef bint silent = self.method == "HEAD" or not allows_body(self.status)
        if type(data) is not bytes:
            data = bytes(data)
        if self.missing >= 0 and not silent:
            if size > self.missing or (last and size < self.missing):
                if first:  # nothing has been sent: an error page is still possible
                    self.started = False
                    self.pending_head = None
                kind = "longer" if size > self.missing else "shorter"
                raise RuntimeError(f"Response content {kind} than Content-Length")
        if first:
            self.write_head(<bytes> data, last)
        elif size and not silent:
            self.connection.write(chunk(data) if self.chunked else <bytes> data)
        if self.missing >= 0:
            self.missing -= size
        if last:
            if self.chunked and not silent:
                self.connection.write(b"0\r\n\r\n")
            self.finish_answer()
        return 0

    async def send(self, message):
        """ASGI `send`. Waits while the client is slow to read; does nothing once it is gone."""
        if self.hooks is not None:
            if self.hooked_send is None:
                self.hooked_send = self.through_hooks(self.send_unhooked)
            await self.hooked_send(message)
        else:
            await self.send_unhooked(message)

    async def send_unhooked(self, message):
        """ASGI `send` behind all hooks."""
        cdef str kind = message["type"]
        if self.connection.closed:
            if kind == "http.response.start":
                self.started = True
            # A stream that waits for nothing else would never let anybody end it.
            await asyncio.sleep(0)
            return
        if not self.started:
            if kind == "http.response.start":
                self.start_response(message["status"], [(bytes(n).lower(), bytes(v)) for n, v in message.get("headers", ())])
                # A body that takes its time must not keep the head back.
                self.connection.loop.call_soon(self._send_head_alone)
            elif kind != "http.response.early_hint":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
        elif not self.answered:
            if kind == "http.response.body":
                self.write_part(message.get("body", b""), not message.get("more_body", False))
                pending = self.connection.drain()
                if pending is not None:
                    await pending
            elif kind != "http.response.trailers":
                raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
        elif kind != "http.response.trailers":  # not offered, but harmless
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")

    def _send_head_alone(self):
        if self.pending_head is not None and not self.connection.closed:
            self.write_head(b"", False)

    async def send_file(self, int file, Py_ssize_t offset, Py_ssize_t size):
        """Send a part of a file as the next part of the body, from the page cache to the socket: how many bytes of it.

        Fewer than `size`: the rest is to be read and sent as a message; what is wrong with it shows there.
        """
        cdef Connection connection = self.connection
        cdef Py_ssize_t start = offset
        cdef Py_ssize_t end = offset + size
        cdef Py_ssize_t sent
        cdef bytes data
        cdef int output
        # Only within an announced length a part needs no framing of its own.
        if not self.started or self.answered or self.missing < size or not allows_body(self.status) or self.method == "HEAD":
            return 0
        if self.pending_head is not None:
            self.write_head(b"", False)
        output = connection.open_output()
        if output < 0:
            return 0
        try:
            while offset < end:
                pending = connection.drain()
                if pending is not None:
                    await pending
                    continue
                if connection.is_ending():
                    break
                sent = _sendfile(output, file, offset, end - offset)
                if sent == 0:
                    break
                if sent < 0:
                    # The transport takes some bytes off us, and lets us know when the socket has taken them.
                    data = os.pread(file, min(REFILL, end - offset), offset)
                    connection.write(data)
                    connection.push()
                    sent = len(data)
                    if sent == 0:
                        break
                offset += sent
                self.missing -= sent
        finally:
            connection.close_output()
        return offset - start

    # --- the end -----------------------------------------------------------------------------------------------------

    cdef object settle(self):
        self.connection.push()
        return None

    cdef object fail(self, object exc):
        if not isinstance(exc, Exception):  # no exception handler and no middleware is asked
            self.end_hooks(exc)
            return log_and_answer_500(self, exc)
        return self.site.on_error(self, exc)

    cdef bint survives(self, object exc):
        # A handler that exits does not stop the server, and only who cancels a request from outside gets it cancelled.
        return isinstance(exc, SystemExit) or not asyncio.current_task(self.connection.loop).cancelling()

    cdef object returned(self, object result):
        if self.connection.closed:
            return None
        if result is not None and self.site.asgi is not None:
            logger.error("ASGI callable should return None, but returned '%s'.", result)
        elif not self.started:
            logger.error("ASGI callable returned without starting response.")
            self.end_hooks(None)
            return answer_500(self)
        elif not self.answered:
            logger.error("ASGI callable returned without completing response.")
        return None

    cdef int finished(self) except -1:
        """A pipeline that ended without a complete answer leaves nothing that the client could trust."""
        if not self.answered:
            self.answered = True
            self.end_hooks(ClientDisconnect() if self.connection.closed else None)
            self.connection.dropped(self)
            self.connection.abort()
        self.task = None
        return Exchange.finished(self)

    @property
    def closed(self):
        """Whether the client has gone."""
        return self.connection.closed
