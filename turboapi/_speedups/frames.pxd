cdef enum:
    # opcodes (RFC 6455, section 5.2)
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


cdef class FrameReader:
    cdef readonly Py_ssize_t max_size
    cdef object inflate                 # see the .pyi; None: nothing is compressed
    cdef bytes data                     # read, and taken up to `at`
    cdef Py_ssize_t at
    # the frame being read
    cdef unsigned char head[14]
    cdef int head_size                  # bytes of it that are there
    cdef int head_end                   # how many there are to be
    cdef bint has_head                  # it is complete: the payload follows
    cdef int opcode
    cdef bint fin
    cdef Py_ssize_t size                # of the payload
    cdef bytearray payload              # as far as it is there, unmasked; None: nothing yet
    # the message being read
    cdef bint is_text
    cdef bytearray message              # its fragments; None: no message has begun
    cdef Py_ssize_t valid               # bytes of it that are known to be UTF-8
    # what has been read: a message (str, bytes), or the payload of a control frame
    cdef object value
    cdef Py_ssize_t length              # of a message, in bytes

    cdef int add(self, bytes data) except -1
    cdef bint has_more(self) noexcept
    cpdef clear(self)
    cdef int read(self) except -2
    cdef bint _read_head(self) except -1
    cdef int _check_start(self) except -1
    cdef int _check_head(self) except -1
    cdef object _read_payload(self)
    cdef int _take_data(self, object payload) except -2
    cdef int _check_text(self) except -1
    cdef Py_ssize_t _room(self) noexcept


cpdef bytes frame(int opcode, object payload, bint compressed=*)
