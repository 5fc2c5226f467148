# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Responses as bytes: status line, header section, body, chunked framing (RFC 9112).

One allocation per response: the parts are measured, then copied into place. The lines that are the same for every response
of a second (Date, Server) are kept ready.
"""

from http import HTTPStatus

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdio cimport snprintf
from libc.string cimport memcpy
from libc.time cimport time, time_t, tm

cdef extern from "<time.h>" nogil:
    tm* gmtime_r(const time_t* timer, tm* result)


cdef list _LINES = [None] * 600
for _status in range(100, 600):
    _LINES[_status] = b"HTTP/1.1 %d \r\n" % _status
for _known in HTTPStatus:
    _LINES[_known.value] = b"HTTP/1.1 %d %s\r\n" % (_known.value, _known.phrase.encode("ascii"))

cdef enum:
    DIGITS = 24                 # room for those of any size_t

cdef bytes _LENGTH_NAME = b"content-length"
cdef bytes _LENGTH_START = b"content-length: "
cdef tuple _JSON_TYPE = (b"content-type", b"application/json")
cdef bytes _JSON_LINE = b"content-type: application/json\r\n"
cdef bytes _SERVER_LINE = b"server: turboapi\r\n"
cdef bytes _CLOSE_LINE = b"connection: close\r\n"
cdef bytes _KEEP_ALIVE_LINE = b"connection: keep-alive\r\n"
cdef bytes _CHUNKED_LINE = b"transfer-encoding: chunked\r\n"

cdef time_t _date_second = 0
cdef bytes _date_line = b""


cdef const char* _DAYS[7]
_DAYS[0] = "Sun"; _DAYS[1] = "Mon"; _DAYS[2] = "Tue"; _DAYS[3] = "Wed"; _DAYS[4] = "Thu"; _DAYS[5] = "Fri"; _DAYS[6] = "Sat"
cdef const char* _MONTHS[12]
_MONTHS[0] = "Jan"; _MONTHS[1] = "Feb"; _MONTHS[2] = "Mar"; _MONTHS[3] = "Apr"; _MONTHS[4] = "May"; _MONTHS[5] = "Jun"
_MONTHS[6] = "Jul"; _MONTHS[7] = "Aug"; _MONTHS[8] = "Sep"; _MONTHS[9] = "Oct"; _MONTHS[10] = "Nov"; _MONTHS[11] = "Dec"


cdef bytes _date():
    """The Date line of the present second. English names whatever the locale (RFC 9110, section 5.6.7)."""
    global _date_second, _date_line
    cdef time_t now = time(NULL)
    cdef tm parts
    cdef char text[64]
    cdef int size
    if now != _date_second:
        gmtime_r(&now, &parts)
        size = snprintf(
            text, 64, b"date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", _DAYS[parts.tm_wday], parts.tm_mday,
            _MONTHS[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec,
        )
        _date_line = PyBytes_FromStringAndSize(text, size)
        _date_second = now
    return _date_line


cdef bint allows_body(int status) noexcept:
    """Whether a response of this status may have content (RFC 9110, sections 15.2, 15.3.5, 15.4.5)."""
    return status >= 200 and status != 204 and status != 304


cdef bytes _line(int status):
    if 100 <= status < 600:
        return <bytes> _LINES[status]
    return b"HTTP/1.1 %d \r\n" % status


cdef inline char* _digits_before(char* end, size_t number) noexcept:
    """Write a number in decimal so that it ends before `end`: where it begins."""
    while True:
        end -= 1
        end[0] = <char> (48 + number % 10)
        number //= 10
        if number == 0:
            return end


cdef inline char* _put(char* at, bytes part) noexcept:
    memcpy(at, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    return at + PyBytes_GET_SIZE(part)


cdef inline char* _put_pairs(char* at, list pairs) noexcept:
    cdef tuple pair
    for pair in pairs:
        at = _put(at, <bytes> pair[0])
        at[0] = 58  # ":"
        at[1] = 32  # " "
        at = _put(at + 2, <bytes> pair[1])
        at[0] = 13
        at[1] = 10
        at += 2
    return at


cdef Py_ssize_t _measure(list pairs) except -1:
    cdef tuple pair
    cdef Py_ssize_t total = 0
    for pair in pairs:
        if type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            raise TypeError("Response headers must be pairs of bytes")
        total += PyBytes_GET_SIZE(<bytes> pair[0]) + PyBytes_GET_SIZE(<bytes> pair[1]) + 4
    return total


cdef bytes _write(int status, list headers, bytes type_line, Py_ssize_t length, bytes body, int flags):
    cdef bytes line = _line(status)
    cdef bytes date = b"" if flags & WRITE_NO_DATE else _date()
    cdef bytes server = b"" if flags & WRITE_NO_SERVER else _SERVER_LINE
    cdef bytes connection = b""
    cdef bytes framing = b""
    cdef char text[DIGITS]
    cdef char* digits = text + DIGITS
    cdef Py_ssize_t length_size = 0
    cdef bytes result
    cdef char* at
    if flags & WRITE_CLOSE:
        connection = _CLOSE_LINE
    elif flags & WRITE_KEEP_ALIVE:
        connection = _KEEP_ALIVE_LINE
    if flags & WRITE_CHUNKED:
        framing = _CHUNKED_LINE
    if flags & WRITE_LENGTH:
        digits = _digits_before(digits, length)
        length_size = PyBytes_GET_SIZE(_LENGTH_START) + (text + DIGITS - digits) + 2
    cdef Py_ssize_t total = (
        PyBytes_GET_SIZE(line) + PyBytes_GET_SIZE(date) + PyBytes_GET_SIZE(server) + PyBytes_GET_SIZE(connection)
        + PyBytes_GET_SIZE(framing) + length_size + PyBytes_GET_SIZE(type_line) + PyBytes_GET_SIZE(body) + 2
    )
    if headers is not None:
        total += _measure(headers)
    result = PyBytes_FromStringAndSize(NULL, total)
    at = _put(_put(_put(PyBytes_AS_STRING(result), line), date), server)
    if length_size:
        at = _put(at, _LENGTH_START)
        memcpy(at, digits, text + DIGITS - digits)
        at += text + DIGITS - digits
        at[0] = 13
        at[1] = 10
        at += 2
    at = _put(at, type_line)
    if headers is not None:
        at = _put_pairs(at, headers)
    at = _put(_put(at, connection), framing)
    at[0] = 13
    at[1] = 10
    _put(at + 2, body)
    return result


cdef bytes json_response(int status, bytes body, list extra, int flags):
    """A whole response of type application/json, with the `extra` header pairs (or None)."""
    if not allows_body(status):
        return _write(status, extra, _JSON_LINE, 0, b"", flags)
    if status == 205:
        body = b""  # RFC 9110, section 15.3.6
    return _write(
        status, extra, _JSON_LINE, PyBytes_GET_SIZE(body), b"" if flags & WRITE_NO_BODY else body, flags | WRITE_LENGTH
    )


cdef list json_headers(int status, bytes body, list extra):
    """The header pairs of such a response, for those who send it in another way."""
    cdef list headers = [(_LENGTH_NAME, _digits(PyBytes_GET_SIZE(body)))] if allows_body(status) else []
    headers.append(_JSON_TYPE)
    if extra is not None:
        headers += extra
    return headers


cdef bint is_json_head(int status, list headers, bytes body) except -1:
    """Whether header pairs begin with those of `json_headers`, and nobody has put others in their place."""
    if len(headers) < 2 or headers[1] is not _JSON_TYPE or (<tuple> headers[0])[0] is not _LENGTH_NAME:
        return False
    return (<tuple> headers[0])[1] == _digits(PyBytes_GET_SIZE(body)) and allows_body(status) and status != 205


cdef bytes _digits(size_t number):
    cdef char text[DIGITS]
    cdef char* digits = _digits_before(text + DIGITS, number)
    return PyBytes_FromStringAndSize(digits, text + DIGITS - digits)


cdef bytes response_head(int status, list headers, Py_ssize_t length, int flags):
    """Status line and header section; `length` is written when flags have WRITE_LENGTH."""
    return _write(status, headers, b"", length, b"", flags)


cpdef bytes last_response(int status, list headers, bytes content, int flags):
    """A whole response that is the last one of its connection; the head alone of a 101, behind which HTTP ends."""
    flags |= WRITE_CLOSE
    for pair in headers:
        if pair[0] == b"date":
            flags |= WRITE_NO_DATE
        elif pair[0] == b"server":
            flags |= WRITE_NO_SERVER
        elif pair[0] == b"connection":
            flags &= ~WRITE_CLOSE
    if not allows_body(status):
        return response_head(status, headers, 0, flags)
    return response_head(status, headers, len(content), flags | WRITE_LENGTH) + content


cdef bytes chunk(object data):
    """One chunk of a chunked body (RFC 9112, section 7.1); b"" is the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)
