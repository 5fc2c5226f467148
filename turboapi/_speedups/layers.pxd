from turboapi._speedups.asgi cimport AsgiExchange
from turboapi._speedups.endpoint cimport Hooks, Site
from turboapi._speedups.exchange cimport HttpExchange
from turboapi._speedups.request cimport Exchange
from turboapi._speedups.tasks cimport Runner


cdef class Layer:
    cdef readonly object call       # what a hook layer does: (exchange) -> None, a ResponseHook, a Response, or AS_ASGI
    cdef readonly object app        # the same middleware as an ASGI application, around everything inside of it
    cdef readonly bint is_async     # what `call` returns has to be awaited


cdef class DispatchLayer(Layer):    # `call` is (request, call_next) -> awaitable of a Response
    cdef object inside_class        # a subclass of Inside
    cdef object request_class
    cdef object response_class      # of a response that is complete at once


cdef class Layers:
    cdef readonly list layers
    cdef readonly Hooks hooks
    cdef readonly object on_expected
    cdef readonly object on_unexpected
    cdef readonly object scope_keys


cdef class InnerExchange(AsgiExchange):
    cdef Exchange outer
    cdef HttpExchange carrier       # the same request on its connection
    cdef Inside origin              # until the dispatch layer has done its work
    cdef Runner runner
    cdef readonly int status
    cdef readonly list response_headers
    cdef readonly bytes whole       # the body of a response that was complete at once
    cdef readonly object error      # what was raised inside
    cdef readonly bint ended

    cdef int keep(self, int status, list headers, object body) except -1


cdef class Inside:
    cdef DispatchLayer layer
    cdef Layers layers
    cdef Site site
    cdef readonly Exchange exchange
    cdef Py_ssize_t position
    cdef Runner runner
    cdef readonly InnerExchange inner   # None before `call_next`
    cdef readonly object task           # what is inside has to wait, in this task; None: it has ended
    cdef readonly object request        # what the dispatch function sees
    cdef public object head             # the message by which a response in parts has started
    cdef object waiter
    cdef bint lends_body                # to the route, which then has read it

    cdef InnerExchange _start(self)
    cdef object _take_body(self)
    cpdef progress(self)
