"""Strategies for dependency graphs. Every step writes into the log, so that the order of side effects is compared as well."""

from hypothesis import strategies as st

from tests.compat.client import Request

__all__ = ["graph_requests", "graphs"]

KINDS = (
    "def",
    "async def",
    "gen",
    "async gen",
    "class",
    "instance",
    "async instance",
    "partial",
    "method",
    "instance gen",
)
FAILURES = (
    "HTTPException(418, 'dep', {'x-dep': '1'})",
    "ValueError('dep')",
    "KeyError('dep')",
    "RequestValidationError([])",
)
# Where a generator fails, or what it does with an exception that is thrown in.
GEN_ENDINGS = (
    "yield {value}; log.append('{name} end')",
    "try:\n        yield {value}\n    finally:\n        log.append('{name} finally')",
    "try:\n        yield {value}\n    except Exception as exc:\n        log.append('{name} except ' + type(exc).__name__)\n        raise",
    "try:\n        yield {value}\n    except Exception as exc:\n        log.append('{name} swallows ' + type(exc).__name__)",
    "try:\n        yield {value}\n    except Exception as exc:\n        raise HTTPException(419, '{name}') from exc",
    "yield {value}\n    raise {failure}",
    "yield {value}\n    yield {value}",
    "return\n    yield {value}",
)
PARAMETERS = ("q: int", "q: int = 3", "x_h: str = Header('h')", "response: Response", "request: Request", "b: Item", "n: int = Body()",
              "r: str = Cookie(None)", "scopes: SecurityScopes", "tasks: BackgroundTasks", "p: str")  # fmt: skip
USES = {"response": 'response.headers.append("x-dep", "{name}")', "tasks": 'tasks.add_task(log.append, "{name} task")',
        "scopes": "log.append(list(scopes.scopes))", "q": "log.append(show(q))"}  # fmt: skip


@st.composite
def _references(draw: st.DrawFn, names: list[str], at_most: int = 2) -> list[str]:
    """Return parameters that depend on some of `names`."""
    chosen = draw(st.lists(st.sampled_from(names), max_size=at_most)) if names else []
    return [f"s{index}: Any = {draw(_markers(name))}" for index, name in enumerate(chosen)]


@st.composite
def _markers(draw: st.DrawFn, name: str) -> str:
    options = draw(st.sampled_from(["", "", "", ", use_cache=False", ', scope="function"', ', scope="request"']))
    if draw(st.integers(0, 5)) == 0:
        return f'Security({name}, scopes=["{name}"]{options if "scope=" not in options else ""})'
    return f"Depends({name}{options})"


@st.composite
def _dependency(draw: st.DrawFn, name: str, earlier: list[str]) -> str:
    kind = draw(st.sampled_from(KINDS))
    parameters = draw(_references(earlier))
    if draw(st.integers(0, 2)) == 0:
        parameters = sorted([draw(st.sampled_from(PARAMETERS)), *parameters], key=lambda text: "=" in text)
    uses = [text for key, text in USES.items() if any(p.startswith(f"{key}:") for p in parameters)]
    uses = [text.format(name=name) for text in uses]
    begin = [f"log.append('{name} begin')", *uses]
    failure = draw(st.sampled_from(FAILURES))
    if draw(st.integers(0, 11)) == 0:
        begin.append(f"raise {failure}")
    signature = ", ".join(parameters)
    value = f"'{name}' + ''.join(str(v) for k, v in locals().items() if k[0] == 's' and len(k) == 2)"
    return _DEPENDENCY_WRITERS[kind](name, signature, begin, value, draw(st.sampled_from(GEN_ENDINGS)).format(
        name=name, value=f"'{name}'", failure=failure
    ))  # fmt: skip


def _function(name: str, signature: str, begin: list[str], last: str, word: str = "def", first: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in [*begin, last])
    return f"{word} {name}({first}{', ' if first and signature else ''}{signature}):\n{lines}"


def _inside_class(name: str, code: str) -> str:
    body = "".join(f"    {line}\n" for line in code.splitlines())
    return f"class {name.title()}:\n{body}"


_DEPENDENCY_WRITERS = {
    "def": lambda name, signature, begin, value, ending: _function(name, signature, begin, f"return {value}"),
    "async def": lambda name, signature, begin, value, ending: _function(name, signature, begin, f"return {value}", "async def"),
    "gen": lambda name, signature, begin, value, ending: _function(name, signature, begin, ending),
    "async gen": lambda name, signature, begin, value, ending: _function(name, signature, begin, ending, "async def"),
    "class": lambda name, signature, begin, value, ending: _inside_class(
        name, _function("__init__", signature, begin, "pass", first="self") + f"def __str__(self): return '{name}'\n"
    ) + f"{name} = {name.title()}\n",
    "instance": lambda name, signature, begin, value, ending: _inside_class(
        name, _function("__call__", signature, begin, f"return {value}", first="self")
    ) + f"{name} = {name.title()}()\n",
    "async instance": lambda name, signature, begin, value, ending: _inside_class(
        name, _function("__call__", signature, begin, f"return {value}", "async def", first="self")
    ) + f"{name} = {name.title()}()\n",
    "instance gen": lambda name, signature, begin, value, ending: _inside_class(
        name, _function("__call__", signature, begin, ending, "async def", first="self")
    ) + f"{name} = {name.title()}()\n",
    "method": lambda name, signature, begin, value, ending: _inside_class(
        name, _function("run", signature, begin, f"return {value}", "async def", first="self")
    ) + f"{name} = {name.title()}().run\n",
    "partial": lambda name, signature, begin, value, ending: _function(
        name + "_whole", signature, begin, f"return {value}", "async def", first="first"
    ) + f"{name} = partial({name}_whole, 'first')\n",
}  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """Return an application whose handlers stand on a graph of dependencies."""
    names: list[str] = []
    code: list[str] = []
    for index in range(draw(st.integers(1, 5))):
        name = f"d{index}"
        code.append(draw(_dependency(name, names)))
        names.append(name)
    app_level, router_level, include_level, route_level = (
        f"dependencies=[{', '.join(draw(_markers(name)) for name in chosen)}]" if chosen else ""
        for chosen in (draw(st.lists(st.sampled_from(names), max_size=1)) for _ in range(4))
    )
    references = draw(_references(names, 3))
    ending = draw(st.sampled_from(["return [str(v) for v in locals().values()]"] * 6 + [f"raise {text}" for text in FAILURES]
                                  + ["return Response('r')", "return object()"]))  # fmt: skip
    extra = draw(st.sampled_from(["", "", "q: int", "response: Response", "tasks: BackgroundTasks"]))
    uses = [text.format(name="handler") for key, text in USES.items() if extra.startswith(f"{key}:")]
    signature = ", ".join(filter(None, [extra, *references]))
    if extra in ("response: Response", "tasks: BackgroundTasks"):
        ending = ending.replace("locals().values()", "()")
    options = ", ".join(filter(None, ["'/{p}'", route_level]))
    word = draw(st.sampled_from(["async def", "async def", "def"]))
    code += [
        f"app = App({app_level})",
        f"router = APIRouter({router_level})",
        f"@router.post({options})\n" + _function("handler", signature, ["log.append('handler')", *uses], ending, word),
        f"app.include_router({', '.join(filter(None, ['router', include_level]))})",
    ]
    if draw(st.integers(0, 3)) == 0:
        code.append("def instead(q: str = 'x'):\n    log.append('instead')\n    return 'instead'\n")
        index = draw(st.integers(0, len(names) - 1))
        instead = draw(st.sampled_from(["instead", *names[:index]]))  # one that may not depend on the other
        code.append(f"app.dependency_overrides[{names[index]}] = {instead}")
    if draw(st.integers(0, 3)) == 0:
        code.append(
            "@app.exception_handler(ValueError)\nasync def on(request, exc):\n    log.append('handled')\n    return Response('handled')\n"
        )
    return "\n".join(code)


graph_requests = st.builds(
    Request,
    method=st.just("POST"),
    target=st.sampled_from([b"/p?q=1", b"/p?q=1", b"/p", b"/p?q=x"]),
    headers=st.sampled_from([(), ((b"content-type", b"application/json"),), ((b"x-h", b"1"), (b"cookie", b"r=1"))]),
    body=st.sampled_from([b"", b'{"name": "a"}', b"1", b'{"b": {"name": "a"}, "n": 1}', b"{"]),
)
