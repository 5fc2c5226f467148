# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The exit code of the dependencies of one request.

An exit stack is dear, and hardly ever does anybody look at it: a list of the generators does as well until then. It does
where no cancel scope stands around the request, whose cancellation would have to wait for exit code.
"""

from contextlib import AsyncExitStack


cdef class Exits:
    """The async generators of one request that have been entered."""

    cpdef object open_stack(self):
        """The stack of which they are left from now on."""
        if self.stack is None:
            self.stack = AsyncExitStack()
            for generator in self.generators:
                self.stack.push_async_exit(self.manager_of(generator))
            self.generators = None
        return self.stack

    cdef int take(self, object generator) except -1:
        """Take over a generator that has been entered."""
        if self.stack is None:
            self.generators.append(generator)
        else:
            self.stack.push_async_exit(self.manager_of(generator))
        return 0

    cdef object pop(self):
        """The generator to leave next; None if there is none, or a stack."""
        return self.generators.pop() if self.generators else None


cdef Exits new_exits(object manager_of):
    cdef Exits exits = Exits.__new__(Exits)
    exits.generators = []
    exits.manager_of = manager_of
    return exits
