"""Where a plain function is called: in a worker thread, or at once on the event loop."""

from collections.abc import Callable, Mapping
from typing import Any

class Dispatch:
    """The record of one function, wherever it is used."""

    def __init__(
        self,
        *,
        func: Callable[..., Any],
        adaptive: bool,
        find_tie: Callable[[Callable[..., Any]], str | None] | None = None,
        report: Callable[[Dispatch, float | RuntimeError], None] | None = None,
    ) -> None:
        """A record.

        func: the function.
        adaptive: whether it has to prove itself, and needs `report` then; otherwise it is always called inline.
        find_tie: says what ties the function to a thread; asked once, in a thread, before it would first be inline.
        report: told the seconds of an inline call that took too long, or the RuntimeError that it raised.
        """

    @property
    def func(self) -> Callable[..., Any]: ...
    @property
    def adaptive(self) -> bool:
        """Whether it is still measured; otherwise `proven` is for good."""

    @property
    def proven(self) -> bool:
        """Whether it may be called on the loop."""

    @property
    def short_calls(self) -> int:
        """How many calls in a row were short, in threads."""

    @property
    def needed(self) -> int:
        """So many of them prove it."""

    def measured(self, func: Callable[..., Any], keywords: Mapping[str, Any]) -> Any:
        """Call `func(**keywords)`, which is this function or calls it, and take note of how it went. In a thread."""
