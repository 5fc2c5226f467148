# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Query strings, request paths and Cookie headers: bytes -> text.

In: the bytes as they came off the wire. Out: text, value for value what `urllib.parse` and `http.cookies` make of the
same bytes read as latin-1. Any bytes are accepted (what cannot be decoded becomes U+FFFD), and the time is linear in
their number.

    a=1&b=two+words&c=%C3%A9      parse_query    [("a", "1"), ("b", "two words"), ("c", "é")]
    /files/a%20b                  unquote_path   "/files/a b"
    a=1; b="x\\054y"               parse_cookies  {"a": "1", "b": "x,y"}
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_AsString, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.string cimport memchr

from turboapi._speedups.ascii cimport hex_value

ctypedef const unsigned char* Bytes

cdef enum:
    STACK_SIZE = 512    # decoded pieces up to this size need no heap memory


cdef inline Bytes _start(bytes raw) except NULL:
    return <Bytes>PyBytes_AsString(raw)     # unlike the macro, it raises TypeError for None


cdef inline Bytes _find(Bytes p, Bytes end, int c) noexcept nogil:
    """The first `c` in [p, end), or `end`."""
    cdef Bytes found = <Bytes>memchr(p, c, end - p)
    return end if found == NULL else found


cdef inline str _latin1(Bytes p, Bytes end):
    return PyUnicode_DecodeLatin1(<const char*>p, end - p, NULL)


# --- percent-encoding (RFC 3986 §2.1) ---------------------------------------------------------------------------------


cdef Py_ssize_t _write_unescaped(Bytes p, Bytes end, unsigned char* out, bint plus) noexcept nogil:
    """Write [p, end) as UTF-8 (not necessarily valid) and return the size, at most twice that of the input.

    An escape stands for a byte, and a raw byte above 127 for the latin-1 character, hence for two bytes. No escaped byte
    can merge with these two: they are a complete sequence.
    """
    cdef unsigned char* start = out
    cdef unsigned char c
    cdef int high, low
    while p < end:
        c = p[0]
        p += 1
        if c == c'%' and end - p >= 2:
            high = hex_value(p[0])
            low = hex_value(p[1])
            if high >= 0 and low >= 0:
                c = high << 4 | low
                p += 2
        elif c >= 0x80:
            out[0] = 0xC0 | c >> 6
            out += 1
            c = 0x80 | c & 0x3F
        elif c == c'+' and plus:
            c = c' '
        out[0] = c
        out += 1
    return out - start


cdef str _unescape(Bytes p, Bytes end, bint plus):
    """Percent-decoded text of [p, end); with `plus`, "+" is a space."""
    cdef unsigned char stack[STACK_SIZE]
    cdef unsigned char* out = stack
    cdef bytes heap
    if 2 * (end - p) > STACK_SIZE:
        heap = PyBytes_FromStringAndSize(NULL, 2 * (end - p))
        out = <unsigned char*>PyBytes_AS_STRING(heap)
    return PyUnicode_DecodeUTF8(<const char*>out, _write_unescaped(p, end, out, plus), "replace")


cdef inline str _query_text(Bytes p, Bytes end, bint escaped):
    if escaped and (_find(p, end, c'%') < end or _find(p, end, c'+') < end):
        return _unescape(p, end, True)
    return _latin1(p, end)


cpdef list parse_query(bytes raw):
    cdef list pairs = []
    cdef Bytes p = _start(raw)
    cdef Bytes end = p + PyBytes_GET_SIZE(raw)
    cdef bint escaped = _find(p, end, c'%') < end or _find(p, end, c'+') < end
    cdef Bytes stop, equals
    while p < end:
        stop = _find(p, end, c'&')
        if stop > p:
            equals = _find(p, stop, c'=')
            pairs.append((
                _query_text(p, equals, escaped),
                _query_text(equals + 1, stop, escaped) if equals < stop else "",
            ))
        p = stop + 1
    return pairs


cpdef str unquote_path(bytes raw):
    cdef Bytes p = _start(raw)
    cdef Bytes end = p + PyBytes_GET_SIZE(raw)
    return _latin1(p, end) if _find(p, end, c'%') == end else _unescape(p, end, False)


# --- cookies ----------------------------------------------------------------------------------------------------------


cdef inline bint _is_space(unsigned char c) noexcept nogil:
    """What `str.strip()` removes, of the latin-1 characters."""
    return c == 0x20 or 0x09 <= c <= 0x0D or 0x1C <= c <= 0x1F or c == 0x85 or c == 0xA0


cdef inline Bytes _skip_space(Bytes p, Bytes end) noexcept nogil:
    while p < end and _is_space(p[0]):
        p += 1
    return p


cdef inline Bytes _drop_space(Bytes p, Bytes end) noexcept nogil:
    while p < end and _is_space((end - 1)[0]):
        end -= 1
    return end


cdef inline bint _is_octal_escape(Bytes p, Bytes end) noexcept nogil:
    """Whether three octal digits up to \\377 start at `p`."""
    return end - p >= 3 and c'0' <= p[0] <= c'3' and c'0' <= p[1] <= c'7' and c'0' <= p[2] <= c'7'


cdef Py_ssize_t _write_unquoted(Bytes p, Bytes end, unsigned char* out) noexcept nogil:
    """Write [p, end) with its backslash escapes resolved, as latin-1, and return the size."""
    cdef unsigned char* start = out
    cdef unsigned char c
    while p < end:
        c = p[0]
        p += 1
        if c == c'\\' and p < end and p[0] != c'\n':
            if _is_octal_escape(p, end):
                c = (p[0] - c'0') << 6 | (p[1] - c'0') << 3 | (p[2] - c'0')
                p += 3
            else:
                c = p[0]
                p += 1
        out[0] = c
        out += 1
    return out - start


cdef str _cookie_value(Bytes p, Bytes end):
    cdef bytes heap
    cdef unsigned char* out
    if end - p < 2 or p[0] != c'"' or (end - 1)[0] != c'"':
        return _latin1(p, end)
    p += 1
    end -= 1
    if _find(p, end, c'\\') == end:
        return _latin1(p, end)
    heap = PyBytes_FromStringAndSize(NULL, end - p)
    out = <unsigned char*>PyBytes_AS_STRING(heap)
    return _latin1(out, out + _write_unquoted(p, end, out))


cdef int _add_cookie(dict cookies, Bytes p, Bytes end) except -1:
    """Add one `name=value`; a text without "=" is the value of the empty name."""
    cdef Bytes equals = _find(p, end, c'=')
    cdef Bytes name_end = p
    cdef Bytes value = p
    if equals < end:
        p = _skip_space(p, equals)
        name_end = _drop_space(p, equals)
        value = equals + 1
    value = _skip_space(value, end)
    end = _drop_space(value, end)
    if p < name_end or value < end:
        cookies[_latin1(p, name_end)] = _cookie_value(value, end)
    return 0


cpdef dict parse_cookies(list values):
    cdef dict cookies = {}
    cdef bytes raw
    cdef Bytes p, end, stop
    for raw in values:
        p = _start(raw)
        end = p + PyBytes_GET_SIZE(raw)
        while p < end:
            stop = _find(p, end, c';')
            _add_cookie(cookies, p, stop)
            p = stop + 1
    return cookies


# --- lookups in pairs -------------------------------------------------------------------------------------------------


cpdef object query_get(list pairs, str key):
    cdef str name
    for name, value in reversed(pairs):
        if name == key:
            return value
    return None


cpdef list query_getlist(list pairs, str key):
    cdef str name
    return [value for name, value in pairs if name == key]
