# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Plain trees -> JSON bytes.

In: what a handler returned. Out: its JSON, or None when it is no *plain tree* and the exact encoder has to decide.

    plain tree = None | bool | int | float (finite) | str | list of plain trees | tuple of plain trees
               | dict from str (not starting with "_sa") to plain trees

of exactly these types, at most 64 containers deep.

Subclasses, models, enums, dates, NaN, other keys: all of them have a meaning that msgspec sees differently, so
msgspec gets to see none. Lone surrogates and integers that cannot be written are found by msgspec itself.

msgspec writes 1e16 and 0.00001 where FastAPI, which has Python's spelling, sends 1e+16 and 1e-05. Trees with a number
of such a size are given to Python's own encoder instead.
"""

import json

import msgspec

cimport cython
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject, PyTypeObject
from libc.math cimport fabs, isfinite

cdef extern from "Python.h":
    PyTypeObject* Py_TYPE(PyObject* obj) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text) noexcept
    Py_UCS4 PyUnicode_READ_CHAR(PyObject* text, Py_ssize_t index) noexcept
    Py_ssize_t PySequence_Fast_GET_SIZE(PyObject* array) noexcept
    PyObject* PySequence_Fast_GET_ITEM(PyObject* array, Py_ssize_t index) noexcept
    PyTypeObject PyBool_Type, PyDict_Type, PyFloat_Type, PyList_Type, PyLong_Type, PyTuple_Type, PyUnicode_Type

cdef enum:
    MAX_DEPTH = 64      # also what ends the walk in a cycle

    ODD = 1             # not a plain tree
    EXPONENT = 2        # Python spells a float with an exponent

cdef object encode = msgspec.json.Encoder().encode
cdef object encode_as_python = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


cdef inline bint _is_plain_key(PyObject* key) noexcept:
    """An exact str that SQLAlchemy's bookkeeping ("_sa…", left out by the exact encoder) does not own."""
    return Py_TYPE(key) == &PyUnicode_Type and not (
        PyUnicode_GET_LENGTH(key) >= 3
        and PyUnicode_READ_CHAR(key, 0) == u'_'
        and PyUnicode_READ_CHAR(key, 1) == u's'
        and PyUnicode_READ_CHAR(key, 2) == u'a'
    )


cdef int _look_at_dict(PyObject* obj, int depth) noexcept:
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t position = 0
    cdef int found = 0
    with cython.critical_section(<object>obj):
        while PyDict_Next(<object>obj, &position, &key, &value):
            if not _is_plain_key(key):
                return ODD
            found |= _look_at(value, depth)
            if found & ODD:
                return ODD
    return found


cdef int _look_at_array(PyObject* obj, int depth) noexcept:
    cdef Py_ssize_t index = 0
    cdef int found = 0
    with cython.critical_section(<object>obj):
        while index < PySequence_Fast_GET_SIZE(obj):
            found |= _look_at(PySequence_Fast_GET_ITEM(obj, index), depth)
            if found & ODD:
                return ODD
            index += 1
    return found


cdef inline int _look_at_float(double number) noexcept:
    cdef double size = fabs(number)
    if 1e-4 <= size < 1e16 or size == 0:
        return 0
    return EXPONENT if isfinite(number) else ODD


cdef int _look_at(PyObject* obj, int depth) noexcept:
    """What keeps msgspec from a tree, at most `depth` containers deep, if anything; the commonest types come first."""
    cdef PyTypeObject* kind = Py_TYPE(obj)
    if kind == &PyUnicode_Type or kind == &PyLong_Type or kind == &PyBool_Type or obj == <PyObject*>None:
        return 0
    if kind == &PyFloat_Type:
        return _look_at_float(PyFloat_AS_DOUBLE(<object>obj))
    if depth == 0:
        return ODD
    if kind == &PyDict_Type:
        return _look_at_dict(obj, depth - 1)
    return _look_at_array(obj, depth - 1) if kind == &PyList_Type or kind == &PyTuple_Type else ODD


cpdef bytes plain_json(object obj, bint as_python=True):
    cdef int found = _look_at(<PyObject*>obj, MAX_DEPTH)
    if found & ODD or (found and not as_python):
        return None
    try:
        return encode_as_python(obj).encode() if found else encode(obj)
    except (OverflowError, ValueError):     # too long an integer, or UnicodeEncodeError: a lone surrogate
        return None
