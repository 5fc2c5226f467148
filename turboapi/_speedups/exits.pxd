cdef class Exits:
    cdef list generators        # entered, and not left; None once there is a stack
    cdef object manager_of      # generator -> async context manager that leaves it
    cdef readonly object stack  # the AsyncExitStack that leaves them, once somebody has asked for it

    cpdef object open_stack(self)
    cdef int take(self, object generator) except -1
    cdef object pop(self)


cdef Exits new_exits(object manager_of)
