cdef bytes lower_name(bytes name)
cdef bytes find_header(list headers, bytes name)
cdef list find_headers(list headers, bytes name)
cpdef int check_headers(list headers) except -1
