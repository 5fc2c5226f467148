from turboapi._speedups.asgi cimport AsgiExchange
from turboapi._speedups.endpoint cimport Hooks, Site
from turboapi._speedups.request cimport Exchange
from turboapi._speedups.tasks cimport Runner


cdef class Layer:
    cdef readonly int kind
    cdef readonly object call       # what the layer does, see `LAYER_*`
    cdef readonly object app        # the same middleware as an ASGI application, around everything inside of it


cdef class Layers:
    cdef readonly list layers
    cdef readonly Hooks hooks
    cdef readonly object on_expected
    cdef readonly object on_unexpected
    cdef readonly object scope_keys

    cdef object run_from(self, Site site, Exchange exchange, Py_ssize_t position)
    cdef object inner_app(self, Py_ssize_t position)


cdef class InnerExchange(AsgiExchange):
    cdef Runner runner
    cdef object progress            # () -> None: the response is there, or everything has ended
    cdef object sent                # () -> awaitable for the moment at which the response has been sent
    cdef readonly int status
    cdef readonly list response_headers
    cdef readonly bytes whole
    cdef readonly object error
    cdef readonly bint ended


cdef class Inside:
    cdef Layers layers
    cdef Site site
    cdef Exchange exchange
    cdef Py_ssize_t position
    cdef Runner runner
