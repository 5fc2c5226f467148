from turboapi._speedups.stepping cimport Signal


cdef class Arrivals:
    cdef readonly object loop
    cdef Arrival first                          # of those that are neither done nor cancelled
    cdef Arrival last

    cdef Arrival add(self)
    cdef int append(self, Arrival arrival) except -1
    cdef int forget(self, Arrival arrival) except -1
    cdef Arrival _release(self)
    cdef int wake(self) except -1
    cdef int wake_now(self) except -1


cdef class Arrival(Signal):
    cdef Arrivals arrivals
    cdef bint is_awaited
    cdef Arrival following                      # who has come next
