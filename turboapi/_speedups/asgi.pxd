from turboapi._speedups.endpoint cimport Site
from turboapi._speedups.request cimport Exchange


cdef class AsgiExchange(Exchange):
    cdef Site site
    cdef bint delivered         # `receive` has handed over the body
    cdef object server_receive
    cdef object server_send

