# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Large bodies of a known length: from the socket into the bytes that the application gets, with no parser in between.

While such a body arrives, a `BodyReader` is its transport's protocol, an `asyncio.BufferedProtocol`. It offers the transport
no more room than the body has bytes left, so that what follows the body stays in the socket.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from turboapi._speedups.exchange cimport Connection


cdef enum:
    READ_SIZE = 256000  # as uvloop reads; no power of two, for which Linux looks for as much memory in one piece per write


cdef class ReadBuffer:
    """Where the connections of a loop, which read one after the other, read into."""

    cdef char* start(self) except NULL:
        if self.data is None:
            self.data = PyBytes_FromStringAndSize(NULL, READ_SIZE)
        return PyBytes_AS_STRING(self.data)

    cdef bytes take(self, Py_ssize_t size):
        """The first `size` bytes, which have been read."""
        cdef bytes data = self.data
        if size < READ_SIZE:
            return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), size)
        self.data = None  # PERF: a full one is given away, as copying it would cost as much as reading it
        return data


cdef class BodyReader:
    """The protocol of a transport from which the rest of one body is read."""

    @staticmethod
    cdef BodyReader new(Connection connection, ReadBuffer buffer, Py_ssize_t missing):
        cdef BodyReader reader = BodyReader.__new__(BodyReader)
        reader.connection = connection
        reader.buffer = buffer
        reader.missing = missing
        return reader

    def get_buffer(self, sizehint):
        return self

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.buffer.start(), min(self.missing, READ_SIZE), False, flags)

    def buffer_updated(self, Py_ssize_t size):
        self.missing -= size
        self.connection.body_arrived(self.buffer.take(size), self.missing == 0)

    def connection_lost(self, exc):
        self.connection.connection_lost(exc)

    def eof_received(self):
        return self.connection.eof_received()

    def pause_writing(self):
        self.connection.pause_writing()

    def resume_writing(self):
        self.connection.resume_writing()
