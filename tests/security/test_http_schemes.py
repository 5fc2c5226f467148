from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SCHEMES = [
    ("HTTPBase", {"scheme": "custom"}),
    ("HTTPBasic", {}),
    ("HTTPBasic", {"realm": "simple"}),
    ("HTTPBearer", {}),
    ("HTTPBearer", {"bearerFormat": "JWT"}),
    ("HTTPDigest", {}),
]
CHALLENGES = ["Custom", "Basic", 'Basic realm="simple"', "Bearer", "Bearer", "Digest"]


def basic(user_pass: bytes) -> str:
    return "Basic " + b64encode(user_pass).decode()


HEADERS = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Bearer token",
    "bEaReR  token ",
    "Bearer token more",
    "Bearer\ttoken",
    "Digest username=x",
    "Other credentials",
    " Bearer token",
    basic(b"john:secret"),
    basic(b"john:sec:ret"),
    basic(b":"),
    basic(b"johnsecret"),
    basic("jöhn:secret".encode()),
    basic(b"john:secret").replace("Basic", "basic"),
    basic(b"john:secret").rstrip("="),
    "Basic",
    "Basic ",
    "Basic notabase64token",
    "Basic n\xf6",
    "Basic am9o\xb7bjpz",
]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("auto_error", [True, False])
@pytest.mark.parametrize(("scheme", "options"), SCHEMES)
def test_same_outcome_as_the_reference(compare, scheme, options, auto_error, kind):
    for value in HEADERS:
        compare(scheme, options | {"auto_error": auto_error}, headers={"Authorization": value}, kind=kind)


@pytest.mark.parametrize(("scheme", "challenge"), list(zip(SCHEMES, CHALLENGES, strict=True)))
def test_without_the_header(compare, scheme, challenge):
    name, options = scheme
    assert compare(name, options) == (True, 401, "Not authenticated", {"WWW-Authenticate": challenge})
    assert compare(name, options | {"auto_error": False}) is None


def test_results(compare):
    john = ("HTTPBasicCredentials", {"username": "john", "password": "sec:ret"})
    assert compare("HTTPBasic", {}, headers={"Authorization": basic(b"john:sec:ret")}) == john
    token = ("HTTPAuthorizationCredentials", {"scheme": "bearer", "credentials": "a b"})
    assert compare("HTTPBearer", {}, headers={"Authorization": "bearer a b"}) == token


def test_malformed_basic_credentials_are_refused_even_if_optional(compare):
    refused = compare("HTTPBasic", {"auto_error": False}, headers={"Authorization": "Basic notabase64token"})
    assert refused == (True, 401, "Not authenticated", {"WWW-Authenticate": "Basic"})


@settings(max_examples=150)
@given(
    scheme=st.sampled_from(SCHEMES),
    name=st.sampled_from(["Basic", "basic", "Bearer", "DIGEST", "custom", ""]),
    rest=st.text(st.characters(max_codepoint=255), max_size=12),
    encode=st.booleans(),
    auto_error=st.booleans(),
)
def test_any_header_has_the_same_outcome(compare, scheme, name, rest, encode, auto_error):
    param = b64encode(rest.encode("latin-1")).decode() if encode else rest
    compare(scheme[0], scheme[1] | {"auto_error": auto_error}, headers={"Authorization": f"{name} {param}"})
