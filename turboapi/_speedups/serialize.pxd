cpdef bytes plain_json(object obj, bint as_python=*)


cdef class Shape:
    cdef object kind
    cdef bint is_optional       # or it is None
    cdef Shape items            # of a list, or of the values of a dict
    cdef tuple names            # of a model's fields, None for anything else
    cdef tuple fields

    cdef bint fits(self, object value) except -1
    cdef bint model_fits(self, object model) except -1
    cdef bint list_fits(self, list values) except -1
    cdef bint dict_fits(self, dict values) except -1
