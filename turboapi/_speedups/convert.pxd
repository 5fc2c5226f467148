cpdef enum:
    KIND_EXACT = 0      # no plain scalar: always refused
    KIND_STR = 1
    KIND_INT = 2
    KIND_FLOAT = 3
    KIND_BOOL = 4

cdef object REFUSED     # compare by identity

cdef object convert_text(int kind, str text)
