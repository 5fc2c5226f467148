cdef enum:
    WRITE_CLOSE = 1         # say `connection: close`
    WRITE_KEEP_ALIVE = 2    # say `connection: keep-alive` (to an HTTP/1.0 client)
    WRITE_CHUNKED = 4       # say `transfer-encoding: chunked`
    WRITE_LENGTH = 8        # say the content-length given
    WRITE_NO_BODY = 16      # the body is not to be sent: HEAD
    WRITE_NO_DATE = 32
    WRITE_NO_SERVER = 64

cdef bint is_json_head(int status, list headers, bytes body) except -1
cdef list json_headers(int status, bytes body, list extra)
cdef bytes json_response(int status, bytes body, list extra, int flags)
cdef bytes response_head(int status, list headers, Py_ssize_t length, int flags)
cpdef bytes last_response(int status, list headers, bytes content, int flags)
cdef bytes chunk(object data)
cdef bint allows_body(int status) noexcept
