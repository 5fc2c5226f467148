"""OAuth 2.0 (RFC 6749) with bearer tokens (RFC 6750): schemes, the token request form, required scopes."""

from typing import Annotated, Any

from turboapi.exceptions import HTTPException
from turboapi.param_functions import Form
from turboapi.requests import HTTPConnection
from turboapi.security.base import AutoErrorScheme
from turboapi.security.models import OAuth2 as OAuth2Model
from turboapi.security.models import OAuthFlows as OAuthFlowsModel
from turboapi.security.utils import get_authorization_scheme_param

_NO_FLOWS = OAuthFlowsModel()


class SecurityScopes:
    """The OAuth 2 scopes that the dependencies above ask for; declare a parameter of this type to receive them.

    `scopes` lists them from the path operation inwards and `scope_str` joins them with spaces, the form that
    the `scope` attribute of a `WWW-Authenticate` challenge has (RFC 6750, section 3).
    """

    def __init__(self, scopes: list[str] | None = None) -> None:
        self.scopes: list[str] = scopes or []
        self.scope_str: str = " ".join(self.scopes)


class OAuth2PasswordRequestForm:
    """Dependency that reads the access token request of the password grant (RFC 6749, section 4.3.2).

    The body is form data: `username` and `password` are required, `scope` arrives as one space-separated string
    and is available as the list `scopes`. `grant_type` may be left out, which the RFC does not allow;
    `OAuth2PasswordRequestFormStrict` insists on it. Invalid forms are answered with 422.
    """

    def __init__(
        self,
        *,
        grant_type: Annotated[str | None, Form(pattern="^password$")] = None,
        username: Annotated[str, Form()],
        password: Annotated[str, Form(json_schema_extra={"format": "password"})],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, Form(json_schema_extra={"format": "password"})] = None,
    ) -> None:
        self.grant_type = grant_type
        self.username = username
        self.password = password
        self.scopes = scope.split()
        self.client_id = client_id
        self.client_secret = client_secret


class OAuth2PasswordRequestFormStrict(OAuth2PasswordRequestForm):
    """`OAuth2PasswordRequestForm` that requires `grant_type` to be sent and to be `password`."""

    def __init__(
        self,
        grant_type: Annotated[str, Form(pattern="^password$")],
        username: Annotated[str, Form()],
        password: Annotated[str, Form()],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, Form()] = None,
    ) -> None:
        super().__init__(
            grant_type=grant_type,
            username=username,
            password=password,
            scope=scope,
            client_id=client_id,
            client_secret=client_secret,
        )


class OAuth2(AutoErrorScheme):
    """An OAuth 2 scheme with any flows; the dependency's result is the whole `Authorization` header.

    A connection without that header gets 401, or the result `None` if `auto_error` is false.
    """

    model: OAuth2Model

    def __init__(
        self,
        *,
        flows: OAuthFlowsModel | dict[str, dict[str, Any]] = _NO_FLOWS,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = OAuth2Model.model_validate({"flows": flows, "description": description})
        self._describe(model, scheme_name, auto_error)

    def make_not_authenticated_error(self) -> HTTPException:
        """Return the 401 to raise. RFC 6749 names no challenge; `Bearer` is what nearly every client speaks."""
        return HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> str | None:
        return self._require(text or None)


class _BearerFlow(OAuth2):
    """An OAuth 2 scheme of a single flow; the dependency's result is the bearer token."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        return self._read(request.headers.get("Authorization"))

    def _read(self, text: str | None) -> str | None:
        scheme, token = get_authorization_scheme_param(text)
        return self._require(token if scheme.lower() == "bearer" else None)


class OAuth2PasswordBearer(_BearerFlow):
    """Bearer tokens obtained from `tokenUrl` with a user name and password (RFC 6749, section 4.3).

    The dependency's result is the token. Without a bearer token the connection gets 401, or the result is `None`
    if `auto_error` is false. `scopes` maps scope names to descriptions, for the document.
    """

    def __init__(
        self,
        tokenUrl: str,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
        refreshUrl: str | None = None,
    ) -> None:
        flow = {"tokenUrl": tokenUrl, "refreshUrl": refreshUrl, "scopes": scopes or {}}
        super().__init__(
            flows={"password": flow}, scheme_name=scheme_name, description=description, auto_error=auto_error
        )


class OAuth2AuthorizationCodeBearer(_BearerFlow):
    """Bearer tokens obtained from `tokenUrl` for a code that `authorizationUrl` hands out (RFC 6749, section 4.1).

    The dependency's result is the token. Without a bearer token the connection gets 401, or the result is `None`
    if `auto_error` is false. `scopes` maps scope names to descriptions, for the document.
    """

    def __init__(
        self,
        authorizationUrl: str,
        tokenUrl: str,
        refreshUrl: str | None = None,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        flow = {
            "authorizationUrl": authorizationUrl,
            "tokenUrl": tokenUrl,
            "refreshUrl": refreshUrl,
            "scopes": scopes or {},
        }
        super().__init__(
            flows={"authorizationCode": flow}, scheme_name=scheme_name, description=description, auto_error=auto_error
        )
