# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Run a coroutine now; give it a Task of its own only if it has to wait.

Most handlers finish without suspending, and then scheduling a Task costs more than the handler. Yet code inside must find what
it finds under any server: a running loop, a current task that is an `asyncio.Task`, a context of its own.

Python >= 3.12 has this: ``asyncio.Task(..., eager_start=True)``. On 3.11 the same is done here in two steps. A `LazyTask` is a
real `asyncio.Task` that has been allocated but not initialised. It is made the current task, and the coroutine takes its
first step by hand. If that was all, the object is dropped, as nobody has asked anything of it. If the coroutine suspends or
raises, somebody has kept the task, or asks it for something that an uninitialised Task cannot answer, `LazyTask.start`
initialises it with the `Continuation` of the coroutine, and from then on it is a Task like any other.

* What happened to the task before that (cancel requests, which live in plain fields) is carried over.
* `Continuation.send` first hands over the future on which the coroutine suspended, then steps the coroutine itself.
* A coroutine that had finished when its task is stepped for the first time ends the task at once, with what came of it.
"""

import asyncio
import sys

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* o) noexcept
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    # 0: returned, 1: yielded; no StopIteration is made.
    int PyIter_Send(object iterator, object value, PyObject** result) except -1


cdef bint _EAGER = sys.version_info >= (3, 12)

cdef object _Task = asyncio.Task
# On 3.11 the current task of each loop; `_asyncio` has the same dict.
cdef dict _current = {} if _EAGER else asyncio.tasks._current_tasks

cdef object _enter_task = asyncio.tasks._enter_task
cdef object _leave_task = asyncio.tasks._leave_task


cdef int enter(object loop, object task) except -1:
    """Make `task` the current one; there must be none."""
    if _EAGER:
        _enter_task(loop, task)
    elif loop in _current:
        raise RuntimeError(f"Cannot enter {task!r} while {_current[loop]!r} is being executed.")
    else:
        _current[loop] = task
    return 0


cdef int leave(object loop, object task) except -1:
    """Leave the current task."""
    if _EAGER:
        _leave_task(loop, task)
    else:
        del _current[loop]
    return 0


cdef class CoroutineView:
    """Stands in place of a coroutine, and shows what can be asked of that one."""

    @property
    def cr_await(self):
        return getattr(self.coroutine, "cr_await", None)

    @property
    def cr_frame(self):
        return getattr(self.coroutine, "cr_frame", None)

    @property
    def cr_running(self):
        return getattr(self.coroutine, "cr_running", False)

    @property
    def cr_suspended(self):
        return getattr(self.coroutine, "cr_suspended", False)

    @property
    def cr_code(self):
        return getattr(self.coroutine, "cr_code", None)

    @property
    def __name__(self):
        return self.coroutine.__name__

    @property
    def __qualname__(self):
        return self.coroutine.__qualname__


cdef class Continuation(CoroutineView):
    """What is left of a coroutine that was started by hand: an awaitable iterator for its Task."""

    cdef readonly object loop
    cdef readonly object context
    cdef object waits_for       # the future on which it suspended, not yet handed to the Task
    cdef bint awaited           # ... by `await`, which marks it
    cdef bint running           # its first step is being taken
    cdef bint done
    cdef object result
    cdef object failure         # what it raised

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        # How a Task resumes it, for as long as it lives.
        cdef PyObject* outcome = NULL
        if self.running or self.done or self.waits_for is not None:
            return self.send(None)
        if PyIter_Send(self.coroutine, None, &outcome):
            return owned(outcome)
        raise StopIteration(owned(outcome))

    def send(self, value):
        if self.running:
            raise RuntimeError("The first step of the coroutine has not ended")
        if self.done:
            self._end()
        if self.waits_for is not None:
            return self._hand_over()
        return self.coroutine.send(value)

    def throw(self, *exception):
        if self.done:
            self._end()
        if self.waits_for is not None:
            future = self._hand_over()
            if isinstance(exception[0], asyncio.CancelledError) and future.cancel(*exception[0].args):
                return future  # as a running Task does: what it waits for is cancelled, and wakes it
        return self.coroutine.throw(*exception)

    cdef int suspend(self, object future) except -1:
        """The coroutine waits for `future`, whose mark is taken off until the Task sees it: others may await it, too."""
        self.waits_for = future
        self.awaited = getattr(future, "_asyncio_future_blocking", None) is True
        if self.awaited:
            future._asyncio_future_blocking = False
        return 0

    cdef object _hand_over(self):
        future, self.waits_for = self.waits_for, None
        if self.awaited:
            future._asyncio_future_blocking = True
        return future

    cdef int _end(self) except -1:
        if self.failure is None:
            raise StopIteration(self.result)
        failure, self.failure = self.failure, None
        raise failure

    def close(self):
        self.waits_for = None
        if not self.done:
            self.coroutine.close()


def _started(name):
    """The method `name` of asyncio.Task, for a task that may not have been initialised."""
    method = getattr(asyncio.Task, name)

    def call(self, *args, **kwargs):
        self.start()
        return method(self, *args, **kwargs)

    call.__name__ = name
    call.__doc__ = method.__doc__
    return call


class LazyTask(asyncio.Task):
    """A Task that is initialised when it is needed. Made by `LazyTask.__new__` only."""

    __slots__ = ("_continuation",)

    def start(self):
        """Initialise the task, once: it is then scheduled to go on with its coroutine."""
        continuation = self._continuation
        if continuation is None:
            return
        self._continuation = None
        requests, must_cancel, message = self.cancelling(), self._must_cancel, self._cancel_message
        asyncio.Task.__init__(self, continuation, loop=continuation.loop, context=continuation.context)
        for _ in range(requests or must_cancel):
            asyncio.Task.cancel(self, message)
        if must_cancel and not requests:
            self.uncancel()

    def get_coro(self):
        """The coroutine, as it was handed over."""
        self.start()
        return asyncio.Task.get_coro(self).coroutine


for _name in (
    "__await__", "__iter__", "__repr__", "add_done_callback", "exception", "get_loop", "get_name", "get_stack",
    "print_stack", "remove_done_callback", "result", "set_name",
):
    setattr(LazyTask, _name, _started(_name))


cdef class Runner:
    """Runs the coroutines of one event loop."""

    def __init__(self, loop):
        self.loop = loop
        self.suspended = set()

    cdef object run(self, object coroutine):
        """Run `coroutine` up to its end, or to its first suspension and return the Task that goes on with it."""
        if _EAGER:
            return self._run_eagerly(coroutine)
        if self.loop in _current:
            raise RuntimeError(f"Cannot run a coroutine by hand while {_current[self.loop]!r} is being executed.")
        return self._run_lazily(coroutine)

    cdef object run_inside(self, object coroutine):
        """The same from inside of another task. Returns the task that goes on, or None."""
        cdef object outer
        if _EAGER:
            return self._run_eagerly(coroutine)
        outer = _current.pop(self.loop)
        try:
            return self._run_lazily(coroutine)
        finally:
            _current[self.loop] = outer

    cdef object _run_eagerly(self, object coroutine):
        cdef object task = _Task(coroutine, loop=self.loop, eager_start=True)
        return None if task.done() else self._keep(task)

    cdef object _run_lazily(self, object coroutine):
        cdef Continuation continuation = Continuation.__new__(Continuation)
        cdef object context = PyContext_CopyCurrent()
        cdef object task = LazyTask.__new__(LazyTask)
        cdef PyObject* outcome = NULL
        continuation.coroutine = coroutine
        continuation.loop = self.loop
        continuation.context = context
        continuation.running = True
        task._continuation = continuation
        _current[self.loop] = task
        PyContext_Enter(context)
        try:
            if PyIter_Send(coroutine, None, &outcome):
                continuation.suspend(<object> outcome)
            else:
                continuation.done = True
                continuation.result = <object> outcome
            Py_DECREF(<object> outcome)
        except (KeyboardInterrupt, SystemExit):
            continuation.done = True
            raise
        except BaseException as exc:
            continuation.done = True
            continuation.failure = exc
        finally:
            continuation.running = False
            PyContext_Exit(context)
            del _current[self.loop]
        if not continuation.done:
            task.start()
            return self._keep(task)
        if continuation.failure is not None or Py_REFCNT(<PyObject*> task) > 1:
            task.start()
        return None

    cdef object _keep(self, object task):
        self.suspended.add(task)
        task.add_done_callback(self.suspended.discard)
        return task

    cdef int cancel_all(self) except -1:
        for task in list(self.suspended):
            task.cancel()
        return 0

    def cancel(self):
        """Cancel every coroutine that is still waiting."""
        self.cancel_all()


def run_now(Runner runner, coroutine):
    """`runner.run(coroutine)`, for tests."""
    runner.run(coroutine)
