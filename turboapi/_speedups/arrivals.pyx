# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Waiting for what a connection reads.

An asyncio.Future has the loop call its Task later, which costs as much as all the rest of taking a message. An `Arrival` lets
the protocol call it, as soon as that has read what there is: then no other task runs.
"""

import asyncio

cimport cython

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1


cdef object _CancelledError = asyncio.CancelledError


cdef class Arrivals:
    """Those who wait for the next message, or the next part of a body."""

    def __init__(self, loop):
        self.loop = loop
        self.waiting = []

    cdef Arrival add(self):
        """One who waits from now on: to be awaited."""
        cdef Arrival arrival = Arrival.__new__(Arrival)
        arrival.arrivals = self
        self.waiting.append(arrival)
        return arrival

    cdef int forget(self, Arrival arrival) except -1:
        if arrival in self.waiting:
            self.waiting.remove(arrival)
        return 0

    cdef int wake(self) except -1:
        """Let all of them look again."""
        cdef Arrival arrival
        cdef list waiting = self.waiting
        if waiting:
            self.waiting = []
            for arrival in waiting:
                arrival.arrive()
        return 0

    cdef int wake_now(self) except -1:
        """The same at once. Not to be called from within a task."""
        cdef Arrival arrival
        cdef list waiting = self.waiting
        if waiting:
            self.waiting = []
            for arrival in waiting:
                arrival.arrive_now()
        return 0


@cython.final
@cython.freelist(64)
cdef class Arrival:
    """What one who waits awaits: a future without a result, which may wake its Task at once."""

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

    def get_loop(self):
        return self.arrivals.loop

    def add_done_callback(self, callback, *, context):
        self.callback = callback
        self.context = context
        if self.is_done:
            self.arrivals.loop.call_soon(callback, self, context=context)

    def done(self):
        return self.is_done

    def cancelled(self):
        return self.is_cancelled

    def result(self):
        if self.is_cancelled:
            raise _CancelledError() if self.cancel_message is None else _CancelledError(self.cancel_message)
        if not self.is_done:
            raise asyncio.InvalidStateError("Nothing has arrived.")

    def exception(self):
        self.result()

    def cancel(self, msg=None):
        if self.is_done:
            return False
        self.is_cancelled = True
        self.cancel_message = msg
        self.arrivals.forget(self)
        self.arrive()
        return True

    cdef int arrive(self) except -1:
        """Wake who waits, as a future does it: when the loop gets to it.

        A Task begins to wait a turn of the loop after its coroutine's first step, if it was run by hand (`tasks`): it is
        woken when it does. Who closes its coroutine never begins.
        """
        if not self.is_done:
            self.is_done = True
            if self.callback is not None:
                self.arrivals.loop.call_soon(self.callback, self, context=self.context)
        return 0

    cdef int arrive_now(self) except -1:
        """Wake who waits, at once. Not to be called from within a task."""
        if self.is_done:
            return 0
        self.is_done = True
        if self.callback is None:
            return 0
        PyContext_Enter(self.context)
        try:
            self.callback(self)
        except (KeyboardInterrupt, SystemExit) as exc:
            self.arrivals.loop.call_soon(_raise, exc)  # they end the loop; a transport would only log them
        finally:
            PyContext_Exit(self.context)
        return 0


def _raise(exc):
    raise exc
