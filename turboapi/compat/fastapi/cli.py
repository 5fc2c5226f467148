"""`fastapi.cli`: the command line is that of the package fastapi-cli."""

from importlib import import_module
from typing import Any

try:
    cli_main: Any = import_module("fastapi_cli.cli").main
except ImportError:
    cli_main = None

_MISSING = """\
To use the fastapi command, please install "fastapi[standard]":

\tpip install "fastapi[standard]"
"""


def main() -> None:
    """Run the `fastapi` command. Raises RuntimeError if fastapi-cli is not installed."""
    if cli_main is None:
        print(_MISSING)
        raise RuntimeError(_MISSING)
    cli_main()
