from turboapi._speedups.arguments cimport Call
from turboapi._speedups.dispatch cimport Dispatch
from turboapi._speedups.request cimport Exchange
from turboapi._speedups.router cimport Router

cdef enum:
    BODY_NONE = 0           # the endpoint declares no body
    BODY_DIRECT = 1         # one JSON body, decoded and validated in one pass from the raw bytes
    BODY_EXACT = 2          # anything else: parsed by `load_body`, validated by each call's `body_exact`

cdef enum:
    RESULT_PLAIN = 0        # no response model: plain trees are encoded here
    RESULT_MODEL = 1        # response model: validated (that is, filtered) and dumped to JSON bytes
    RESULT_EXACT = 2        # a response class of its own, or a stream: `make_response` builds a Response


cdef class Hooks:
    cdef readonly object request_class
    cdef readonly object response_class
    cdef readonly object response_types     # what results that are responses are instances of: a class, or several
    cdef readonly tuple native_calls        # the `__call__` of Response classes that are sent without being called
    cdef readonly object new_response       # () -> Response to be injected: no status, no content-length
    cdef readonly object new_background     # () -> BackgroundTasks
    cdef readonly object run_in_thread      # (func, *args) -> awaitable
    cdef readonly object new_place          # () -> object with `run`, the same for one request, and `leave`
    cdef readonly object open_generator     # (func, values, is_async, limit, request, stack, run_in_thread) -> async context manager
    cdef readonly object manager_of         # (entered async generator) -> async context manager that leaves it
    cdef readonly object leave              # (exit stack, exception or None, is answered) -> awaitable of the end of a request
    cdef readonly object undefined          # the body of a request without one
    cdef readonly object run_limited        # (semaphore, is_async, func, values, run_in_thread) -> awaitable
    cdef readonly object run_with_stack     # (scope key, exchange, func, *args) -> awaitable of func(stack, exchange, *args)
    cdef readonly object finish_reading     # (awaitable of the body, exchange) -> awaitable, which raises what to answer
    cdef readonly object without_stream     # (response, route) -> what answers HEAD with its head
    cdef readonly object run_and_close      # (coroutine, exchange) -> awaitable that closes the exchange's open files
    cdef readonly dict native_types         # Response types that are sent without being called: {type: bool}

    cdef bint is_native(self, object kind)


cdef class Outcome:
    cdef object result
    cdef object response                    # the injected Response, if somebody asked for it
    cdef object background                  # the injected BackgroundTasks, likewise
    cdef bytes body                         # the result as JSON
    cdef bint keeps_place                   # among the worker threads, once it has one
    cdef object place                       # the request's own among the worker threads, if it keeps one
    cdef object reply                       # or: the Response to send
    cdef tuple paused                       # how far `_produce` has got without the exit stacks that it needs by now


cdef class Endpoint:
    cdef readonly Hooks hooks
    cdef readonly Call call
    cdef readonly int mode
    cdef readonly list visits
    cdef readonly bint needs_stack          # some visit is a generator, or the result wants the exit stack
    cdef readonly bint needs_function_stack
    cdef readonly bint has_generators       # some visit is a generator
    cdef readonly bint has_light_exits      # nothing but async generators of request scope, without a limit
    cdef readonly bint closes_files         # forms: uploaded files are open until the very end
    cdef readonly bint simple               # no visits, no injections, no exact body or result
    cdef readonly int body_kind
    cdef readonly object decode             # raw bytes -> value; raises for what it does not accept
    cdef readonly object load_body          # (request, exchange) -> awaitable of the parsed body
    cdef readonly bint needs_body           # the whole body must be there before the endpoint runs
    cdef readonly bint lax_content_type     # a body without a Content-Type counts as JSON
    cdef readonly int result_kind
    cdef readonly object dump               # RESULT_MODEL: (result, exchange) -> JSON bytes
    cdef readonly bint plain_first          # RESULT_MODEL: a plain tree passes as it is
    cdef readonly object render             # RESULT_PLAIN: any result -> JSON bytes, as the reference would
    cdef readonly object make_response      # RESULT_EXACT: see turboapi._plan.result
    cdef readonly int status                # 0: none was declared
    cdef readonly object route
    cdef readonly object invalid            # (errors, body, exchange) -> the RequestValidationError to raise
    cdef readonly object provider           # has `.dependency_overrides`, or None
    cdef readonly object overrides          # the overrides for which this one was made, None: not for any
    cdef readonly object overridden         # (done) -> the Endpoint for the present overrides, from that visit on

    cdef readonly Dispatch dispatch         # of a plain function that may be called inline, or None
    cdef readonly tuple sources             # the dispatches of the plain functions whose values it is given
    cdef object finish                      # RESULT_MODEL: (result, exchange) -> JSON bytes, right behind the handler

    cdef object run(self, Exchange exchange)
    cdef object _inline_loop(self, Dispatch dispatch, tuple sources, Exchange exchange)
    cdef object _thread_runner(self, Outcome outcome)
    cdef bint _call_inline(self, Call call, list values, Outcome outcome, Exchange exchange) except -1
    cdef object _simple_values(self, Exchange exchange)
    cdef bint has_json_type(self, Exchange exchange)
    cdef object _decode(self, Exchange exchange)
    cdef bint _has_other_overrides(self, object overrides) except -1
    cdef int _inject(self, Call call, Exchange exchange, list values, Outcome outcome) except -1
    cdef int _prepare(self, Exchange exchange, Outcome outcome) except -1
    cdef object _send(self, Exchange exchange, Outcome outcome)
    cdef object _send_response(self, Exchange exchange, object response)


cdef class Site:
    cdef readonly Router router             # None: `asgi` answers everything
    cdef readonly object asgi               # the whole application as an ASGI callable, in place of the routes
    cdef readonly object unmatched          # ASGI callables: no route (404, slash redirect) ...
    cdef readonly object not_allowed        # ... a route, but not for this method (405)
    cdef readonly object on_error           # (exchange, exc) -> awaitable that answers, on our own server
    cdef readonly object on_asgi_error      # (exchange, exc) -> awaitable that answers or raises further
    cdef readonly object layers             # layers.Layers: middleware that runs natively; None without any
    cdef readonly object add_to_scope       # (scope, exchange) -> None: the framework's own scope keys
    cdef public bint cancels                # the pipeline of a request is cancelled when its client leaves
    cdef readonly str root_path             # is taken off the path before it is matched
    cdef object refresh                     # () -> Site, after routes have changed
    cdef object changed                     # () -> whether it was routes of this site that have changed
    cdef object outdated                    # () -> whether anything else would be frozen otherwise now
    cdef long epoch

    cpdef Site current(self)
    cdef Site reviewed(self)
    cdef int resolve(self, Exchange exchange) except -1
    cdef str _route_path(self, str path)
    cdef bint needs_body(self, Exchange exchange)
    cdef object run(self, Exchange exchange)
    cdef object run_target(self, Exchange exchange)
