from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF


cdef inline object owned(PyObject* outcome):
    """The object of a reference that is ours to give up."""
    cdef object result = <object> outcome
    Py_DECREF(result)
    return result


cdef int enter(object loop, object task) except -1
cdef int leave(object loop, object task) except -1


cdef class CoroutineView:
    cdef readonly object coroutine


cdef class Runner:
    cdef readonly object loop
    cdef readonly set suspended     # tasks that wait for something: asyncio itself holds them weakly only

    cdef object run(self, object coroutine)
    cdef object run_inside(self, object coroutine)
    cdef object _run_eagerly(self, object coroutine)
    cdef object _run_lazily(self, object coroutine)
    cdef object _keep(self, object task)
    cdef int cancel_all(self) except -1
