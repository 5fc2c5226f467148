"""What the application finds when it is imported: environment variables from a file, the names of the alias."""

import logging

from turboapi import compat
from turboapi.server.config import ServerConfig, ServerError
from turboapi.server.extras import import_extra

logger = logging.getLogger("turboapi.error")


def check_environment(config: ServerConfig) -> None:
    """Raises ServerError when `config` names a file and python-dotenv, which reads it, is not installed."""
    if config.env_file is not None:
        import_extra("dotenv", "env_file")


def load_environment(config: ServerConfig) -> None:
    """Sets the variables of `config.env_file`, if there is one, but for those that are set already; installs the alias.

    Raises as `check_environment` does, and ServerError when it is too late for the alias.
    """
    if config.alias:
        try:
            compat.install()
        except RuntimeError as exc:
            raise ServerError(str(exc)) from None
    if config.env_file is not None:
        dotenv = import_extra("dotenv", "env_file")
        logger.info("Loading environment from %r", config.env_file)
        dotenv.load_dotenv(config.env_file)
