cdef class Outlet:
    cdef object transport
    cdef int socket                     # to which bytes can be sent past the transport, or -1
    cdef int descriptor                 # of the transport's socket, -1 without one
    cdef bint is_buffered               # the transport may hold bytes that have to leave first
    cdef Py_ssize_t left                # bytes that the client had not taken when `is_stuck` was asked last
    cdef double patience                # loop time until which it has to take some of them, 0: there were none

    cdef int write(self, bytes data) except -1
    cdef bint is_stuck(self, double now, double timeout) except -1
    cdef int moved(self) noexcept
    cdef int shut(self) except -1


cdef Outlet new_outlet(object transport)
