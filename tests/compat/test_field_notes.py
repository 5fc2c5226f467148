"""What breaks when applications move from FastAPI to its faster relatives: one test for each known way."""

from textwrap import dedent

import pytest

from tests.compat.client import Request
from tests.compat.oracle import assert_same

JSON = ((b"content-type", b"application/json"),)
FORM = ((b"content-type", b"application/x-www-form-urlencoded"),)


def check(program: str, *requests: Request | bytes) -> None:
    assert_same(dedent(program), *(Request(target=item) if isinstance(item, bytes) else item for item in requests))


@pytest.mark.parametrize("after", ["", "app.dependency_overrides.clear()", "del app.dependency_overrides[get_db]"])
def test_dependency_overrides(after):
    check(
        f"""
        app, sub, router = App(), App(), APIRouter()
        def get_db():
            log.append("db"); yield "db"; log.append("db closed")
        class Settings:
            def __init__(self, q: str = "q"): self.q = q
        class Other:
            q = "other"
        def user(db: Any = Depends(get_db), scopes: SecurityScopes = None): return [db, scopes and scopes.scopes]
        @app.get("/app")
        def on_app(db: Any = Depends(get_db), user: Any = Security(user, scopes=["a"]), s: Settings = Depends()): return [db, user, s.q]
        @router.get("/router")
        async def on_router(user: Any = Depends(user)): return user
        @sub.get("/sub")
        def on_sub(db: Any = Depends(get_db)): return db
        app.include_router(router)
        app.mount("/mounted", sub)
        async def fake(q: int = 7):
            log.append("fake"); yield q; log.append("fake closed")
        app.dependency_overrides[get_db] = fake
        app.dependency_overrides[Settings] = Other
        sub.dependency_overrides[get_db] = lambda: "for sub"
        {after}
        """,
        b"/app?q=3",
        b"/app?q=x",
        b"/router",
        b"/mounted/sub",
    )


@pytest.mark.parametrize("before", ["pass", "app.dependency_overrides[other] = lambda: 'before'"])
def test_overrides_that_change_during_the_request(before):
    check(
        f"""
        app = App()
        async def original(q: int = 0): log.append("original"); return q
        async def other(): return "other"
        def replacement(r: int = 1, o: Any = Depends(other)): log.append("replacement"); return [r, o]
        async def with_exit():
            yield "with exit"; log.append("closed")
        async def install(): app.dependency_overrides[original] = replacement
        async def uninstall(): app.dependency_overrides.clear(); {before}
        async def install_more():
            app.dependency_overrides[original] = with_exit
            app.dependency_overrides[late] = other
        def late(_: Any = Depends(install_more), o: Any = Depends(original, use_cache=False)): return ["late", o]
        def deep(o: Any = Depends(original, use_cache=False)): return ["deep", o]
        Fresh = Annotated[Any, Depends(original, use_cache=False)]
        @app.get("/")
        async def handler(a: Fresh, b: Annotated[None, Depends(install)], c: Fresh, d: Annotated[Any, Depends(deep)],
                          e: Annotated[None, Depends(uninstall)], f: Fresh, g: Annotated[Any, Depends(original)]):
            return [a, c, d, f, g]
        @app.get("/with-exit")
        def second(a: Annotated[Any, Depends(with_exit)], b: Annotated[Any, Depends(late)], c: Fresh, d: Annotated[Any, Depends(late)],
                   e: Annotated[None, Depends(uninstall)]):
            return [a, b, c, d]
        {before}
        """,
        b"/?q=3",
        b"/?q=3&r=x",
        b"/?q=x",
        b"/?q=3",
        b"/with-exit?q=2",
        b"/with-exit?q=x",
        b"/?q=3",
    )


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("outcome", ["return [a, c, d]", "raise ValueError", "raise HTTPException(418)"])
@pytest.mark.parametrize("outer", ["lambda: 0", "closing"])
def test_overrides_with_exit_that_are_installed_during_the_request(outer, outcome, kind):
    check(
        f"""
        app = App()
        async def original(): return "original"
        async def outer(): return "outer"
        async def closing():
            yield "closing"; log.append("outer closed")
        {kind} with_exit(o: Any = Depends(outer)):
            log.append("opened")
            try: yield ["with exit", o]
            finally: log.append("closed")
        {kind} again():
            try: yield "again"
            finally: log.append("again closed")
        def finish(tasks: BackgroundTasks): tasks.add_task(log.append, "task")
        async def install(tasks: BackgroundTasks):
            log.append("install")
            tasks.add_task(log.append, "task")
            app.dependency_overrides[original] = with_exit
        async def install_another(): app.dependency_overrides[original] = again
        def uninstall(): app.dependency_overrides.pop(original, None)
        Free = Annotated[Any, Depends(original, use_cache=False)]
        Bound = Annotated[Any, Depends(original, use_cache=False, scope="function")]
        @app.get("/request/{{n}}")
        async def of_request(n: int, a: Free, b: Annotated[None, Depends(install)], c: Free, d: Free,
                             e: Annotated[None, Depends(uninstall)]):
            log.append("handler"); {outcome}
        @app.get("/function/{{n}}")
        def of_function(n: int, a: Bound, b: Annotated[None, Depends(install)], c: Bound, d: Free,
                        e: Annotated[None, Depends(uninstall)]):
            log.append("handler"); {outcome}
        @app.get("/both/{{n}}")
        def of_both(n: int, a: Annotated[Any, Depends(outer)], b: Annotated[None, Depends(install)], c: Free,
                    x: Annotated[None, Depends(install_another)], d: Bound, e: Annotated[None, Depends(uninstall)]):
            log.append("handler"); {outcome}
        @app.post("/body")
        def with_body(item: Item, a: Free, b: Annotated[None, Depends(install)], c: Free, d: Bound,
                      e: Annotated[None, Depends(uninstall)]):
            log.append(item.name); {outcome}
        app.dependency_overrides[outer] = {outer}
        """,
        b"/request/1",
        b"/function/1",
        b"/both/1",
        b"/request/x",
        b"/function/x",
        b"/request/2",
        Request("POST", b"/body", JSON, b'{"name": "a"}'),
        Request("POST", b"/body", JSON, b"{}"),
    )


@pytest.mark.parametrize("scope", ["function", "request"])
@pytest.mark.parametrize(
    "outcome", ["return 1", "raise ValueError('v')", "raise HTTPException(418)", "return object()", "return 'x'"]
)
def test_exit_of_yield_dependencies(scope, outcome):
    check(
        f"""
        app = App()
        async def outer(tasks: BackgroundTasks):
            tasks.add_task(log.append, "task")
            try:
                yield 1
            except Exception as exc:
                log.append("outer " + type(exc).__name__); raise
            finally:
                log.append("outer closed")
        def inner(value: int = Depends(outer, scope="{scope}")):
            try:
                yield value
            finally:
                log.append("inner closed")
        @app.get("/")
        async def handler(value: int = Depends(inner, scope="{scope}")) -> int:
            log.append("handler")
            {outcome}
        @app.get("/stream")
        async def stream(value: int = Depends(inner, scope="{scope}")):
            def parts():
                log.append("streaming"); yield "a"; log.append("streamed")
            return StreamingResponse(parts())
        """,
        b"/",
        b"/stream",
    )


def test_annotated_partials_and_wrapped_functions():
    check(
        """
        app = App()
        def decorated(func):
            @wraps(func)
            async def wrapper(*args, **kwargs):
                log.append("wrapper")
                return func(*args, **kwargs)
            return wrapper
        def add(a: int, b: int = 2, *, c: int = 3): return a + b + c
        @decorated
        def twice(q: int = 4): return q * 2
        Number = Annotated[int, Query(ge=1)]
        Deep = Annotated[Annotated[str, Query(max_length=3)], Query(alias="D")]
        @app.get("/")
        @decorated
        def handler(n: Number, d: Deep = "d", s: Annotated[int, Depends(partial(add, b=10))] = None, t: int = Depends(twice)):
            return [n, d, s, t]
        app.get("/partial")(partial(add, 1))
        """,
        b"/?n=1&a=1&D=x",
        b"/?n=0&D=xxxx",
        b"/?n=1&d=2&a=x&q=y",
        b"/partial?b=1",
        b"/partial?c=x",
    )


def test_dependencies_of_every_level_run_in_order_for_late_routes_too():
    levels = ("app", "outer", "outer include", "inner", "inner include", "route")
    guards = {level: f"dependencies=[Depends(lambda: log.append({level!r}))]" for level in levels}
    check(
        f"""
        app = App({guards["app"]})
        outer = APIRouter(prefix="/outer", {guards["outer"]})
        inner = APIRouter(prefix="/inner", {guards["inner"]})
        @inner.get("/early", {guards["route"]})
        def early(): log.append("handler")
        outer.include_router(inner, prefix="/x", {guards["inner include"]})
        app.include_router(outer, prefix="/y", {guards["outer include"]})
        @inner.get("/late", {guards["route"]})
        def late(): log.append("handler")
        @outer.get("/late")
        def outer_late(): log.append("handler")
        """,
        b"/y/outer/x/inner/early",
        b"/y/outer/x/inner/late",
        b"/y/outer/late",
    )


def test_a_failing_guard_of_any_level_keeps_the_handler_from_running():
    for place in ("App({})", "APIRouter({})", "include_router(router, {})", "router.get('/', {})"):
        guard = "dependencies=[Depends(deny)]"
        filled = {p: p.format(guard if p == place else "").replace(", )", ")") for p in (
            "App({})", "APIRouter({})", "include_router(router, {})", "router.get('/', {})")}  # fmt: skip
        check(
            f"""
            def deny(): raise HTTPException(401, "no", headers={{"WWW-Authenticate": "Bearer"}})
            app = {filled["App({})"]}
            router = {filled["APIRouter({})"]}
            @{filled["router.get('/', {})"]}
            def handler(): log.append("handler")
            app.{filled["include_router(router, {})"]}
            """,
            b"/",
        )


def test_exception_handlers_by_class_status_and_ancestry():
    check(
        """
        app = App()
        class Base(Exception): pass
        class Child(Base): pass
        def answer(name):
            async def handle(request, exc):
                return JSONResponse([name, type(exc).__name__, str(exc)], status_code=getattr(exc, "status_code", 400))
            return handle
        app.exception_handler(Base)(answer("base"))
        app.exception_handler(404)(answer("404"))
        app.exception_handler(HTTPException)(answer("http"))
        app.exception_handler(500)(answer("500"))
        @app.exception_handler(RequestValidationError)
        def invalid(request, exc): return JSONResponse({"errors": exc.errors(), "body": exc.body}, 422)
        raisers = [Child("c"), HTTPException(404, "d"), HTTPException(405, headers={"x-a": "b"}), StarletteHTTPException(405), KeyError("k")]
        @app.post("/{n}")
        def handler(n: int, item: Item | None = None): raise raisers[n]
        """,
        *(Request("POST", b"/%d" % n) for n in range(5)),
        Request("POST", b"/x", JSON, b'{"name": 1}'),
        Request("POST", b"/1", JSON, b'{"nam'),
        b"/none/at/all",
        b"/1",
    )


def test_validation_errors_of_all_sources_together():
    check(
        """
        app = App()
        @app.post("/{p}")
        def handler(p: int, item: Item, q: Annotated[int, Query(gt=3, alias="Q")], h: float = Header(), c: bool = Cookie(),
                    other: list[int] = Body()):
            return 1
        """,
        Request(
            "POST",
            b"/x?Q=1",
            ((b"h", b"y"), (b"cookie", b"c=z"), *JSON),
            b'{"item": {"price": "p"}, "other": [1, "a"]}',
        ),
        Request("POST", b"/x", JSON, b"[]"),
        Request("POST", b"/x"),
    )


def test_validation_errors_of_forms():
    check(
        """
        app = App()
        @app.post("/")
        def handler(a: int = Form(), b: list[int] = Form(), c: str = Form(max_length=2), d: bool = Form(True)): return show_all(a=a, b=b, c=c, d=d)
        @app.post("/model")
        def model(data: Annotated[Closed, Form()]): return data
        """,
        *(
            Request("POST", target, FORM, body)
            for target in (b"/", b"/model")
            for body in (
                b"",
                b"a=x&b=1&b=y&c=abc",
                b"a=1&b=1&c=a&d=off",
                b"x=1&y=",
                b"x=q&z=1",
                b"a=1&a=2&b=%31&c=%C3%A9",
            )
        ),
        Request("POST", b"/", JSON, b'{"a": 1}'),
    )


def test_response_models_filter_what_handlers_return():
    check(
        """
        app = App()
        class User(BaseModel):
            name: str
        class Stored(User):
            password: str = "secret"
        @app.get("/one", response_model=User)
        def one(): return Stored(name="a")
        @app.get("/annotated")
        def annotated() -> User: return Stored(name="a")
        @app.get("/many")
        def many() -> list[User]: return [Stored(name="a"), {"name": "b", "password": "p"}]
        @app.get("/box")
        def box() -> Box[User]: return Box(content=Stored(name="a"))
        @app.get("/union")
        def union() -> User | int: return Stored(name="a")
        @app.get("/direct", response_model=User)
        def direct(): return JSONResponse({"password": 1})
        @app.get("/none", response_model=None)
        def none() -> User: return Stored(name="a")
        @app.get("/dict")
        def as_dict() -> dict[str, User]: return {"a": Stored(name="a")}
        @app.get("/wrong")
        def wrong() -> User: return {"password": "p"}
        """,
        *(b"/" + name for name in b"one annotated many box union direct none dict wrong".split()),
    )


def test_plain_parameters_come_from_the_query_only():
    check(
        """
        app = App()
        @app.get("/")
        def handler(authorization: str = "none", x_token: str | None = None): return [authorization, x_token]
        """,
        Request(
            headers=((b"authorization", b"secret"), (b"x-token", b"t"), (b"x_token", b"u"), (b"cookie", b"x_token=c"))
        ),
        b"/?authorization=q",
    )


def test_request_object():
    check(
        """
        app = App()
        @app.post("/body/{p}")
        async def body(p: int, request: Request):
            return [(await request.body()).decode(), await request.json(), (await request.body()).decode(), request.method, str(request.url),
                    request.path_params, dict(request.query_params), request.query_params.getlist("q"), dict(request.headers), request.cookies,
                    request.client, str(request.url_for("item", n=3)), str(request.base_url), await request.is_disconnected(), request.scope["type"]]
        @app.get("/items/{n}")
        async def item(n: int, request: Request):
            request.state.n = n
            return [request.state.n, request["endpoint"].__name__, request.scope["route"].path, request.app is app]
        @app.post("/both")
        async def both(item: Item, request: Request): return [item, await request.json(), (await request.body()).decode()]
        @app.post("/stream")
        async def stream(request: Request): return b"".join([part async for part in request.stream()]).decode()
        @app.post("/twice")
        async def twice(request: Request):
            parts = [part async for part in request.stream()]
            return (await request.body()).decode()
        @app.post("/form")
        async def form(request: Request): return (await request.form()).multi_items()
        @app.post("/bytes")
        async def raw(data: bytes = Body(media_type="application/octet-stream")): return show(data)
        """,
        Request(
            "POST", b"/body/1?q=1&q=2", (*JSON, (b"cookie", b"a=b; c=d"), (b"x-a", b"1"), (b"x-a", b"2")), b'{"a": 1}'
        ),
        Request("POST", b"/body/1", JSON, b"{"),
        b"/items/4",
        Request("POST", b"/both", JSON, b'{"name": "a"}'),
        Request("POST", b"/stream", (), b"raw"),
        Request("POST", b"/twice", (), b"raw"),
        Request("POST", b"/form", FORM, b"a=1&a=2&b=%C3%A9"),
        Request("POST", b"/bytes", ((b"content-type", b"application/octet-stream"),), b"\xff\x00"),
        Request("POST", b"/bytes", JSON, b'"text"'),
    )


def test_responses():
    check(
        """
        app = App()
        @app.get("/cookies", status_code=201)
        def cookies(response: Response, tasks: BackgroundTasks):
            response.set_cookie("a", "1"); response.set_cookie("b", "2", httponly=True, max_age=3); response.delete_cookie("c", path="/x")
            response.headers["x-a"] = "b"; response.status_code = 202
            tasks.add_task(log.append, "task")
            return {}
        def answer(path, response): app.get(path)(lambda: response())
        answer("/redirect", lambda: RedirectResponse("/a b?c=é"))
        answer("/204", lambda: Response(status_code=204))
        answer("/304", lambda: Response(status_code=304, headers={"etag": "x"}))
        answer("/background", lambda: PlainTextResponse("é", background=BackgroundTask(log.append, "mine")))
        answer("/599", lambda: HTMLResponse("<p>", status_code=599))
        answer("/image", lambda: Response(b"\\xff", media_type="image/png"))
        @app.get("/direct")
        def direct(response: Response):
            response.headers["x-lost"] = "1"
            return JSONResponse([1], headers={"x-kept": "1"})
        app.api_route("/head", methods=["GET", "HEAD"])(lambda: {"a": 1})
        """,
        *(b"/" + name for name in b"cookies redirect 204 304 background 599 image direct head".split()),
        Request("HEAD", b"/head"),
        Request("HEAD", b"/cookies"),
    )


def test_streams():
    check(
        """
        app = App()
        @app.get("/lines")
        async def lines() -> AsyncIterator[Item]:
            yield Item(name="a"); yield {"name": "b"}
        @app.get("/untyped")
        def untyped():
            yield {"a": EPOCH}; yield [1]
        @app.get("/raw", response_class=StreamingResponse)
        def raw():
            try:
                yield "a"; yield b"b"
            finally:
                log.append("closed")
        @app.get("/object")
        async def as_object():
            async def parts():
                yield "x"; yield "y"
            return StreamingResponse(parts(), media_type="text/csv", headers={"x-a": "b"}, background=BackgroundTask(log.append, "task"))
        """,
        b"/lines",
        b"/untyped",
        b"/raw",
        b"/object",
    )


def test_mounted_applications():
    check(
        """
        app, sub, deep = App(), App(), App()
        async def asgi(scope, receive, send):
            text = f"{scope['path']} {scope['root_path']} {scope['path_params']}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": text})
        @deep.get("/{x}")
        def handler(x: int, request: Request): return [x, request.scope["root_path"], str(request.url_for("handler", x=1))]
        app.mount("/asgi", asgi); app.mount("/sub", sub); sub.mount("/deep/{d}", deep)
        @app.get("/sub/{x}")
        def shadowed(x: int): return 1
        """,
        b"/asgi",
        b"/asgi/",
        b"/asgi/a%20b?q=1",
        b"/sub/deep/5/1",
        b"/sub/deep/5/x",
        b"/sub/1",
        b"/submarine",
    )


def test_pydantic_stays_first_class():
    check(
        """
        class Cat(BaseModel):
            kind: Literal["cat"]
            lives: int = 9
        class Dog(BaseModel):
            kind: Literal["dog"]
            @computed_field
            @property
            def barks(self) -> bool: return True
        Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
        class Tree(BaseModel):
            name: str
            children: list["Tree"] = []
        app = App()
        app.post("/pet")(lambda pet: pet)
        @app.post("/pet2")
        def pet(pet: Pet) -> Pet: return pet
        @app.post("/tree")
        def tree(tree: Tree) -> Tree: return tree
        @app.post("/checked")
        def checked(item: Checked) -> Checked: return item
        @app.post("/root")
        def root(numbers: Numbers) -> Numbers: return numbers
        @app.post("/aliased")
        def aliased(item: Aliased) -> Aliased: return item
        @app.post("/rich")
        def rich(item: Rich) -> Rich: return item
        """,
        *(
            Request("POST", b"/pet2", JSON, body)
            for body in (b'{"kind": "cat"}', b'{"kind": "dog"}', b'{"kind": "cow"}', b"{}")
        ),
        *(
            Request("POST", b"/tree", JSON, body)
            for body in (b'{"name": "a", "children": [{"name": "b"}]}', b'{"name": "a", "children": [{}]}')
        ),
        *(Request("POST", b"/checked", JSON, body) for body in (b'{"even": 2}', b'{"even": 3}')),
        Request("POST", b"/root", JSON, b'[1, "2"]'),
        Request("POST", b"/aliased", JSON, b'{"firstName": "a", "age": 1}'),
        Request("POST", b"/aliased", JSON, b'{"first_name": "a", "age": -1}'),
        Request("POST", b"/rich", JSON, b"{}"),
        Request("POST", b"/rich", JSON, b'{"color": "green", "span": "P1D", "key": 5}'),
    )


def test_async_handlers_run_in_a_task_on_the_running_loop():
    check(
        """
        import asyncio
        app = App()
        async def dep():
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            return id(asyncio.current_task())
        @app.get("/")
        async def handler(task: int = Depends(dep)):
            child = asyncio.create_task(asyncio.sleep(0, "child"))
            return [asyncio.current_task() is not None, task == id(asyncio.current_task()), asyncio.get_running_loop().is_running(), await child]
        """,
    )


def test_context_variables_set_in_async_dependencies_reach_sync_and_async_handlers():
    check(
        """
        from contextvars import ContextVar
        user = ContextVar("user", default="nobody")
        app = App()
        async def login():
            token = user.set("ann")
            yield
            log.append(user.get()); user.reset(token); log.append(user.get())
        def sync_login(): user.set("lost in the thread")
        @app.get("/sync", dependencies=[Depends(login), Depends(sync_login)])
        def sync(): return user.get()
        @app.get("/async", dependencies=[Depends(login)])
        async def not_sync(): return user.get()
        """,
        b"/sync",
        b"/async",
        b"/sync",
    )


def test_paths_and_slashes():
    check(
        """
        app = App()
        @app.get("/items/{x}")
        def item(x: str): return x
        @app.get("/slash/")
        def slash(): return 1
        @app.get("/files/{path:path}")
        def files(path: str): return path
        @app.post("/items/{x}")
        def create(x: int): return x
        """,
        *(b"/items/a%20b /items/a%2Fb /items/%C3%A9 /items/ /items //items/a /slash /slash/ /slash// /slash?a=b%20c /files/a//b/ /files/ /files "
          b"/items/a/ /ITEMS/a /items/%ff /items/a%00b /items/+").split(),
        Request("DELETE", b"/items/a"),
        Request("HEAD", b"/items/a"),
        Request("OPTIONS", b"/slash/"),
        Request("POST", b"/slash"),
    )  # fmt: skip


@pytest.mark.parametrize("strict", ["True", "False"])
def test_strict_content_type(strict):
    kinds = (
        None,
        b"application/json",
        b"text/plain",
        b"application/vnd.api+json",
        b"application/json; charset=utf-8",
        b"",
        b"application/x-ndjson",
    )
    check(
        f"""
        app = App(strict_content_type={strict})
        router = APIRouter(strict_content_type={strict == "False"})
        @app.post("/")
        def handler(item: Item): return item
        @router.post("/router")
        def routed(data: dict = Body()): return data
        app.include_router(router)
        """,
        *(
            Request("POST", target, () if kind is None else ((b"content-type", kind),), b'{"name": "a"}')
            for kind in kinds
            for target in (b"/", b"/router")
        ),
    )


def test_security_schemes():
    check(
        """
        app = App()
        schemes = {"bearer": HTTPBearer(), "basic": HTTPBasic(realm="r"), "header": APIKeyHeader(name="X-Key"), "query": APIKeyQuery(name="key"),
                   "cookie": APIKeyCookie(name="key"), "oauth2": OAuth2PasswordBearer("token"), "optional": HTTPBearer(auto_error=False)}
        def add(name, scheme):
            @app.get("/" + name)
            async def handler(credentials: Any = Security(scheme)): return show(credentials)
        for name, scheme in schemes.items(): add(name, scheme)
        """,
        *(
            Request("GET", b"/" + name + query, headers)
            for name in b"bearer basic header query cookie oauth2 optional".split()
            for query, headers in (
                (b"", ()),
                (b"?key=k", ((b"x-key", b"k"), (b"cookie", b"key=k"), (b"authorization", b"Bearer t"))),
                (b"", ((b"authorization", b"Basic YTpi"),)),
                (b"", ((b"authorization", b"Basic !"), (b"x-key", b""))),
                (b"", ((b"authorization", b"bearer"),)),
            )
        ),
    )
