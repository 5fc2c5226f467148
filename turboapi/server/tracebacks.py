"""Tracebacks as the author of an application wants them: the frames of the application's own files."""

import os
import sysconfig
import traceback
from collections.abc import Iterator

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def format_short(exc: BaseException) -> str:
    """The traceback of `exc`, and of those behind it, without the frames of libraries and of TurboAPI.

    Ends without a line break. One that has no other frames keeps them, but for those of the import machinery: a
    SyntaxError in a module says itself where it is.
    """
    report = traceback.TracebackException.from_exception(exc)
    for each in _chain(report):
        each.stack = traceback.StackSummary.from_list(_worth_showing(each.stack))
    return "".join(report.format()).rstrip("\n")


def _worth_showing(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    own = [frame for frame in stack if _is_own(frame.filename)]
    if own:
        return own
    importing = [place for place, frame in enumerate(stack, 1) if frame.filename.startswith("<frozen importlib")]
    return stack[importing[-1] :] if importing else stack


def _chain(report: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    """The exception, its causes, and the members of groups. TracebackException has broken any circle."""
    if report is not None:
        yield report
        yield from _chain(report.__cause__)
        yield from _chain(report.__context__)
        for member in report.exceptions or ():
            yield from _chain(member)


def _is_own(filename: str) -> bool:
    if filename.startswith("<") or filename.endswith((".pyx", ".pxd")):  # frozen, generated, compiled
        return False
    path = os.path.abspath(filename)
    return not path.startswith((PACKAGE, *_LIBRARIES)) and not any(part in path for part in _INSTALLED)
