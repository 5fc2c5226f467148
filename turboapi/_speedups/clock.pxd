# The time, compiled into every module that cimports it.

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef inline double seconds_now() noexcept nogil:
    """Of the clock that never goes back, as `time.monotonic`."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9
