cpdef bytes plain_json(object obj)
