"""The root of all security schemes: what the dependency planner and the OpenAPI document look for."""

from collections.abc import Callable
from typing import Any, TypeVar

from turboapi.exceptions import StarletteHTTPException
from turboapi.security.models import SecurityBase as SecurityBaseModel

T = TypeVar("T")


class SecurityBase:
    """A dependency that also describes itself in the OpenAPI document.

    `model` is the Security Scheme Object and `scheme_name` its key under `components.securitySchemes`.
    A scheme of one's own derives from this class, sets both and defines `__call__`.
    """

    model: SecurityBaseModel
    scheme_name: str


class AutoErrorScheme(SecurityBase):
    """What the schemes of this package share: a connection without credentials is refused, or yields `None`."""

    auto_error: bool

    def make_not_authenticated_error(self) -> StarletteHTTPException:
        """Return the exception to raise for a connection without usable credentials; each scheme has its own."""
        raise NotImplementedError

    def _where(self) -> tuple[str, str]:
        """Return where the text of the credentials stands ("header", "query" or "cookie"), and its name there."""
        return "header", "Authorization"

    def _read(self, text: str | None) -> Any:
        """Return the dependency's result for that text, or for its absence. Each class defines it beside `__call__`."""
        raise NotImplementedError

    def _describe(self, model: SecurityBaseModel, scheme_name: str | None, auto_error: bool) -> None:
        self.model = model
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    def _require(self, credentials: T | None) -> T | None:
        """Hand the credentials on. `None` means there are none: raise if `auto_error` says so, else stay anonymous."""
        if credentials is None and self.auto_error:
            raise self.make_not_authenticated_error()
        return credentials


def text_reader(call: Any) -> tuple[str, str, Callable[[str | None], Any]] | None:
    """Return source and name of the text that a scheme's result is made of, and the function that makes it.

    None for what has to be called with the connection, such as a scheme whose `__call__` is not one of this package.
    """
    if not isinstance(call, AutoErrorScheme):
        return None
    owner = next(owner for owner in type(call).__mro__ if "__call__" in vars(owner))
    return (*call._where(), call._read) if "_read" in vars(owner) else None
