"""Sessions kept by the server, in memory and in a real Redis."""

import json
import subprocess
import sys

import itsdangerous
import pytest

from turboapi import Request, TurboAPI, WebSocket
from turboapi.middleware import ServerSessionMiddleware
from turboapi.middleware.server_sessions import MemorySessions, RedisSessions
from turboapi.testclient import TestClient

DAY = 24 * 60 * 60


def make_app(store, **options):
    app = TurboAPI()
    app.add_middleware(ServerSessionMiddleware, secret_key="key", store=store, **options)

    @app.get("/look")
    async def look(request: Request):
        return dict(request.session)

    @app.get("/nothing")
    async def nothing():
        return "nothing"

    @app.post("/change")
    async def change(request: Request, values: dict[str, str]):
        request.session.update(values)
        return dict(request.session)

    @app.post("/login")
    async def login(request: Request):
        request.session["user"] = "me"
        request.session.renew()

    @app.post("/logout")
    async def logout(request: Request):
        request.session.clear()

    @app.post("/slow")
    async def slow(request: Request):
        """A change, while the session ends elsewhere."""
        request.session["a"] = "late"
        await app.state.meanwhile()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_json(dict(websocket.session))

    return app


@pytest.fixture(params=["memory", "redis"])
def store(request):
    return MemorySessions() if request.param == "memory" else request.getfixturevalue("redis_url")


def id_of(client):
    return itsdangerous.TimestampSigner("key").unsign(client.cookies["session"]).decode()


def test_a_session_is_remembered(client_for, store):
    client = client_for(make_app(store))
    assert client.get("/look").json() == {}
    assert "session" not in client.cookies
    response = client.post("/change", json={"a": "é" * 10_000})
    assert response.headers["vary"] == "Cookie"
    cookie = response.headers["set-cookie"]
    assert cookie.endswith("; path=/; Max-Age=1209600; httponly; samesite=lax") and len(cookie) < 200
    assert client.get("/look").json() == {"a": "é" * 10_000}


def test_only_changes_are_sent_and_only_looks_vary(client_for, store):
    client = client_for(make_app(store))
    client.post("/change", json={"a": "1"})
    looked, unseen = client.get("/look"), client.get("/nothing")
    assert "set-cookie" not in looked.headers and looked.headers["vary"] == "Cookie"
    assert "set-cookie" not in unseen.headers and "vary" not in unseen.headers


def test_a_cleared_session_is_gone_for_every_copy_of_its_cookie(client_for, store):
    client = client_for(make_app(store))
    client.post("/change", json={"a": "1"})
    stolen = {"cookie": f"session={client.cookies['session']}"}
    assert client.get("/look", headers=stolen).json() == {"a": "1"}
    assert "expires=Thu, 01 Jan 1970" in client.post("/logout").headers["set-cookie"]
    assert "session" not in client.cookies
    assert client.get("/look", headers=stolen).json() == {}


def test_a_renewed_session_has_another_id(client_for, store):
    client = client_for(make_app(store))
    client.post("/change", json={"a": "1"})
    before, fixed = id_of(client), {"cookie": f"session={client.cookies['session']}"}
    client.post("/login")
    assert id_of(client) != before
    assert client.get("/look").json() == {"a": "1", "user": "me"}
    client.cookies.clear()
    assert client.get("/look", headers=fixed).json() == {}


def test_a_change_keeps_the_id(client_for, store):
    client = client_for(make_app(store))
    client.post("/change", json={"a": "1"})
    before = id_of(client)
    client.post("/change", json={"b": "2"})
    assert id_of(client) == before


@pytest.mark.parametrize("cookie", ["", "x", "x.y.z", itsdangerous.TimestampSigner("other").sign(b"x").decode()])
def test_cookies_that_are_not_ours_are_ignored(client_for, store, cookie):
    client = client_for(make_app(store))
    assert client.get("/look", headers={"cookie": f"session={cookie}"}).json() == {}


def test_no_client_can_choose_an_id(client_for, store):
    """Not even one whose signature is good, of a session that has ended."""
    client = client_for(make_app(store))
    chosen = itsdangerous.TimestampSigner("key").sign(b"chosen").decode()
    client.post("/change", json={"a": "1"}, headers={"cookie": f"session={chosen}"})
    assert id_of(client) != "chosen"


def test_a_session_that_ends_during_a_request_does_not_come_back(client_for, store):
    app = make_app(store)
    client = client_for(app)
    client.post("/change", json={"a": "1"})
    key, headers = id_of(client), {"cookie": f"session={client.cookies['session']}"}
    sessions = store if isinstance(store, MemorySessions) else RedisSessions(store)

    async def meanwhile():
        await sessions.delete(key)
        await sessions.aclose()

    app.state.meanwhile = meanwhile
    assert "set-cookie" not in client.post("/slow").headers
    assert client.get("/look", headers=headers).json() == {}


def test_processes_share_sessions_in_redis(redis_url):
    with TestClient(make_app(redis_url)) as one, TestClient(make_app(redis_url)) as other:
        one.post("/change", json={"a": "1"})
        other.cookies = one.cookies
        assert other.get("/look").json() == {"a": "1"}


def test_redis_forgets_them_in_time(redis_url):
    import redis

    with TestClient(make_app(RedisSessions(redis_url, prefix="own:"), max_age=1000)) as client:
        client.post("/change", json={"a": "1"})
        with redis.Redis.from_url(redis_url) as server:
            key = f"own:{id_of(client)}"
            assert json.loads(server.get(key)) == {"a": "1"}
            assert 990 < server.ttl(key) <= 1000


def test_a_client_of_redis_may_be_given(redis_url):
    from redis.asyncio import Redis

    store = RedisSessions(Redis.from_url(redis_url, decode_responses=True))
    with TestClient(make_app(store)) as client:
        client.post("/change", json={"a": "1"})
        assert client.get("/look").json() == {"a": "1"}


async def kept(store, *keys):
    return [await store.load(key) for key in keys]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_memory_forgets_them_in_time():
    now = 0.0
    store = MemorySessions(lambda: now)
    assert await store.save("a", "1", 10, is_new=True)
    assert not await store.save("b", "1", 10, is_new=False)
    now = 5.0
    await store.save("c", "2", 10, is_new=True)
    assert await store.save("a", "3", 10, is_new=False)
    assert await kept(store, "a", "b", "c") == ["3", None, "2"]
    now = 15.0
    assert await kept(store, "a", "c") == [None, None]
    await store.save("d", "4", 10, is_new=True)
    assert list(store._kept) == ["d"]


def test_until_the_browser_is_closed(store):
    with TestClient(make_app(store, max_age=None)) as client:
        assert "Max-Age" not in client.post("/change", json={"a": "1"}).headers["set-cookie"]
        assert client.get("/look").json() == {"a": "1"}


def test_options_are_those_of_session_cookies(store):
    with TestClient(make_app(store, session_cookie="id", path="/change", https_only=True)) as client:
        cookie = client.post("/change", json={"a": "1"}).headers["set-cookie"]
    assert cookie.startswith("id=") and cookie.endswith(
        "; path=/change; Max-Age=1209600; httponly; samesite=lax; secure"
    )


def test_websockets_can_look(store):
    with TestClient(make_app(store)) as client:
        client.post("/change", json={"a": "1"})
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_json() == {"a": "1"}


def test_a_store_that_fails_is_an_error():
    with TestClient(make_app("redis://127.0.0.1:1"), raise_server_exceptions=False) as client:
        cookie = itsdangerous.TimestampSigner("key").sign(b"x").decode()
        assert client.get("/nothing").status_code == 200
        assert client.get("/nothing", headers={"cookie": f"session={cookie}"}).status_code == 500


def test_redis_is_not_imported_before_it_is_needed():
    code = "import sys, turboapi.middleware; assert not {'redis', 'itsdangerous'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_redis_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r"turboapi\[redis\]"):
        RedisSessions("redis://")
