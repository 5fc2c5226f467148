cdef class Arrivals:
    cdef object loop
    cdef list waiting                           # each `Arrival` that is neither done nor cancelled

    cdef Arrival add(self)
    cdef int forget(self, Arrival arrival) except -1
    cdef int wake(self) except -1
    cdef int wake_now(self) except -1


cdef class Arrival:
    cdef Arrivals arrivals
    cdef public bint _asyncio_future_blocking   # awaited: the mark by which a Task knows a future
    cdef bint is_awaited
    cdef bint is_done
    cdef bint is_cancelled
    cdef object cancel_message
    cdef object callback                        # of the Task that waits, and its context
    cdef object context

    cdef int arrive(self) except -1
    cdef int arrive_now(self) except -1
