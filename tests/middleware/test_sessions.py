import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import itsdangerous
import pytest
import starlette.middleware.sessions
import starlette.requests
from hypothesis import given, settings
from hypothesis import strategies as st

import turboapi.middleware.sessions
import turboapi.requests
from tests.middleware.exchanges import ASGIApp, exchange, headers_of, http_scope, sender, websocket_scope
from turboapi import Request, TurboAPI
from turboapi.datastructures import Secret
from turboapi.middleware.sessions import Session, SessionMiddleware

OURS = turboapi.middleware.sessions.SessionMiddleware, turboapi.requests.HTTPConnection
THEIRS = starlette.middleware.sessions.SessionMiddleware, starlette.requests.HTTPConnection

NOW = 1_700_000_000
DAY = 24 * 60 * 60
START = {"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept")]}


@pytest.fixture(autouse=True, scope="module")
def fixed_time() -> Iterator[None]:
    """The signature holds the time: equal cookies need equal times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(itsdangerous.TimestampSigner, "get_timestamp", lambda signer: NOW)
        yield


def cookie(data: bytes, age: int = 0, key: str = "key") -> str:
    signer = itsdangerous.TimestampSigner(key)
    signer.get_timestamp = lambda: NOW - age  # type: ignore[method-assign]
    return signer.sign(data).decode()


def session_cookie(session: Any, **options: Any) -> str:
    return cookie(b64encode(json.dumps(session).encode()), **options)


STEPS = {
    "look": lambda session: None,
    "get": lambda session: session.get("a"),
    "set": lambda session: session.__setitem__("a", "é"),
    "delete": lambda session: session.__delitem__("a"),
    "clear": lambda session: session.clear(),
    "pop": lambda session: session.pop("a", None),
    "popitem": lambda session: session.popitem(),
    "setdefault": lambda session: session.setdefault("b", 1),
    "update": lambda session: session.update(c=[1, 2]),
    "unserializable": lambda session: session.update(c=object()),
}
COOKIES = {
    "none": None,
    "valid": session_cookie({"a": 1}),
    "empty": session_cookie({}),
    "old": session_cookie({"a": 1}, age=2 * DAY),
    "forged": session_cookie({"a": 1}, key="other"),
    "no signature": "abc",
    "no base64": cookie(b"a"),
    "no json": cookie(b64encode(b"{")),
    "no mapping": session_cookie([1]),
}


def application(connection_class: Any, steps: list[str]) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = connection_class(scope)
        for step in steps:
            STEPS[step](connection.session)
        await sender(START)(scope, receive, send)
        await send({"type": "seen", "session": repr(scope["session"])})

    return app


@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=3),
    sent=st.sampled_from(sorted(COOKIES)),
    options=st.fixed_dictionaries(
        {"secret_key": st.just("key") | st.just(Secret("key"))},
        optional={
            "session_cookie": st.just("other"),
            "max_age": st.sampled_from([None, 0, DAY]),
            "path": st.just("/below"),
            "same_site": st.sampled_from(["lax", "strict", "none"]),
            "https_only": st.booleans(),
            "domain": st.sampled_from([None, "", "example.org"]),
            "partitioned": st.booleans(),
        },
    ),
    make_scope=st.sampled_from([http_scope, websocket_scope]),
)
@settings(max_examples=300, deadline=None)
def test_messages_are_those_of_the_reference(
    steps: list[str], sent: str, options: dict[str, Any], make_scope: Any
) -> None:
    name = options.get("session_cookie", "session")
    scope = make_scope([] if COOKIES[sent] is None else [("Cookie", f"x=1; {name}={COOKIES[sent]}")])
    ours, theirs = (
        exchange(middleware(application(connection, steps), **options), scope)
        for middleware, connection in (OURS, THEIRS)
    )
    if "unserializable" not in steps:  # the message would hold the object's address
        assert ours == theirs
    assert [type(entry) for entry in ours] == [type(entry) for entry in theirs]


@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=4), start=st.sampled_from([{}, {"a": 1}, {"b": 2}]))
@settings(deadline=None)
def test_session_tracks_like_that_of_the_reference(steps: list[str], start: dict[str, int]) -> None:
    states = []
    for cls in (Session, starlette.middleware.sessions.Session):
        session, states_of_one = cls(start), []
        for step in steps:
            try:
                STEPS[step](session)
            except KeyError:
                states_of_one.append("KeyError")
            states_of_one.append((session.accessed, session.modified, sorted(session)))
        states.append(states_of_one)
    assert states[0] == states[1]


def test_updating_in_place_keeps_the_type_and_is_a_change() -> None:
    session = Session(a=1)
    session |= {"b": 2}
    assert (type(session), session, session.modified) == (Session, {"a": 1, "b": 2}, True)


def set_cookies(log: list[Any]) -> list[str]:
    return [value for name, value in headers_of(log) if name == "set-cookie"]


@pytest.mark.parametrize("sent", ["old", "forged", "no signature"])
def test_cookies_that_are_not_ours_are_ignored(sent: str) -> None:
    app = SessionMiddleware(application(turboapi.requests.HTTPConnection, ["look"]), "key", max_age=DAY)
    log = exchange(app, http_scope([("Cookie", f"session={COOKIES[sent]}")]))
    assert log[-1]["session"] == "{}"
    assert set_cookies(log) == []


def test_only_changes_are_sent_and_only_looks_vary() -> None:
    for steps, count, vary in (([], 0, "Accept"), (["get"], 0, "Accept, Cookie"), (["set"], 1, "Accept, Cookie")):
        app = SessionMiddleware(application(turboapi.requests.HTTPConnection, steps), "key")
        log = exchange(app, http_scope([("Cookie", f"session={COOKIES['valid']}")]))
        assert (len(set_cookies(log)), dict(headers_of(log))["vary"]) == (count, vary)


def test_cleared_session_expires() -> None:
    app = SessionMiddleware(application(turboapi.requests.HTTPConnection, ["clear"]), "key", https_only=True)
    log = exchange(app, http_scope([("Cookie", f"session={COOKIES['valid']}")]))
    assert set_cookies(log) == [
        "session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax; secure"
    ]


def test_lifespan_passes_unseen() -> None:
    assert exchange(SessionMiddleware(sender(START), "key"), {"type": "lifespan"}) == [START]


def test_without_itsdangerous_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "itsdangerous", None)
    with pytest.raises(ImportError, match=r"turboapi\[sessions\]"):
        SessionMiddleware(sender(), "key")


def test_itsdangerous_is_not_imported_before_it_is_needed() -> None:
    code = "import sys; from turboapi.middleware import SessionMiddleware; print('itsdangerous' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_application_remembers(client_for: Any) -> None:
    app = TurboAPI()
    app.add_middleware(SessionMiddleware, secret_key="key")

    @app.post("/visits")
    async def visit(request: Request) -> int:
        visits: int = request.session.get("visits", 0) + 1
        request.session["visits"] = visits
        return visits

    @app.delete("/visits")
    def forget(request: Request) -> None:
        request.session.clear()

    @app.get("/other")
    async def other() -> None:
        pass

    client = client_for(app)
    assert [client.post("/visits").json() for _ in range(3)] == [1, 2, 3]
    answer = client.get("/other")
    assert {"set-cookie", "vary"}.isdisjoint(answer.headers)
    client.delete("/visits")
    assert "session" not in client.cookies
    assert client.post("/visits").json() == 1
