from turboapi._speedups.access cimport AccessLog
from turboapi._speedups.arrivals cimport Arrivals
from turboapi._speedups.endpoint cimport Site
from turboapi._speedups.request cimport Exchange, ScopeHook
from turboapi._speedups.tasks cimport Runner


cdef class Settings:
    cdef readonly Py_ssize_t limit_header_size
    cdef readonly Py_ssize_t limit_header_count
    cdef readonly Py_ssize_t limit_request_line
    cdef readonly Py_ssize_t limit_body             # 0: none
    cdef readonly Py_ssize_t limit_pipeline
    cdef readonly double timeout_keep_alive
    cdef readonly double timeout_header
    cdef readonly double timeout_body
    cdef readonly double timeout_write
    cdef readonly str root_path
    cdef readonly AccessLog access_log             # None: nobody reads it
    cdef readonly Py_ssize_t limit_concurrency      # 0: none
    cdef readonly object proxies                    # who is trusted about clients, None: nobody
    cdef readonly list headers                      # sent with every response, None: none
    cdef readonly str health_path                   # None: there is none
    cdef readonly int write_flags                   # WRITE_NO_* of writer


cdef class Connection:
    """What an exchange needs of the connection that carries it; `protocol.HttpProtocol` fills it in."""

    cdef readonly object loop
    cdef readonly Runner runner
    cdef readonly Settings settings
    cdef readonly object state          # the lifespan's state
    cdef readonly object client         # (host, port) or None
    cdef readonly object server
    cdef readonly str scheme
    cdef bint proxied                   # the peer is a trusted proxy, which may name another client and scheme
    cdef bint closed                    # the transport is gone
    cdef bint draining                  # the server is stopping: no keep-alive

    cdef int write(self, bytes data) except -1
    cdef int push(self) except -1
    cdef object drain(self)
    cdef int open_output(self) except -2
    cdef int close_output(self) except -1
    cdef bint is_ending(self)
    cdef int wants_reading(self) except -1
    cdef int answered(self, HttpExchange exchange) except -1
    cdef int dropped(self, HttpExchange exchange) except -1
    cdef int abort(self) except -1
    cdef int body_arrived(self, bytes data, bint last) except -1


cdef class HttpExchange(Exchange):
    cdef Connection connection
    cdef Site site
    cdef readonly bytes target_bytes    # the request target as received
    cdef readonly str http_version
    cdef bint keep_alive
    cdef double began                   # when the head had arrived, if somebody wants to know; 0 else
    cdef bint expects_continue          # the client waits for a go-ahead before it sends the body
    # the body, as it arrives
    cdef list chunks
    cdef Py_ssize_t buffered            # bytes in `chunks`
    cdef Py_ssize_t received            # bytes of the body so far
    cdef bint complete                  # the whole request has arrived
    cdef object task                    # which answers it, if that is to be cancelled when the client leaves
    cdef bint delivered                 # `receive` has handed over the end of the body
    cdef readonly int refused                    # status with which the rest of the body was refused, 0: none
    cdef Arrivals arrivals              # of the `receive`s that wait, None before the first one
    # the response
    cdef readonly int status
    cdef bint answered                  # the response is complete
    cdef bint chunked
    cdef Py_ssize_t missing             # bytes of the announced content-length still to come, -1: none announced
    cdef list pending_head              # raw headers of a response whose first body part has not come yet

    cpdef dict new_scope(self, str kind, str spec_version)
    cdef object client(self)
    cdef str scheme(self)
    cdef object forwarded(self, Py_ssize_t index)
    cdef object request_id(self)
    cdef int add_chunk(self, bytes data) except -1
    cdef int end_body(self) except -1
    cdef int refuse_body(self, int status) except -1
    cdef int take_body(self) except -1
    cdef int disconnect(self) except -1
    cdef int wake(self) except -1
    cdef int wake_now(self) except -1
    cdef int flags(self) noexcept
    cdef int finish_answer(self) except -1
    cdef int start_response(self, int status, list headers) except -1
    cdef int write_head(self, bytes body, bint last) except -1
    cdef int write_part(self, object data, bint last) except -1
    cdef int _write_json(self, int status, bytes body, list extra) except -1
    cdef int respond_whole(self, int status, list headers, object body) except -1
    cdef int go_ahead(self) except -1
