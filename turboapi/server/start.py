"""`run`: everything from options and the name of an application to the exit code."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from turboapi.server.config import ServerConfig, ServerError, options
from turboapi.server.reload import run_with_reload
from turboapi.server.runner import report, serve
from turboapi.server.supervisor import run_workers

__all__ = ["run", "run_with_defaults"]


def run(app: Any = None, **options: Any) -> None:
    """Serves `app`, an ASGI application or its name (see `load_app`), until a signal stops it.

    `options` are the fields of `ServerConfig`; those not given come from environment variables (TURBOAPI_*, and PORT),
    then from `[tool.turboapi]` of the pyproject.toml in the working directory. What prevents the start is printed on
    stderr, below the traceback if the application's own code failed. Raises SystemExit with a code that is not 0 then,
    and when the application's shutdown failed; TypeError for an option that does not exist.
    """
    run_with_defaults(app, {}, **options)


def run_with_defaults(app: Any, defaults: Mapping[str, Any], /, **options: Any) -> None:
    """Does what `run` does, with other defaults for some options."""
    try:
        config = ServerConfig.load(None, defaults, **options)
        code = _choose(config)(app, config)
    except ServerError as exc:
        code = exc.exit_code
        report(exc)
    if code:
        raise SystemExit(code)


def _choose(config: ServerConfig) -> Callable[[Any, ServerConfig], int]:
    if config.reload:
        return run_with_reload  # by one process, whatever `workers` says
    return run_workers if config.workers > 1 else serve


def _signature() -> inspect.Signature:
    """The signature of `run` with every option spelled out, for help() and editors."""
    app = inspect.Parameter("app", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    types = inspect.get_annotations(ServerConfig)
    keywords = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=types[each.name])
        for each in options()
    ]
    return inspect.Signature([app, *keywords], return_annotation=None)


run.__signature__ = _signature()  # type: ignore[attr-defined]
