"""The `turboapi` command. Its server options are those of `ServerConfig`, declared there and nowhere else."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import turboapi
from turboapi import _inspect
from turboapi.server import ConfigError, ServerConfig, ServerError, load_app, run_with_defaults
from turboapi.server.config import Option, options
from turboapi.server.environment import load_environment
from turboapi.server.logging import configure_logging
from turboapi.server.runner import report

HELP_COLUMN = 34
APP_HELP = "module:attribute, or a file such as main.py, or a package folder; left out: what is found"
# Those of fastapi-cli: what is run is meant to be reached, what is being developed is not.
RUN_DEFAULTS = {"host": "0.0.0.0"}
DEV_DEFAULTS = {"reload": True}
# What is needed to load an application without serving it.
LOADING = ("app_name", "entrypoint", "app_dir", "factory", "alias", "env_file")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (that of the process by default) and returns its exit code.

    Leaves by SystemExit with 2 for a wrong command line and 1 for an application that cannot be started.
    """
    parser = _parser()
    given = vars(parser.parse_args(argv))
    command = given.pop("command")
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        _refuse_two_names(given)
        _COMMANDS[command](**given)
    except ServerError as exc:
        report(exc)
        return exc.exit_code
    return 0


def _refuse_two_names(given: dict[str, Any]) -> None:
    if "entrypoint" in given and (given["app"] is not None or "app_name" in given):
        raise ConfigError("--entrypoint cannot be used together with APP or --app")


# --- commands ---------------------------------------------------------------------------------------------------------


def _run(app: str | None, **given: Any) -> None:
    run_with_defaults(app, RUN_DEFAULTS, **given)


def _dev(app: str | None, **given: Any) -> None:
    os.environ.setdefault("FASTAPI_ENV", "development")
    run_with_defaults(app, {}, **{**DEV_DEFAULTS, **given})


def _routes(app: str | None, **given: Any) -> None:
    for line in _inspect.routes_table(_load(app, given)):
        print(line)


def _openapi(app: str | None, output: str | None = None, **given: Any) -> None:
    document = _inspect.openapi_document(_load(app, given))
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ServerError(f"cannot write {output}: {exc.strerror}") from None


def _load(app: str | None, given: dict[str, Any]) -> Any:
    config = ServerConfig.load(**given)
    configure_logging(config)
    load_environment(config)
    return load_app(app, config)


_COMMANDS: dict[str, Callable[..., None]] = {"run": _run, "dev": _dev, "routes": _routes, "openapi": _openapi}


# --- the parser -------------------------------------------------------------------------------------------------------


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
    """Stores the value of one server option; `--no-x` is False, `--x` True for one that is true or false.

    One that may have many values gathers those of each time it is given.
    """

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
                values = self.option.parse_one(values)
            except ValueError as exc:
                parser.error(f"{flag} {exc}")
        if self.option.many:
            values = (*getattr(namespace, self.dest, ()), values)
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

    def add(name: str, help: str, offered: Iterable[Option]) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=help,
            usage=f"turboapi {name} [APP] [options]",
            epilog="Each option can also be set by an environment variable (--port by TURBOAPI_PORT or PORT) "
            "and in the table [tool.turboapi] of pyproject.toml (port = 80).",
        )
        command.add_argument("app", metavar="APP", nargs="?", help=APP_HELP)
        _add_options(command, offered)
        return command

    loading = [each for each in options() if each.name in LOADING]
    add("run", "serve an application", _options_with(RUN_DEFAULTS))
    add("dev", "serve an application, and start it anew when its files change", _options_with(DEV_DEFAULTS))
    add("routes", "list the routes of an application, and how each is served", loading)
    openapi = add("openapi", "print the OpenAPI document of an application", loading)
    openapi.add_argument(
        "--output", metavar="FILE", default=argparse.SUPPRESS, help="write to this file, not to standard output"
    )
    return parser


def _options_with(defaults: dict[str, Any]) -> list[Option]:
    return [dataclasses.replace(each, default=defaults.get(each.name, each.default)) for each in options()]


def _add_options(parser: argparse.ArgumentParser, offered: Iterable[Option]) -> None:
    groups: dict[str, Any] = {}
    for each in offered:
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        groups[each.group].add_argument(
            each.flag, dest=each.name, action=_StoreOption, option=each, metavar=each.metavar or None, help=_help(each)
        )


def _help(option: Option) -> str:
    """What the option is for and, where that says something, its default."""
    default = option.shown_default
    return f"{option.help} ({default})".replace("%", "%%") if default else option.help
