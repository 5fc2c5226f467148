"""The Security Scheme Objects of OpenAPI 3.1 (section 4.8.27), one model per `type`.

They live beside the schemes, which create them, and are public under `turboapi.openapi.models` too. Building a
validator for each at import would cost more than the rest of the package together, so every model derived from
`BaseModelWithConfig` builds its own at first use (`defer_build`).
"""

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BaseModelWithConfig(BaseModel):
    """An object of the specification that may carry extensions: unknown members are kept."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class SecuritySchemeType(Enum):
    """The `type` member that tells the security schemes apart."""

    apiKey = "apiKey"
    http = "http"
    oauth2 = "oauth2"
    openIdConnect = "openIdConnect"


class SecurityBase(BaseModelWithConfig):
    """What all security schemes have in common."""

    type_: SecuritySchemeType = Field(alias="type")
    description: str | None = None


class APIKeyIn(Enum):
    """Where an API key travels."""

    query = "query"
    header = "header"
    cookie = "cookie"


class APIKey(SecurityBase):
    """`type: apiKey`."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.apiKey, alias="type")
    in_: APIKeyIn = Field(alias="in")
    name: str


class HTTPBase(SecurityBase):
    """`type: http`: a scheme of the HTTP Authentication Scheme Registry."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.http, alias="type")
    scheme: str


class HTTPBearer(HTTPBase):
    """`type: http`, `scheme: bearer`: the one that may name the format of its tokens."""

    scheme: Literal["bearer"] = "bearer"
    bearerFormat: str | None = None


class OAuthFlow(BaseModelWithConfig):
    """What all OAuth flows have in common."""

    refreshUrl: str | None = None
    scopes: dict[str, str] = {}


class OAuthFlowImplicit(OAuthFlow):
    """Implicit grant (RFC 6749, section 4.2)."""

    authorizationUrl: str


class OAuthFlowPassword(OAuthFlow):
    """Resource owner password credentials grant (RFC 6749, section 4.3)."""

    tokenUrl: str


class OAuthFlowClientCredentials(OAuthFlow):
    """Client credentials grant (RFC 6749, section 4.4)."""

    tokenUrl: str


class OAuthFlowAuthorizationCode(OAuthFlow):
    """Authorization code grant (RFC 6749, section 4.1)."""

    authorizationUrl: str
    tokenUrl: str


class OAuthFlows(BaseModelWithConfig):
    """The flows one OAuth 2 scheme supports."""

    implicit: OAuthFlowImplicit | None = None
    password: OAuthFlowPassword | None = None
    clientCredentials: OAuthFlowClientCredentials | None = None
    authorizationCode: OAuthFlowAuthorizationCode | None = None


class OAuth2(SecurityBase):
    """`type: oauth2`."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.oauth2, alias="type")
    flows: OAuthFlows


class OpenIdConnect(SecurityBase):
    """`type: openIdConnect`."""

    type_: SecuritySchemeType = Field(default=SecuritySchemeType.openIdConnect, alias="type")
    openIdConnectUrl: str


SecurityScheme = APIKey | HTTPBase | OAuth2 | OpenIdConnect | HTTPBearer
