# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The way out of a connection: to its socket at once as far as that takes the bytes, else by its transport."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <sys/ioctl.h>
    #ifdef __linux__
    #include <linux/sockios.h>
    #endif
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif

    /* The bytes of a socket that its peer has not acknowledged, 0 where the system does not tell. */
    static int turboapi_unacknowledged(int fd) {
        int size = 0;
    #ifdef SIOCOUTQ
        if (ioctl(fd, SIOCOUTQ, &size) != 0) return 0;
    #endif
        return size;
    }

    /* Closing the socket drops what the kernel still has to send, and tells the peer that something is missing. */
    static void turboapi_reset_on_close(int fd) {
        struct linger none = {1, 0};
        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    """
    ssize_t send(int fd, const void* data, size_t size, int flags) nogil
    int turboapi_unacknowledged(int fd) nogil
    void turboapi_reset_on_close(int fd) nogil
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

    cdef bint is_stuck(self, double now, double timeout) except -1:
        """Whether the client has taken nothing for `timeout` seconds (0: no limit) of what is left for it: abort it then.

        To be asked again and again: it compares what is left. The kernel's share of that moves with every packet, while
        the transport hears of it only when there is room for much more; and below TLS there is a second transport, which
        cannot be asked.
        """
        cdef Py_ssize_t left = self.transport.get_write_buffer_size() if self.is_buffered else 0
        if left or self.socket < 0:
            left += turboapi_unacknowledged(self.descriptor)
        if left == 0:
            self.patience = 0.0
            return False
        if left != self.left or not self.patience:
            self.left = left
            self.patience = now + timeout
        if self.patience > now or timeout <= 0:
            return False
        turboapi_reset_on_close(self.descriptor)
        return True

    cdef int moved(self) noexcept:
        """The client has taken what was left, if there is as much of it again."""
        self.patience = 0.0
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
    outlet.descriptor = -1 if socket is None else socket.fileno()
    outlet.socket = outlet.descriptor if is_plain else -1
    outlet.is_buffered = True
    return outlet
