"""Settings from the environment and a file of `KEY=value` lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar, overload

from turboapi._utils import warn_as

__all__ = ["Config", "Environ", "EnvironError", "environ", "undefined"]

T = TypeVar("T")

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class undefined:
    """The default of a setting that has none."""


class EnvironError(Exception):
    """A variable would be changed after it has been read."""


class Environ(MutableMapping[str, str]):
    """Environment variables that cannot be changed any more once they have been read; that raises EnvironError."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self._read.add(key)
        return self._environ[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._check_unread(key, "set")
        self._environ[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_unread(key, "delete")
        del self._environ[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)

    def _check_unread(self, key: str, verb: str) -> None:
        if key in self._read:
            raise EnvironError(f"Attempting to {verb} environ['{key}'], but the value has already been read.")


environ = Environ()


class Config:
    """Looks settings up: first in the environment, then in a file, then the default.

    Args:
        env_file: a file of `KEY=value` lines; if it is missing, that is a warning.
        environ: the environment.
        env_prefix: put before every key.
        encoding: of the file.
    """

    def __init__(
        self,
        env_file: str | Path | None = None,
        environ: Mapping[str, str] = environ,
        env_prefix: str = "",
        encoding: str = "utf-8",
    ) -> None:
        self.environ = environ
        self.env_prefix = env_prefix
        self.file_values: dict[str, str] = {}
        if env_file is None:
            return
        if os.path.isfile(env_file):
            with open(env_file, encoding=encoding) as lines:
                self.file_values = dict(_parse_lines(lines))
        else:
            warn_as("starlette.config", f"Config file '{env_file}' not found.", UserWarning, stacklevel=2)

    @overload
    def __call__(self, key: str, *, default: None) -> str | None: ...

    @overload
    def __call__(self, key: str, cast: type[T], default: T = ...) -> T: ...

    @overload
    def __call__(self, key: str, cast: type[str] = ..., default: str = ...) -> str: ...

    @overload
    def __call__(self, key: str, cast: Callable[[Any], T] = ..., default: Any = ...) -> T: ...

    @overload
    def __call__(self, key: str, cast: type[str] = ..., default: T = ...) -> T | str: ...

    def __call__(self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined) -> Any:
        """Return a setting as `get` does."""
        return self.get(key, cast, default)

    def get(self, key: str, cast: Callable[[Any], Any] | None = None, default: Any = undefined) -> Any:
        """Return a setting, or its default, converted by `cast` unless it is None.

        Raises KeyError for a setting that is missing without a default, ValueError for one that cannot be converted.
        """
        key = self.env_prefix + key
        for values in (self.environ, self.file_values):
            if key in values:
                return _convert(key, values[key], cast)
        if default is undefined:
            raise KeyError(f"Config '{key}' is missing, and has no default.")
        return _convert(key, default, cast)


def _parse_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in map(str.strip, lines):
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield key.strip(), _unquote(value.strip())


def _unquote(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _convert(key: str, value: Any, cast: Callable[[Any], Any] | None) -> Any:
    if cast is None or value is None:
        return value
    if cast is bool and isinstance(value, str):
        if (lower := value.lower()) not in _BOOLEANS:
            raise ValueError(f"Config '{key}' has value '{lower}'. Not a valid bool.")
        return _BOOLEANS[lower]
    try:
        return cast(value)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"Config '{key}' has value '{value}'. Not a valid {cast.__name__}.") from exc
