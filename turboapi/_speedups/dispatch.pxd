from turboapi._speedups.arguments cimport Call

cdef class Dispatch:
    cdef readonly object func
    cdef readonly bint adaptive         # still measured; otherwise `proven` is for good
    cdef readonly bint proven           # may be called on the loop
    cdef readonly int short_calls       # in a row, in threads
    cdef readonly int needed            # so many of them prove it
    cdef int late                       # recent inline calls that were not short, each counting LATE_CALL
    cdef object find_tie                # func -> what ties it to a thread, or None; asked once
    cdef object report                  # (dispatch, seconds or exception) -> None, when an inline call was not what it should be
    cdef object __weakref__

    cdef bint is_inline(self, tuple sources)
    cdef object call_inline(self, object loop, Call call, list values, object finish, object exchange)
    cdef int _observe(self, object error, double took, long waits) except -1
    cdef int _demote(self, object cause) except -1
    cdef int _prove(self) except -1
