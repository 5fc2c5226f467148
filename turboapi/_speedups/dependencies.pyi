"""The dependency graph, as a list of visits in the order in which they are made."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from turboapi._speedups.arguments import Call
from turboapi._speedups.dispatch import Dispatch

class Visit:
    """One step: call the dependency, or take over an earlier visit's value."""

    def __init__(
        self,
        *,
        call: Call,
        mode: int,
        reuse: int,
        function_scope: bool,
        limit: Callable[[], AbstractAsyncContextManager[Any]] | None,
        dispatch: Dispatch | None,
        sources: tuple[Dispatch, ...],
    ) -> None:
        """A step.

        mode: 0 coroutine function, 1 plain function, 2 plain function that is called at once, 3 async generator,
            4 generator.
        reuse: the index of the visit whose value this one takes over, or -1.
        function_scope: a generator's exit code runs before the response is sent.
        limit: makes a context manager to hold around the call.
        dispatch: of a plain function that may be called inline; without it, it runs in worker threads.
        sources: the dispatches of the plain functions whose values it is given.
        """

    @property
    def call(self) -> Call: ...
    @property
    def mode(self) -> int: ...
    @property
    def reuse(self) -> int: ...
    @property
    def function_scope(self) -> bool: ...
    @property
    def limit(self) -> Callable[[], AbstractAsyncContextManager[Any]] | None: ...
    @property
    def dispatch(self) -> Dispatch | None: ...
    @property
    def sources(self) -> tuple[Dispatch, ...]: ...
