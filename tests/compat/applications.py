"""Strategies for parameters and results of path operations. What they draw is Python text for `Framework.run`."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.compat.client import Request
from tests.compat.requests import (
    cookie_headers,
    encoded,
    header_texts,
    query_pairs,
    query_strings,
    texts_like,
)

# --- parameters ------------------------------------------------------------------------------------------------------

# annotation -> texts that mostly suit it
SCALARS: dict[str, tuple[str, ...]] = {
    "str": ("a", "abc", ""),
    "int": ("1", "3", "10", "x"),
    "float": ("1.5", "2", "x"),
    "bool": ("true", "1", "x"),
    "Color": ("red", "x"),
    "Name": ("ann", "x"),
    "Level": ("1", "2"),
    'Literal["a", "b"]': ("a", "c"),
    "Literal[1, 2]": ("1", "3"),
    "Literal[Level.LOW, True]": ("1", "true"),
    "UUID": ("00000000-0000-0000-0000-000000000005", "x"),
    "date": ("2020-01-02", "x"),
    "datetime": ("2020-01-02T03:04:05", "x"),
    "time": ("03:04:05", "x"),
    "timedelta": ("PT90S", "x"),
    "Decimal": ("1.10", "x"),
    "bytes": ("a", "é"),
    "Any": ("a", "1"),
    "object": ("a", "1"),
    "SecretStr": ("a",),
    "IPv4Address": ("127.0.0.1", "x"),
    "int | str": ("1", "a"),
    "int | bool": ("1", "true"),
    "float | int": ("1", "1.0"),
    "bool | int | None": ("1", "true"),
    "Json[int]": ("1", "[]"),
    "Json[list[int]]": ("[1]", "1"),
    "Json": ("[1]", "x"),
}
# Templates for the annotation of several values
SEVERAL = (
    "list[{}]",
    "set[{}]",
    "tuple[{}, ...]",
    "frozenset[{}]",
    "tuple[{}, int]",
    "deque[{}]",
    "Sequence[{}]",
    "list[{}] | None",
)
# Marker arguments, by what they make sense for; a few are nonsense on purpose.
CONSTRAINTS = {
    "number": ("ge=3", "gt=1, le=10", "lt=5.5", "multiple_of=2", "allow_inf_nan=False", "ge=1, lt=1"),
    "text": ("min_length=2", "max_length=3", 'pattern="^a+b?$"', "min_length=1, max_length=2", "strict=True"),
    "several": ("min_length=1", "max_length=1", "min_length=2, max_length=3"),
    "any": ("strict=True", "union_mode='left_to_right'", "deprecated=True", 'description="d"', "include_in_schema=False",
            "validate_default=True", "fail_fast=True"),
}  # fmt: skip
DEFAULTS = (
    "None",
    "1",
    '"a"',
    '"x"',
    "1.5",
    "[]",
    "[1]",
    '["a"]',
    "{1}",
    "True",
    "Color.RED",
    "...",
    "(1, 2)",
    "Level.LOW",
)
FACTORIES = ("list", "lambda: 7", "lambda: Color.BLUE", "dict", "lambda data: len(data)")
ALIASES = ("al", "Al-ias", "x_y", "a b", "é", "x[]", "item-id")
VALIDATION_ALIASES = ('"va"', 'AliasChoices("va", "vb")', 'AliasPath("va", 0)')


@dataclass(frozen=True)
class Parameter:
    """A parameter of a handler: its text in the signature, and where its values are put in a request."""

    name: str
    where: str  # path query header cookie
    text: str
    key: str
    examples: tuple[str, ...]
    has_default: bool


@st.composite
def annotations(draw: st.DrawFn, where: str) -> tuple[str, str, tuple[str, ...]]:
    """Return an annotation, the sort of constraints that suit it, and examples of texts."""
    scalar = draw(st.sampled_from(sorted(SCALARS)))
    examples = SCALARS[scalar]
    sort = "number" if scalar in ("int", "float", "Decimal", "Level") else "text" if scalar == "str" else "any"
    shape = draw(
        st.sampled_from(["scalar", "scalar", "optional", "several" if where in ("query", "header") else "scalar"])
    )
    if shape == "optional":
        scalar = draw(st.sampled_from(["{} | None", "Optional[{}]", "None | {}"])).format(scalar)
    elif shape == "several":
        scalar = draw(st.sampled_from(SEVERAL)).format(scalar)
        sort = "several"
    return scalar, sort, examples


@st.composite
def parameters(draw: st.DrawFn, name: str, where: str) -> Parameter:
    """Return a parameter for one part of the request, declared in one of the many ways."""
    annotation, sort, examples = draw(annotations(where))
    arguments: list[str] = []
    key = name
    if where == "header":
        key = name.replace("_", "-")
        if draw(st.integers(0, 5)) == 0:
            arguments.append("convert_underscores=False")
            key = name
    if draw(st.integers(0, 3)) == 0 and where != "path":
        key = draw(st.sampled_from(ALIASES))
        arguments.append(f"alias={key!r}")
    elif draw(st.integers(0, 9)) == 0 and where != "path":
        key = draw(st.sampled_from(["va", "vb"]))
        arguments.append(f"validation_alias={draw(st.sampled_from(VALIDATION_ALIASES))}")
    if draw(st.integers(0, 2)) == 0:
        arguments.append(draw(st.sampled_from(CONSTRAINTS[sort] + CONSTRAINTS["any"])))
    default = draw(st.sampled_from(DEFAULTS)) if where != "path" and draw(st.booleans()) else None
    if default is None and where != "path" and draw(st.integers(0, 7)) == 0:
        arguments.append(f"default_factory={draw(st.sampled_from(FACTORIES))}")
    text, has_default = _declare(draw, name, where, annotation, arguments, default)
    return Parameter(name, where, text, key, examples, has_default)


def _declare(
    draw: st.DrawFn, name: str, where: str, annotation: str, arguments: list[str], default: str | None
) -> tuple[str, bool]:
    marker = where.capitalize()
    if not arguments and where in ("path", "query") and draw(st.booleans()):
        return (f"{name}: {annotation}", False) if default is None else (f"{name}: {annotation} = {default}", True)
    if draw(st.booleans()):
        text = f"{name}: Annotated[{annotation}, {marker}({', '.join(arguments)})]"
        return (text, False) if default is None else (f"{text} = {default}", True)
    if default is not None:
        arguments = [default, *arguments]
    return f"{name}: {annotation} = {marker}({', '.join(arguments)})", True


@st.composite
def handlers(
    draw: st.DrawFn, sources: Sequence[str] = ("path", "query", "header", "cookie")
) -> tuple[str, list[Parameter]]:
    """Return an application with one handler that shows its parameters, and the parameters."""
    names = draw(st.lists(st.sampled_from(["a", "b_c", "x_tag", "q"]), min_size=1, max_size=3, unique=True))
    found = [draw(parameters(name, draw(st.sampled_from(sources)))) for name in names]
    path = "".join(f"/{{{parameter.key}}}" for parameter in found if parameter.where == "path")
    ordered = sorted(found, key=lambda parameter: parameter.has_default)
    lines = [
        "from __future__ import annotations" if draw(st.booleans()) else "",
        "app = App()",
        f"@app.get({'/p' + path!r})",
        f"{draw(st.sampled_from(['async def', 'async def', 'async def', 'def']))} handler({', '.join(p.text for p in ordered)}):",
        f"    return show_all({', '.join(f'{p.name}={p.name}' for p in ordered)})",
    ]
    return "\n".join(filter(None, lines)), found


@st.composite
def requests_for(draw: st.DrawFn, found: Sequence[Parameter]) -> Request:
    """Return a request that has some value for most of the parameters."""
    path, pairs, cookies = b"/p", [], {}
    headers: list[tuple[bytes, bytes]] = []
    for parameter in found:
        text = texts_like(*parameter.examples)
        if parameter.where == "path":
            path += b"/" + draw(encoded(text, in_path=True))
        elif parameter.where == "query":
            pairs += draw(query_pairs(parameter.key, text))
        elif parameter.key.isascii() and parameter.key.replace("-", "").replace("_", "").isalnum():
            if parameter.where == "header":
                count = draw(st.sampled_from([1, 1, 1, 0, 2]))
                headers += [(parameter.key.encode(), draw(header_texts(text))) for _ in range(count)]
            elif draw(st.integers(0, 4)):
                cookies[parameter.key] = draw(header_texts(text))
    if cookies:
        headers.append((b"cookie", draw(cookie_headers(cookies))))
    query = draw(query_strings(pairs))
    return Request("GET", path + (b"?" + query if query else b""), tuple(headers))
