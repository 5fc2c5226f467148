from contextlib import AsyncExitStack

class Exits:
    """The async generators of one request that have been entered."""

    @property
    def stack(self) -> AsyncExitStack | None:
        """The stack of which they are left, once somebody has asked for it."""

    def open_stack(self) -> AsyncExitStack:
        """Return the stack of which they are left from now on."""
