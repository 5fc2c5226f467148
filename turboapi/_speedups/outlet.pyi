"""The way out of a connection, for other extensions by `cimport`: Python sees nothing of it."""

class Outlet:
    """Writes the bytes of one connection: to its socket as far as it takes them at once, else to its transport."""
