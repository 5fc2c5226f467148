# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Resume an endpoint where it waits, past all that waits only for the endpoint.

Between an endpoint that talks to a WebSocket and its Task are some fifteen coroutines: of the server, of middleware, of routing.
A Task resumes the outermost of them, which resumes the next, and so on, with every message. So the Task is given an
`Outermost` in place of that coroutine, and the last awaits the endpoint as `innermost(coroutine)`. When the endpoint has
suspended, `Outermost` looks whether it is reached by coroutines alone. They can do nothing until the endpoint has ended, so from
then on `Outermost` resumes the endpoint itself, and the others with its result or exception.

While the endpoint waits for a `Signal`, even the Task is left out. To the Task it waits for that one Signal until it waits for
anything else, or ends; in between it is resumed by who has something for it, with the context and the current task that it has
in a step of the Task. What is thrown into the Task, a cancellation say, takes the usual way.
"""

import asyncio
import sys
import types
from contextvars import ContextVar

from cpython.object cimport PyObject

from turboapi._speedups.tasks cimport CoroutineView, enter, leave, owned

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    # 0: returned, 1: yielded; no StopIteration is made.
    int PyIter_Send(object iterator, object value, PyObject** result) except -1


cdef object _CancelledError = asyncio.CancelledError
cdef object _Task = asyncio.Task
cdef object _Coroutine = types.CoroutineType
cdef object _outermost = ContextVar("outermost", default=None)     # of the current task


cdef class Signal:
    """A future without a result, which may wake its Task at once.

    An asyncio.Future has the loop call its Task later, which costs as much as all the rest of taking a message. Here the
    protocol calls it, as soon as it has read what there is: then no other task runs.
    """

    def get_loop(self):
        return self.loop

    def add_done_callback(self, callback, *, context):
        self.callback = callback
        self.context = context
        if self.is_done:
            self.loop.call_soon(callback, self, context=context)

    def done(self):
        return self.is_done

    def cancelled(self):
        return self.is_cancelled

    def result(self):
        if self.is_cancelled:
            raise _CancelledError() if self.cancel_message is None else _CancelledError(self.cancel_message)
        if not self.is_done:
            raise asyncio.InvalidStateError("No message has arrived.")

    def exception(self):
        self.result()

    def cancel(self, msg=None):
        if self.is_done:
            return False
        self.is_cancelled = True
        self.cancel_message = msg
        self.retire()
        self.arrive()
        return True

    cdef int retire(self) except -1:
        """It has been cancelled: nobody needs to wake it any more."""
        return 0

    cdef bint give_way(self, Signal other) except -1:
        """Let `other` be woken in place of this one, which nobody waits for yet; whether that is possible."""
        return False

    cdef int arrive(self) except -1:
        """Wake who waits, as a future does it: when the loop gets to it.

        A Task begins to wait a turn of the loop after its coroutine's first step, if it was run by hand (`tasks`): it is
        woken when it does. Who closes its coroutine never begins.
        """
        if not self.is_done:
            self.is_done = True
            if self.callback is not None:
                self.loop.call_soon(self.callback, self, context=self.context)
        return 0

    cdef int arrive_now(self) except -1:
        """Wake who waits, at once. Not to be called from within a task."""
        if self.is_done:
            return 0
        if self.callback is None:
            self.is_done = True
            return 0
        if self.outermost is not None and self.outermost.can_go_on(self):
            return self.outermost.go_on(self)
        return self._wake_task()

    cdef int _wake_task(self) except -1:
        self.is_done = True
        PyContext_Enter(self.context)
        try:
            self.callback(self)
        except (KeyboardInterrupt, SystemExit) as exc:
            self.loop.call_soon(_raise, exc)  # they end the loop; a transport would only log them
        finally:
            PyContext_Exit(self.context)
        return 0


def _raise(exc):
    raise exc


cdef class Innermost(CoroutineView):
    """What awaits an endpoint, and may be told how that has ended."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        if not self.is_over:
            return self.coroutine.send(value)
        failure, self.failure = self.failure, None
        if failure is None:
            raise StopIteration(self.result)
        raise failure

    def throw(self, *exception):
        try:
            return self.coroutine.throw(*exception)
        except BaseException:
            self.is_over = True
            raise

    def close(self):
        self.coroutine.close()

    cdef bint _is_reached_from(self, object coroutine) except -1:
        """Whether nothing but coroutines lies between: others could do something each time they are resumed."""
        while type(coroutine) is _Coroutine:
            coroutine = coroutine.cr_await
        return coroutine is self


cdef class Outermost(CoroutineView):
    """A coroutine for a Task, whose `innermost` is resumed directly."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self._send(None)

    def send(self, value):
        return self._send(value)

    cdef object _send(self, object value):
        """A step of the Task."""
        cdef PyObject* outcome = NULL
        if self.is_pending:
            return self._hand_over()
        if self.is_direct and not self._step_innermost(&outcome):
            self._let_go()
        if not self.is_direct:
            if not self.is_started:
                self.is_started = True
                _outermost.set(self)
            self.is_ending = False
            if not PyIter_Send(self.coroutine, value, &outcome):
                raise StopIteration(owned(outcome))
            self.is_direct = self.innermost is not None and self.innermost._is_reached_from(self.coroutine)
            if not self.is_direct:
                self.innermost = None
        return self._marked(owned(outcome))

    cdef bint _step_innermost(self, PyObject** outcome) except -1:
        """Whether it has suspended, on `outcome`. If not, it is over."""
        cdef Innermost innermost = self.innermost
        try:
            if PyIter_Send(innermost.coroutine, None, outcome):
                return True
            innermost.result = owned(outcome[0])
        except BaseException as exc:
            innermost.failure = exc
        innermost.is_over = True
        return False

    cdef bint can_go_on(self, Signal signal) except -1:
        """Whether the endpoint, which waits for `signal`, can be resumed past the Task."""
        if not self.is_direct:
            return False
        if signal.task is None:
            signal.task = getattr(signal.callback, "__self__", None)
        return isinstance(signal.task, _Task)

    cdef int go_on(self, Signal signal) except -1:
        """Resume the endpoint in place of the Task, which is woken when that waits for anything but another Signal."""
        cdef PyObject* outcome = NULL
        cdef object future
        cdef bint suspended
        enter(signal.loop, signal.task)
        PyContext_Enter(signal.context)
        try:
            suspended = self._step_innermost(&outcome)
        finally:
            PyContext_Exit(signal.context)
            leave(signal.loop, signal.task)
        if suspended:
            future = owned(outcome)
            if not signal.is_done and isinstance(future, Signal) and (<Signal> future).give_way(signal):
                return 0
            self.is_pending = True
            self.waits_for = future
            self.is_awaited = getattr(future, "_asyncio_future_blocking", None) is True
            if self.is_awaited:
                future._asyncio_future_blocking = False
        else:
            self._let_go()
        if not signal.is_done:  # it may have been cancelled, in the step
            signal._wake_task()
        return 0

    cdef object _hand_over(self):
        """Tell the Task on what the endpoint has suspended."""
        future, self.waits_for = self.waits_for, None
        self.is_pending = False
        if self.is_awaited:
            future._asyncio_future_blocking = True
        return self._marked(future)

    cdef object _marked(self, object future):
        """What the Task is given to wait for."""
        if self.is_direct and isinstance(future, Signal):
            (<Signal> future).outermost = self
        return future

    cdef int _let_go(self) except -1:
        """The endpoint has ended: the others go on, with the next step of the Task."""
        self.innermost = None
        self.is_direct = False
        self.is_ending = True
        return 0

    def throw(self, *exception):
        cdef object future = None
        if self.is_pending:
            future = self._hand_over()
        elif self.is_ending:
            try:
                future = self._send(None)
            except StopIteration:
                raise exception[0] from None  # as of a Task that is cancelled in its last step
        if future is not None and isinstance(exception[0], _CancelledError) and future.cancel(*exception[0].args):
            return future  # as a running Task does: what it waits for is cancelled, and wakes it
        future = self.coroutine.throw(*exception)
        if self.is_direct and self.innermost.is_over:
            self.innermost = None
            self.is_direct = False
        return self._marked(future)

    def close(self):
        self.is_pending = False
        self.waits_for = None
        self.coroutine.close()


def innermost(coroutine):
    """What to await in place of the coroutine of an endpoint, once, at once, and in a coroutine."""
    cdef Outermost outermost = _outermost.get()
    cdef Innermost result
    if outermost is None or outermost.innermost is not None or type(coroutine) is not _Coroutine:
        return coroutine
    if sys.exception() is not None:  # the endpoint sees what is being handled around it, as long as it is resumed there
        return coroutine
    result = Innermost.__new__(Innermost)
    result.coroutine = coroutine
    outermost.innermost = result
    return result
