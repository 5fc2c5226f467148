# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Text -> str, int, float or bool.

In: a kind and the text of one parameter. Out: the value pydantic's lax validation of that text gives, or `REFUSED`,
never an error. Refused is not wrong: pydantic accepts more spellings (" 1", "1_000", "1e3", "TRUE"), and words the
errors, so a refused text takes pydantic's own path. Only the spellings in which nearly every number is written are
read here:

    KIND_STR     any text
    KIND_INT     -?[0-9]{1,18}
    KIND_FLOAT   -?[0-9]+(\\.[0-9]+)?  with at most 15 significant digits, at most 22 of all behind the point
    KIND_BOOL    true on t yes y 1, false off f no n 0
"""

from cpython.long cimport PyLong_FromLongLong
from cpython.object cimport PyObject
from libc.string cimport memcmp

from turboapi._speedups.ascii cimport is_digit

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(str text)
    int PyUnicode_KIND(str text)
    const unsigned char* PyUnicode_1BYTE_DATA(str text)
    bint PyUnicode_CheckExact(PyObject* text)

ctypedef const unsigned char* Chars

cdef enum:
    MAX_INT_DIGITS = 18             # what fits into 64 bits, whatever the digits
    MAX_SIGNIFICANT_DIGITS = 15     # as an integer, exact in a double
    MAX_FRACTION_DIGITS = 22        # 10**22 is the last power of ten that is exact in a double

cdef double[MAX_FRACTION_DIGITS + 1] POWERS_OF_TEN = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]

REFUSED = object()
globals()["REFUSED"] = REFUSED      # the name above is a C variable, this one is for Python


cdef object _to_int(Chars p, Chars end):
    cdef long long value = 0
    cdef bint negative = p < end and p[0] == c'-'
    p += negative
    if not 0 < end - p <= MAX_INT_DIGITS:
        return REFUSED
    while p < end:
        if not is_digit(p[0]):
            return REFUSED
        value = value * 10 + (p[0] - c'0')
        p += 1
    return PyLong_FromLongLong(-value if negative else value)


cdef object _to_float(Chars p, Chars end):
    """Digits and power of ten are both exact doubles here, so IEEE 754 rounds their quotient correctly."""
    cdef long long digits = 0
    cdef int significant = 0
    cdef Chars point = end
    cdef bint negative = p < end and p[0] == c'-'
    p += negative
    cdef Chars start = p
    while p < end:
        if p[0] == c'.' and point == end and start < p < end - 1:
            point = p
        elif not is_digit(p[0]):
            return REFUSED
        else:
            digits = digits * 10 + (p[0] - c'0')
            significant += digits != 0
            if significant > MAX_SIGNIFICANT_DIGITS:
                return REFUSED
        p += 1
    cdef Py_ssize_t fraction = end - point - 1 if point < end else 0
    if start == end or fraction > MAX_FRACTION_DIGITS:
        return REFUSED
    cdef double value = <double>digits / POWERS_OF_TEN[fraction]
    return -value if negative else value


cdef object _to_bool(Chars p, Py_ssize_t size):
    if size == 4 and memcmp(p, b"true", 4) == 0:
        return True
    if size == 5 and memcmp(p, b"false", 5) == 0:
        return False
    if size == 1:
        if p[0] == c'1' or p[0] == c't' or p[0] == c'y':
            return True
        if p[0] == c'0' or p[0] == c'f' or p[0] == c'n':
            return False
    elif size == 2 and p[0] == c'o' and p[1] == c'n' or size == 3 and memcmp(p, b"yes", 3) == 0:
        return True
    elif size == 2 and p[0] == c'n' and p[1] == c'o' or size == 3 and memcmp(p, b"off", 3) == 0:
        return False
    return REFUSED


cdef object convert_text(int kind, str text):
    cdef Chars p
    cdef Py_ssize_t size
    if kind == KIND_EXACT or not PyUnicode_CheckExact(<PyObject*>text):
        return REFUSED
    if kind == KIND_STR:
        return text
    if PyUnicode_KIND(text) != 1:
        return REFUSED
    p = PyUnicode_1BYTE_DATA(text)
    size = PyUnicode_GET_LENGTH(text)
    if kind == KIND_INT:
        return _to_int(p, p + size)
    if kind == KIND_FLOAT:
        return _to_float(p, p + size)
    return _to_bool(p, size) if kind == KIND_BOOL else REFUSED


def convert(int kind, str text):
    return convert_text(kind, text)
