# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The conductor: arguments -> dependencies -> handler -> serialize -> answer.

NOTE: no coroutine of this project that is written in Cython may suspend inside an `except` clause, a `finally` or an `async with`.
On CPython 3.11 it crashes the process if somebody sets the exception's `__traceback__` to None meanwhile. So exceptions are
kept in a variable and dealt with behind the clause, and exit stacks are entered in Python (`Hooks.run_with_stack`).

An `Endpoint` is a route, frozen: `run(exchange)` is the coroutine that answers one request. A `Site` is an application, frozen:
it finds the endpoint. Both entrances drive the same objects.

Validation errors are collected by the exchange and raised together, after every dependency that could be called was called.
"""

import asyncio
import gc
import logging
import sys

from turboapi._speedups.arguments cimport INJECT_BACKGROUND, INJECT_REQUEST, INJECT_RESPONSE, Call
from turboapi._speedups.dependencies cimport MODE_ASYNC, MODE_ASYNC_GENERATOR, MODE_COLLECT, MODE_DIRECT, MODE_THREAD, Visit
from turboapi._speedups.dispatch cimport Dispatch
from turboapi._speedups.exits cimport Exits, new_exits
from turboapi._speedups.headers cimport find_header
from turboapi._speedups.request cimport INNER_STACK, Exchange
from turboapi._speedups.router cimport Match, Router
from turboapi._speedups.serialize cimport plain_json

from turboapi.exceptions import StarletteHTTPException


logger = logging.getLogger("turboapi.error")

cdef enum:
    LARGE_BODY = 16384

cdef object UNSET = object()        # no body was decoded directly
# Before Python 3.12 the garbage collector runs in the middle of a decoder, for every few hundred containers it makes.
cdef bint _PAUSES_GC = sys.version_info < (3, 12)


cdef class Epoch:
    """Counts every change of any route list, so that a frozen site notices that it is out of date."""

    cdef public long value

    def __init__(self):
        self.value = 0


cdef Epoch _routes_epoch = Epoch()
routes_epoch = _routes_epoch


cdef class Hooks:
    """What the pipeline calls upward; made once by the definition layer."""

    def __init__(
        self, *, request_class, response_class, undefined, new_response, new_background, run_in_thread, new_place, run_limited,
        run_with_stack, run_and_close, open_generator, manager_of, leave, finish_reading, without_stream,
    ):
        self.request_class = request_class
        self.response_class = response_class
        self.response_types = response_class
        self.native_calls = (response_class.__call__,)
        self.undefined = undefined
        self.new_response = new_response
        self.new_background = new_background
        self.run_in_thread = run_in_thread
        self.new_place = new_place
        self.run_limited = run_limited
        self.run_with_stack = run_with_stack
        self.run_and_close = run_and_close
        self.open_generator = open_generator
        self.manager_of = manager_of
        self.leave = leave
        self.finish_reading = finish_reading
        self.without_stream = without_stream
        self.native_types = {}

    cdef bint is_native(self, object kind):
        """Whether a Response type is sent as it stands: nobody has overridden how it is called."""
        known = self.native_types.get(kind)
        if known is None:
            known = kind.__call__ in self.native_calls
            # Replaced whole: readers never see a dict that is being written.
            self.native_types = {**self.native_types, kind: known}
        return known

    def accept_responses(self, response_class):
        """Take results of another class, which has the attributes of `response_class`, as responses as well."""
        if response_class.__call__ not in self.native_calls:
            self.native_calls = (*self.native_calls, response_class.__call__)
            self.native_types = {}
            self.response_types = (self.response_class, response_class)

    def is_response(self, result):
        """Whether a result is a response itself."""
        return isinstance(result, self.response_types)


cdef class Outcome:
    """What the handler made, and what its dependencies left for the response."""


cdef class Endpoint:
    """One route, ready to answer."""

    def __init__(
        self, *, Hooks hooks, Call call, int mode, list visits, int body_kind, object decode, object load_body,
        bint needs_body, bint lax_content_type, int result_kind, object dump, object render, bint plain_first, object make_response,
        bint needs_stack, bint closes_files, int status, object route, object invalid, object provider, object overrides,
        object overridden, Dispatch dispatch, tuple sources,
    ):
        self.hooks = hooks
        self.call = call
        self.mode = mode
        self.visits = visits
        generators = [visit for visit in visits if (<Visit> visit).mode >= MODE_ASYNC_GENERATOR]
        self.has_generators = bool(generators)
        self.has_light_exits = self.has_generators and not needs_stack and all(
            (<Visit> visit).mode == MODE_ASYNC_GENERATOR and (<Visit> visit).limit is None and not (<Visit> visit).function_scope
            for visit in generators
        )
        self.needs_stack = needs_stack or self.has_generators
        self.needs_function_stack = any((<Visit> visit).function_scope for visit in generators)
        self.closes_files = closes_files
        self.body_kind = body_kind
        self.decode = decode
        self.load_body = load_body
        self.needs_body = needs_body
        self.lax_content_type = lax_content_type
        self.result_kind = result_kind
        self.dump = dump
        self.render = render
        self.plain_first = plain_first
        self.make_response = make_response
        self.status = status
        self.route = route
        self.invalid = invalid
        self.provider = provider
        self.overrides = overrides
        self.overridden = overridden
        self.dispatch = dispatch
        self.sources = sources
        self.finish = None if result_kind != RESULT_MODEL or plain_first else self._dump_unless_response
        self.simple = (
            not visits and not call.injections and body_kind != BODY_EXACT and mode <= MODE_THREAD
            and result_kind != RESULT_EXACT and not needs_stack
        )

    cdef object run(self, Exchange exchange):
        """The coroutine that answers the exchange."""
        if self.closes_files:
            return self.hooks.run_and_close(self._run(exchange), exchange)
        return self._run(exchange)

    async def _run(self, Exchange exchange):
        cdef Endpoint endpoint = self
        cdef Outcome outcome
        cdef list values = None
        cdef object failure = None
        cdef object pending
        try:
            try:
                if self.provider is not None and self.provider.dependency_overrides:
                    endpoint = self.overridden(0)
                if self.needs_body and exchange.body is None:
                    pending = exchange.read_body()
                    if pending is not None:
                        await self.hooks.finish_reading(pending, exchange)
                if endpoint.simple:
                    values = endpoint._simple_values(exchange)
                if values is not None:
                    # PERF: the work of `_answer_in_full` for most endpoints, without a second coroutine.
                    outcome = Outcome.__new__(Outcome)
                    if endpoint.mode == MODE_ASYNC:
                        outcome.result = await endpoint.call.invoke(values)
                    elif not endpoint._call_inline(endpoint.call, values, outcome, exchange):
                        await endpoint._in_thread(endpoint.call, values, outcome, exchange)
                    endpoint._prepare(exchange, outcome)
                    pending = endpoint._send(exchange, outcome)
                    if pending is not None:
                        await pending
                elif endpoint.has_light_exits and exchange.stands_alone():
                    await endpoint._answer_and_leave(exchange)
                elif endpoint.needs_stack:
                    await self.hooks.run_with_stack(INNER_STACK, exchange, endpoint._answer_in_full)
                else:
                    await endpoint._answer_in_full(None, exchange)
            except Exception as exc:
                failure = exc
            except (SystemExit, asyncio.CancelledError) as exc:
                if not exchange.survives(exc):
                    raise
                failure = exc
            if failure is not None:
                await exchange.fail(failure)
        finally:
            exchange.finished()

    cdef object _simple_values(self, Exchange exchange):
        """The argument list of an endpoint without dependencies; None: something is not plainly right."""
        cdef list values = self.call.collect(exchange, None, self.hooks.request_class)
        if values is None:
            if self.body_kind == BODY_NONE:
                raise self.invalid(exchange.errors, self.hooks.undefined, exchange)
            exchange.errors = None
        elif self.body_kind == BODY_DIRECT:
            body = self._decode(exchange)
            if body is UNSET:
                return None
            values[self.call.body_slot] = body
        return values

    cdef bint has_json_type(self, Exchange exchange):
        """Whether the body is declared as JSON, in one of the spellings that need no parsing."""
        cdef bytes kind = find_header(exchange.headers, b"content-type")
        if kind is None or not kind:
            return self.lax_content_type
        return kind == b"application/json" or kind == b"application/json; charset=utf-8"

    cdef object _decode(self, Exchange exchange):
        """The body's value, or UNSET where the exact path has to look at it."""
        if not exchange.body or not self.has_json_type(exchange):
            return UNSET
        try:
            return decode_json(self.decode, exchange.body)
        except Exception:
            return UNSET

    async def _answer_in_full(self, stack, Exchange exchange, Outcome outcome=None):
        """With dependencies, generators among them, and whatever else takes the exact path.

        The exit code of generators runs in the reverse order of their entry: those of function scope before the response is
        sent, those of request scope (on `stack`) after its background tasks.
        """
        cdef object pending
        if outcome is None:
            outcome = Outcome.__new__(Outcome)
            if self.needs_function_stack:
                await self.hooks.run_with_stack("fastapi_function_astack", exchange, self._produce_in_place, outcome, stack)
            elif self.has_generators:
                await self._produce_in_place(stack, exchange, outcome, stack)
            else:
                await self._produce(stack, exchange, outcome, stack)
        if outcome.paused is not None:
            if stack is None:
                await self.hooks.run_with_stack(INNER_STACK, exchange, self._answer_in_full, outcome)
                return
            await self.hooks.run_with_stack("fastapi_function_astack", exchange, self._produce_in_place, outcome, stack)
        pending = self._send(exchange, outcome)
        if pending is not None:
            await pending
        if stack is not None:
            pending = exchange.settle()
            if pending is not None:
                await pending

    async def _answer_and_leave(self, Exchange exchange):
        """The same where the dependencies with exit code are async generators of request scope, without an exit stack."""
        cdef Exits exits = new_exits(self.hooks.manager_of)
        cdef bint is_answered = False
        cdef object failure = None
        cdef object generator
        exchange.use_exits(exits)
        try:
            await self._answer_in_full(exits, exchange)
            is_answered = True
        except BaseException as exc:
            failure = exc
        while failure is None:
            generator = exits.pop()
            if generator is None:
                break
            try:
                await anext(generator)
                failure = RuntimeError("generator didn't stop")
                await generator.aclose()
            except StopAsyncIteration:
                pass
            except BaseException as exc:
                failure = exc
        if failure is not None or exits.stack is not None:
            await self.hooks.leave(exits.open_stack(), failure, is_answered)

    async def _produce_in_place(self, function_stack, Exchange exchange, Outcome outcome, stack):
        """The same as `_produce`, with a place of its own among the worker threads.

        What a generator yields may be something that others wait for in the threads, such as a connection. This request
        must not wait for them then.
        """
        outcome.keeps_place = True
        try:
            await self._produce(function_stack, exchange, outcome, stack)
        finally:
            if outcome.place is not None:
                outcome.place.leave()

    async def _produce(self, function_stack, Exchange exchange, Outcome outcome, stack):
        """Body, dependencies, arguments, handler, serialization.

        It pauses, to be called again with exit stacks, where a dependency has installed an override that needs them.
        """
        cdef Endpoint plan = self
        cdef Call call = self.call
        cdef Visit visit
        cdef list visits = self.visits
        cdef list results = [None] * len(visits)
        cdef list values
        cdef set failed = None
        cdef object overrides = None
        cdef Py_ssize_t index = -1
        if self.provider is not None and len(visits) > 1:
            overrides = self.provider.dependency_overrides
        body = parsed = UNSET
        if outcome.paused is not None:
            plan, results, failed, index, body, parsed = outcome.paused
            call, visits = plan.call, plan.visits
            outcome.paused = None
        else:
            if self.body_kind == BODY_DIRECT:
                body = self._decode(exchange)
            parsed = self.hooks.undefined
            if self.body_kind != BODY_NONE and body is UNSET:
                parsed = await self.load_body(exchange.get_request(self.hooks.request_class), exchange)
        while index + 1 < len(visits):
            index += 1
            visit = visits[index]
            values = visit.call.collect(exchange, results, self.hooks.request_class)
            if visit.call.body_exact is not None:
                values = await self._take_body(visit.call, exchange, parsed, values)
            if values is None or (failed is not None and not failed.isdisjoint(visit.call.sub_visits)):
                failed = {index} if failed is None else failed | {index}
                continue
            if visit.reuse >= 0:
                results[index] = results[visit.reuse]
                continue
            self._inject(visit.call, exchange, values, outcome)
            if visit.mode == MODE_DIRECT:
                results[index] = visit.call.invoke(values)
                continue
            loop = self._inline_loop(visit.dispatch, visit.sources, exchange)
            if loop is not None:
                results[index] = visit.dispatch.call_inline(loop, visit.call, values, None, exchange)
            elif visit.mode == MODE_ASYNC and visit.limit is None:
                results[index] = await visit.call.invoke(values)
            elif (
                visit.mode == MODE_ASYNC_GENERATOR and visit.limit is None and not visit.function_scope and type(stack) is Exits
            ):
                results[index] = await self._enter(visit.call.invoke(values), <Exits> stack)
            else:
                results[index] = await self._visit(
                    visit, values, exchange, function_stack if visit.function_scope else stack, outcome,
                )
            if overrides is not None and plan._has_other_overrides(overrides):
                plan = plan.overridden(index + 1)
                call, visits = plan.call, plan.visits
                results += [None] * (len(visits) - len(results))
                if (plan.needs_stack and stack is None) or (plan.needs_function_stack and function_stack is stack):
                    outcome.paused = (plan, results, failed, index, body, parsed)
                    return
        if outcome.place is not None and self.mode != MODE_THREAD:
            outcome.place.leave()
        if self.mode == MODE_COLLECT:
            result = await self._collect(call, exchange, results, failed, outcome, parsed)
            outcome.reply = await self.make_response(
                exchange.get_request(self.hooks.request_class), result, outcome.background, outcome.response,
            )
            return
        values = call.collect(exchange, results, self.hooks.request_class)
        if body is not UNSET:
            if values is not None:
                values[call.body_slot] = body
        elif call.body_exact is not None:
            values = await self._take_body(call, exchange, parsed, values)
        if exchange.errors is not None:
            raise self.invalid(exchange.errors, parsed, exchange)
        self._inject(call, exchange, values, outcome)
        if self.mode == MODE_ASYNC:
            outcome.result = await call.invoke(values)
        elif self.mode == MODE_THREAD:
            if not plan._call_inline(call, values, outcome, exchange):
                await plan._in_thread(call, values, outcome, exchange)
        else:
            outcome.result = call.func(**call.keywords(values))  # a generator: `make_response` streams it
        if self.result_kind == RESULT_EXACT and not isinstance(outcome.result, self.hooks.response_types):
            outcome.reply = await self.make_response(
                exchange.get_request(self.hooks.request_class), outcome.result, outcome.background, outcome.response,
            )
        else:
            self._prepare(exchange, outcome)

    cdef bint _has_other_overrides(self, object overrides) except -1:
        """Whether a dependency has changed the overrides since this plan was made."""
        if self.overrides is None:
            return True if overrides else False
        return overrides != self.overrides

    async def _collect(self, Call call, Exchange exchange, list results, set failed, Outcome outcome, parsed):
        """What the handler would be called with, as far as it is good, and all errors."""
        cdef list values = call.collect_good(exchange, results, failed, self.hooks.request_class)
        self._inject(call, exchange, values, outcome)
        found = {}
        if call.body_exact is not None:
            found, errors = await call.body_exact(parsed)
            exchange.add_errors(list(errors))
        return {**call.good_keywords(values), **found}, exchange.errors or []

    async def _take_body(self, Call call, Exchange exchange, parsed, list values):
        """The call's body parameters, into their slots; None when there are errors."""
        found, errors = await call.body_exact(parsed)
        if errors:
            exchange.add_errors(list(errors))
            return None
        if values is not None:
            for name, value in found.items():
                values[call.names.index(name)] = value
        return values

    async def _enter(self, generator, Exits exits):
        """The value of a dependency that is an async generator."""
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise RuntimeError("generator didn't yield") from None
        exits.take(generator)
        return value

    async def _visit(self, Visit visit, list values, Exchange exchange, stack, Outcome outcome):
        """Call a dependency that is not a plain coroutine function."""
        cdef Call call = visit.call
        if visit.mode >= MODE_ASYNC_GENERATOR:
            if type(stack) is Exits:  # an override needs more than that can do
                stack = (<Exits> stack).open_stack()
            return await stack.enter_async_context(
                self.hooks.open_generator(
                    call.func, call.keywords(values), visit.mode == MODE_ASYNC_GENERATOR, visit.limit,
                    exchange.get_request(self.hooks.request_class), stack, self._thread_runner(outcome),
                )
            )
        run_in_thread = self._thread_runner(outcome)
        if visit.limit is not None:
            return await self.hooks.run_limited(
                visit.limit(), visit.mode == MODE_ASYNC, call.func, call.keywords(values), run_in_thread,
            )
        if visit.dispatch is not None and visit.dispatch.adaptive:
            return await run_in_thread(visit.dispatch.measured, call.func, call.keywords(values))
        return await run_in_thread(_call, call.func, call.keywords(values))

    cdef object _inline_loop(self, Dispatch dispatch, tuple sources, Exchange exchange):
        """The running loop, if a plain function is to be called on it; None: in a thread. That is always so under trio."""
        return None if dispatch is None or not dispatch.is_inline(sources) else exchange.running_loop()

    cdef object _thread_runner(self, Outcome outcome):
        if outcome.place is None and outcome.keeps_place:
            outcome.place = self.hooks.new_place()
        return self.hooks.run_in_thread if outcome.place is None else outcome.place.run

    cdef bint _call_inline(self, Call call, list values, Outcome outcome, Exchange exchange) except -1:
        """Call a plain function on the loop, if that is where it is called now."""
        cdef object loop = self._inline_loop(self.dispatch, self.sources, exchange)
        if loop is None:
            return False
        outcome.result = self.dispatch.call_inline(loop, call, values, self.finish, exchange)
        if self.finish is not None:
            outcome.result, outcome.body = outcome.result
        return True

    async def _in_thread(self, Call call, list values, Outcome outcome, Exchange exchange):
        """Call a plain function in a worker thread, and validate its result there, too: that may block as well."""
        cdef object run_in_thread = self._thread_runner(outcome)
        cdef object func = call.func
        cdef dict keywords = call.keywords(values)
        if self.finish is not None:
            keywords = {"func": func, "keywords": keywords, "finish": self.finish, "exchange": exchange}
            func = _call_and_finish
        if self.dispatch is not None and self.dispatch.adaptive:
            outcome.result = await run_in_thread(self.dispatch.measured, func, keywords)
        else:
            outcome.result = await run_in_thread(_call, func, keywords)
        if self.finish is not None:
            outcome.result, outcome.body = outcome.result

    def _dump_unless_response(self, result, exchange):
        return None if isinstance(result, self.hooks.response_types) else self.dump(result, exchange)

    cdef int _inject(self, Call call, Exchange exchange, list values, Outcome outcome) except -1:
        """Fill the slots of the framework's own objects."""
        cdef tuple injection
        cdef int what
        for injection in call.injections:
            what = injection[1]
            if what == INJECT_REQUEST:
                value = exchange.get_request(self.hooks.request_class)
                if injection[2] is not None:
                    value = injection[2](value)
            elif what == INJECT_RESPONSE:
                if outcome.response is None:
                    outcome.response = self.hooks.new_response()
                value = outcome.response
            elif what == INJECT_BACKGROUND:
                if outcome.background is None:
                    outcome.background = self.hooks.new_background()
                value = outcome.background
            else:
                value = injection[2]()
            values[<Py_ssize_t> injection[0]] = value
        return 0

    cdef int _prepare(self, Exchange exchange, Outcome outcome) except -1:
        """Result -> body or reply."""
        if type(outcome.result) is not dict and isinstance(outcome.result, self.hooks.response_types):
            outcome.reply = outcome.result
            if outcome.reply.background is None:
                outcome.reply.background = outcome.background
        elif self.result_kind == RESULT_MODEL:
            if outcome.body is None and self.plain_first:
                outcome.body = plain_json(outcome.result, False)
            if outcome.body is None:
                outcome.body = self.dump(outcome.result, exchange)
        else:
            outcome.body = plain_json(outcome.result)
            if outcome.body is None:
                outcome.body = self.render(outcome.result)
        return 0

    cdef object _send(self, Exchange exchange, Outcome outcome):
        """Answer. None when that is all, or an awaitable for what is left: a slow client, background tasks."""
        cdef int status = self.status or 200
        cdef list extra = None
        if outcome.reply is not None:
            return self._send_response(exchange, outcome.reply)
        if outcome.response is not None:
            extra = outcome.response.raw_headers
            status = outcome.response.status_code or status
        pending = exchange.respond_json(status, outcome.body, extra)
        if outcome.background is None:
            return pending
        return _then(pending, exchange.settle(), outcome.background)

    cdef object _send_response(self, Exchange exchange, object response):
        if not self.hooks.is_native(type(response)):
            if exchange.method == "HEAD":
                response = self.hooks.without_stream(response, self.route)
            return response(exchange.scope(), exchange.receive, exchange.send)
        pending = exchange.respond(response.status_code, response.raw_headers, response.body)
        if response.background is None:
            return pending
        return _then(pending, exchange.settle(), response.background)


cpdef object decode_json(decode, data):
    """`decode(data)`, with the garbage collector at rest while it decodes a large document, which holds no garbage."""
    if not _PAUSES_GC or len(data) < LARGE_BODY or not gc.isenabled():
        return decode(data)
    gc.disable()
    try:
        return decode(data)
    finally:
        gc.enable()


async def reply(Hooks hooks, Exchange exchange, response):
    """Send a Response that somebody made outside of an endpoint, such as an exception handler."""
    if not hooks.is_native(type(response)):
        await response(exchange.scope(), exchange.receive, exchange.send)
        return
    pending = exchange.respond(response.status_code, response.raw_headers, response.body)
    if pending is not None:
        await pending
    if response.background is not None:
        await _then(None, exchange.settle(), response.background)


def _call(func, keywords):
    return func(**keywords)


def _call_and_finish(func, keywords, finish, exchange):
    result = func(**keywords)
    return result, finish(result, exchange)


async def _then(pending, settled, background):
    if pending is not None:
        await pending
    if settled is not None:
        await settled
    await background()


async def _run_asgi(app, Exchange exchange):
    """Run an ASGI application as the answer of the exchange."""
    cdef object failure = None
    try:
        try:
            result = await app(exchange.scope(), exchange.receive, exchange.send)
        except Exception as exc:
            failure = exc
        except (SystemExit, asyncio.CancelledError) as exc:
            if not exchange.survives(exc):
                raise
            failure = exc
        if failure is not None:
            await exchange.fail(failure)
        else:
            pending = exchange.returned(result)
            if pending is not None:
                await pending
    finally:
        exchange.finished()


async def log_and_answer_500(Exchange exchange, exc):
    """The last resort for an exception of the application: the traceback to the log, a bare 500 to the client.

    An HTTPException, such as `receive` raises for a body that is refused, is answered with its own status.
    """
    if isinstance(exc, StarletteHTTPException):
        await _answer_text(exchange, exc.status_code, str(exc.detail).encode())
    else:
        logger.error("Exception in ASGI application", exc_info=exc)
        await answer_500(exchange)


async def answer_500(Exchange exchange):
    """Send a bare 500, if nothing has been sent so far."""
    await _answer_text(exchange, 500, b"Internal Server Error")


async def _answer_text(Exchange exchange, int status, bytes text):
    if not exchange.started:
        pending = exchange.respond(status, [
            (b"content-length", b"%d" % len(text)), (b"content-type", b"text/plain; charset=utf-8"),
        ], text)
        if pending is not None:
            await pending


cdef class Site:
    """A frozen application.

    `Site(asgi=app)` serves any ASGI application; TurboAPI's own have a `router` whose targets are Endpoints, or opaque
    routes that answer ``(full, (child_scope, asgi_app))``.
    """

    def __init__(
        self, *, Router router=None, object asgi=None, object unmatched=None, object not_allowed=None,
        object on_error=None, object on_asgi_error=None, object add_to_scope=None, str root_path="", object refresh=None,
        object changed=None, object layers=None, object outdated=None,
    ):
        if router is None and asgi is None:
            raise TypeError("Site needs a router or an ASGI application")
        self.router = router
        self.asgi = asgi
        self.unmatched = unmatched
        self.not_allowed = not_allowed
        self.on_error = on_error if on_error is not None else log_and_answer_500
        self.on_asgi_error = on_asgi_error
        self.add_to_scope = add_to_scope
        self.layers = layers
        self.root_path = root_path.rstrip("/")
        self.refresh = refresh
        self.changed = changed
        self.outdated = outdated
        self.epoch = _routes_epoch.value

    cpdef Site current(self):
        """This site, or the one frozen anew because its routes have changed since."""
        if self.epoch == _routes_epoch.value or self.refresh is None:
            return self
        if self.changed is not None and not self.changed():
            self.epoch = _routes_epoch.value  # it was another application's routes
            return self
        return self.refresh()

    cdef Site reviewed(self):
        """This site, or the one frozen anew because something else that was decided then is decided otherwise now."""
        return self.refresh() if self.outdated is not None and self.outdated() else self

    cdef int resolve(self, Exchange exchange) except -1:
        """Find the route: sets `target`, and `path_params` or `payload`."""
        cdef Match found
        if self.asgi is not None:
            exchange.target = self.asgi
            return 0
        found = self.router.match(exchange.method, self._route_path(exchange.path), exchange)
        if found is None:
            exchange.target = self.unmatched
        else:
            exchange.path_params = found.params
            exchange.payload = found.payload
            if found.full or found.payload is not None:
                exchange.target = found.entry.target
            else:
                exchange.target = self.not_allowed
                exchange.payload = found.entry.target
        if exchange.state is not None and self.add_to_scope is not None and self.layers is None:
            self.add_to_scope(exchange.state, exchange)
        return 0

    cdef str _route_path(self, str path):
        """The path without the prefix under which the application is served."""
        cdef str root = self.root_path
        if not root or not path.startswith(root):
            return path
        if len(path) == len(root):
            return ""
        return path[len(root):] if path[len(root)] == "/" else path

    cdef bint needs_body(self, Exchange exchange):
        """Whether the endpoint runs only when its whole body is there."""
        return type(exchange.target) is Endpoint and (<Endpoint> exchange.target).needs_body

    cdef object run(self, Exchange exchange):
        """The coroutine that answers a resolved exchange."""
        return self.run_target(exchange) if self.layers is None else self.layers.run(self, exchange)

    cdef object run_target(self, Exchange exchange):
        """The same without the middleware."""
        if type(exchange.target) is Endpoint:
            return (<Endpoint> exchange.target).run(exchange)
        return _run_asgi(exchange.target, exchange)
