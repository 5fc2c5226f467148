import importlib
import inspect

import fastapi.security
import pytest
from pydantic import BaseModel

import turboapi.security
from turboapi.exceptions import HTTPException
from turboapi.requests import HTTPConnection
from turboapi.security import HTTPBearer
from turboapi.security.base import SecurityBase
from turboapi.security.utils import get_authorization_scheme_param

PUBLIC = [name for name in dir(fastapi.security) if name[0].isupper()]
DESCRIBED = [
    ("APIKeyQuery", {"name": "key"}),
    ("APIKeyHeader", {"name": "key", "scheme_name": "Key", "description": "a key"}),
    ("APIKeyCookie", {"name": "key"}),
    ("HTTPBase", {"scheme": "Other", "description": "some scheme"}),
    ("HTTPBasic", {"realm": "simple"}),
    ("HTTPBearer", {}),
    ("HTTPBearer", {"bearerFormat": "JWT", "scheme_name": "Token"}),
    ("HTTPDigest", {"description": "digest"}),
    ("OAuth2", {}),
    (
        "OAuth2",
        {"flows": {"implicit": {"authorizationUrl": "a", "x-extra": 1}, "clientCredentials": {"tokenUrl": "t"}}},
    ),
    ("OAuth2PasswordBearer", {"tokenUrl": "t", "scopes": {"me": "Read"}, "refreshUrl": "r"}),
    ("OAuth2AuthorizationCodeBearer", {"authorizationUrl": "a", "tokenUrl": "t", "description": "code"}),
    ("OpenIdConnect", {"openIdConnectUrl": "/openid"}),
]
SCHEMES = [vars(library.http) | vars(library) for library in (turboapi.security, fastapi.security)]


def test_everything_of_the_reference_is_exported():
    assert sorted(turboapi.security.__all__) == PUBLIC


@pytest.mark.parametrize("module", ["api_key", "base", "http", "oauth2", "open_id_connect_url", "utils"])
def test_every_module_defines_what_the_reference_defines(module):
    theirs = importlib.import_module(f"fastapi.security.{module}")
    ours = importlib.import_module(f"turboapi.security.{module}")
    for name, value in vars(theirs).items():
        if getattr(value, "__module__", None) == theirs.__name__:
            assert getattr(ours, name).__module__ == ours.__name__
            assert parameters(getattr(ours, name)) == parameters(value), name


def parameters(target: object) -> list[tuple[object, ...]]:
    declared = inspect.signature(target).parameters.values()
    return [
        (p.name, p.kind, p.default.model_dump() if isinstance(p.default, BaseModel) else p.default) for p in declared
    ]


@pytest.mark.parametrize(("scheme", "options"), DESCRIBED)
def test_description_is_the_same(scheme, options):
    ours, theirs = (schemes[scheme](**options) for schemes in SCHEMES)
    assert ours.scheme_name == theirs.scheme_name
    assert dump(ours.model) == dump(theirs.model)
    assert isinstance(ours, SecurityBase)


def dump(model: BaseModel) -> str:
    return model.model_dump_json(by_alias=True, exclude_none=True)


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Bearer a", "Bearer  a b ", " a"])
def test_splitting_the_authorization_header(value):
    assert get_authorization_scheme_param(value) == fastapi.security.utils.get_authorization_scheme_param(value)


def test_subclasses_choose_their_own_error():
    class Hidden(HTTPBearer):
        def make_not_authenticated_error(self) -> HTTPException:
            return HTTPException(404, self.make_authenticate_headers()["WWW-Authenticate"])

    connection = HTTPConnection({"type": "http", "headers": []})
    with pytest.raises(HTTPException) as caught:
        Hidden()(connection).send(None)
    assert (caught.value.status_code, caught.value.detail, caught.value.headers) == (404, "Bearer", None)
    assert Hidden().scheme_name == "Hidden"
