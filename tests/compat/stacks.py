"""Strategies for stacks of middleware, ready-made and written by hand, around a few routes of every sort."""

from hypothesis import strategies as st

from tests.compat.client import Request

PRELUDE = """\
import asyncio, contextvars, os
current = contextvars.ContextVar("current", default="unset")
class Backend(AuthenticationBackend):
    async def authenticate(self, conn):
        await asyncio.sleep(0)
        if "nobody" in conn.headers.get("authorization", ""): return None
        if "x-bad" in conn.headers: raise AuthenticationError("bad")
        return AuthCredentials(["authenticated"]), SimpleUser("ann")
async def slow(name):
    await asyncio.sleep(0)
    log.append(name)
async def parts():
    yield "a" * 600
    await asyncio.sleep(0)
    yield b"b" * 600
async def entered():
    log.append("in")
    try:
        yield current.get()
    except Exception as exc:
        log.append("sees " + type(exc).__name__)
        raise
    finally:
        log.append("exit")
class Teapot(Exception): pass

app = App(max_body_size={limit})
@app.exception_handler(Teapot)
async def on_teapot(request, exc):
    return PlainTextResponse("teapot", 418)
@app.get("/small")
async def small(request: Request, response: Response):
    response.headers["x-set"] = current.get()
    current.set("inner")
    return {{"small": 1, "state": sorted(request.scope["state"])}}
@app.get("/large")
def large():
    return {{"large": "x" * 2000}}
@app.get("/huge")
async def huge():
    return PlainTextResponse("z" * 140000)
@app.get("/session")
async def session(request: Request):
    found = dict(request.session)
    request.session["n"] = found.get("n", 0) + 1
    return found
@app.get("/user")
async def user(request: Request):
    return [request.user.is_authenticated, request.auth.scopes]
@app.get("/stream")
async def stream():
    return StreamingResponse(parts(), media_type="text/plain", background=BackgroundTask(slow, "streamed"))
@app.get("/tasks")
async def tasks(tasks: BackgroundTasks, value: str = Depends(entered)):
    tasks.add_task(slow, "task")
    log.append("handler")
    return value
@app.get("/image")
async def image():
    return Response(b"i" * 1000, media_type="image/png", headers={{"vary": "Accept", "access-control-allow-origin": "https://own"}})
@app.post("/echo")
async def echo(request: Request):
    return PlainTextResponse(await request.body())
@app.post("/item")
async def item(item: Item):
    return item
@app.get("/none", status_code=204)
async def none(): pass
@app.get("/file")
async def file(): return FileResponse(FILE)
@app.get("/raise")
async def raising(kind: str = "ValueError", value: str = Depends(entered)):
    raise {{"teapot": Teapot(), "http": HTTPException(409, "conflict", {{"x-conflict": "1"}})}}.get(kind, ValueError("v"))
sub = App()
@sub.get("/plain")
async def plain(request: Request): return request.scope["root_path"]
@sub.post("/plain")
async def posted(request: Request): return len(await request.body())
app.mount("/sub", sub)
"""

READY_MADE = (
    'app.add_middleware(CORSMiddleware, allow_origins=["*"])',
    'app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_credentials=True, expose_headers=["x-a"])',
    'app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"])',
    'app.add_middleware(CORSMiddleware, allow_origin_regex="https://.*", allow_headers=["x-b"], max_age=5)',
    "app.add_middleware(GZipMiddleware)",
    "app.add_middleware(GZipMiddleware, minimum_size=10, compresslevel=1)",
    "app.add_middleware(GZipMiddleware, minimum_size=0, exclude_content_types=('application/json',))",
    'app.add_middleware(TrustedHostMiddleware, allowed_hosts=["testserver", "*.example"])',
    'app.add_middleware(TrustedHostMiddleware, allowed_hosts=["www.example.com"])',
    "app.add_middleware(HTTPSRedirectMiddleware)",
    'app.add_middleware(SessionMiddleware, secret_key="s")',
    "app.add_middleware(AuthenticationMiddleware, backend=Backend())",
    "app.add_middleware(RequestBodyLimitMiddleware, max_body_size=20)",
)
BY_HAND = (
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    log.append("m{n} " + current.get())
    current.set("m{n}")
    response = await call_next(request)
    response.headers["x-m{n}"] = current.get()
    log.append("m{n} out")
    return response
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    body = await request.body()
    return await call_next(request)
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    log.append(sum([len(part) async for part in request.stream()]))
    return await call_next(request)
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    response = await call_next(request)
    if request.url.path in ("/file", "/stream"): return response  # these read for a disconnect at the same time
    try:
        body = await request.body()
    except RuntimeError as exc:
        body = str(exc).encode()
    response.headers["x-after{n}"] = body.decode("latin-1")[:20]
    return response
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    try:
        response = await call_next(request)
    except Exception as exc:
        log.append("m{n} caught " + type(exc).__name__)
        return JSONResponse(["m{n}", str(exc)], status_code=503)
    finally:
        await asyncio.sleep(0)
        log.append("m{n} done")
    return response
""",
    """\
class M{n}(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        body = b"".join([part if isinstance(part, bytes) else part.encode() async for part in response.body_iterator])
        return Response(body + b" m{n}", response.status_code, {{"x-m{n}": "read"}}, response.media_type)
app.add_middleware(M{n})
""",
    """\
class M{n}(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.background = BackgroundTask(slow, "m{n} task")
        del response.headers["content-length"]
        return response
app.add_middleware(M{n})
""",
    """\
class M{n}(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        if request.url.path == "/hidden": request.scope["path"] = "/large"
        elif request.url.path == "/added": request.scope["headers"] = [*request.scope["headers"], (b"accept-encoding", b"gzip")]; request.scope["path"] = "/small"
        elif request.url.path == "/short": return PlainTextResponse("short " * 200, background=BackgroundTask(slow, "short"))
        elif request.url.path == "/before": raise HTTPException(402, "before")
        elif request.url.path == "/nothing": await call_next(request); return None
        request.state.m{n} = 1
        return await call_next(request)
app.add_middleware(M{n})
""",
    """\
class M{n}(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        before = [key in request.scope for key in ("route", "endpoint", "router", "app", "starlette.exception_handlers")] + [dict(request.path_params)]
        response = await call_next(request)
        log.append([before, [key in request.scope for key in ("route", "endpoint", "router")]])
        response.body_iterator = add(response.body_iterator)
        return response
async def add(parts):
    async for part in parts: yield part
app.add_middleware(M{n})
""",
    """\
class M{n}:
    def __init__(self, app): self.app = app
    async def __call__(self, scope, receive, send):
        async def sender(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-asgi", b"m{n}")]
            await send(message)
        await self.app(scope, receive, sender)
app.add_middleware(M{n})
""",
    """\
class M{n}(CORSMiddleware):
    def is_allowed_origin(self, origin): return "b" in origin
app.add_middleware(M{n}, allow_origins=["https://a.example"])
""",
    """\
class M{n}(GZipMiddleware):
    async def __call__(self, scope, receive, send):
        log.append("own call")
        await super().__call__(scope, receive, send)
app.add_middleware(M{n}, minimum_size=1)
""",
)  # fmt: skip
PATHS = ("/small", "/small", "/large", "/huge", "/session", "/user", "/stream", "/tasks", "/image", "/none", "/file", "/raise", "/raise?kind=teapot", "/raise?kind=http",
         "/nowhere", "/small/", "/sub/plain", "/hidden", "/added", "/short", "/before", "/nothing")  # fmt: skip
HEADERS = (
    (b"origin", b"https://a.example"), (b"origin", b"https://b.example"), (b"access-control-request-method", b"GET"), (b"access-control-request-method", b"PUT"),
    (b"access-control-request-headers", b"X-B, Accept"), (b"access-control-request-private-network", b"true"), (b"accept-encoding", b"gzip, br"), (b"accept-encoding", b"identity"),
    (b"host", b"a.example"), (b"host", b"example.com"), (b"host", b"evil"), (b"authorization", b"nobody"), (b"x-bad", b"1"), (b"range", b"bytes=0-9"),
    (b"cookie", b"session=eyJuIjogMn0=.AAAAAA.wrong"), (b"cookie", b"a=b"),
)  # fmt: skip
BODIES = (b"", b'{"name": "a"}', b"short", b"a body of more than twenty bytes")


@st.composite
def stacks(draw: st.DrawFn) -> str:
    """Draw the text of an application with up to four middleware."""
    limit = draw(st.sampled_from([None, None, None, 10]))
    drawn = draw(st.lists(st.sampled_from((*READY_MADE, *BY_HAND)), min_size=1, max_size=4))
    middleware = [text if text in READY_MADE else text.format(n=number) for number, text in enumerate(drawn)]
    return "\n".join([PRELUDE.format(limit=limit), *middleware])


@st.composite
def stack_requests(draw: st.DrawFn) -> Request:
    """Draw a request to such an application."""
    headers = tuple(draw(st.lists(st.sampled_from(HEADERS), max_size=4, unique_by=lambda pair: pair[0])))
    pieces = draw(st.sampled_from([1, 1, 2]))
    if draw(st.integers(0, 4)):
        method = draw(st.sampled_from(["GET", "GET", "GET", "GET", "HEAD", "OPTIONS"]))
        return Request(method, draw(st.sampled_from(PATHS)).encode(), headers, b"", pieces)
    target = draw(st.sampled_from([b"/echo", b"/item", b"/sub/plain", b"/small"]))
    return Request(
        "POST", target, (*headers, (b"content-type", b"application/json")), draw(st.sampled_from(BODIES)), pieces
    )
