from typing import Any

import pytest
import starlette.middleware.cors
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware.cors
from tests.middleware.exchanges import exchange, headers_of, http_scope, public_attributes, response, sender
from turboapi import HTTPException, TurboAPI
from turboapi.middleware.cors import CORSMiddleware

OURS = turboapi.middleware.cors.CORSMiddleware
THEIRS = starlette.middleware.cors.CORSMiddleware

ORIGINS = ["https://a.example", "https://b.example", "https://ab.example", "null", ""]
HEADER_NAMES = ["X-Token", "authorization", "Content-Type", "*", " x-token", ""]
options = st.fixed_dictionaries(
    {},
    optional={
        "allow_origins": st.lists(st.sampled_from([*ORIGINS, "*"]), max_size=3) | st.just("*"),
        "allow_methods": st.lists(st.sampled_from(["GET", "POST", "get", "*", "PURGE"]), max_size=3),
        "allow_headers": st.lists(st.sampled_from(HEADER_NAMES), max_size=3),
        "allow_credentials": st.booleans(),
        "allow_origin_regex": st.none() | st.sampled_from([r"https://.*\.example", "https://a", ""]),
        "allow_private_network": st.booleans(),
        "expose_headers": st.lists(st.sampled_from(["X-One", "X-Two"]), max_size=2),
        "max_age": st.integers(-1, 10**6),
    },
)
request_headers = st.fixed_dictionaries(
    {},
    optional={
        "Origin": st.sampled_from([*ORIGINS, "*"]),
        "Access-Control-Request-Method": st.sampled_from(["GET", "POST", "PURGE", "get", ""]),
        "Access-Control-Request-Headers": st.lists(st.sampled_from(HEADER_NAMES), max_size=3).map(",".join),
        "Access-Control-Request-Private-Network": st.sampled_from(["true", "false"]),
    },
)
response_headers = st.lists(
    st.sampled_from(
        [("Vary", "Accept"), ("Vary", "Origin"), ("Access-Control-Allow-Origin", "https://x"), ("X-One", "1")]
    ),
    max_size=3,
)


@given(options=options, sent=request_headers, answered=response_headers, method=st.sampled_from(["OPTIONS", "GET"]))
@settings(max_examples=300, deadline=None)
def test_messages_are_those_of_the_reference(
    options: dict[str, Any], sent: dict[str, str], answered: list[tuple[str, str]], method: str
) -> None:
    scope = http_scope(sent.items(), method=method)
    logs = [exchange(middleware(response(answered), **options), scope) for middleware in (OURS, THEIRS)]
    assert logs[0] == logs[1]


@given(options=options)
@settings(max_examples=100, deadline=None)
def test_attributes_are_those_of_the_reference(options: dict[str, Any]) -> None:
    app = response()
    ours, theirs = public_attributes(OURS(app, **options)), public_attributes(THEIRS(app, **options))
    assert ours == theirs
    assert list(ours["preflight_headers"]) == list(theirs["preflight_headers"])


PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        ({}, 200, b"OK"),
        ({"Origin": "https://evil.example"}, 400, b"Disallowed CORS origin"),
        ({"Access-Control-Request-Method": "PUT"}, 400, b"Disallowed CORS method"),
        ({"Access-Control-Request-Headers": "x-token, accept"}, 200, b"OK"),
        ({"Access-Control-Request-Headers": "x-token, x-other"}, 400, b"Disallowed CORS headers"),
        ({"Access-Control-Request-Private-Network": "true"}, 400, b"Disallowed CORS private-network"),
        ({"Origin": "null", "Access-Control-Request-Method": "PUT"}, 400, b"Disallowed CORS origin, method"),
    ],
)
def test_preflight_requests_are_answered(sent: dict[str, str], status: int, text: bytes) -> None:
    app = CORSMiddleware(
        response(),
        allow_origins=["https://a.example"],
        allow_methods=["POST"],
        allow_headers=["X-Token"],
    )
    start, body = exchange(app, http_scope((PREFLIGHT | sent).items(), method="OPTIONS"))
    assert (start["status"], body["body"]) == (status, text)


def test_credentials_need_the_origin_itself() -> None:
    app = CORSMiddleware(response(), allow_origins=["*"], allow_credentials=True)
    headers = dict(headers_of(exchange(app, http_scope([("Origin", "https://a.example")]))))
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["vary"] == "Origin"


def test_responses_without_a_list_of_headers_get_one() -> None:
    app = CORSMiddleware(sender({"type": "http.response.start", "status": 204}), allow_origins=["*"])
    headers = headers_of(exchange(app, http_scope([("Origin", "https://a.example")])))
    assert headers == [("access-control-allow-origin", "*"), ("vary", "Origin")]


def test_overridden_methods_decide() -> None:
    class SameSuffix(CORSMiddleware):
        def is_allowed_origin(self, origin: str) -> bool:
            return origin.endswith(".test")

    for origin, allowed in (("https://a.test", "https://a.test"), ("https://a.example", None)):
        headers = dict(headers_of(exchange(SameSuffix(response()), http_scope([("Origin", origin)]))))
        assert headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize("options", [{}, {"allow_origins": ["*"]}, {"allow_origins": ["*"], "allow_credentials": True}])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_overridden_methods_are_asked_like_in_the_reference(options: dict[str, Any], method: str) -> None:
    def run(middleware: Any) -> list[Any]:
        closed = type("Closed", (middleware,), {"is_allowed_origin": lambda self, origin: False})
        return exchange(closed(response(), **options), http_scope(PREFLIGHT.items(), method=method))

    assert run(OURS) == run(THEIRS)


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_pass_unseen(kind: str) -> None:
    message = {"type": "http.response.start", "status": 200, "headers": []}
    log = exchange(CORSMiddleware(sender(message), allow_origins=["*"]), http_scope(PREFLIGHT.items(), type=kind))
    assert log == [message]


def test_application_answers_with_the_headers_unless_it_fails(client_for: Any) -> None:
    app = TurboAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_methods=["POST"])

    @app.get("/item")
    async def item() -> dict[str, int]:
        return {"id": 1}

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("broken")

    client = client_for(app)
    origin = {"Origin": "https://a.example"}
    for path, status in (("/item", 200), ("/missing", 404), ("/no/such/path", 404)):
        answer = client.get(path, headers=origin)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "https://a.example")
    assert "access-control-allow-origin" not in client.get("/item", headers={"Origin": "https://b.example"}).headers

    preflight = client.options("/item", headers=PREFLIGHT)
    assert (preflight.status_code, preflight.text) == (200, "OK")
    assert preflight.headers["access-control-allow-methods"] == "POST"

    # The answer to an unexpected error is made outside of all middleware.
    failure = client.get("/broken", headers=origin)
    assert failure.status_code == 500
    assert "access-control-allow-origin" not in failure.headers
