cdef enum:
    MAX_DEPTH = 32  # segments of a template that the trie knows; a longer one is decided by its regex


cdef class Match:
    """The outcome for one request. Shared between requests when it carries neither values nor payload: read only."""

    cdef readonly Entry entry
    cdef readonly bint full       # False: the path matches, the method does not
    cdef readonly dict params     # converted path values in template order, None when the template has none
    cdef readonly object payload  # what an opaque entry answered

    @staticmethod
    cdef Match new(Entry entry, bint full, dict params, object payload)


cdef class Entry:
    cdef readonly object target
    cdef readonly str path           # the template, None for an opaque entry
    cdef readonly frozenset methods  # None: any

    cdef object path_regex
    cdef dict convertors
    cdef object ask                  # opaque: the callable
    cdef str prefix                  # opaque: what the path must start with, None when unknown
    cdef Match hit                   # the shared full match without values
    cdef int form                    # how a candidate is checked
    cdef int place                   # where the table keeps it
    cdef list steps                  # segments that lead to its node: a literal, or None for a parameter
    cdef list names                  # parameters of a NATIVE entry; kinds and depths run parallel to it
    cdef Py_ssize_t count
    cdef bint all_text
    cdef unsigned char kinds[MAX_DEPTH]
    cdef unsigned char depths[MAX_DEPTH]

    cdef bint accepts(self, str method) except -1
    cdef int place_template(self, str path) except -1
    cdef int place_prefix(self, str prefix) except -1


cdef class Router:
    cdef readonly tuple entries
    cdef dict fixed       # path without parameters -> _Fixed
    cdef object root      # _Node
    cdef list anywhere    # indexes of entries that no segment can rule out
    cdef Py_ssize_t depth # of the trie

    cpdef Match match(self, str method, str path, object exchange)
