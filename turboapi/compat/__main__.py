"""Runs a program that imports `fastapi` or `starlette` on TurboAPI.

    python -m turboapi.compat SCRIPT [ARGUMENTS]
    python -m turboapi.compat -m MODULE [ARGUMENTS]

The program finds `sys.argv`, `sys.path` and `__main__` as `python SCRIPT` or `python -m MODULE` would give it.
"""

import os
import runpy
import sys
from collections.abc import Sequence

from turboapi.compat import install

USAGE = """\
usage: python -m turboapi.compat SCRIPT [ARGUMENTS]
       python -m turboapi.compat -m MODULE [ARGUMENTS]
"""


def main(argv: Sequence[str]) -> int:
    """Run the program that `argv` names; return 2 for a wrong command line.

    Raises what the program raises, SystemExit included, and OSError for a script that cannot be read.
    """
    if not argv or argv[0] in ("-h", "--help") or (argv[0].startswith("-") and (argv[0] != "-m" or not argv[1:])):
        wanted = argv[:1] in (["-h"], ["--help"])
        print(USAGE, end="", file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    install()
    if argv[0] == "-m":  # the current folder is first on sys.path already: it was so for this module
        sys.argv = list(argv[1:])
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(argv)
        if not sys.flags.safe_path and not _is_archive(argv[0]):
            sys.path[0] = os.path.dirname(os.path.realpath(argv[0]))
        runpy.run_path(argv[0], run_name="__main__")
    return 0


def _is_archive(path: str) -> bool:
    """Whether `runpy` itself puts `path`, a folder or zip archive with a `__main__` module, on sys.path."""
    return os.path.isdir(path) or path.endswith((".zip", ".pyz"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
