"""The `turboapi` command. Its options are those of `ServerConfig`, which are declared there and nowhere else."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import turboapi
from turboapi import compat
from turboapi.server import run
from turboapi.server.config import Option, options

HELP_COLUMN = 34


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (that of the process by default) and returns its exit code.

    Leaves by SystemExit with 2 for a wrong command line and 1 for an application that cannot be started.
    """
    parser = _parser()
    given = vars(parser.parse_args(argv))
    if given.pop("command") is None:
        parser.print_help(sys.stderr)
        return 2
    if given.pop("alias"):
        _install_alias(parser)
    run(given.pop("app"), **given)
    return 0


def _install_alias(parser: argparse.ArgumentParser) -> None:
    try:
        compat.install()
    except RuntimeError as exc:
        parser.exit(1, f"Error: {exc}\n")


class _Parser(argparse.ArgumentParser):
    """Errors in one line, help in aligned columns."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **rules)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"Error: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            self.error(f"there is no command {value!r}; there is: {', '.join(action.choices)}")


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str, **rules: Any) -> None:
        super().__init__(prog, max_help_position=HELP_COLUMN, **rules)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, _StoreOption) and action.nargs == 0:
            return f"--[no-]{action.option_strings[0].removeprefix('--')}"
        return super()._format_action_invocation(action)


class _StoreOption(argparse.Action):
    """Stores the value of one server option; `--no-x` is False, `--x` True for one that is true or false."""

    def __init__(self, option_strings: Sequence[str], dest: str, option: Option, **rules: Any) -> None:
        switch = option.type is bool
        names = [*option_strings, *([f"--no-{option.flag[2:]}"] if switch else [])]
        super().__init__(names, dest, nargs=0 if switch else None, default=argparse.SUPPRESS, **rules)
        self.option = option

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, flag: str | None = None
    ) -> None:
        if self.nargs == 0:
            values = flag == self.option.flag
        else:
            try:
                values = self.option.parse(values)
            except ValueError as exc:
                parser.error(f"{flag} {exc}")
        setattr(namespace, self.dest, values)


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **rules: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **rules)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"turboapi {turboapi.__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="turboapi", description="Serves FastAPI-style and other ASGI applications.")
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    serve = commands.add_parser(
        "run",
        help="serve an application",
        usage="turboapi run APP [options]",
        epilog="Each option can also be set by an environment variable: --port by TURBOAPI_PORT.",
    )
    serve.add_argument("app", metavar="APP", help="module:attribute, for example main:app")
    serve.add_argument("--alias", action="store_true", help="let `import fastapi` and `import starlette` give TurboAPI")
    _add_options(serve)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    groups: dict[str, Any] = {}
    for each in options():
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        groups[each.group].add_argument(
            each.flag, dest=each.name, action=_StoreOption, option=each, metavar=each.metavar or None, help=_help(each)
        )


def _help(option: Option) -> str:
    """What the option is for and, where that says something, its default."""
    default = "on" if option.default is True else "off" if option.default is False else option.default
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"{option.help} ({shown})".replace("%", "%%") if shown else option.help
