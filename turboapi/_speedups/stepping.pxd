from cpython.object cimport PyObject

from turboapi._speedups.tasks cimport CoroutineView


cdef class Outermost


cdef class Signal:
    cdef readonly object loop
    cdef public bint _asyncio_future_blocking   # awaited: the mark by which a Task knows a future
    cdef bint is_done
    cdef bint is_cancelled
    cdef object cancel_message
    cdef object callback                        # of the Task that waits, and its context
    cdef object context
    cdef object task                            # the Task itself, as far as it is known
    cdef Outermost outermost                    # ... whose endpoint may be resumed past the Task; None: it may not

    cdef int retire(self) except -1
    cdef bint give_way(self, Signal other) except -1
    cdef int arrive(self) except -1
    cdef int arrive_now(self) except -1
    cdef int _wake_task(self) except -1


cdef class Innermost(CoroutineView):
    cdef bint is_over                           # it has ended, and is to say how
    cdef object result
    cdef object failure

    cdef bint _is_reached_from(self, object coroutine) except -1


cdef class Outermost(CoroutineView):
    cdef Innermost innermost                    # the endpoint, from its first step to its end
    cdef bint is_direct                         # it may be resumed directly
    cdef bint is_started
    cdef bint is_ending                         # the endpoint has ended, of which the others do not know
    cdef bint is_pending                        # it has suspended, of which the Task does not know
    cdef object waits_for                       # ... on this
    cdef bint is_awaited                        # ... by `await`, which marks it

    cdef bint can_go_on(self, Signal signal) except -1
    cdef int go_on(self, Signal signal) except -1
    cdef object _send(self, object value)
    cdef bint _step_innermost(self, PyObject** outcome) except -1
    cdef object _hand_over(self)
    cdef object _marked(self, object future)
    cdef int _let_go(self) except -1
