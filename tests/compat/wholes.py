"""Strategies for whole applications: handlers of every sort between middleware, exception handlers, guards and background tasks.

What is drawn is a list of fragments, each with requests that suit it. Whatever runs writes into the log.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.compat.client import Pairs, Request

__all__ = ["whole_applications"]

JSON: Pairs = ((b"content-type", b"application/json"),)
FORM: Pairs = ((b"content-type", b"application/x-www-form-urlencoded"),)
UPLOAD: Pairs = ((b"content-type", b"multipart/form-data; boundary=B"),)
UPLOADED = b'--B\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n\r\nhello\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n'

PREAMBLE = """\
import asyncio
class Base(Exception): pass
class Child(Base): pass
class Odd(JSONResponse):
    media_type = "application/odd+json"
    def render(self, content): return b"odd " + super().render(content)
class Shout(PlainTextResponse):
    def render(self, content): return str(content).upper().encode()
class Own(Response):
    async def __call__(self, scope, receive, send):
        log.append("own")
        await super().__call__(scope, receive, send)
def raise_(exc): raise exc
async def form_of(request):
    async with request.form() as form:
        return [[k, v if isinstance(v, str) else [v.filename, (await v.read()).decode()]] for k, v in form.multi_items()]
def task(name):
    log.append(name)
async def slow_task(name):
    await asyncio.sleep(0)
    log.append(name)
async def guard(q: str | None = None):
    log.append("guard")
    if q == "deny": raise HTTPException(401, "denied", {"WWW-Authenticate": "Own"})
    try:
        yield q
    except Exception as exc:
        log.append("guard sees " + type(exc).__name__)
        raise
    finally:
        log.append("guard ends")
def sync_guard(response: Response, tasks: BackgroundTasks):
    response.headers["x-guard"] = "1"
    tasks.add_task(task, "guard task")
    yield 1
    log.append("sync guard ends")
"""

EXCEPTIONS = ("ValueError('v')", "KeyError('k')", "Child('c')", "HTTPException(404, 'd')", "HTTPException(418, headers={'x-a': 'b'})", "StarletteHTTPException(405)",
              "RequestValidationError([])", "HTTPException(500)", "ResponseValidationError([])", "asyncio.TimeoutError()", "RuntimeError('r')", "StopIteration(1)",
              "ExceptionGroup('g', [ValueError(1)])", "StopAsyncIteration()")  # fmt: skip
CAUGHT = ("ValueError", "LookupError", "Base", "Child", "HTTPException", "StarletteHTTPException", "RequestValidationError", "ResponseValidationError", "Exception",
          "404", "405", "418", "500", "401", "422", "RuntimeError", "StopIteration")  # fmt: skip

MIDDLEWARE = (
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    log.append("m{n}")
    request.state.m{n} = "set"
    response = await call_next(request)
    response.headers["x-m{n}"] = str(response.status_code)
    log.append("m{n} out")
    return response
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    body = await request.body()
    response = await call_next(request)
    response.headers["x-body{n}"] = str(len(body))
    return response
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    try:
        return await call_next(request)
    except Exception as exc:
        log.append("m{n} caught " + type(exc).__name__)
        return JSONResponse(["m{n}", type(exc).__name__], status_code=503)
""",
    """\
@app.middleware("http")
async def m{n}(request, call_next):
    if "stop" in request.query_params:
        return PlainTextResponse("stopped by m{n}", background=BackgroundTask(task, "m{n} task"))
    if "fail" in request.query_params:
        raise {exception}
    return await call_next(request)
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
class M{n}:
    def __init__(self, app, name="m{n}"):
        self.app, self.name = app, name
    async def __call__(self, scope, receive, send):
        log.append(self.name)
        scope.setdefault("state", {{}})["m{n}"] = "asgi"
        async def sender(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-m{n}", self.name.encode())]
            await send(message)
        await self.app(scope, receive, sender)
        log.append(self.name + " out")
app.add_middleware(M{n}, name="named")
""",
    """\
def m{n}(app):
    async def run(scope, receive, send):
        try:
            await app(scope, receive, send)
        finally:
            log.append("m{n} out")
    return run
app.add_middleware(m{n})
""",
    """\
class M{n}:
    def __init__(self, app): self.app = app
    async def __call__(self, scope, receive, send):
        if scope["path"].endswith("/hidden"):
            scope = {{**scope, "path": scope["path"][:-7] + "/plain", "method": "GET"}}
        async def receiver():
            return await receive()
        await self.app(scope, receiver, send)
app.add_middleware(M{n})
""",
)  # fmt: skip

# what a handler may ask of its request
ASKED = (
    "(await request.body()).decode('latin-1')", "await request.json()", "b''.join([part async for part in request.stream()]).decode('latin-1')",
    "await form_of(request)",
    "str(request.url)", "str(request.base_url)", "str(request.url_for('plain'))", "str(request.url_for('unknown'))", "request.url.path", "str(request.url.include_query_params(z=1))",
    "request.client", "request.client.host", "request.cookies", "request.query_params.multi_items()", "request.headers.items()", "request.headers.getlist('x-a')",
    "request.method", "request.path_params", "request.app is app", "request.scope['type']", "request.scope['scheme']", "request.scope['http_version']", "request.scope['raw_path'].decode()",
    "request.scope['query_string'].decode()", "request.scope['root_path']", "request.scope['route'].path", "request.scope['endpoint'].__name__", "request.state.born", "request.state.m0",
    "hasattr(request.state, 'm1')", "request.session", "request.user", "await request.is_disconnected()", "request['path']", "sorted(request.scope['state'])",
    "request.scope['asgi']", "request.scope['server']",
)  # fmt: skip
TAKEN = ("request: Request", "request: Request", "item: Item, request: Request", "request: Request, a: int = Form(2)", "request: Request, f: UploadFile = File(None)", "request: Request, data: bytes = Body(b'')",
         "request: Request, x: Annotated[list[int], Body(embed=True)] = []")  # fmt: skip
CHUNKS = (
    "yield 'a'",
    "yield b'b'",
    "await asyncio.sleep(0)",
    "yield ''",
    "raise ValueError('mid')",
    "log.append('chunk')",
    "yield 'c' * 5000",
    "yield memoryview(b'm')",
    "yield 1",
)
LINES = (
    "yield 1",
    "yield Item(name='a')",
    "yield {'name': 'b', 'extra': 1}",
    "await asyncio.sleep(0)",
    "raise ValueError('mid')",
    "yield EPOCH",
    "yield NAN",
    "yield 'é\\n'",
    "log.append('line')",
    "yield None",
    "yield object()",
)
ITEM_TYPES = (
    "",
    "",
    " -> AsyncIterator[Item]",
    " -> AsyncIterator[Any]",
    " -> AsyncIterator[int]",
    " -> AsyncIterator",
    " -> AsyncIterator[dict]",
    " -> Any",
    " -> AsyncIterator[Item | int | None]",
)
EVENTS = ("yield ServerSentEvent(data={'a': 1}, event='e', id='1', retry=5)", "yield ServerSentEvent(raw_data='x\\ny', comment='c')", "yield Item(name='a')", "yield ServerSentEvent(comment='only')", "yield 'text'",
          "raise ValueError('mid')", "yield {'a': EPOCH}", "log.append('event')")  # fmt: skip
CLASSES = (
    "JSONResponse",
    "PlainTextResponse",
    "HTMLResponse",
    "Response",
    "Odd",
    "Shout",
    "Own",
    "RedirectResponse",
    "StreamingResponse",
)
RETURNED = (
    "{'a': 1}",
    "'text'",
    "Item(name='a')",
    "None",
    "[1]",
    "b'raw'",
    "PlainTextResponse('direct')",
    "'/plain'",
    "1.5",
)
REPLIES = (
    "RedirectResponse('/plain')", "RedirectResponse(request.url_for('plain'), 303)", "FileResponse(FILE)", "FileResponse(FILE, filename='é.py', media_type='text/x')", "FileResponse(FILE + 'x')",
    "FileResponse(FILE, background=BackgroundTask(task, 'file task'), headers={'x-a': '1'})", "Own('own')", "Odd([1])", "Shout('shout')", "StreamingResponse(iter(['a', b'b']), 202)", "JSONResponse([1], background=tasks)",
    "Response('r', background=BackgroundTask(raise_, ValueError('task')))", "Response(status_code=204)", "JSONResponse({'a': NAN})", "HTMLResponse('<p>', headers={'x-a': 'b'})", "PlainTextResponse('t', 404)",
    "StreamingResponse(iter(['a']), background=BackgroundTask(slow_task, 'stream task'))",
)  # fmt: skip
SCHEMES = (
    "HTTPBearer()", "HTTPBearer(auto_error=False)", "HTTPBasic()", "HTTPBasic(realm='r')", "HTTPBasic(auto_error=False)", "HTTPDigest()", "APIKeyHeader(name='X-Key')", "APIKeyQuery(name='key')", "APIKeyCookie(name='key')",
    "APIKeyHeader(name='X-Key', auto_error=False)", "OAuth2PasswordBearer(tokenUrl='t', scopes={'a': 'A'})", "OAuth2PasswordBearer(tokenUrl='t', auto_error=False)", "OpenIdConnect(openIdConnectUrl='u')",
    "OAuth2AuthorizationCodeBearer('a', 't')",
)  # fmt: skip
CREDENTIALS: tuple[Pairs, ...] = ((), *(((b"authorization", value),) for value in (
    b"Bearer token", b"bearer  spaced ", b"Bearer", b"Basic YTpi", b"basic YTpiOmM=", b"Basic YQ==", b"Basic !", b"Basic w6k6w6k=", b"Digest x", b"Other x", b"", b"token")),
    ((b"x-key", b"k"), (b"cookie", b"key=c")), ((b"x-key", b""), (b"cookie", b"key=")))  # fmt: skip


@dataclass(frozen=True)
class Fragment:
    """A part of an application, and requests that reach it below its prefix."""

    text: str
    requests: tuple[Request, ...]


def _get(*targets: bytes) -> tuple[Request, ...]:
    return tuple(Request(target=target) for target in targets)


@st.composite
def _several(draw: st.DrawFn, lines: tuple[str, ...], most: int = 4) -> str:
    chosen = draw(st.lists(st.sampled_from(lines), min_size=1, max_size=most))
    return "".join(f"    {line}\n" for line in chosen)


def _word(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["async def", "async def", "def"]))


@st.composite
def _plain(draw: st.DrawFn, owner: str) -> Fragment:
    guarded = draw(
        st.sampled_from(
            [
                "",
                ", g: Any = Depends(guard)",
                ", g: Any = Depends(sync_guard)",
                ', g: Any = Depends(guard, scope="function")',
            ]
        )
    )
    text = f"@{owner}.get('/plain')\n{_word(draw)} plain(x: int = 1{guarded}):\n    log.append('plain')\n    return {{'x': x}}\n"
    return Fragment(
        text, _get(b"/plain", b"/plain?x=a", b"/plain?q=deny", b"/plain/", b"/hidden", b"/plain?stop", b"/plain?fail")
    )


@st.composite
def _raising(draw: st.DrawFn, owner: str) -> Fragment:
    guarded = draw(
        st.sampled_from(
            ["", "g: Any = Depends(guard)", 'g: Any = Depends(guard, scope="function")', "tasks: BackgroundTasks"]
        )
    )
    text = f"@{owner}.get('/raise')\n{_word(draw)} raising({guarded}):\n    raise {draw(st.sampled_from(EXCEPTIONS))}\n"
    return Fragment(text, _get(b"/raise", b"/raise?q=deny", b"/raise"))


@st.composite
def _asking(draw: st.DrawFn, owner: str) -> Fragment:
    lines = "".join(
        f"    try: out.append({asked})\n    except Exception as exc: out.append(type(exc).__name__)\n"
        for asked in draw(st.lists(st.sampled_from(ASKED), min_size=1, max_size=4))
    )
    text = f"@{owner}.post('/ask/{{p}}')\nasync def asking({draw(st.sampled_from(TAKEN))}):\n    out = []\n{lines}    return out\n"
    also: Pairs = ((b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a=b; c=d"))
    requests = [
        Request("POST", b"/ask/%C3%A9?q=1&q=2", (*JSON, *also), b'{"name": "a", "x": [1]}'),
        Request("POST", b"/ask/1", JSON, b'{"name"'),
        Request("POST", b"/ask/1", FORM, b"a=1&a=2&b=%C3%A9"),
        Request("POST", b"/ask/1", UPLOAD, UPLOADED),
        Request("POST", b"/ask/1?a=%20", (), b"\xff\x00raw"),
        Request("POST", b"/ask/1"),
    ]
    return Fragment(text, tuple(requests))


@st.composite
def _tasks(draw: st.DrawFn, owner: str) -> Fragment:
    tasks = (
        "tasks.add_task(task, 'one')",
        "tasks.add_task(slow_task, 'two')",
        "tasks.add_task(raise_, ValueError('t'))",
        "tasks.add_task(lambda: log.append('three'))",
        "response.headers['x-set'] = '1'",
        "response.status_code = 201",
    )
    ending = draw(
        st.sampled_from(
            [
                "return {}",
                "return Response('r')",
                "return Response('r', background=BackgroundTask(task, 'own'))",
                "raise HTTPException(400)",
                "return object()",
            ]
        )
    )
    text = f"@{owner}.get('/tasks')\n{_word(draw)} with_tasks(tasks: BackgroundTasks, response: Response, g: Any = Depends(guard)):\n{draw(_several(tasks))}    {ending}\n"
    return Fragment(text, _get(b"/tasks", b"/tasks?q=deny", b"/tasks?q=1"))


@st.composite
def _streaming(draw: st.DrawFn, owner: str) -> Fragment:
    chunks = draw(_several(CHUNKS))
    is_async = draw(st.booleans())
    if not is_async:
        chunks = chunks.replace("await asyncio.sleep(0)", "pass")
    body = "".join(f"    {line}\n" for line in chunks.splitlines())
    guarded = draw(st.sampled_from(["", "g: Any = Depends(guard)", 'g: Any = Depends(guard, scope="function")']))
    if draw(st.integers(0, 2)) == 0:
        text = f"@{owner}.get('/stream', response_class=StreamingResponse)\n{'async def' if is_async else 'def'} streaming({guarded}):\n{chunks}    yield 'z'\n"
    else:
        text = f"@{owner}.get('/stream')\nasync def streaming({guarded}):\n    {'async def' if is_async else 'def'} parts():\n{body}        yield 'z'\n    return StreamingResponse(parts(), media_type='text/plain')\n"
    return Fragment(text, (*_get(b"/stream", b"/stream?q=deny"), Request("HEAD", b"/stream")))


@st.composite
def _lines(draw: st.DrawFn, owner: str) -> Fragment:
    lines, item_type, word = draw(_several(LINES)), draw(st.sampled_from(ITEM_TYPES)), "async def"
    if draw(st.integers(0, 2)) == 0:
        lines, item_type, word = lines.replace("await asyncio.sleep(0)", "pass"), item_type.replace("Async", ""), "def"
    guarded = draw(
        st.sampled_from(
            [
                "",
                "response: Response",
                "g: Any = Depends(guard)",
                "g: Any = Depends(sync_guard)",
                "tasks: BackgroundTasks",
            ]
        )
    )
    options = draw(st.sampled_from(["", "", ", status_code=201", ", response_model_exclude_unset=True"]))
    text = f"@{owner}.get('/lines'{options})\n{word} lines({guarded}){item_type}:\n{lines}    yield 3\n"
    return Fragment(text, _get(b"/lines", b"/lines?q=deny"))


@st.composite
def _events(draw: st.DrawFn, owner: str) -> Fragment:
    item_type = draw(st.sampled_from(["", "", " -> AsyncIterator[Item]", " -> AsyncIterator[ServerSentEvent]"]))
    guarded = draw(
        st.sampled_from(["", "g: Any = Depends(guard)", "last_event_id: Annotated[int | None, Header()] = None"])
    )
    text = f"@{owner}.get('/events', response_class=EventSourceResponse)\nasync def events({guarded}){item_type}:\n{draw(_several(EVENTS))}    yield {{'last': 1}}\n"
    return Fragment(text, (*_get(b"/events"), Request(target=b"/events", headers=((b"last-event-id", b"x"),))))


@st.composite
def _replying(draw: st.DrawFn, owner: str) -> Fragment:
    reply = draw(st.sampled_from(REPLIES))
    text = f"@{owner}.api_route('/reply', methods=['GET', 'HEAD'])\n{_word(draw)} replying(request: Request, tasks: BackgroundTasks, response: Response):\n    tasks.add_task(task, 'injected')\n    response.headers['x-lost'] = '1'\n    return {reply}\n"
    ranges = tuple(
        Request(target=b"/reply", headers=((b"range", value),))
        for value in (b"bytes=0-9", b"bytes=-5", b"bytes=99999999-", b"bytes=x")
    )
    return Fragment(text, (*_get(b"/reply", b"/reply"), Request("HEAD", b"/reply"), *ranges))


@st.composite
def _classes(draw: st.DrawFn, owner: str) -> Fragment:
    options = draw(st.sampled_from(["", f", response_class={draw(st.sampled_from(CLASSES))}"]))
    annotation = draw(st.sampled_from(["", "", " -> Any", " -> dict", " -> Item", " -> Response", " -> str"]))
    text = f"@{owner}.get('/class'{options})\n{_word(draw)} classy(){annotation}:\n    return {draw(st.sampled_from(RETURNED))}\n"
    return Fragment(text, (*_get(b"/class"), Request("HEAD", b"/class")))


@st.composite
def _secured(draw: st.DrawFn, owner: str) -> Fragment:
    text = f"""\
scheme = {draw(st.sampled_from(SCHEMES))}
async def user(scopes: SecurityScopes, credentials: Any = {draw(st.sampled_from(["Depends(scheme)", "Security(scheme)", "Security(scheme, scopes=['s'])"]))}):
    log.append([scopes.scopes, scopes.scope_str])
    return show(credentials)
def nested(who: str = Security(user, scopes=["n"]), again: str = Depends(user)): return [who, again]
@{owner}.get('/secret', dependencies=[{draw(st.sampled_from(["", "Depends(user)", "Security(nested, scopes=['d'])"]))}])
{_word(draw)} secret(who: Any = {draw(st.sampled_from(["Security(user, scopes=['a', 'b'])", "Security(nested, scopes=['a'])", "Depends(nested)"]))}): return who
@{owner}.post('/login')
def login(form: Annotated[{draw(st.sampled_from(["OAuth2PasswordRequestForm", "OAuth2PasswordRequestFormStrict"]))}, Depends()]): return vars(form)
"""
    bodies = (
        b"username=a&password=b",
        b"grant_type=password&username=a&password=b&scope=x+y",
        b"grant_type=other&username=a&password=b",
        b"",
        b"grant_type=&username=&password=",
    )
    return Fragment(text, (
        *(Request(target=b"/secret?key=q", headers=headers) for headers in CREDENTIALS), *_get(b"/secret", b"/secret?key="),
        *(Request("POST", b"/login", FORM, body) for body in bodies),
    ))  # fmt: skip


FRAGMENTS = (_plain, _raising, _asking, _tasks, _streaming, _lines, _events, _replying, _classes, _secured)


@st.composite
def _exception_handlers(draw: st.DrawFn) -> str:
    caught = draw(st.sampled_from(CAUGHT))
    last = draw(st.sampled_from([f"return JSONResponse(['{caught}', type(exc).__name__, request.url.path], 409, {{'x-handled': '1'}})"] * 4
                                + ["raise exc", "raise KeyError('again')", "return PlainTextResponse('p', background=BackgroundTask(task, 'handler task'))", "return None"]))  # fmt: skip
    return f"@app.exception_handler({caught})\n{_word(draw)} on_{caught}(request, exc):\n    log.append('on {caught}')\n    {last}\n"


@st.composite
def whole_applications(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Request]]:
    """Return an application and a strategy for requests to it."""
    levels = [
        "",
        "",
        "",
        "dependencies=[Depends(guard)]",
        "default_response_class=Odd",
        "default_response_class=PlainTextResponse",
        'dependencies=[Depends(guard, scope="function")]',
    ]
    app_option, router_option, include_option = (draw(st.sampled_from(levels)) for _ in range(3))
    prefix = draw(st.sampled_from(["", "", "/r"]))
    code = [
        PREAMBLE,
        f"app = App({app_option})",
        f"router = APIRouter({', '.join(filter(None, [router_option, f'prefix={prefix!r}']))})",
    ]
    requests: list[Request] = []
    for fragment in draw(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=3, unique=True)):
        owner = draw(st.sampled_from(["app", "router"]))
        drawn = draw(fragment(owner))
        code.append(drawn.text)
        below = prefix.encode() if owner == "router" else b""
        requests += [Request(r.method, below + r.target, r.headers, r.body) for r in drawn.requests]
    code.append(f"app.include_router({', '.join(filter(None, ['router', include_option]))})")
    code += [draw(_exception_handlers()) for _ in range(draw(st.integers(0, 2)))]
    for number in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        middleware = draw(st.sampled_from(MIDDLEWARE))
        code.append(middleware.format(n=number, exception=draw(st.sampled_from(EXCEPTIONS))))
    pieces = st.sampled_from([1, 1, 2, 5])
    sent = st.builds(lambda r, n: Request(r.method, r.target, r.headers, r.body, n), st.sampled_from(requests), pieces)
    return "\n".join(code), sent
