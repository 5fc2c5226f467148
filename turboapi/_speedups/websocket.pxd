from turboapi._speedups.arrivals cimport Arrival, Arrivals
from turboapi._speedups.frames cimport FrameReader
from turboapi._speedups.outlet cimport Outlet


cdef class Channel


cdef class Reception(Arrival):
    cdef Channel channel

    cdef Reception wait(self)


cdef class Channel:
    cdef readonly object loop
    cdef readonly object transport
    cdef readonly FrameReader reader
    cdef object deflate                 # see the .pyi; None: nothing is compressed
    cdef public bint is_early           # neither accepted nor refused: nothing is read
    cdef public bint is_open            # accepted, and closed by neither side
    cdef public bint is_deaf            # what still comes is thrown away
    cdef public bint is_lost            # the transport is closed
    # what comes in
    cdef readonly bint read_paused
    cdef Py_ssize_t limit               # messages in the inbox before reading is paused
    cdef readonly list inbox            # what `take` gives
    cdef Py_ssize_t waiting             # about how many bytes they are
    cdef public dict goodbye            # what `receive` gives behind the inbox, from then on; None: nothing yet
    cdef Arrivals arrivals              # of those who wait in `receive`
    # what goes out
    cdef Outlet outlet
    cdef readonly bint write_paused
    cdef list writable                  # futures of those who wait in `send`

    cdef bint _is_full(self) except -1
    cdef int _read_on(self) except -1
    cdef int _read_one(self) except -1
    cdef object take(self)
    cdef bint _post(self, int opcode, object content) except -1
    cdef bytes _frame(self, object message)
    cdef bytes _pack(self, int opcode, object data)
    cdef int _pause_reading(self, bint pause) except -1
