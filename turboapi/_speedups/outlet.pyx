# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The way out of a connection: to its socket at once as far as that takes the bytes, else by its transport."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef extern from *:
    """
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    """
    ssize_t send(int fd, const void* data, size_t size, int flags) nogil
    int MSG_DONTWAIT
    int MSG_NOSIGNAL


cdef class Outlet:
    """Writes the bytes of one connection."""

    cdef int write(self, bytes data) except -1:
        """Hand bytes to the socket as far as it takes them at once, and the rest to the transport.

        PERF: a transport would do the same, later and with more ado. It closes the socket only after `connection_lost`.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t sent
        if self.socket >= 0 and size and (not self.is_buffered or not self.transport.get_write_buffer_size()):
            sent = send(self.socket, PyBytes_AS_STRING(data), size, MSG_DONTWAIT | MSG_NOSIGNAL)
            self.is_buffered = sent != size
            if not self.is_buffered:
                return 0
            if sent > 0:
                data = data[sent:]
        self.transport.write(data)
        return 0

    cdef int shut(self) except -1:
        """Leave the socket to the transport: it is being closed."""
        self.socket = -1
        return 0


cdef Outlet new_outlet(object transport):
    """The outlet of a transport, which may hold bytes already."""
    cdef Outlet outlet = Outlet.__new__(Outlet)
    cdef object socket = transport.get_extra_info("socket")
    # Only a plain socket carries exactly the bytes that are written to the transport.
    cdef bint is_plain = socket is not None and transport.get_extra_info("sslcontext") is None
    outlet.transport = transport
    outlet.socket = socket.fileno() if is_plain else -1
    outlet.is_buffered = True
    return outlet
