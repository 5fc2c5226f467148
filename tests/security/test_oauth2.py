import inspect
from typing import get_type_hints

import fastapi.security
import pytest

import turboapi.security
from turboapi.security import OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict, SecurityScopes

BEARERS = [
    ("OAuth2PasswordBearer", {"tokenUrl": "token"}),
    ("OAuth2AuthorizationCodeBearer", {"authorizationUrl": "authorize", "tokenUrl": "token"}),
]
SCHEMES = [("OAuth2", {}), ("OpenIdConnect", {"openIdConnectUrl": "/openid"}), *BEARERS]
HEADERS = ["", "Bearer", "Bearer ", "Bearer token", "bearer  a b ", "Basic x", "token", " Bearer token"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("auto_error", [True, False])
@pytest.mark.parametrize(("scheme", "options"), SCHEMES)
def test_same_outcome_as_the_reference(compare, scheme, options, auto_error, kind):
    for value in HEADERS:
        compare(scheme, options | {"auto_error": auto_error}, headers={"Authorization": value}, kind=kind)


@pytest.mark.parametrize(("scheme", "options"), SCHEMES)
def test_without_the_header(compare, scheme, options):
    own_type = scheme != "OpenIdConnect"
    assert compare(scheme, options) == (own_type, 401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
    assert compare(scheme, options | {"auto_error": False}) is None


@pytest.mark.parametrize(("scheme", "options"), SCHEMES)
def test_result_is_the_token_or_the_whole_header(compare, scheme, options):
    expected = "token" if (scheme, options) in BEARERS else "Bearer token"
    assert compare(scheme, options, headers={"Authorization": "Bearer token"}) == expected


def test_security_scopes():
    assert (SecurityScopes().scopes, SecurityScopes().scope_str) == ([], "")
    scopes = SecurityScopes(["read", "write"])
    assert (scopes.scopes, scopes.scope_str) == (["read", "write"], "read write")


@pytest.mark.parametrize("form_type", [OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict])
def test_request_form_splits_the_scopes(form_type):
    form = form_type(
        grant_type="password", username="john", password="secret", scope=" items:read  items:write", client_id="me"
    )
    assert vars(form) == {
        "grant_type": "password",
        "username": "john",
        "password": "secret",
        "scopes": ["items:read", "items:write"],
        "client_id": "me",
        "client_secret": None,
    }


@pytest.mark.parametrize("name", ["OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"])
def test_request_form_declares_the_same_fields(name):
    ours, theirs = (declared_fields(getattr(library, name)) for library in (turboapi.security, fastapi.security))
    assert ours == theirs


def declared_fields(form_type: type) -> dict[str, object]:
    """Every parameter with its type, its default and what its `Form()` adds."""
    hints = get_type_hints(form_type.__init__, include_extras=True)
    return {
        name: (
            parameter.kind,
            parameter.default,
            hints[name].__origin__,
            [str(constraint) for constraint in hints[name].__metadata__[0].metadata],
            hints[name].__metadata__[0].json_schema_extra,
        )
        for name, parameter in inspect.signature(form_type).parameters.items()
    }
