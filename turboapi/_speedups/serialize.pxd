cpdef bytes plain_json(object obj, bint as_python=*)
