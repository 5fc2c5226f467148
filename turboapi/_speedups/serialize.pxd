cpdef bytes plain_json(object obj, bint as_python=*)


cdef class Shape:
    cdef object kind
    cdef bint is_optional       # or it is None
    cdef Shape items            # of a list, or of the values of a dict
    cdef tuple names            # of a model's fields, None for anything else
    cdef tuple fields
    cdef bint nests_models      # there may be models in it, besides itself

    cdef bint has_models(self)
    cdef object tree(self, object value)
    cdef object model_tree(self, object model)
    cdef object list_tree(self, list values)
    cdef object dict_tree(self, dict values)
