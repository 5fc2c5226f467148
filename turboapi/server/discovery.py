"""Which module and which object an application's name stands for. Nothing is imported here.

A name is `module:attribute`, the path of a file or a package folder, or left out; paths are taken as fastapi-cli takes
them.
"""

import os
from pathlib import Path
from typing import NamedTuple

from turboapi.server.config import ConfigError, ServerConfig

DEFAULT_FILES = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")


class Location(NamedTuple):
    """Where an application is: `attribute` of `module`, to be imported from `directory`.

    Without an attribute it is the application that the module has.
    """

    module: str
    attribute: str | None
    directory: str

    def __str__(self) -> str:
        return self.module if self.attribute is None else f"{self.module}:{self.attribute}"


def locate(name: str | None, config: ServerConfig) -> Location:
    """Where the application `name` is, or the one that `config.entrypoint` or the default files say if it is None.

    Raises ConfigError for a malformed name, a path where nothing is, and a factory without a name.
    """
    if name is None and config.app_name is None:
        name = config.entrypoint
    if name is None:
        found = _locate_path(_default_file(config.app_dir), config.app_name)
    elif ":" in name:
        found = _locate_attribute(name, config)
    else:
        path = Path(config.app_dir, name)
        if not name or not path.exists():
            raise ConfigError(f"there is no file or folder {name!r}; write a path such as main.py, or {_example(name)}")
        found = _locate_path(path, config.app_name)
    if config.factory and found.attribute is None:
        raise ConfigError(f"factory needs the name of the function: --app NAME, or {found.module}:NAME")
    return found


def _locate_attribute(name: str, config: ServerConfig) -> Location:
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in attribute.split(".")) or not module or module.startswith("."):
        raise ConfigError(f"{name!r} does not name an application; write {_example(module)}")
    if config.app_name not in (None, attribute):
        raise ConfigError(f"{name!r} names the object already; app_name {config.app_name!r} is another one")
    return Location(module, attribute, os.path.abspath(config.app_dir))


def _example(module: str) -> str:
    return f"module:attribute, for example {dotted(module) or 'main'}:app"


def dotted(path: str) -> str:
    """The module name that somebody who wrote `path` may have meant."""
    return path.removesuffix(".py").strip("./").replace(os.sep, ".")


def _default_file(directory: str) -> Path:
    for name in DEFAULT_FILES:
        path = Path(directory, name)
        if path.is_file():
            return path
    where = "" if directory == "." else f" in {directory!r}"
    raise ConfigError(f"there is none of {', '.join(DEFAULT_FILES)}{where}; name the application, for example main:app")


def _locate_path(path: Path, attribute: str | None) -> Location:
    """The module that a file or folder is: inside of the packages around it, which are folders with `__init__.py`."""
    path = path.resolve()
    if path.name == "__init__.py":
        path = path.parent
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        parts.insert(0, folder.name)
        folder = folder.parent
    return Location(".".join(parts), attribute, str(folder))
