"""Rate limits around applications: in process, over a socket, and as an ASGI application under any server."""

import asyncio
import functools
import logging
import re
import threading

import httpx
import limits
import pytest
import uvicorn

from tests.middleware.exchanges import exchange, headers_of, http_scope, response, sender, websocket_scope
from turboapi import APIRouter, Depends, Request, Response, TurboAPI, WebSocket
from turboapi.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from turboapi.middleware import AuthenticationMiddleware, Middleware, RateLimit, RateLimitMiddleware
from turboapi.middleware.ratelimit import by_header, by_user
from turboapi.responses import PlainTextResponse, StreamingResponse
from turboapi.testclient import TestClient
from turboapi.websockets import WebSocketDisconnect

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter", "token-bucket"]
PATIENCE = 20


def make_app(*args, **options):
    app = TurboAPI(middleware=[Middleware(RateLimitMiddleware, *args, **options)])

    @app.get("/")
    @app.get("/health")
    @app.get("/static/{name}")
    async def hello():
        return "hello"

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/fails")
    async def fails():
        raise ValueError("no")

    return app


def fields(found):
    """The header fields about limits. Only the times depend on the clock."""
    names = ("ratelimit", "ratelimit-limit", "ratelimit-remaining", "ratelimit-policy")
    return {name: value for name, value in found.headers.items() if name in names}


def statuses(client, paths, **options):
    return [client.get(path, **options).status_code for path in paths]


# --- the middleware --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_one_request_too_many(client_for, strategy, storage, request):
    url = request.getfixturevalue("redis_url") if storage == "redis" else "memory://"
    client = client_for(make_app("2/hour; 100/day", strategy=strategy, storage=url, storage_timeout=PATIENCE))
    for remaining in (1, 0):
        found = client.get("/")
        assert (found.status_code, found.json()) == (200, "hello")
        assert fields(found) == {
            "ratelimit-limit": "2",
            "ratelimit-remaining": str(remaining),
            "ratelimit-policy": "2;w=3600, 100;w=86400",
        }
        assert 0 < int(found.headers["ratelimit-reset"]) <= 3600
        assert "retry-after" not in found.headers
    found = client.get("/")
    assert (found.status_code, found.json()) == (429, {"detail": "Rate limit exceeded: 2 per hour"})
    assert found.headers["content-type"] == "application/json"
    assert fields(found)["ratelimit-remaining"] == "0"
    assert 0 < int(found.headers["ratelimit-reset"]) <= int(found.headers["retry-after"]) <= 3600


def test_processes_share_what_is_counted_in_redis(redis_url):
    clients = [TestClient(make_app("3/hour", storage=redis_url, storage_timeout=PATIENCE)) for _ in range(2)]
    other = TestClient(make_app("3/hour", storage=redis_url, storage_timeout=PATIENCE, name="other"))
    with clients[0], clients[1], other:
        found = [client.get("/").status_code for client in [*clients, *clients]]
        assert found == [200, 200, 200, 429]
        assert other.get("/").status_code == 200


def test_all_kinds_of_responses_are_counted(client_for):
    client = client_for(make_app("5/hour"))
    found = [client.get(path) for path in ("/stream", "/nowhere", "/fails", "/")]
    assert [(each.status_code, fields(each).get("ratelimit-remaining")) for each in found] == [
        (200, "4"),
        (404, "3"),
        (500, None),  # sent by whoever is further out
        (200, "1"),
    ]
    assert found[0].text == "ab"


def test_fields_of_the_draft_of_today(client_for):
    client = client_for(make_app(["2/hour", limits.parse("9/2 days")], headers="draft-11"))
    found = [client.get("/") for _ in range(3)]
    assert {each.headers["ratelimit-policy"] for each in found} == {
        '"all: 2 per hour";q=2;w=3600, "all: 9 per 2 days";q=9;w=172800'
    }
    assert [re.sub(r"t=\d+", "t=#", each.headers["ratelimit"]) for each in found] == [
        '"all: 2 per hour";r=1;t=#, "all: 9 per 2 days";r=8;t=#',
        '"all: 2 per hour";r=0;t=#, "all: 9 per 2 days";r=7;t=#',
        '"all: 2 per hour";r=0;t=#, "all: 9 per 2 days";r=7;t=#',
    ]
    assert [f"t={each.headers['retry-after']}," in each.headers["ratelimit"] for each in found[2:]] == [True]
    assert ["retry-after" in each.headers for each in found] == [False, False, True]


def test_no_fields(client_for):
    client = client_for(make_app("1/hour", headers="none"))
    assert fields(client.get("/")) == {}
    found = client.get("/")
    assert (fields(found), 0 < int(found.headers["retry-after"]) <= 3600) == ({}, True)


def test_fields_of_the_application_stay():
    log = exchange(RateLimitMiddleware(response([("RateLimit-Limit", "7")]), "1/hour"), http_scope())
    assert headers_of(log) == [("ratelimit-limit", "7")]


def test_exemptions(client_for):
    async def is_friend(request):
        return request.headers.get("x-friend") == "yes"

    client = client_for(make_app("1/hour", exempt=is_friend, exempt_paths=["/health", "/static/*"]))
    paths = ["/", "/", "/health", "/health", "/static/a", "/static/b", "/healthy"]
    assert statuses(client, paths) == [200, 429, 200, 200, 200, 200, 429]
    assert statuses(client, ["/"], headers={"X-Friend": "yes"}) == [200]
    assert statuses(client, ["/"], headers={"X-Friend": "no"}) == [429]


def test_a_middleware_without_limits_lets_all_pass(client_for):
    client = client_for(make_app())
    found = client.get("/")
    assert (found.status_code, fields(found)) == (200, {})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"limits": "often"}, "couldn't parse"),
        ({"headers": "draft-7"}, "headers must be one of draft-6, draft-11, none"),
        ({"ipv6_prefix": 0}, "ipv6_prefix must be between"),
        ({"exempt_paths": "/health"}, "paths must be a list"),
        ({"exempt_paths": ["/*/health"]}, "paths must be a list"),
        ({"strategy": "leaky"}, "strategy must be one of"),
        ({"trusted_proxies": ["proxy"]}, "does not appear to be"),
    ],
)
def test_wrong_arguments(options, error):
    with pytest.raises(ValueError, match=error):
        RateLimitMiddleware(response(), **options)


# --- who is counted --------------------------------------------------------------------------------------------------


def remaining(app, client=("192.0.2.1", 1), headers=(), **scope):
    found = dict(headers_of(exchange(app, http_scope(headers, client=client, **scope))))
    return int(found["ratelimit-remaining"])


def test_clients_are_counted_by_address():
    app = RateLimitMiddleware(response(), "9/hour")
    assert [remaining(app, ("192.0.2.1", port)) for port in (1, 2)] == [8, 7]
    assert remaining(app, ("192.0.2.2", 1)) == 8
    assert [remaining(app, (f"2001:db8::{end}", 1)) for end in (1, 2)] == [8, 7]
    assert remaining(app, ("2001:db8:0:1::1", 1)) == 8
    assert [remaining(app, None), remaining(app, None)] == [8, 7]


def test_networks_of_clients_can_be_smaller():
    app = RateLimitMiddleware(response(), "9/hour", ipv6_prefix=128)
    assert [remaining(app, (f"2001:db8::{end}", 1)) for end in (1, 2)] == [8, 8]


def test_clients_cannot_choose_their_address():
    app = RateLimitMiddleware(response(), "9/hour", trusted_proxies=["10.0.0.0/8"])
    found = [remaining(app, headers=[("X-Forwarded-For", f"1.1.1.{end}")]) for end in (1, 2)]
    assert found == [8, 7]
    behind = functools.partial(remaining, app, ("10.0.0.1", 1))
    found = [behind(headers=[("X-Forwarded-For", f"1.1.1.{end}, 203.0.113.9")]) for end in (1, 2)]
    assert found == [8, 7]
    assert behind(headers=[("X-Forwarded-For", "203.0.113.9, 203.0.113.10")]) == 8


def test_clients_are_counted_by_header():
    app = RateLimitMiddleware(response(), "9/hour", key=by_header("X-API-Key"))
    keys = ["a", "a", "b", "a" * 10_000, "a" * 10_000]
    assert [remaining(app, headers=[("X-API-Key", key)]) for key in keys] == [8, 7, 8, 8, 7]
    assert [remaining(app), remaining(app)] == [8, 7]
    counted = list(app._settings.limiter._store._counters["9 per hour"].states)
    assert not any("aaa" in key for key in counted) and max(map(len, counted)) < 100


class Backend(AuthenticationBackend):
    async def authenticate(self, conn):
        name = conn.headers.get("x-user")
        return None if name is None else (AuthCredentials(), self.user(name))

    def user(self, name):
        return SimpleUser(name)


def test_users_are_counted(client_for):
    app = make_app("2/hour", key=by_user)
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    client = client_for(app)
    found = [client.get("/", headers=headers).status_code for headers in [{"X-User": "me"}] * 3 + [{"X-User": "you"}]]
    assert found == [200, 200, 429, 200]
    assert statuses(client, "///") == [200, 200, 429]  # nobody: by address


def test_users_of_starlette_have_a_name_only():
    class Person:
        is_authenticated = True
        display_name = "me"

        @property
        def identity(self):
            raise NotImplementedError

    app = RateLimitMiddleware(response(), "9/hour", key=by_user)
    assert [remaining(app, user=Person()), remaining(app, user=Person())] == [8, 7]
    assert remaining(app) == 8


async def slow_key(request):
    await asyncio.sleep(0)
    return request.query_params.get("key")


@pytest.mark.parametrize("key", [lambda request: request.query_params.get("key"), slow_key])
def test_keys_can_be_functions(client_for, key):
    client = client_for(make_app("1/hour", key=key))
    targets = ["/?key=a", "/?key=a", "/?key=b", "/", "/?key=", "/?key=a/b", "/?key=a/b"]
    assert statuses(client, targets) == [200, 429, 200, 200, 429, 200, 429]


def test_a_key_cannot_be_made_to_look_like_a_client():
    app = RateLimitMiddleware(response(), "9/hour", key=lambda request: request.headers.get("x-key"))
    assert remaining(app) == 8
    for key in ("client:192.0.2.1", "192.0.2.1", "hash:1", "\xff/../client:192.0.2.1"):
        assert remaining(app, headers=[("X-Key", key)]) == 8


def test_errors_of_keys_are_errors():
    def key(request):
        raise LookupError("no key")

    assert exchange(RateLimitMiddleware(response(), "9/hour", key=key), http_scope()) == [("LookupError", "no key")]


# --- a storage that fails --------------------------------------------------------------------------------------------


def test_requests_pass_while_the_storage_fails(client_for, closed_port, caplog):
    client = client_for(make_app("1/hour", storage=f"redis://127.0.0.1:{closed_port}", storage_timeout=PATIENCE))
    found = client.get("/")
    assert (found.status_code, fields(found)) == (200, {})
    assert [record.levelno for record in caplog.records if record.name == "turboapi.ratelimit"] == [logging.ERROR]


def test_requests_can_be_refused_while_the_storage_fails(client_for, closed_port):
    url = f"redis://127.0.0.1:{closed_port}"
    app = make_app("1/hour", storage=url, storage_timeout=PATIENCE, fail_open=False, exempt_paths=["/health"])
    app.get("/limited", dependencies=[Depends(RateLimit("1/hour"))])(lambda: "hello")
    client = client_for(app)
    found = client.get("/")
    assert (found.status_code, found.json()) == (503, {"detail": "Rate limits cannot be checked at the moment"})
    assert statuses(client, ["/limited", "/health"]) == [503, 200]


# --- the dependency --------------------------------------------------------------------------------------------------


def make_limited_app(**options):
    app = TurboAPI(**options)
    router = APIRouter(prefix="/router", dependencies=[Depends(RateLimit("2/hour"))])
    together = RateLimit("2/hour", name="together")

    @app.get("/items/{item_id}", dependencies=[Depends(RateLimit("2/hour"))])
    async def read(item_id: int):
        return item_id

    @app.get("/response", dependencies=[Depends(RateLimit("2/hour; 1/minute"))])
    def respond():
        return PlainTextResponse("hello")

    @app.get("/free")
    async def free():
        return "hello"

    @router.get("/a")
    @router.get("/b")
    async def read_router():
        return "hello"

    @app.get("/together/a", dependencies=[Depends(together)])
    @app.get("/together/b", dependencies=[Depends(together)])
    async def read_together():
        return "hello"

    @app.websocket("/ws", dependencies=[Depends(RateLimit("1/hour"))])
    async def talk(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    app.include_router(router)
    return app


AROUND = [[], [Middleware(RateLimitMiddleware)], [Middleware(RateLimitMiddleware, "99/hour")]]


@pytest.mark.parametrize("middleware", AROUND, ids=["alone", "inside", "inside a limit"])
def test_path_operations_are_limited(client_for, middleware):
    client = client_for(make_limited_app(middleware=middleware))
    found = [client.get(f"/items/{number}") for number in range(3)]
    assert [(each.status_code, each.headers["ratelimit-remaining"]) for each in found] == [
        (200, "1"),
        (200, "0"),
        (429, "0"),
    ]
    assert found[2].json() == {"detail": "Rate limit exceeded: 2 per hour"}
    assert 0 < int(found[2].headers["retry-after"]) <= 3600
    policies = {each.headers["ratelimit-policy"] for each in found}
    assert policies == {"99;w=3600, 2;w=3600" if middleware and middleware[0].args else "2;w=3600"}
    assert statuses(client, ["/router/a", "/router/a", "/router/b", "/router/a"]) == [200, 200, 200, 429]
    assert statuses(client, ["/together/a", "/together/b", "/together/a"]) == [200, 200, 429]
    assert statuses(client, ["/response", "/response"]) == [200, 429]
    assert statuses(client, ["/free"] * 5) == [200] * 5


def test_all_responses_tell_of_limits_when_there_is_a_middleware(client_for):
    client = client_for(make_limited_app(middleware=[Middleware(RateLimitMiddleware, "1/day", headers="draft-11")]))
    policy = client.get("/response").headers["ratelimit-policy"]
    assert policy.startswith('"all: 1 per day";q=1;w=86400, "/response tests.')
    assert policy.endswith('respond: 2 per hour";q=2;w=3600')


def test_dependencies_use_the_storage_of_the_middleware(redis_url):
    middleware = [Middleware(RateLimitMiddleware, storage=redis_url, storage_timeout=PATIENCE)]
    with (
        TestClient(make_limited_app(middleware=middleware)) as one,
        TestClient(make_limited_app(middleware=middleware)) as two,
    ):
        assert [client.get("/items/1").status_code for client in (one, two, one)] == [200, 200, 429]
        for client, accepted in ((one, True), (two, False)):
            if accepted:
                with client.websocket_connect("/ws") as websocket:
                    assert websocket.receive_text() == "hello"
            else:
                with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws"):
                    pass
                assert refused.value.code == 1013


def test_websockets_are_limited_by_the_dependency():
    with TestClient(make_limited_app()) as client:
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_text() == "hello"
        with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws"):
            pass
    assert (refused.value.code, refused.value.reason) == (1013, "Rate limit exceeded: 1 per hour")


def test_dependencies_can_use_what_others_have_found(client_for):
    app = TurboAPI()

    def find_user(request: Request, user: str):
        request.state.user = user

    limit = RateLimit("1/hour", key=lambda request: request.state.user)

    @app.get("/", dependencies=[Depends(find_user), Depends(limit)])
    async def hello(response: Response):
        response.headers["X-Mine"] = "1"
        return "hello"

    client = client_for(app)
    found = client.get("/?user=a")
    assert (found.headers["x-mine"], found.headers["ratelimit-limit"]) == ("1", "1")
    assert statuses(client, ["/?user=a", "/?user=b"]) == [429, 200]


def test_limits_in_limits_tell_of_each_other(client_for):
    app = make_app("9/hour", key=lambda request: "me")
    app.add_middleware(RateLimitMiddleware, "2/hour")
    client = client_for(app)
    found = client.get("/")
    assert fields(found) == {
        "ratelimit-limit": "2",
        "ratelimit-remaining": "1",
        "ratelimit-policy": "2;w=3600, 9;w=3600",
    }


def test_limits_are_not_in_the_openapi_document():
    schema = make_limited_app().openapi()["paths"]["/items/{item_id}"]["get"]
    assert [parameter["name"] for parameter in schema["parameters"]] == ["item_id"]


# --- ASGI ------------------------------------------------------------------------------------------------------------


def test_websockets_pass_untouched():
    messages = [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}]
    app = RateLimitMiddleware(sender(*messages), "1/hour")
    assert [exchange(app, websocket_scope()) for _ in range(3)] == [messages] * 3


def test_errors_and_disconnects_pass_through():
    async def fail(scope, receive, send):
        raise ValueError("no")

    async def leave(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    assert exchange(RateLimitMiddleware(fail, "1/hour"), http_scope()) == [("ValueError", "no")]
    assert exchange(RateLimitMiddleware(leave, "1/hour"), http_scope()) == []


def test_the_lifespan_passes_and_closes_connections(redis_url):
    app = RateLimitMiddleware(sender({"type": "lifespan.shutdown.complete"}), "1/hour", storage=redis_url)
    closed = []
    app._settings.limiter._store.pool.disconnect = lambda: asyncio.sleep(0, closed.append(True))
    assert exchange(app, {"type": "lifespan"}) == [{"type": "lifespan.shutdown.complete"}]
    assert closed == [True]


def test_under_uvicorn():
    app = make_app("2/hour", trusted_proxies=["127.0.0.1"])
    config = uvicorn.Config(app, port=0, log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        started = threading.Event()
        while not server.started and thread.is_alive():
            started.wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE) as client:
            assert statuses(client, ["/stream"] * 3, headers={"X-Forwarded-For": "192.0.2.1"}) == [200, 200, 429]
            assert statuses(client, ["/"], headers={"X-Forwarded-For": "192.0.2.2"}) == [200]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()
