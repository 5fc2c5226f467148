cdef class Runner:
    cdef readonly object loop
    cdef readonly set suspended     # tasks that wait for something: asyncio itself holds them weakly only

    cdef object run(self, object coroutine)
    cdef object run_inside(self, object coroutine)
    cdef object _run_eagerly(self, object coroutine)
    cdef object _run_lazily(self, object coroutine)
    cdef object _keep(self, object task)
    cdef int cancel_all(self) except -1
