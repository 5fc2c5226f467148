from turboapi._speedups.exchange cimport Connection


cdef class ReadBuffer:
    cdef bytes data                     # READ_SIZE bytes that nobody else has, None: to be made

    cdef char* start(self) except NULL
    cdef bytes take(self, Py_ssize_t size)


cdef class BodyReader:
    cdef Connection connection
    cdef ReadBuffer buffer
    cdef Py_ssize_t missing             # bytes of the body still to come

    @staticmethod
    cdef BodyReader new(Connection connection, ReadBuffer buffer, Py_ssize_t missing)
