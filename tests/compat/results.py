"""Strategies for what handlers return, and for the options that shape the answer."""

from hypothesis import strategies as st

__all__ = ["result_handlers", "response_handlers"]

PLAIN_VALUES = ("None", "True", "1", "-1", "0", "1.5", "1.0", "-0.0", "1e16", "1e22", "1e-7", "2**53", "2**63", "2**64", "10**30", '""', '"a"', '"é"',
                r'"\x00\x7f"', r'"\u2028"', '"\\ud800"', r'"\U0001f600"', r'"</script>"', r'"a\"b\\/"', "[]", "{}", "()")  # fmt: skip
SPECIAL_VALUES = (
    "NAN", "INF", "-INF", "EPOCH", "EPOCH.replace(tzinfo=None)", "EPOCH.date()", "NOON", "timedelta(seconds=90)", "timedelta(days=-1)",
    "timedelta(microseconds=1)", 'Decimal("1.10")', 'Decimal("2")', 'Decimal("NaN")', 'Decimal("1E+3")', "UUID(int=5)", "Color.RED", "Name.ANN", "Level.HIGH",
    "{1}", "frozenset([1])", 'b"abc"', r'b"\xff"', "deque([1, 2])", "range(3)", "(i for i in range(3))", "Item(name='a')", "Item(name='a', price=2)",
    "Owner(id=1, item=Item(name='a'), others=[Item(name='b')])", "Aliased(firstName='a')", "Aliased(firstName='a', age=9)", "Closed(y=1)", "Open(x=1, z=[EPOCH])",
    "Rich()", "Rich(level=10)", "Numbers([1, 2])", "Box[int](content=1)", "Box(content=Item(name='a'))", "Point(1)", "Point(1, 3)", "Point", "Pair(1, 'a')", "Plain()", "object()",
    "ADDRESS", "PATH", "SecretStr('s')", "UserDict(a=1)", "OrderedDict(b=1, a=2)", "defaultdict(list, a=[1])", "len", "1j", "int", "Exception('a')",
    "IntSub(3)", "StrSub('a')", "FloatSub(1.5)", "FloatSub(NAN)", "ListSub([1])", "show", "{1: 2}.keys()", "{1: 2}.values()", "{1: 2}.items()", "memoryview(b'a')", "bytearray(b'a')",
)  # fmt: skip
KEYS = ('"a"', '"b"', '"_sa_x"', '"_sa"', "1", "1.5", "True", "None", "Color.RED", "Name.ANN", "Level.LOW", "UUID(int=5)", "(1, 2)", "EPOCH",
        'b"k"', '""', "StrSub('_sa_y')", '"é"', "10**20", "Decimal('1.5')", "NAN")  # fmt: skip

values = st.recursive(
    st.sampled_from(PLAIN_VALUES + SPECIAL_VALUES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"({', '.join(items)},)"),
        st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=5,
)
plain_values = st.recursive(
    st.sampled_from(PLAIN_VALUES),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS[:4]), inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)

# type -> values that suit it, with too much or too little at times
TYPED: dict[str, tuple[str, ...]] = {
    "Item": ("Item(name='a')", "Item(name='a', tags=['t'], note='n')", "{'name': 'a', 'secret': 1}", "{'price': 1}", "Owner(id=1, item=Item(name='a'))",
             "ItemPlus(name='a', password='p')", "Item.model_construct(name=3)", "None", "OrmItem()"),
    "list[Item]": ("[Item(name='a'), {'name': 'b'}]", "[]", "(Item(name='a'),)", "{'name': 'a'}", "(i for i in [Item(name='a')])", "[ItemPlus(name='a', password='p')]"),
    "dict[str, Item]": ("{'k': Item(name='a')}", "{1: {'name': 'a'}}"),
    "Owner": ("Owner(id=1, item=Item(name='a'))", "{'id': '1', 'item': {'name': 'a', 'x': 1}, 'others': [ItemPlus(name='b', password='p')]}",
              "Owner(id=1, item=ItemPlus(name='a', password='p'))"),
    "Aliased": ("Aliased(firstName='a')", "{'firstName': 'a'}", "{'first_name': 'a'}", "Aliased(firstName='a', age=9)", "{'firstName': 'a', 'age': -1}"),
    "Closed": ("Closed()", "Closed(y=1)", "{'x': 1, 'z': 2}"),
    "Open": ("Open(z=EPOCH)", "{'z': 1}"),
    "Rich": ("Rich()", "{}", "Rich(level=10, raw=b'\\xc3\\xa9')", "Rich(raw=b'\\xff')"),
    "Strict": ("Strict(count=1)", "{'count': '1'}", "{'count': 1, 'when': EPOCH}", "{'count': 1, 'when': '2020-01-02'}"),
    "Numbers": ("Numbers([1])", "[1, '2']"),
    "Box[Item]": ("Box[Item](content=Item(name='a'))", "Box(content=Item(name='a'))", "{'content': {'name': 'a', 'z': 1}}"),
    "Point": ("Point(1)", "{'x': '1'}", "Point('z')"),
    "Movie": ("{'title': 'a', 'year': '1'}", "{'title': 'a'}", "{'title': 'a', 'year': 1, 'z': 1}"),
    "Item | Closed": ("Item(name='a')", "Closed()", "{'x': 3}"),
    "Item | None": ("None", "Item(name='a')"),
    "int": ("1", "'2'", "1.0", "1.5", "True", "None"),
    "float": ("1", "NAN", "INF", "1.5", "10**400", "Decimal('1.5')"),
    "list[float]": ("[1, NAN, 1e22]",),
    "str": ("'a'", "1", "Name.ANN", r"'\ud800'", "StrSub('a')"),
    "bool": ("True", "1", "'yes'"),
    "datetime": ("EPOCH", "'2020-01-02'", "1577934245"),
    "timedelta": ("timedelta(seconds=90)", "90"),
    "Decimal": ("Decimal('1.10')", "1.1", "Decimal('NaN')", "'x'"),
    "UUID": ("UUID(int=5)", "str(UUID(int=5))"),
    "Color": ("Color.RED", "'red'", "'x'"),
    "bytes": ("b'abc'", r"b'\xff'", "'a'"),
    "set[int]": ("{1}", "[1, 1]"),
    "dict": ("{'a': EPOCH}", "{1: 2}", "{'_sa_x': 1}", "Item(name='a')"),
    "dict[str, Any]": ("{'a': NAN}", "{'a': Item(name='a')}", "{'_sa_x': 1}"),
    "Any": ("Item(name='a')", "NAN", "EPOCH", "{'_sa_x': 1}", "object()", "Aliased(firstName='a')"),
    "list": ("[1]", "(1,)", "[object()]"),
    "tuple[int, str]": ("(1, 'a')", "[1, 'a']", "(1,)"),
    "None": ("None", "1"),
    "SecretStr": ("SecretStr('a')", "'a'"),
    "object": ("1", "Item(name='a')"),
}  # fmt: skip
STATUS = ("200", "201", "204", "304", "100", "404", "422", "500", "299", "599")
FILTERS = (
    "response_model_include={'name'}", "response_model_exclude={'name'}", "response_model_exclude={'item': {'name'}}",
    "response_model_include={'id': ..., 'item': {'name'}}", "response_model_include=['name', 'price']", "response_model_exclude_unset=True", "response_model_exclude_none=True",
    "response_model_exclude_defaults=True", "response_model_by_alias=False", "response_model_include={'others': {0: {'name'}}}",
    "response_model_exclude={'__all__': {'name'}}", "response_model_include=set()",
)  # fmt: skip
DEFINITIONS = """\
class IntSub(int): pass
class StrSub(str): pass
class FloatSub(float): pass
class ListSub(list): pass
class ItemPlus(Item):
    password: str
class OrmItem:
    name = "orm"
    price = 2
"""


@st.composite
def result_handlers(draw: st.DrawFn) -> str:
    """Return an application whose only handler, on "/", returns some value."""
    options: list[str] = []
    annotation = ""
    if draw(st.booleans()):
        model = draw(st.sampled_from(sorted(TYPED)))
        value = draw(st.sampled_from(TYPED[model]))
        if draw(st.booleans()):
            annotation = f" -> {model}"
        else:
            options.append(f"response_model={model}")
            annotation = draw(st.sampled_from(["", "", " -> Any", " -> dict", " -> Response"]))
        if draw(st.booleans()):
            options.append(draw(st.sampled_from(FILTERS)))
    else:
        value = draw(values | plain_values)
        if draw(st.integers(0, 5)) == 0:
            options.append(draw(st.sampled_from(FILTERS)))
    if draw(st.integers(0, 4)) == 0:
        options.append(f"status_code={draw(st.sampled_from(STATUS))}")
    if draw(st.integers(0, 9)) == 0:
        options.append(
            f"response_class={draw(st.sampled_from(['PlainTextResponse', 'HTMLResponse', 'Response', 'JSONResponse']))}"
        )
    word = draw(st.sampled_from(["async def", "async def", "def"]))
    signature, before = draw(_injections())
    return "\n".join(
        [
            DEFINITIONS + "app = App()",
            f"@app.get({', '.join([repr('/'), *options])})",
            f"{word} handler({signature}){annotation}:",
            *before,
            f"    return {value}",
        ]
    )


@st.composite
def _injections(draw: st.DrawFn) -> tuple[str, list[str]]:
    if draw(st.integers(0, 4)):
        return "", []
    lines = draw(st.lists(st.sampled_from(RESPONSE_LINES), max_size=3))
    return "response: Response, tasks: BackgroundTasks", ["    " + line for line in lines]


RESPONSE_LINES = (
    'response.headers["x-one"] = "1"', 'response.headers.append("x-one", "2")', 'response.set_cookie("a", "b")', 'response.set_cookie("c", "d", path="/x", httponly=True)',
    "response.status_code = 202", "response.status_code = 204", 'response.headers["content-type"] = "text/x"', 'response.delete_cookie("a")', 'tasks.add_task(log.append, "task")',
    'response.headers["cache-control"] = "no-store"', 'response.headers["x-e"] = "\\u00e9"',
)  # fmt: skip
RESPONSES = (
    'Response("text")', 'Response(b"raw", media_type="image/png")', "Response(status_code=204)", 'Response("a", status_code=304)', 'PlainTextResponse("é")', 'HTMLResponse("<p>")',
    'JSONResponse({"a": 1})', "JSONResponse(None)", "JSONResponse(NAN)", 'JSONResponse({"a": 1}, status_code=418, headers={"x-a": "b"})', 'RedirectResponse("/a b?é=1")',
    'RedirectResponse("/x", status_code=303)', 'Response("a", headers={"content-type": "text/odd", "x-a": "1"})', 'Response("a", media_type="text/css")', "Response()",
    'StreamingResponse(iter(["a", b"b"]))', 'StreamingResponse(iter([]), media_type="text/csv")', "JSONResponse(object())", 'Response("a", background=BackgroundTask(log.append, "mine"))', "Response(1)",
    'Response("a", headers={"content-length": "1"})', 'Response("a", status_code=500)', "stream()",
)  # fmt: skip
RAISED = (
    "HTTPException(404)", "HTTPException(404, 'no')", "HTTPException(418, {'a': [1]}, {'x-a': 'b'})", "HTTPException(401, headers={'WWW-Authenticate': 'Basic'})", "HTTPException(204)", "HTTPException(304)",
    "HTTPException(400, detail=None)", "HTTPException(400, detail='')", "HTTPException(400, detail=EPOCH)", "StarletteHTTPException(404, 'star')", "StarletteHTTPException(405, headers={'x-a': 'b'})", "ValueError('v')", "KeyError('k')",
    "RequestValidationError([])", "RequestValidationError([{'type': 'x', 'loc': ('a',), 'msg': 'm', 'input': EPOCH}])", "ResponseValidationError([])", "HTTPException(999)", "HTTPException('404')",
)  # fmt: skip
HANDLERS = """\
@app.exception_handler({caught})
async def on_error(request, exc):
    log.append(type(exc).__name__)
    return JSONResponse({{"handled": type(exc).__name__}}, status_code=409)
"""


@st.composite
def response_handlers(draw: st.DrawFn) -> str:
    """Return an application whose handler returns or raises something of the framework's own."""
    signature, before = draw(_injections())
    if draw(st.booleans()):
        last = f"return {draw(st.sampled_from(RESPONSES))}"
    else:
        last = f"raise {draw(st.sampled_from(RAISED))}"
    options = draw(
        st.sampled_from(
            ["", "", ", status_code=201", ", status_code=204", ", response_model=None", ", response_model=int"]
        )
    )
    caught = draw(st.sampled_from([None, None, "404", "500", "Exception", "HTTPException", "StarletteHTTPException", "ValueError",
                                   "LookupError", "RequestValidationError"]))  # fmt: skip
    return "\n".join(
        [
            "async def stream():",
            "    yield 1",
            "app = App()",
            HANDLERS.format(caught=caught) if caught else "",
            f'@app.get("/"{options})',
            f"{draw(st.sampled_from(['async def', 'def']))} handler({signature}):",
            *before,
            f"    {last}",
        ]
    )
