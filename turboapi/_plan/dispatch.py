"""Which plain functions may be called on the event loop.

`sync_mode` of an application, router, route or dependency is `"auto"`: in a worker thread until it has proved short,
then inline; `"thread"`: always in a worker thread; or `"inline"`: always on the event loop.
"""

from collections.abc import Callable
from logging import getLogger
from typing import Any
from weakref import WeakValueDictionary

from turboapi._plan.context import described
from turboapi._plan.ties import find_tie
from turboapi._speedups import Dispatch
from turboapi.types import SyncMode

__all__ = ["count_inline", "dispatch_for"]

logger = getLogger("turboapi.error")

# One for each function, wherever it is used: what was learned of it need not be learned again. By id, since callables
# need not be hashable; a Dispatch keeps its function alive, so that nothing else has that id meanwhile.
_adaptive: "WeakValueDictionary[int, Dispatch]" = WeakValueDictionary()


def dispatch_for(func: Callable[..., Any], mode: SyncMode) -> Dispatch | None:
    """Return the record of a plain function that may be called inline; None for one that may not."""
    if mode == "thread":
        return None
    if mode == "inline":
        return Dispatch(func=func, adaptive=False)
    found = _adaptive.get(id(func))
    if found is None:
        found = _adaptive[id(func)] = Dispatch(func=func, adaptive=True, find_tie=find_tie, report=_report)
    return found


def count_inline() -> int:
    """Return how many functions have proved short, and are called inline for now."""
    return sum(dispatch.proven for dispatch in list(_adaptive.values()))


def _report(dispatch: Dispatch, cause: float | RuntimeError) -> None:
    name = described(dispatch.func)
    if isinstance(cause, RuntimeError):
        logger.info("%s raised %r on the event loop and will always run in worker threads from now on", name, cause)
    else:
        logger.info(
            "%s took %.1f ms on the event loop and runs in worker threads again, at least for %d calls",
            name,
            cause * 1000,
            dispatch.needed,
        )
