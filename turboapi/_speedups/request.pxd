from turboapi._speedups.exits cimport Exits


cdef str INNER_STACK


cdef class ResponseHook:
    pass


cdef class HeaderHook(ResponseHook):
    cdef list pairs
    cdef tuple unless
    cdef object otherwise

    cdef bint is_enough(self, list headers) except -1


cdef class ScopeHook(ResponseHook):
    pass


cdef class BodyHook(ResponseHook):
    cdef public Py_ssize_t least        # smaller bodies, if they are whole, pass unseen


cdef class Exchange:
    # The request line and header section.
    cdef readonly str method
    cdef readonly str path              # percent-decoded; what the routes are matched against
    cdef readonly bytes raw_path
    cdef readonly bytes query_string
    cdef readonly list headers
    # What the pipeline learns on its way.
    cdef public dict path_params        # None: the route has none
    cdef public object body             # the whole body (bytes) once it is read, else None
    cdef public object target           # what the router found: an Endpoint, or an opaque route
    cdef public object payload          # what an opaque route said about its match
    cdef public bint started            # the response's head has been handed over: no other answer is possible
    cdef public list closers            # async callables to await at the very end (open form files)
    cdef public bint inside             # behind all middleware: the scope shows the route
    cdef list hooks                     # of the middleware that let the request pass, outermost first; None without any
    cdef object hooked_send             # ASGI `send` through the hooks, once somebody sends messages
    cdef list errors                    # validation errors collected so far, None without any
    cdef object request                 # the framework's Request, once somebody asked for it
    cdef dict state                     # the ASGI scope, once somebody asked for it
    cdef list pairs                     # parsed query string
    cdef dict jar                       # parsed cookies
    cdef Exits exits                    # the exit code of dependencies; None without any, or when an exit stack is to run it

    cdef list query_pairs(self)
    cdef dict cookies(self)
    cdef int add_errors(self, list found) except -1
    cpdef object get_request(self, object cls)
    cpdef dict scope(self)
    cdef int use_exits(self, Exits exits) except -1
    cdef bint stands_alone(self)
    cdef object running_loop(self)
    cdef dict known_scope(self)
    cdef int go_inside(self) except -1
    cpdef bytes header(self, bytes name)
    cdef object read_body(self)
    cdef object respond(self, int status, list headers, object body)
    cdef object respond_json(self, int status, bytes body, list extra)
    cdef object fail(self, object exc)
    cdef bint survives(self, object exc)
    cdef object returned(self, object result)
    cdef object settle(self)
    cdef int add_hook(self, ResponseHook hook) except -1
    cdef bint defers(self, ScopeHook hook)
    cdef int open_hooks(self) except -1
    cdef list hooked_extra(self, list extra, Py_ssize_t size)
    cdef object run_hooks(self, int status, list headers, object body)
    cdef object through_hooks(self, object send)
    cdef bint changes_bodies(self)      # a hook edits complete bodies, too
    cdef bint watches_bodies(self)      # a hook sees the messages of which a body consists
    cpdef end_hooks(self, error)
    cdef int finished(self) except -1
    cdef object collect_body(self, object receive)
