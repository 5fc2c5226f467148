# Inline helpers over single ASCII bytes, compiled into every module that cimports them.


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline int hex_value(unsigned char c) noexcept nogil:
    """0..15, or -1 for what is no hexadecimal digit (both cases count)."""
    if is_digit(c):
        return c - c'0'
    c = lower(c)
    if c'a' <= c <= c'f':
        return c - c'a' + 10
    return -1
