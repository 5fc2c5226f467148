"""API keys in the query string, in a header or in a cookie."""

from turboapi.exceptions import StarletteHTTPException
from turboapi.requests import HTTPConnection
from turboapi.security.base import AutoErrorScheme
from turboapi.security.models import APIKey, APIKeyIn


class APIKeyBase(AutoErrorScheme):
    """What the three places have in common: an absent or empty key gets 401, or `None` if `auto_error` is false."""

    model: APIKey

    def __init__(
        self,
        location: APIKeyIn,
        name: str,
        description: str | None,
        scheme_name: str | None,
        auto_error: bool,
    ) -> None:
        model = APIKey.model_validate({"in": location, "name": name, "description": description})
        self._describe(model, scheme_name, auto_error)

    def make_not_authenticated_error(self) -> StarletteHTTPException:
        """Return the 401 to raise.

        RFC 9110, section 15.5.2, demands a challenge with it; as none is registered for API keys, it is `APIKey`.
        """
        return StarletteHTTPException(401, "Not authenticated", {"WWW-Authenticate": "APIKey"})

    def _where(self) -> tuple[str, str]:
        return self.model.in_.value, self.model.name

    def _read(self, text: str | None) -> str | None:
        return self.check_api_key(text)

    def check_api_key(self, api_key: str | None) -> str | None:
        """Return the key; without one raise `make_not_authenticated_error()`, or return None."""
        return self._require(api_key or None)


class APIKeyQuery(APIKeyBase):
    """An API key in the query parameter `name`; the dependency's result is the key."""

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.query, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.query_params.get(self.model.name))

    _read = APIKeyBase._read


class APIKeyHeader(APIKeyBase):
    """An API key in the header `name`; the dependency's result is the key."""

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.header, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.headers.get(self.model.name))

    _read = APIKeyBase._read


class APIKeyCookie(APIKeyBase):
    """An API key in the cookie `name`; the dependency's result is the key."""

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(APIKeyIn.cookie, name, description, scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.cookies.get(self.model.name))

    _read = APIKeyBase._read
