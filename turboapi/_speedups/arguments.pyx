# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""Request -> argument list.

An `Argument` is one parameter: where its text is found, which plain type it has, what to do without it. The compiled path
takes exactly one text under one key and either converts it here (str, int, float, bool), or lets the field's validator
convert it. Whatever is unusual (no such text, a text that is not plainly right, several keys, lists, models) goes to `exact`,
the definition layer's own extraction, which answers `(value, errors)`.

A `Call` is a callable with all its parameters. `collect` returns the list of values, slot by slot, or None when the
exchange has gained errors.
"""

from turboapi._speedups.convert cimport KIND_EXACT, REFUSED, convert_text
from turboapi._speedups.headers cimport find_header
from turboapi._speedups.query cimport query_get

cdef object MISSING = object()


cdef class Argument:
    """One parameter of a callable."""

    def __init__(
        self, *, int source, int kind, Py_ssize_t slot, str key, bint required, bint direct, object default,
        bint shared_default, object validate, object exact,
    ):
        self.source = source
        self.kind = kind
        self.slot = slot
        self.key = key
        self.raw_key = key.lower().encode("latin-1", "replace")
        self.required = required
        self.direct = direct
        self.default = default
        self.shared_default = shared_default
        self.validate = validate
        self.exact = exact

    cdef object text(self, Exchange exchange):
        """The parameter's text (a converted path value may be of another type), or None."""
        cdef bytes value
        if self.source == SOURCE_QUERY:
            return query_get(exchange.query_pairs(), self.key)
        if self.source == SOURCE_PATH:
            return None if exchange.path_params is None else exchange.path_params.get(self.key)
        if self.source == SOURCE_HEADER:
            value = find_header(exchange.headers, self.raw_key)
            return None if value is None else value.decode("latin-1")
        return exchange.cookies().get(self.key)

    cdef int extract(self, Exchange exchange, list values, object request_class) except -1:
        """Put the value into its slot: 1; or add errors to the exchange: 0."""
        cdef object value, text
        if self.direct:
            text = self.text(exchange)
            if text is None:
                if self.shared_default:
                    values[self.slot] = self.default
                    return 1
            elif type(text) is str:
                if self.kind != KIND_EXACT:
                    value = convert_text(self.kind, <str> text)
                    if value is not REFUSED:
                        values[self.slot] = value
                        return 1
                elif self.validate is not None:
                    try:
                        values[self.slot] = self.validate(text)
                        return 1
                    except Exception:
                        pass  # `exact` says what is wrong with it
        value, errors = self.exact(exchange.get_request(request_class))
        if errors:
            exchange.add_errors(list(errors))
            return 0
        values[self.slot] = value
        return 1


cdef class Call:
    """A callable and what it is called with."""

    def __init__(
        self, *, object func, tuple arguments, tuple names, tuple injections, tuple subs, Py_ssize_t body_slot,
        object body_exact, bint positional,
    ):
        self.func = func
        self.arguments = arguments
        self.names = names
        self.injections = injections
        self.subs = subs
        self.sub_visits = frozenset(sub[1] for sub in subs)
        self.body_slot = body_slot
        self.body_exact = body_exact
        self.positional = positional

    cdef list collect(self, Exchange exchange, list results, object request_class):
        """The values of this call, but for its body and injections; None when there are errors."""
        cdef list values = [None] * len(self.names)
        cdef bint good = True
        cdef Argument argument
        cdef tuple sub
        for sub in self.subs:
            if <Py_ssize_t> sub[0] >= 0:
                values[<Py_ssize_t> sub[0]] = results[<Py_ssize_t> sub[1]]
        for argument in self.arguments:
            if not argument.extract(exchange, values, request_class):
                good = False
        return values if good else None

    cdef list collect_good(self, Exchange exchange, list results, set failed, object request_class):
        """The same in spite of errors, with MISSING where a value is not good; `failed` are the visits without one."""
        cdef list values = [MISSING] * len(self.names)
        cdef Argument argument
        cdef tuple sub
        for sub in self.subs:
            if <Py_ssize_t> sub[0] >= 0 and (failed is None or sub[1] not in failed):
                values[<Py_ssize_t> sub[0]] = results[<Py_ssize_t> sub[1]]
        for argument in self.arguments:
            argument.extract(exchange, values, request_class)
        return values

    cdef object invoke(self, list values):
        """Call it: the result, or the coroutine or generator that it made."""
        if not self.names:
            return self.func()
        if self.positional:
            return self.func(*values)
        return self.func(**self.keywords(values))

    cdef dict keywords(self, list values):
        return dict(zip(self.names, values))

    cdef dict good_keywords(self, list values):
        """The keywords of what `collect_good` returned, without those that are missing."""
        return {name: value for name, value in zip(self.names, values) if value is not MISSING}
