"""OpenID Connect Discovery."""

from turboapi.exceptions import StarletteHTTPException
from turboapi.requests import HTTPConnection
from turboapi.security.base import AutoErrorScheme
from turboapi.security.models import OpenIdConnect as OpenIdConnectModel


class OpenIdConnect(AutoErrorScheme):
    """Tokens of an OpenID provider; the dependency's result is the whole `Authorization` header.

    `openIdConnectUrl` only goes into the document: checking the token is left to the dependant. A connection without
    the header gets 401, or the result `None` if `auto_error` is false.
    """

    model: OpenIdConnectModel

    def __init__(
        self,
        *,
        openIdConnectUrl: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = OpenIdConnectModel(openIdConnectUrl=openIdConnectUrl, description=description)
        self._describe(model, scheme_name, auto_error)

    def make_not_authenticated_error(self) -> StarletteHTTPException:
        """Return the 401 to raise, with the `Bearer` challenge."""
        return StarletteHTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> str | None:
        return self._require(text or None)
