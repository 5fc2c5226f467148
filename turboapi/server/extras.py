"""Packages that are installed as extras, imported when an option asks for them."""

import importlib
from typing import Any

from turboapi.server.config import ServerError

_PACKAGES = {
    "prometheus_client": ("prometheus-client", "metrics"),
    "dotenv": ("python-dotenv", "dotenv"),
    "watchfiles": ("watchfiles", "reload"),
    "yaml": ("pyyaml", "schemas"),
}


def import_extra(module: str, purpose: str) -> Any:
    """The module. Raises ServerError, with one line that says how to install it for `purpose`, if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package, extra = _PACKAGES[module]
        raise ServerError(f'{purpose} needs {package}: pip install "turboapi[{extra}]"') from None
