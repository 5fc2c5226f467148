cdef class Outlet:
    cdef object transport
    cdef int socket                     # to which bytes can be sent past the transport, or -1
    cdef bint is_buffered               # the transport may hold bytes that have to leave first

    cdef int write(self, bytes data) except -1
    cdef int shut(self) except -1


cdef Outlet new_outlet(object transport)
