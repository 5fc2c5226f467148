"""The root of all security schemes: what the dependency planner and the OpenAPI document look for."""

from typing import TypeVar

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

    def _describe(self, model: SecurityBaseModel, scheme_name: str | None, auto_error: bool) -> None:
        self.model = model
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    def _require(self, credentials: T | None) -> T | None:
        """Hand the credentials on. `None` means there are none: raise if `auto_error` says so, else stay anonymous."""
        if credentials is None and self.auto_error:
            raise self.make_not_authenticated_error()
        return credentials
