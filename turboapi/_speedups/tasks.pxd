cdef class Runner:
    cdef readonly object loop
    cdef readonly set suspended     # tasks that wait for something: asyncio itself holds them weakly only

    cdef int run(self, object coroutine) except -1
    cdef int _run_lazily(self, object coroutine) except -1
    cdef int _keep(self, object task) except -1
    cdef int cancel_all(self) except -1
