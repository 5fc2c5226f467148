from turboapi._speedups.request cimport Exchange

cdef enum:
    SOURCE_PATH = 0
    SOURCE_QUERY = 1
    SOURCE_HEADER = 2
    SOURCE_COOKIE = 3

cdef enum:
    INJECT_REQUEST = 0      # with a payload, what that makes of it
    INJECT_RESPONSE = 1
    INJECT_BACKGROUND = 2
    INJECT_CALLED = 3       # the payload is called, without arguments, for a value of its own


cdef class Argument:
    cdef readonly int source
    cdef readonly int kind              # a KIND_* of convert: the plain scalar type, KIND_EXACT for any other
    cdef readonly Py_ssize_t slot       # where the value goes in the call's values
    cdef readonly str key
    cdef bytes raw_key                  # of a header
    cdef readonly bint required
    cdef readonly bint direct           # one text under one key; otherwise only `exact` knows how to look it up
    cdef readonly object default        # shared between requests, when `shared_default`
    cdef readonly bint shared_default
    cdef object validate                # text -> value, raises for what it does not accept; None: take `exact`
    cdef object exact                   # request -> (value, errors)

    cdef object text(self, Exchange exchange)
    cdef int extract(self, Exchange exchange, list values, object request_class) except -1


cdef class Call:
    cdef readonly object func
    cdef readonly tuple arguments       # Argument, in the order of their errors: path, query, header, cookie
    cdef readonly tuple names           # parameter name of each slot
    cdef readonly tuple injections      # (slot, INJECT_*, payload)
    cdef readonly tuple subs            # (slot or -1, index of the dependency's visit)
    cdef readonly frozenset sub_visits
    cdef readonly Py_ssize_t body_slot  # where a directly decoded body goes, or -1
    cdef readonly object body_exact     # body -> awaitable of ({name: value}, errors), or None
    cdef readonly bint positional       # the values may be passed by position

    cdef list collect(self, Exchange exchange, list results, object request_class)
    cdef list collect_good(self, Exchange exchange, list results, set failed, object request_class)
    cdef object invoke(self, list values)
    cdef dict keywords(self, list values)
    cdef dict good_keywords(self, list values)
