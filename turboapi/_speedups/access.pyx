# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The access log: a request leaves a tuple, and lines are made of many tuples at once, later.

    (client, method, target, http_version, status, end, duration, request_id)

Times are seconds of the monotonic clock. What a client can choose, its name behind a proxy among it, is escaped: a line is
printable ASCII.
"""

import json
import time

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr

from turboapi._speedups.clock cimport seconds_now

cdef object _to_json = json.JSONEncoder(ensure_ascii=True).encode


cdef class AccessLog:
    """The requests that were answered since somebody has taken them."""

    def __init__(self, on_first, *, bint detailed=False):
        self.on_first = on_first
        self.detailed = detailed
        self.requests = []

    cpdef int add(
        self, object client, str method, bytes target, str http_version, int status, double began, object request_id
    ) except -1:
        """Note an answered request."""
        cdef double now = seconds_now()
        if not self.requests:
            self.on_first()
        self.requests.append((client, method, target, http_version, status, now, now - began, request_id))
        return 0

    def take(self):
        """Hand over the requests, in the order in which they were answered."""
        taken, self.requests = self.requests, []
        return taken


cdef bint _is_plain(bytes text) noexcept:
    """Whether it is printable ASCII without quotation marks and backslashes."""
    cdef const unsigned char* each = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef Py_ssize_t index
    for index in range(PyBytes_GET_SIZE(text)):
        if not 32 <= each[index] < 127 or each[index] == 34 or each[index] == 92:
            return False
    return True


def printable(str text):
    """A text, such as a request target, whose unusual characters are escaped."""
    return text if text.isascii() and text.isprintable() else text.encode("unicode_escape").decode("ascii")


cdef str _shown(object text):
    if type(text) is bytes:
        if _is_plain(<bytes> text):
            return PyUnicode_DecodeASCII(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL)
        text = (<bytes> text).decode("latin-1")
    return printable(text)


def text_lines(requests, str prefix, str opening, str closing, dict answers, format_client):
    """The lines for requests in uvicorn's format; only the first five of the values of each count.

    `opening` and `closing` stand around the request line; `answers` has what is shown for a status. A `client` may be
    text already, which `format_client` makes of others.
    """
    cdef tuple request
    cdef list lines = []
    cdef dict clients = {}
    cdef str client, target, answer
    for request in requests:
        if len(request) < 5:
            raise ValueError(f"not an answered request: {request!r}")
        client = <str> clients.get(request[0])
        if client is None:
            client = clients[request[0]] = request[0] if type(request[0]) is str else format_client(request[0])
        answer = <str> answers.get(request[4])
        if answer is None:
            answer = f"{request[4]} "
        target = _shown(request[2])
        lines.append(f"{prefix}{client} - {opening}{<str?> request[1]} {target} HTTP/{<str?> request[3]}{closing} {answer}\n")
    return "".join(lines)


cdef str _inside_quotes(object text):
    """What stands between the quotation marks of a JSON string."""
    if type(text) is bytes:
        if _is_plain(<bytes> text):
            return PyUnicode_DecodeASCII(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL)
        text = (<bytes> text).decode("latin-1")
    text = _to_json(text)
    return (<str> text)[1:len(text) - 1]


def json_lines(requests):
    """The lines for requests as JSON objects."""
    cdef tuple request
    cdef list lines = []
    cdef dict clients = {}
    cdef bytes target
    cdef const char* mark
    cdef Py_ssize_t path_size
    cdef str client, path, begin, more
    cdef long long second = -1, millis, micros
    cdef double offset = time.time() - seconds_now()
    for request in requests:
        if len(request) < 8:
            raise ValueError(f"not an answered request: {request!r}")
        millis = <long long> ((offset + <double> request[5]) * 1000)
        if millis // 1000 != second:
            second = millis // 1000
            begin = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second))
        client = <str> clients.get(request[0])
        if client is None:
            client = clients[request[0]] = _to_json(request[0][0] if request[0] else None)
        target = <bytes?> request[2]
        mark = <const char*> memchr(PyBytes_AS_STRING(target), c"?", PyBytes_GET_SIZE(target))
        if mark == NULL:
            path = _inside_quotes(target)
            more = ""
        else:
            path_size = mark - PyBytes_AS_STRING(target)
            path = _inside_quotes(target[:path_size])
            more = f',"query":"{_inside_quotes(target[path_size + 1:])}"'
        if request[7] is not None:
            more = f'{more},"request_id":"{_inside_quotes(request[7])}"'
        micros = <long long> (<double> request[6] * 1e6)
        lines.append(
            f'{begin}{millis % 1000:03d}+00:00","level":"info","client":{client},"method":"{<str?> request[1]}",'
            f'"path":"{path}"{more},"status":{<int> request[4]},"duration_ms":{micros // 1000}.{micros % 1000:03d}}}\n'
        )
    return "".join(lines)
