# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Plain trees -> JSON bytes.

In: what a handler returned. Out: its JSON, or None when it is no *plain tree* and the exact encoder has to decide.

    plain tree = None | bool | int | float (finite) | str | list of plain trees | tuple of plain trees
               | dict from str (not starting with "_sa") to plain trees

of exactly these types, at most 64 containers deep.

Subclasses, models, enums, dates, NaN, other keys: all of them have a meaning that msgspec sees differently, so
msgspec gets to see none. Lone surrogates and integers that cannot be written are found by msgspec itself.
"""

import msgspec

cimport cython
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject, PyTypeObject
from libc.math cimport isfinite

cdef extern from "Python.h":
    PyTypeObject* Py_TYPE(PyObject* obj) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text) noexcept
    Py_UCS4 PyUnicode_READ_CHAR(PyObject* text, Py_ssize_t index) noexcept
    Py_ssize_t PySequence_Fast_GET_SIZE(PyObject* array) noexcept
    PyObject* PySequence_Fast_GET_ITEM(PyObject* array, Py_ssize_t index) noexcept
    PyTypeObject PyBool_Type, PyDict_Type, PyFloat_Type, PyList_Type, PyLong_Type, PyTuple_Type, PyUnicode_Type

cdef enum:
    MAX_DEPTH = 64      # also what ends the walk in a cycle

cdef object encode = msgspec.json.Encoder().encode


cdef inline bint _is_plain_key(PyObject* key) noexcept:
    """An exact str that SQLAlchemy's bookkeeping ("_sa…", left out by the exact encoder) does not own."""
    return Py_TYPE(key) == &PyUnicode_Type and not (
        PyUnicode_GET_LENGTH(key) >= 3
        and PyUnicode_READ_CHAR(key, 0) == u'_'
        and PyUnicode_READ_CHAR(key, 1) == u's'
        and PyUnicode_READ_CHAR(key, 2) == u'a'
    )


cdef bint _is_plain_dict(PyObject* obj, int depth) noexcept:
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t position = 0
    with cython.critical_section(<object>obj):
        while PyDict_Next(<object>obj, &position, &key, &value):
            if not _is_plain_key(key) or not _is_plain(value, depth):
                return False
    return True


cdef bint _is_plain_array(PyObject* obj, int depth) noexcept:
    cdef Py_ssize_t index = 0
    with cython.critical_section(<object>obj):
        while index < PySequence_Fast_GET_SIZE(obj):
            if not _is_plain(PySequence_Fast_GET_ITEM(obj, index), depth):
                return False
            index += 1
    return True


cdef bint _is_plain(PyObject* obj, int depth) noexcept:
    """Whether a plain tree starts here, at most `depth` containers deep; the commonest types come first."""
    cdef PyTypeObject* kind = Py_TYPE(obj)
    if kind == &PyUnicode_Type or kind == &PyLong_Type or kind == &PyBool_Type or obj == <PyObject*>None:
        return True
    if kind == &PyFloat_Type:
        return isfinite(PyFloat_AS_DOUBLE(<object>obj))
    if depth == 0:
        return False
    if kind == &PyDict_Type:
        return _is_plain_dict(obj, depth - 1)
    return (kind == &PyList_Type or kind == &PyTuple_Type) and _is_plain_array(obj, depth - 1)


cpdef bytes plain_json(object obj):
    if not _is_plain(<PyObject*>obj, MAX_DEPTH):
        return None
    try:
        return encode(obj)
    except (OverflowError, ValueError):     # too long an integer, or UnicodeEncodeError: a lone surrogate
        return None
