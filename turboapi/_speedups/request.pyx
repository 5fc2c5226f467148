# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""One request and its response, whatever carried them.

`Exchange` holds what the pipeline reads (method, path, query, headers, path values, body) and declares the few verbs by
which it answers. The two entrances subclass it: `http.HttpExchange` (our server) and `asgi.AsgiExchange` (any other).

A verb that may have to wait returns None when it is done, or an awaitable.
"""

from turboapi._speedups.headers cimport find_headers
from turboapi._speedups.query cimport parse_cookies, parse_query


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

    cpdef object get_request(self, object factory):
        """The framework's Request for this exchange: made once, by `factory(scope, receive, send)`."""
        if self.request is None:
            self.request = factory(self.scope(), self.receive, self.send)
        return self.request

    cpdef dict scope(self):
        """The ASGI scope of this request; the same dict each time."""
        raise NotImplementedError

    cdef object read_body(self):
        """Make `body` the whole request body."""
        raise NotImplementedError

    cdef object respond(self, int status, list headers, object body):
        """Send a complete response: `headers` are raw pairs, `body` is bytes or a memoryview."""
        raise NotImplementedError

    cdef object respond_json(self, int status, bytes body, list extra):
        """Send `body` as application/json, with the `extra` raw header pairs (or None)."""
        raise NotImplementedError

    cdef object fail(self, object exc):
        """The pipeline raised `exc`: an awaitable that answers it, or raises it further."""
        raise NotImplementedError

    cdef int flush(self) except -1:
        """Let nothing that has been answered wait for what the pipeline still does."""
        return 0

    cdef int finished(self) except -1:
        """The pipeline has ended, however it ended."""
        self.request = None  # it holds methods of this object: a cycle
        return 0
