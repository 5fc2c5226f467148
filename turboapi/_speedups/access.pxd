cdef class AccessLog:
    cdef object on_first                # called when there is something to take
    cdef readonly bint detailed         # with duration and id
    cdef list requests

    cpdef int add(
        self, object client, str method, bytes target, str http_version, int status, double began, object request_id
    ) except -1
