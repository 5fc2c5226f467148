from turboapi._speedups.access cimport AccessLog
from turboapi._speedups.bodies cimport BodyReader, ReadBuffer
from turboapi._speedups.endpoint cimport Site
from turboapi._speedups.exchange cimport Connection, HttpExchange, Settings
from turboapi._speedups.outlet cimport Outlet
from turboapi._speedups.tasks cimport Runner


cdef enum:
    READING_HEAD = 0        # between requests, or in the middle of a head
    READING_BODY = 1


cdef class Hub:
    cdef readonly object loop
    cdef Site site
    cdef Site health                    # answers the health path; None: there is none
    cdef readonly Settings settings
    cdef readonly object state
    cdef readonly Runner runner
    cdef object context                 # in which requests begin
    cdef readonly set open              # every HTTP connection
    cdef readonly set websockets        # every connection that is a WebSocket now
    cdef object open_websocket          # see the .pyi; None: the library for it is missing
    cdef bint warned                    # that it is missing has been said
    cdef readonly long requests         # in flight
    cdef readonly long total_requests
    cdef double now                     # loop time of the last sweep
    cdef bint draining
    cdef long limit                     # of connections; 0: there is none
    cdef object on_full
    cdef object timer
    cdef ReadBuffer read_buffer         # for large bodies
    cdef bint fills_buffers             # the transports of the loop read into it
    cdef bytes known_host               # the last Host that was found valid
    cdef long refusals                  # since the last sweep

    cdef int log_refusal(self, object client, int status) except -1
    cdef int sum_up_refusals(self) except -1
    cdef bint lacks_websockets(self) except -1


cdef class HttpProtocol(Connection):
    cdef Hub hub
    cdef object transport
    cdef bint reads_bodies              # large ones, past the parser
    cdef object parser
    cdef object feed                    # parser.feed_data
    # the request being parsed
    cdef int reading
    cdef bytes target
    cdef list headers
    cdef Py_ssize_t head_size           # as far as the callbacks have seen it
    cdef Py_ssize_t fed                 # bytes read since the last head or body ended
    cdef Py_ssize_t overhead            # bytes of chunk framing and trailers
    cdef int hosts
    cdef bint expects_continue
    cdef bint states_connection         # there is a Connection header
    cdef bint is_coded                  # there is a Transfer-Encoding header
    cdef Py_ssize_t announced           # Content-Length, 0 without one
    cdef bint asks_upgrade
    cdef bint body_skipped              # by httptools, which takes it for the protocol asked for
    cdef long parts                     # of bodies that were read past the parser
    cdef HttpExchange arriving          # its body has not ended
    cdef int refusal                    # status with which the connection is to be ended, 0: none
    cdef HttpExchange handshake         # asks for a WebSocket, and is answered after the queue; None: no such request
    # the requests that wait for their answer, in order; the first one is being answered when `busy`
    cdef list queue
    cdef bint busy
    cdef bint processing                # the queue is being worked on right now
    cdef bint scheduled                 # ... or will be soon
    cdef bint surplus                   # there were too many connections when it was made
    cdef bint closing                   # when everything written has been sent
    cdef bint attentive                 # requests need a second look, see `_attend`
    cdef bint last_request              # nothing after the queue is to be read
    # output
    cdef list gathered                  # answers held back for one write, while `processing`
    cdef Py_ssize_t gathered_size
    cdef bint write_paused
    cdef Outlet outlet
    cdef list writable                  # futures of those who wait for the client to read
    cdef bint read_paused
    cdef double deadline                # of what the client owes us, in loop time; 0: nothing

    cdef int feed_data(self, bytes data) except -1
    cdef int read_rest(self) except -1
    cdef int refuse(self, int status) except -1
    cdef int keep_early(self, bytes data) except -1
    cdef int answer_last(self, int status, list headers, bytes reason) except -1
    cdef int switch(self) except -1
    cdef int process(self) except -1
    cdef int find(self, HttpExchange exchange) except -1
    cdef HttpExchange _new_exchange(self)
    cdef HttpExchange _attend(self, HttpExchange exchange)
    cdef bint is_timed(self)
    cdef int log(self, AccessLog log, HttpExchange exchange) except -1
    cdef int _set_target(self, HttpExchange exchange, bytes target) except -1
    cdef int start(self, HttpExchange exchange) except -1
    cdef int flush(self) except -1
    cdef int regulate(self) except -1
    cdef int set_deadline(self) except -1
    cdef int close(self) except -1
    cdef int linger(self) except -1
    cdef double within(self, double seconds) noexcept
    cdef int forget_queue(self) except -1
    cdef int schedule(self) except -1
    cdef int look_at_clock(self) except -1
    cdef late(self)
