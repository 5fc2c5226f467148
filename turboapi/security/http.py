"""HTTP authentication (RFC 9110, section 11): Basic, Bearer, Digest and any other scheme."""

from base64 import b64decode
from typing import cast

from pydantic import BaseModel

from turboapi.exceptions import HTTPException
from turboapi.requests import HTTPConnection
from turboapi.security.base import AutoErrorScheme
from turboapi.security.models import HTTPBase as HTTPBaseModel
from turboapi.security.models import HTTPBearer as HTTPBearerModel
from turboapi.security.utils import get_authorization_scheme_param


class HTTPBasicCredentials(BaseModel):
    """What `HTTPBasic` found."""

    username: str
    password: str


class HTTPAuthorizationCredentials(BaseModel):
    """What `HTTPBearer` and `HTTPDigest` found: `Authorization: Bearer abc` has the scheme `Bearer`, the rest is
    `credentials`. The scheme is spelt as the client spelt it.
    """

    scheme: str
    credentials: str


class HTTPBase(AutoErrorScheme):
    """Any scheme of the `Authorization` header; the dependency's result is an `HTTPAuthorizationCredentials`.

    `scheme` only goes into the document and the challenge: which scheme the client used is up to the dependant.
    Without the header the connection gets 401, or the result is `None` if `auto_error` is false.
    """

    model: HTTPBaseModel

    def __init__(
        self,
        *,
        scheme: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        self._describe(HTTPBaseModel(scheme=scheme, description=description), scheme_name, auto_error)

    def make_authenticate_headers(self) -> dict[str, str]:
        """Return the headers of the 401: the challenge (RFC 9110, section 11.6.1)."""
        return {"WWW-Authenticate": self.model.scheme.title()}

    def make_not_authenticated_error(self) -> HTTPException:
        """Return the 401 to raise, with the headers of `make_authenticate_headers()`."""
        return HTTPException(401, "Not authenticated", self.make_authenticate_headers())

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        return cast("HTTPAuthorizationCredentials | None", self._read(request.headers.get("Authorization")))

    def _read(self, text: str | None) -> BaseModel | None:
        return self._require(_parse(text))


class HTTPBasic(HTTPBase):
    """User name and password (RFC 7617); the dependency's result is an `HTTPBasicCredentials`.

    Without Basic credentials the connection gets 401 with the challenge of `realm`, or the result is `None` if
    `auto_error` is false. Malformed Basic credentials always get the 401.
    """

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        realm: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(scheme="basic", scheme_name=scheme_name, description=description, auto_error=auto_error)
        self.realm = realm

    def make_authenticate_headers(self) -> dict[str, str]:
        """Return the headers of the 401: the challenge, with the realm if there is one (RFC 7617, section 2)."""
        return {"WWW-Authenticate": f'Basic realm="{self.realm}"' if self.realm else "Basic"}

    async def __call__(self, request: HTTPConnection) -> HTTPBasicCredentials | None:  # type: ignore[override]
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> HTTPBasicCredentials | None:
        scheme, param = get_authorization_scheme_param(text)
        return self._require(self._decode(param) if scheme.lower() == "basic" else None)

    def _decode(self, param: str) -> HTTPBasicCredentials:
        try:
            user_pass = b64decode(param).decode("ascii")
        except ValueError as error:
            raise self.make_not_authenticated_error() from error
        username, colon, password = user_pass.partition(":")
        if not colon:
            raise self.make_not_authenticated_error()
        return HTTPBasicCredentials(username=username, password=password)


class HTTPBearer(HTTPBase):
    """A bearer token (RFC 6750); the dependency's result is an `HTTPAuthorizationCredentials`.

    Without one the connection gets 401, or the result is `None` if `auto_error` is false. `bearerFormat` is a hint
    for the document, such as `JWT`.
    """

    def __init__(
        self,
        *,
        bearerFormat: str | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        self._describe(HTTPBearerModel(bearerFormat=bearerFormat, description=description), scheme_name, auto_error)

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> HTTPAuthorizationCredentials | None:
        return self._require(_parse(text, "bearer"))


class HTTPDigest(HTTPBase):
    """Digest credentials (RFC 7616), not interpreted; the dependency's result is an `HTTPAuthorizationCredentials`.

    Without them the connection gets 401, or the result is `None` if `auto_error` is false. Creating a nonce and
    checking the digest is left to a subclass.
    """

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(scheme="digest", scheme_name=scheme_name, description=description, auto_error=auto_error)

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> HTTPAuthorizationCredentials | None:
        return self._require(_parse(text, "digest"))


def _parse(text: str | None, expected: str | None = None) -> HTTPAuthorizationCredentials | None:
    """Return the two parts of the `Authorization` header; None if one is missing or the scheme is another one."""
    scheme, credentials = get_authorization_scheme_param(text)
    if not (scheme and credentials) or (expected and scheme.lower() != expected):
        return None
    return HTTPAuthorizationCredentials(scheme=scheme, credentials=credentials)
