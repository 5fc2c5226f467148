from typing import Any

import pytest
import starlette.middleware.trustedhost
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware.trustedhost
from tests.middleware.exchanges import exchange, headers_of, http_scope, public_attributes, response, websocket_scope
from turboapi import TurboAPI
from turboapi.middleware.trustedhost import ENFORCE_DOMAIN_WILDCARD, TrustedHostMiddleware

OURS = turboapi.middleware.trustedhost.TrustedHostMiddleware
THEIRS = starlette.middleware.trustedhost.TrustedHostMiddleware

PATTERNS = ["example.org", "WWW.Example.org", "*.example.org", "[::1]", "*.org", "", "a_b"]
HOSTS = [
    *("example.org", "EXAMPLE.org:80", "www.example.org", "a.b.example.org:99999", "evilexample.org", "example.org."),
    *("[::1]", "[::1]:8000", "[:::]", "a_b", "a/b", "user@example.org", "", ":80", "example.org:", "xn--\xe9"),
]


@given(
    allowed=st.none() | st.lists(st.sampled_from([*PATTERNS, "*"]), max_size=3),
    hosts=st.lists(st.sampled_from(HOSTS), max_size=2),
    www_redirect=st.booleans(),
    make_scope=st.sampled_from([http_scope, websocket_scope]),
)
@settings(max_examples=300, deadline=None)
def test_messages_are_those_of_the_reference(
    allowed: list[str] | None, hosts: list[str], www_redirect: bool, make_scope: Any
) -> None:
    scope = make_scope([("Host", host) for host in hosts], path="/a b", query_string=b"q=1")
    ours, theirs = (exchange(cls(response(), allowed, www_redirect=www_redirect), scope) for cls in (OURS, THEIRS))
    assert ours == theirs


@given(pattern=st.text("*.a", max_size=5))
@settings(deadline=None)
def test_wrong_patterns_are_refused_like_in_the_reference(pattern: str) -> None:
    def outcome(cls: Any) -> Any:
        try:
            return public_attributes(cls(response, [pattern]))
        except AssertionError as exc:
            return str(exc)

    assert outcome(OURS) == outcome(THEIRS)


@pytest.mark.parametrize("pattern", ["a*", "*a", "*.*", "**"])
def test_wrong_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(AssertionError) as caught:
        TrustedHostMiddleware(response(), [pattern])
    assert str(caught.value) == ENFORCE_DOMAIN_WILDCARD


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("example.org", True),
        ("EXAMPLE.ORG:8000", True),
        ("sub.example.net", True),
        ("example.net", False),
        ("evilexample.net", False),
        ("example.org.evil", False),
        ("example.org@evil", False),
    ],
)
def test_only_allowed_hosts_pass(host: str, passes: bool) -> None:
    app = TrustedHostMiddleware(response(), ["example.org", "*.example.net"])
    assert exchange(app, http_scope([("Host", host)]))[0]["status"] == (200 if passes else 400)


def test_missing_www_is_added() -> None:
    app = TrustedHostMiddleware(response(), ["www.example.org"])
    log = exchange(app, http_scope([("Host", "example.org:8000")], path="/item", query_string=b"q=1"))
    assert log[0]["status"] == 307
    assert dict(headers_of(log))["location"] == "http://www.example.org:8000/item?q=1"


def test_missing_www_is_an_error_if_that_is_wanted() -> None:
    app = TrustedHostMiddleware(response(), ["www.example.org"], www_redirect=False)
    assert exchange(app, http_scope([("Host", "example.org")]))[0]["status"] == 400


def test_other_scopes_pass_unseen() -> None:
    app = TrustedHostMiddleware(response(), ["example.org"])
    assert exchange(app, {"type": "lifespan"})[0]["status"] == 200


def test_application_answers_its_hosts_only(client_for: Any) -> None:
    app = TurboAPI()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["example.org", "www.example.com"])

    @app.get("/")
    async def root() -> str:
        return "here"

    client = client_for(app)
    assert client.get("/", headers={"Host": "example.org"}).json() == "here"
    refused = client.get("/", headers={"Host": "example.net"})
    assert (refused.status_code, refused.text) == (400, "Invalid host header")
    moved = client.get("/", headers={"Host": "example.com"}, follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (307, "http://www.example.com/")
