from turboapi._speedups.arguments cimport Call
from turboapi._speedups.dispatch cimport Dispatch

cdef enum:
    MODE_ASYNC = 0          # a coroutine function
    MODE_THREAD = 1         # a plain function: a worker thread, or inline
    MODE_DIRECT = 2         # of a dependency: a plain function of our own, called as it is
    MODE_ASYNC_GENERATOR = 3
    MODE_GENERATOR = 4
    MODE_COLLECT = 5        # of an endpoint: it is not called, the result is what it would be called with


cdef class Visit:
    cdef readonly Call call
    cdef readonly int mode
    cdef readonly Py_ssize_t reuse      # the visit whose value this one takes over, or -1: call it
    cdef readonly bint function_scope   # a generator's exit code runs before the response is sent
    cdef readonly object limit          # () -> async context manager around the call, or None
    cdef readonly Dispatch dispatch     # of a plain function that may be called inline, or None
    cdef readonly tuple sources         # the dispatches of the plain functions whose values it is given
