# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Raw header pairs: ``list[tuple[bytes, bytes]]``, names in lower case, order and repetitions as received.

Names and values are bytes on the wire and stay bytes until somebody asks for text.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE


# The names that nearly every request carries, in the spellings that clients use: one dict look-up instead of a new object.
cdef dict _COMMON = {}
for _name in (
    b"Accept", b"Accept-Encoding", b"Accept-Language", b"Authorization", b"Cache-Control", b"Connection",
    b"Content-Length", b"Content-Type", b"Cookie", b"DNT", b"Expect", b"Forwarded", b"Host", b"If-Modified-Since",
    b"If-None-Match", b"If-Range", b"Keep-Alive", b"Origin", b"Pragma", b"Priority", b"Range", b"Referer",
    b"Sec-CH-UA", b"Sec-CH-UA-Mobile", b"Sec-CH-UA-Platform", b"Sec-Fetch-Dest", b"Sec-Fetch-Mode", b"Sec-Fetch-Site",
    b"Sec-Fetch-User", b"TE", b"Trailer", b"Transfer-Encoding", b"Upgrade", b"Upgrade-Insecure-Requests", b"User-Agent",
    b"Via", b"X-API-Key", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-Real-IP", b"X-Request-ID",
    b"X-Requested-With", b"X-Token",
):
    _COMMON[_name] = _COMMON[_name.lower()] = _name.lower()


cdef bytes lower_name(bytes name):
    """`name` in lower case; an interned object for the common names."""
    cdef object known = _COMMON.get(name)
    return <bytes> known if known is not None else name.lower()


cdef bytes find_header(list headers, bytes name):
    """The first value of `name` (lower case), or None."""
    cdef tuple pair
    for pair in headers:
        if <bytes> pair[0] == name:
            return <bytes> pair[1]
    return None


cdef list find_headers(list headers, bytes name):
    """Every value of `name` (lower case), in order."""
    cdef tuple pair
    cdef list found = []
    for pair in headers:
        if <bytes> pair[0] == name:
            found.append(pair[1])
    return found


cdef bint _is_token(bytes name) noexcept:
    cdef const unsigned char* text = <const unsigned char*> PyBytes_AS_STRING(name)
    cdef Py_ssize_t i, size = PyBytes_GET_SIZE(name)
    for i in range(size):
        if text[i] <= 0x20 or text[i] >= 0x7F or text[i] == 0x3A:
            return False
    return size > 0


cdef bint _is_field_value(bytes value) noexcept:
    cdef const unsigned char* text = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef Py_ssize_t i, size = PyBytes_GET_SIZE(value)
    for i in range(size):
        if (text[i] < 0x20 and text[i] != 0x09) or text[i] == 0x7F:
            return False
    return True


cpdef int check_headers(list headers) except -1:
    """Refuse response headers that would break the message's framing (RFC 9110, section 5.5).

    `headers` is a list of (name, value) pairs of bytes. Raises ValueError for a name that is no token-like text or a
    value with a control character (CR, LF, NUL, ...), TypeError for anything but bytes; returns 0 otherwise.
    """
    for pair in headers:
        name, value = pair
        if type(name) is not bytes or type(value) is not bytes:
            raise TypeError("Response headers must be pairs of bytes")
        if not _is_token(name):
            raise ValueError(f"Invalid response header name: {name!r}")
        if not _is_field_value(value):
            raise ValueError(f"Invalid value for response header {name.decode('latin-1')!r}: control characters")
    return 0
