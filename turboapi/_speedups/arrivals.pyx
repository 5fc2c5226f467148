# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Waiting for what a connection reads.

An `Arrival` is a `Signal`: as soon as the protocol has read what there is, it resumes who waits; then no other task runs.
"""

from turboapi._speedups.stepping cimport Signal


cdef class Arrivals:
    """Those who wait for the next message, or the next part of a body."""

    def __init__(self, loop):
        self.loop = loop

    cdef Arrival add(self):
        """One who waits from now on: to be awaited."""
        cdef Arrival arrival = Arrival.__new__(Arrival)
        arrival.loop = self.loop
        arrival.arrivals = self
        self.append(arrival)
        return arrival

    cdef int append(self, Arrival arrival) except -1:
        if self.last is None:
            self.first = arrival
        else:
            self.last.following = arrival
        self.last = arrival
        return 0

    cdef int forget(self, Arrival arrival) except -1:
        cdef Arrival before = None
        cdef Arrival each = self.first
        while each is not None and each is not arrival:
            before, each = each, each.following
        if each is None:
            return 0
        if before is None:
            self.first = arrival.following
        else:
            before.following = arrival.following
        if self.last is arrival:
            self.last = before
        arrival.following = None
        return 0

    cdef Arrival _release(self):
        """Let go of all who wait, and return the first."""
        cdef Arrival first = self.first
        self.first = self.last = None
        return first

    cdef int wake(self) except -1:
        """Let all of them look again."""
        cdef Arrival arrival = self._release()
        cdef Arrival following
        while arrival is not None:
            following, arrival.following = arrival.following, None
            arrival.arrive()
            arrival = following
        return 0

    cdef int wake_now(self) except -1:
        """The same at once. Not to be called from within a task."""
        cdef Arrival arrival = self._release()
        cdef Arrival following
        while arrival is not None:
            following, arrival.following = arrival.following, None
            arrival.arrive_now()
            arrival = following
        return 0


cdef class Arrival(Signal):
    """What one who waits awaits."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self.is_awaited:
            self.is_awaited = self._asyncio_future_blocking = True
            return self
        self.result()
        raise StopIteration

    cdef int retire(self) except -1:
        return self.arrivals.forget(self)

    cdef bint give_way(self, Signal other) except -1:
        cdef Arrivals arrivals = self.arrivals
        if arrivals.first is not self or arrivals.last is not self or not isinstance(other, Arrival):
            return False
        arrivals.first = arrivals.last = other
        return True
