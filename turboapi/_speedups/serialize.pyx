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


# --- models -----------------------------------------------------------------------------------------------------------

cdef object _UNFIT = object()


cdef class Shape:
    """The exact type of a value that is written as JSON by what it holds, and the shapes of what is in it."""

    def __init__(self, kind, *, Shape items=None, dict fields=None):
        self.kind = kind
        self.items = items
        self.names = None if fields is None else tuple(fields)
        self.fields = None if fields is None else tuple(fields.values())
        self.nests_models = any([(<Shape> shape).has_models() for shape in self.fields or (items,) if shape is not None])

    def or_none(self):
        """The same shape, or None."""
        cdef Shape shape = Shape(self.kind, items=self.items)
        shape.names, shape.fields, shape.nests_models = self.names, self.fields, self.nests_models
        shape.is_optional = True
        return shape

    cdef bint has_models(self):
        return self.names is not None or self.nests_models

    cdef object tree(self, object value):
        """The value with a dict in place of each model; `_UNFIT` if msgspec would not write it as pydantic does."""
        cdef PyObject* kind = <PyObject*> Py_TYPE(<PyObject*> value)
        if kind != <PyObject*> self.kind:
            return None if self.is_optional and value is None else _UNFIT
        if self.names is not None:
            return self.model_tree(value)
        if self.items is not None:
            return self.list_tree(<list> value) if self.kind is list else self.dict_tree(<dict> value)
        return _UNFIT if self.kind is float and _look_at_float(PyFloat_AS_DOUBLE(value)) else value

    cdef object model_tree(self, object model):
        """The attributes of a model that has its fields, in their order, and nothing besides."""
        cdef dict values = model.__dict__
        cdef dict found = {} if self.nests_models else values
        cdef PyObject* name
        cdef PyObject* value
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t index = 0
        if len(values) != len(self.names):
            return _UNFIT
        while PyDict_Next(values, &position, &name, &value):
            tree = (<Shape> self.fields[index]).tree(<object> value)
            if tree is _UNFIT or <object> name != self.names[index]:
                return _UNFIT
            if self.nests_models:
                found[<object> name] = tree
            index += 1
        return found

    cdef object list_tree(self, list values):
        cdef list found = [] if self.nests_models else values
        for value in values:
            tree = self.items.tree(value)
            if tree is _UNFIT:
                return _UNFIT
            if self.nests_models:
                found.append(tree)
        return found

    cdef object dict_tree(self, dict values):
        cdef dict found = {} if self.nests_models else values
        for name, value in values.items():
            tree = self.items.tree(value)
            if tree is _UNFIT or type(name) is not str:
                return _UNFIT
            if self.nests_models:
                found[name] = tree
        return found


def models_json(Shape shape not None, value):
    tree = shape.tree(value)
    if tree is _UNFIT:
        return None
    try:
        return encode(tree)
    except (OverflowError, ValueError):     # too long an integer, or a lone surrogate
        return None
