# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The dependency graph, as a list of visits in the order in which they are made.

The graph is walked once, when the route is frozen: sub-dependencies before the callable that needs them, left to right,
each occurrence a visit of its own. A visit whose callable has a value already (same callable, scopes and lifetime, caching not
switched off) takes that value over; its sub-dependencies and parameters are visited all the same, as their errors count.
"""


cdef class Visit:
    """One step: call the dependency, or take over an earlier visit's value."""

    def __init__(
        self, *, Call call, int mode, Py_ssize_t reuse, bint function_scope, object limit, Dispatch dispatch, tuple sources,
    ):
        self.call = call
        self.mode = mode
        self.reuse = reuse
        self.function_scope = function_scope
        self.limit = limit
        self.dispatch = dispatch
        self.sources = sources
