# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Where a plain function is called: in a worker thread, or at once on the event loop.

A thread costs ten times what a short function does, and a function that blocks must not do so on the loop. So each one
starts in the threads and is measured there. It is proven when enough calls in a row were short, and none of them had to
wait for anything: not even for a lock, which the kernel counts. From then on it is called inline, as long as that stays
short; otherwise it goes back to the threads, and has to prove more each time.

An inline call sees what it would see in a worker thread, but for the thread: a copy of the context, no running event
loop, StopIteration as RuntimeError.
"""

from asyncio import _set_running_loop as set_running_loop

from turboapi._speedups.clock cimport seconds_now

cdef extern from "Python.h":
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef extern from *:
    """
    #include <sys/resource.h>

    /* How often this thread has waited so far: for a lock, a file, a socket, or of its own accord. */
    #ifdef RUSAGE_THREAD
    #define COUNTS_WAITS 1
    static long thread_waits(void) {
        struct rusage usage;
        return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
    }
    #else
    #define COUNTS_WAITS 0
    static long thread_waits(void) { return 0; }
    #endif
    """
    bint COUNTS_WAITS
    long thread_waits() noexcept

cdef double SHORT = 100e-6          # seconds
cdef double LONG_WAIT = 1e-3        # an inline call that waits for so long is one too many ...
cdef double LONG_RUN = 10e-3        # ... or runs for so long; before that, the machine may be to blame as well
cdef int FIRST_NEEDED = 64          # short calls in a row that prove a function ...
cdef int NEEDED_FACTOR = 8          # ... more each time it has been demoted ...
cdef int MOST_NEEDED = 65536        # ... but not for ever: a garbage collection may have been the reason
cdef int LATE_CALL = 256            # so many short calls make good for one that was not
cdef int MOST_LATE = 1024


cdef class Dispatch:
    """The record of one function, wherever it is used."""

    def __init__(self, *, object func, bint adaptive, object find_tie=None, object report=None):
        self.func = func
        self.adaptive = adaptive
        self.proven = not adaptive
        self.needed = FIRST_NEEDED
        self.find_tie = find_tie
        self.report = report

    cdef bint is_inline(self, tuple sources):
        """Whether it is called on the loop now.

        `sources` are those of the plain functions whose values it is given: what was made in a thread is used in one.
        """
        cdef Dispatch source
        if not self.proven:
            return False
        for source in sources:
            if not source.proven:
                return False
        return True

    cdef object call_inline(self, object loop, Call call, list values, object finish, object exchange):
        """Call it at once on the running loop: its result, or with `finish(result, exchange)`, both in a tuple."""
        cdef object context = PyContext_CopyCurrent()
        cdef double took, started
        cdef object cause = None
        # PERF: a system call; whether the first late call has waited remains unknown.
        cdef long waits = thread_waits() if self.late else -1
        set_running_loop(None)
        PyContext_Enter(context)
        started = seconds_now()
        try:
            result = call.invoke(values)
            if finish is not None:
                result = result, finish(result, exchange)
            return result
        except StopIteration as exc:
            raise RuntimeError("coroutine raised StopIteration") from exc
        except RuntimeError as exc:
            # What it misses may be the thread, whose stack is empty, and from which the loop can be called.
            cause = exc
            raise
        finally:
            took = seconds_now() - started
            PyContext_Exit(context)
            set_running_loop(loop)
            if self.adaptive:
                self._observe(cause, took, waits)

    cdef int _observe(self, object error, double took, long waits) except -1:
        """Take note of how an inline call went; `waits` is the count before it, or -1."""
        cdef bint has_waited
        if error is not None:
            self.adaptive = False
            self._demote(error)
        elif took < SHORT:
            if self.late:
                self.late -= 1
        else:
            self.late += LATE_CALL
            has_waited = not COUNTS_WAITS or (waits >= 0 and thread_waits() != waits)
            if took > (LONG_WAIT if has_waited else LONG_RUN) or self.late > MOST_LATE:
                self._demote(took)
        return 0

    cdef int _demote(self, object cause) except -1:
        self.proven = False
        self.short_calls = 0
        self.late = 0
        self.needed = min(self.needed * NEEDED_FACTOR, MOST_NEEDED)
        self.report(self, cause)
        return 0

    def measured(self, func, keywords):
        """Call `func(**keywords)`, which is this function or calls it, and take note of how it went. In a thread."""
        cdef long waits = thread_waits()
        cdef double started = seconds_now()
        try:
            return func(**keywords)
        finally:
            if seconds_now() - started < SHORT and thread_waits() == waits:
                self.short_calls += 1
                if self.short_calls == self.needed:
                    self._prove()
            else:
                self.short_calls = 0

    cdef int _prove(self) except -1:
        if self.find_tie is not None:
            try:
                self.adaptive = self.find_tie(self.func) is None
            except Exception:
                self.adaptive = False  # what cannot be looked at may be anything
            self.find_tie = None
        self.proven = self.adaptive
        return 0
