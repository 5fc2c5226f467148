# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Frames of WebSockets (RFC 6455, section 5): those of a client as bytes come in, and those of a server as bytes.

The reader is asked for one message or control frame after the other, so that who is slow is not given more than asked for.
It keeps what has come of a frame, never room for what a frame announces.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    object PyUnicode_DecodeUTF8Stateful(const char* data, Py_ssize_t size, const char* errors, Py_ssize_t* consumed)


cdef enum:
    FIN = 0x80
    RESERVED = 0x70
    COMPRESSED = 0x40       # the first reserved bit: permessage-deflate (RFC 7692, section 6)
    MASKED = 0x80
    KEY_SIZE = 4
    CONTROL_LIMIT = 125
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    MESSAGE_TOO_BIG = 1009
    NOTHING = -1            # the frame has not come to its end


class BrokenFrame(Exception):
    """A frame that ends the connection, with the close code (RFC 6455, section 7.4.1) and reason to tell the client."""

    def __init__(self, code, reason):
        super().__init__(code, reason)

    @property
    def code(self):
        return self.args[0]

    @property
    def reason(self):
        return self.args[1]


cdef class FrameReader:
    """Reads what one client sends."""

    def __init__(self, max_size, inflate=None):
        self.max_size = max_size
        self.inflate = inflate
        self.data = b""

    def feed(self, bytes data):
        """Add bytes from the client."""
        self.add(data)

    def next(self):
        """The next message or control frame: (opcode, value); None when more bytes are needed for it."""
        cdef int opcode = self.read()
        return None if opcode == NOTHING else (opcode, self.value)

    cdef int add(self, bytes data) except -1:
        self.data = self.data[self.at:] + data if self.has_more() else data
        self.at = 0
        return 0

    cdef bint has_more(self) noexcept:
        """Whether there are bytes that nobody has asked for."""
        return self.at < PyBytes_GET_SIZE(self.data)

    @property
    def has_unread(self):
        """Whether there are bytes behind what `next` has given last."""
        return self.has_more()

    @property
    def held(self):
        """How many bytes of an unfinished frame and message it keeps."""
        return self.head_size + len(self.payload or b"") + len(self.message or b"")

    cpdef clear(self):
        """Forget all that has come. Nothing more is to be read."""
        self.data = b""
        self.at = 0
        self.payload = self.message = self.value = None

    cdef int read(self) except -2:
        """The opcode of what comes next, which `value` is then: TEXT, BINARY, CLOSE, PING, PONG; else NOTHING."""
        cdef object payload
        cdef int opcode
        while self.has_head or self._read_head():
            payload = self._read_payload()
            if payload is None:
                break
            self.has_head = False
            self.head_size = 0
            if self.opcode & CLOSE:
                self.value = bytes(payload)
                return self.opcode
            opcode = self._take_data(payload)
            if opcode != NOTHING:
                return opcode
        return NOTHING

    cdef bint _read_head(self) except -1:
        """Read on in the head of a frame; whether that is complete."""
        cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(self.data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(self.data)
        while self.at < end and not self.has_head:
            self.head[self.head_size] = data[self.at]
            self.head_size += 1
            self.at += 1
            if self.head_size == 2:
                self._check_start()
            if self.head_size == self.head_end - KEY_SIZE:
                self._check_head()
            elif self.head_size == self.head_end:
                self.has_head = True
        return self.has_head

    cdef int _check_start(self) except -1:
        """Look at the first two bytes, which say where the head ends."""
        cdef int size = self.head[1] & 0x7F
        self.opcode = self.head[0] & 0x0F
        if self.opcode & 7 > 2:
            raise BrokenFrame(PROTOCOL_ERROR, "invalid opcode")
        if not self.head[1] & MASKED:
            raise BrokenFrame(PROTOCOL_ERROR, "incorrect masking")
        self.head_end = 2 + (2 if size == 126 else 8 if size == 127 else 0) + KEY_SIZE
        return 0

    cdef int _check_head(self) except -1:
        """Look at the head without its key: is there to be such a frame at this place (RFC 6455, sections 5.2 to 5.5)?"""
        cdef uint64_t size = self.head[1] & 0x7F
        cdef int at
        cdef bint is_control = self.opcode & CLOSE != 0
        cdef int reserved = self.head[0] & RESERVED
        if self.inflate is not None and (self.opcode == TEXT or self.opcode == BINARY):
            reserved &= ~COMPRESSED
        if self.head_size > 2:
            size = 0
            for at in range(2, self.head_size):
                size = size << 8 | self.head[at]
        if not is_control and size > <uint64_t> self._room():
            raise BrokenFrame(MESSAGE_TOO_BIG, f"message of more than {self.max_size} bytes")
        if reserved:
            raise BrokenFrame(PROTOCOL_ERROR, "reserved bits must be 0")
        if is_control:
            if size > CONTROL_LIMIT:
                raise BrokenFrame(PROTOCOL_ERROR, "control frame too long")
            if not self.head[0] & FIN:
                raise BrokenFrame(PROTOCOL_ERROR, "fragmented control frame")
            if self.opcode == CLOSE and self.message is not None:
                raise BrokenFrame(PROTOCOL_ERROR, "incomplete fragmented message")
        elif self.opcode == CONTINUATION:
            if self.message is None:
                raise BrokenFrame(PROTOCOL_ERROR, "unexpected continuation frame")
        elif self.message is not None:
            raise BrokenFrame(PROTOCOL_ERROR, "expected a continuation frame")
        self.fin = self.head[0] & FIN != 0
        self.size = <Py_ssize_t> size
        return 0

    cdef Py_ssize_t _room(self) noexcept:
        """How many bytes the message may still have."""
        return self.max_size if self.message is None else self.max_size - PyByteArray_GET_SIZE(self.message)

    cdef object _read_payload(self):
        """The whole payload, unmasked; None as long as some of it is missing."""
        cdef Py_ssize_t there = 0 if self.payload is None else PyByteArray_GET_SIZE(self.payload)
        cdef Py_ssize_t part = min(self.size - there, PyBytes_GET_SIZE(self.data) - self.at)
        cdef const unsigned char* masked = <const unsigned char*> PyBytes_AS_STRING(self.data) + self.at
        cdef const unsigned char* key = self.head + self.head_end - KEY_SIZE
        cdef object whole
        if there == 0 and part == self.size:
            whole = PyBytes_FromStringAndSize(NULL, part)
            _unmask(<unsigned char*> PyBytes_AS_STRING(whole), masked, part, key, 0)
            self.at += part
            return whole
        if part:
            if self.payload is None:
                self.payload = bytearray()
            PyByteArray_Resize(self.payload, there + part)
            _unmask(<unsigned char*> PyByteArray_AS_STRING(self.payload) + there, masked, part, key, there)
            self.at += part
        if there + part < self.size:
            return None
        whole, self.payload = self.payload, None
        return whole

    cdef int _take_data(self, object payload) except -2:
        """Take the payload of a data frame, bytes or bytearray; the message's opcode when that ends here."""
        cdef bint is_first = self.opcode != CONTINUATION
        if is_first:
            self.is_text = self.opcode == TEXT
        if self.inflate is not None:
            payload = self.inflate(self.opcode, payload, self.fin, self.head[0] & COMPRESSED != 0, self._room())
        if is_first and self.fin:
            self.length = len(payload)
            self.value = _text(payload) if self.is_text else bytes(payload)
            return self.opcode
        if is_first:
            self.message = bytearray()
            self.valid = 0
        self.message += payload
        if not self.fin:
            if self.is_text:
                self._check_text()
            return NOTHING
        self.length = PyByteArray_GET_SIZE(self.message)
        self.value = _text(self.message) if self.is_text else bytes(self.message)
        self.message = None
        return TEXT if self.is_text else BINARY

    cdef int _check_text(self) except -1:
        """Refuse text as soon as a fragment shows that it is no UTF-8, whatever is still to come."""
        cdef Py_ssize_t consumed = 0
        cdef const char* data = PyByteArray_AS_STRING(self.message)
        try:
            PyUnicode_DecodeUTF8Stateful(
                data + self.valid, PyByteArray_GET_SIZE(self.message) - self.valid, NULL, &consumed
            )
        except UnicodeDecodeError as exc:
            raise _invalid(exc, self.valid) from None
        self.valid += consumed
        return 0


cdef object _text(object payload):
    cdef const char* data
    try:
        if type(payload) is bytes:
            return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), NULL)
        return PyUnicode_DecodeUTF8(PyByteArray_AS_STRING(payload), PyByteArray_GET_SIZE(payload), NULL)
    except UnicodeDecodeError as exc:
        raise _invalid(exc, 0) from None


cdef object _invalid(object exc, Py_ssize_t before):
    return BrokenFrame(INVALID_DATA, f"{exc.reason} at position {before + exc.start}")


cdef void _unmask(
    unsigned char* to, const unsigned char* masked, Py_ssize_t size, const unsigned char* key, Py_ssize_t before
) noexcept nogil:
    """Unmask (RFC 6455, section 5.3) the bytes of a payload that stand behind `before` others, eight at a time."""
    cdef unsigned char turned[8]
    cdef uint64_t wide
    cdef uint64_t word
    cdef Py_ssize_t at = 0
    for at in range(8):
        turned[at] = key[(before + at) & 3]
    memcpy(&wide, turned, 8)
    at = 0
    while at + 8 <= size:
        memcpy(&word, masked + at, 8)
        word ^= wide
        memcpy(to + at, &word, 8)
        at += 8
    while at < size:
        to[at] = masked[at] ^ turned[at & 7]
        at += 1


cpdef bytes frame(int opcode, object payload, bint compressed=False):
    """A whole message, or a control frame, as a server sends it: in one frame, not masked."""
    cdef const char* data
    cdef Py_ssize_t size
    cdef int head_size
    cdef int at
    cdef bytes result
    cdef unsigned char* to
    if type(payload) is bytes:
        data = PyBytes_AS_STRING(payload)
        size = PyBytes_GET_SIZE(payload)
    elif isinstance(payload, str):
        data = PyUnicode_AsUTF8AndSize(payload, &size)
    else:
        payload = bytes(memoryview(payload))
        data = PyBytes_AS_STRING(payload)
        size = PyBytes_GET_SIZE(payload)
    head_size = 2 if size < 126 else 4 if size < 65536 else 10
    result = PyBytes_FromStringAndSize(NULL, head_size + size)
    to = <unsigned char*> PyBytes_AS_STRING(result)
    to[0] = FIN | (COMPRESSED if compressed else 0) | opcode
    if head_size == 2:
        to[1] = <unsigned char> size
    else:
        to[1] = 126 if head_size == 4 else 127
        for at in range(2, head_size):
            to[at] = <unsigned char> (<uint64_t> size >> (8 * (head_size - 1 - at)))
    memcpy(to + head_size, data, size)
    return result
