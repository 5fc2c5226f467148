"""Small applications on which the two frameworks have differed, or would if the rule behind them were forgotten.

A case is a program and its requests. What is right is not written here: FastAPI decides.
"""

from dataclasses import dataclass
from textwrap import dedent

import pytest

from tests.compat.client import Request
from tests.compat.oracle import assert_same

JSON = ((b"content-type", b"application/json"),)


@dataclass(frozen=True)
class Case:
    name: str
    program: str
    requests: tuple[Request, ...]
    root_path: str = ""


def case(name: str, program: str, *requests: Request | bytes, root_path: str = "") -> Case:
    """Return a case; a request given as its target is a GET."""
    asked = tuple(Request(target=request) if isinstance(request, bytes) else request for request in requests)
    return Case(name, dedent(program), asked or (Request(),), root_path)


CASES = [
    case(
        "an HTTPException of middleware that the handler for 500 raises again is a 500",
        """
        app = App()
        @app.get("/")
        async def handler(): return 1
        @app.middleware("http")
        async def refuse(request, call_next): raise HTTPException(404)
        @app.exception_handler(500)
        async def on_500(request, exc): raise exc
        """,
        b"/",
    ),
    case(
        "a handler for 500 that fails is answered by the server",
        """
        app = App()
        @app.get("/")
        async def handler(): raise ValueError("first")
        @app.exception_handler(500)
        async def on_500(request, exc): raise LookupError("second")
        """,
        b"/",
    ),
    case(
        "the handler for 500 hears of a background task that fails after the response",
        """
        def fail(): raise ValueError("task")
        app = App()
        @app.get("/")
        async def handler(): return Response("r", background=BackgroundTask(fail))
        @app.exception_handler(500)
        async def on_500(request, exc):
            log.append(["on 500", type(exc).__name__, request.url.path])
            return Response("never sent")
        """,
        b"/",
    ),
    case(
        "a mounted application answers below its prefix",
        """
        app, sub = App(), App()
        @sub.get("/a")
        def handler(request: Request): return [request.scope["root_path"], str(request.url)]
        app.mount("/m", sub)
        """,
        b"/m/a",
        b"/m/b",
        b"/m",
        b"/m/",
        Request("POST", b"/m/a"),
    ),
    case(
        "a mounted application answers below its prefix and a root path",
        """
        app, sub = App(), App()
        @sub.get("/a")
        def handler(request: Request): return [request.scope["root_path"], str(request.url)]
        app.mount("/m", sub)
        """,
        b"/m/a",
        b"/m/a/",
        root_path="/root",
    ),
    case(
        "a mount that was asked and did not match leaves no trace in the scope of the route after it",
        """
        app, sub = App(), App()
        app.mount("/{x:int}", sub)
        @app.get("/b/{y}")
        def handler(y: int, request: Request): return [request["route"].path, request.path_params]
        """,
        b"/b/1",
        b"/b/z",
        Request("POST", b"/b/1"),
    ),
    *(
        case(
            f"the scope tells of the router, and of the route if it is not Starlette's ({where})",
            f"""
            def show(request):
                scope = request.scope
                route, endpoint = (getattr(scope.get(name), attribute, None) for name, attribute in (("route", "path"), ("endpoint", "__name__")))
                return JSONResponse([type(scope.get("router")).__name__, route, endpoint, scope.get("path_params")])
            async def view(request): return show(request)
            async def refused(request, exc):
                return show(request)
            app, router, deep = App(), APIRouter(), APIRouter()
            app.add_exception_handler(404, refused)
            app.add_exception_handler(405, refused)
            {setup}
            for at in (app, router, deep):
                at.add_route("/plain/{{x}}", view)
                @at.get("/api/{{x}}")
                def api(x: int, request: Request): return show(request)
            router.include_router(deep, prefix="/deep")
            app.include_router(router, prefix="/in")
            app.mount("/mount", PlainTextResponse("mounted"))
            """,
            *(
                Request(method, prefix + path)
                for method in ("GET", "POST")
                for prefix in (b"", b"/in", b"/in/deep")
                for path in (b"/plain/1", b"/api/1", b"/mount/1", b"/none")
            ),
            b"/api/a",
        )
        for where, setup in (
            ("without middleware", ""),
            (
                "seen by middleware",
                """
            @app.middleware("http")
            async def outer(request, call_next):
                await call_next(request)
                return show(request)
            """,
            ),
        )
    ),
    case(
        "an override that cannot be used costs that one request",
        """
        app = App()
        def declared(): return 1
        def unusable(own: Any = Depends(declared), again: Any = Depends(declared)): return 2
        @app.get("/")
        def handler(value: Any = Depends(declared)): return value
        app.dependency_overrides[declared] = unusable
        """,
        Request(),
    ),
    *(
        case(
            f"an override that cannot be used is refused when its turn comes ({where})",
            f"""
            app = App()
            def unwell(q: str = "418"):
                log.append("unwell")
                if q == "418": raise HTTPException(418, q)
                return q
            def function_scoped():
                log.append("begin")
                yield "inner"
                log.append("end")
            def declared(): return 1
            def outlives(value: Any = Depends(function_scoped, scope="function")):
                log.append("outlives")
                yield value
            def needs_number(n: int): return n
            {code}
            """,
            b"/",
            b"/?q=fine",
            b"/?q=fine&n=1",
        )
        for where, code in (
            (
                "after a dependency that fails",
                """
            @app.get("/")
            def handler(first: Any = Depends(unwell), value: Any = Depends(declared)): return value
            app.dependency_overrides[declared] = outlives
            """,
            ),
            (
                "before a dependency that fails",
                """
            @app.get("/")
            def handler(value: Any = Depends(declared), later: Any = Depends(unwell)): return value
            app.dependency_overrides[declared] = outlives
            """,
            ),
            (
                "although the result is there already",
                """
            @app.get("/")
            def handler(first: Any = Depends(unwell), again: Any = Depends(unwell, scope="function"), value: Any = Depends(unwell)):
                return value
            app.dependency_overrides[unwell] = outlives
            """,
            ),
            (
                "with a parameter that is missing before it",
                """
            @app.get("/")
            def handler(n: Any = Depends(needs_number), value: Any = Depends(declared)): return value
            app.dependency_overrides[declared] = outlives
            """,
            ),
            (
                "below another dependency",
                """
            def outer(first: Any = Depends(unwell), value: Any = Depends(declared)): return value
            @app.get("/")
            def handler(value: Any = Depends(outer), n: Any = Depends(needs_number)): return value
            app.dependency_overrides[declared] = outlives
            """,
            ),
        )
    ),
    case(
        "an override brings a body to a handler that had none",
        """
        app = App()
        def declared(): return 1
        def instead(item: Item): return item
        @app.post("/")
        def handler(value: Any = Depends(declared)): return value
        app.dependency_overrides[declared] = instead
        """,
        Request("POST"),
        Request("POST", b"/", JSON, b'{"name": "a"}'),
    ),
    case(
        "an upload in a validation error shows its attributes in their order",
        """
        app = App()
        @app.post("/")
        def handler(form: Annotated[Closed, Form()]): return 1
        """,
        Request(
            "POST",
            b"/",
            ((b"content-type", b"multipart/form-data; boundary=B"),),
            b'--B\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n\r\nhello\r\n--B--\r\n',
        ),
    ),
    case(
        "an exception handler waits, and the exception loses its traceback",
        """
        import asyncio
        app = App()
        @app.exception_handler(LookupError)
        async def waits(request, exc):
            await asyncio.sleep(0)
            return JSONResponse([type(exc).__name__])
        @app.exception_handler(RequestValidationError)
        def in_a_thread(request, exc): return JSONResponse(exc.errors())
        @app.get("/")
        async def handler(q: int): raise KeyError(q)
        """,
        b"/?q=1",
        b"/?q=x",
    ),
    *(
        case(
            f"async generators are left in order {where}, and {ending}",
            f"""
            app = App()
            {setup}
            async def outer():
                log.append("outer")
                try:
                    yield 1
                except BaseException as exc:
                    log.append(["outer sees", type(exc).__name__, type(exc.__context__).__name__])
                    raise
                finally:
                    log.append("outer end")
            def push(request, name): request.scope["fastapi_inner_astack"].callback(log.append, name)
            async def inner(request: Request, value: int = Depends(outer)):
                {early}
                try:
                    yield value + 1
                finally:
                    log.append(["inner end", request.url.path])
                    {leave}
            def task(): log.append("task")
            @app.get("/")
            async def handler(request: Request, tasks: BackgroundTasks, value: int = Depends(inner), again: int = Depends(outer)):
                tasks.add_task(task)
                {late}
                {answer}
            """,
        )
        for where, setup in (
            ("", ""),
            (
                "behind middleware",
                "@app.middleware('http')\n            async def pass_on(request, call_next): return await call_next(request)",
            ),
        )
        for ending, early, late, answer, leave in (
            ("nobody looks at the stack", "pass", "pass", "return value", "pass"),
            ("a dependency uses the stack", "push(request, 'early')", "pass", "return value", "pass"),
            ("the handler uses the stack", "pass", "push(request, 'late')", "return value", "pass"),
            ("both use the stack", "push(request, 'early')", "push(request, 'late')", "return value", "pass"),
            ("exit code uses the stack", "pass", "pass", "return value", "push(request, 'leaving')"),
            ("the handler fails", "pass", "pass", "raise KeyError(value)", "pass"),
            ("the handler refuses", "push(request, 'early')", "pass", "raise HTTPException(418)", "pass"),
            ("exit code fails", "pass", "pass", "return value", "raise LookupError"),
            ("exit code fails, too", "pass", "pass", "raise KeyError(value)", "raise LookupError"),
            ("exit code returns", "pass", "pass", "raise KeyError(value)", "return"),
        )
    ),
    *(
        case(
            f"an async generator is entered, and then {what} takes the place of a dependency",
            f"""
            app = App()
            async def first():
                yield 1
                log.append("first end")
            def second(): return 2
            {code}
            async def install(value: int = Depends(first)): app.dependency_overrides[second] = other
            @app.get("/", dependencies=[Depends(install)])
            async def handler(value: Any = Depends(second)): return value
            """,
            b"/",
            b"/",
        )
        for what, code in (
            ("a generator", "def other():\n                yield 3\n                log.append('other end')"),
            (
                "an async generator",
                "async def other():\n                yield 3\n                log.append('other end')",
            ),
            (
                "a generator that fails",
                "def other():\n                yield 3\n                raise HTTPException(418)",
            ),
        )
    ),
    case(
        "a security scheme of one's own is called as it says",
        """
        class Own(OAuth2PasswordBearer):
            async def __call__(self, request): return ["own", request.headers.get("authorization")]
        class Checked(APIKeyHeader):
            def check_api_key(self, api_key): return ["checked", api_key]
        class Angry(HTTPBearer):
            def make_not_authenticated_error(self): return HTTPException(418)
        class Renamed(APIKeyQuery): pass
        renamed = Renamed(name="before")
        renamed.model.name = "after"
        app = App()
        @app.get("/own")
        def own(found: Any = Depends(Own(tokenUrl="t"))): return found
        @app.get("/checked")
        def checked(found: Any = Depends(Checked(name="X-Key"))): return found
        @app.get("/angry")
        def angry(found: Any = Depends(Angry())): return found
        @app.get("/renamed")
        def named(found: Any = Depends(renamed)): return found
        """,
        *(
            Request("GET", path, headers)
            for path in (b"/own", b"/checked", b"/angry", b"/renamed?before=1&after=2&after=3")
            for headers in (
                (),
                ((b"authorization", b"Bearer a  b "), (b"authorization", b"Bearer second")),
                ((b"authorization", b"bEARER \xe9"), (b"x-key", b"\xe9")),
                ((b"authorization", b""), (b"x-key", b"")),
            )
        ),
    ),
    *(
        case(
            f"a dependency of {scope} scope waits, takes the traceback off an exception and {ending}",
            f"""
            import asyncio
            app = App()
            async def dependency():
                try:
                    yield 1
                except Exception as exc:
                    await asyncio.sleep(0)
                    exc.__traceback__ = None
                    {code}
            @app.get("/")
            async def handler(value: int = Depends(dependency, scope="{scope}")): raise ValueError(1)
            """,
        )
        for scope in ("function", "request")
        for ending, code in (
            ("raises it", "raise"),
            ("swallows it", "pass"),
            ("raises another", "raise HTTPException(418)"),
        )
    ),
    case(
        "what an exception handler raises is for the handlers once more",
        """
        app = App()
        @app.exception_handler(KeyError)
        def on_key(request, exc): log.append("key"); raise ValueError(exc)
        @app.exception_handler(ValueError)
        def on_value(request, exc): log.append("value"); raise LookupError(exc)
        @app.exception_handler(LookupError)
        def on_lookup(request, exc): log.append("lookup"); raise KeyError(exc)
        @app.exception_handler(404)
        def on_404(request, exc): raise ValueError
        async def asgi(scope, receive, send): raise KeyError
        @app.get("/key")
        def key(): raise KeyError
        @app.get("/value")
        async def value(): raise ValueError
        app.add_route("/plain", lambda request: {}["x"])
        app.mount("/asgi", asgi)
        """,
        b"/key",
        b"/value",
        b"/plain",
        b"/asgi",
        b"/none",
    ),
    case(
        "exceptions of an endpoint are answered inside of the middleware of the mount that holds it",
        """
        def named(app):
            async def run(scope, receive, send):
                async def sender(message):
                    if message["type"] == "http.response.start": message["headers"].append((b"x-mount", b"1"))
                    await send(message)
                try:
                    await app(scope, receive, sender)
                except Exception as exc:
                    log.append(type(exc).__name__)
                    raise
            return run
        app, router = App(), APIRouter()
        @router.get("/a")
        def handler(q: int): raise HTTPException(418)
        app.routes.append(Mount("/m", app=router, middleware=[Middleware(named)]))
        """,
        b"/m/a?q=1",
        b"/m/a?q=x",
        b"/m/none",
    ),
    case(
        "keys that begin with _sa are left out of results",
        """
        app = App()
        @app.get("/")
        def handler(): return {"_sa": 1, "a": {"_sa_x": 1, "sa": [{"_sab": 1}]}}
        @app.get("/typed")
        def typed() -> dict[str, Any]: return {"_sa": 1, "a": {"_sa_x": 1}}
        """,
        b"/",
        b"/typed",
    ),
    case(
        "numbers are spelled as the encoder of the result spells them",
        """
        app = App()
        numbers = [1e15, 1e16, 1e22, -1e16, 1e-4, 1e-5, 1e-7, 1.5, -0.0, 10**30]
        def sent(response: Response):
            response.headers["content-type"] = "text/x"  # or the two bodies would be read as JSON before they are compared
        @app.get("/plain", dependencies=[Depends(sent)])
        def plain(): return {"a": numbers}
        @app.get("/any", dependencies=[Depends(sent)])
        def any_() -> Any: return {"a": numbers}
        @app.get("/typed", dependencies=[Depends(sent)])
        def typed() -> list[float]: return numbers
        @app.get("/declared", dependencies=[Depends(sent)], response_class=JSONResponse)
        def declared(): return numbers
        @app.get("/filtered", dependencies=[Depends(sent)], response_model_include={"a"})
        def filtered() -> dict[str, Any]: return {"a": numbers}
        """,
        b"/plain",
        b"/any",
        b"/typed",
        b"/declared",
        b"/filtered",
    ),
    case(
        "numbers that JSON does not know",
        """
        app = App()
        @app.get("/plain")
        def plain(): return {"a": [NAN, INF]}
        @app.get("/typed")
        def typed() -> list[float]: return [NAN, INF]
        @app.post("/body")
        def body(data: Any = Body()): return show(data)
        @app.post("/model")
        def model(data: Item): return data
        """,
        b"/plain",
        b"/typed",
        *(
            Request("POST", target, JSON, body)
            for target in (b"/body", b"/model")
            for body in (
                b"NaN",
                b'{"name": "a", "price": NaN}',
                b'{"name": "a", "price": 1e400}',
                b'{"name": -Infinity}',
            )
        ),
    ),
    case(
        "a handler may answer with a status that has no body",
        """
        app = App()
        for code in (204, 304):
            app.get(f"/{code}", status_code=code)(lambda: None)
            app.get(f"/{code}/set")(lambda response: [1])
        @app.get("/injected/{code}")
        def injected(code: int, response: Response):
            response.status_code = code
            return [1]
        """,
        b"/204",
        b"/304",
        b"/injected/204",
        b"/injected/304",
        Request("HEAD", b"/204"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    assert_same(case.program, *case.requests, root_path=case.root_path)
