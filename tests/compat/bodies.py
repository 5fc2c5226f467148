"""Strategies for handlers with bodies, and for what is sent to them."""

from typing import Any

from hypothesis import strategies as st

from tests.compat.client import Request
from tests.compat.requests import documents, request_with, scalars

__all__ = ["body_handlers"]

ITEM = {"name": "a", "price": 1.5, "tags": ["t"], "note": None}
# annotation -> a document that fits
BODY_TYPES: dict[str, Any] = {
    "Item": ITEM,
    "Owner": {"id": 1, "item": ITEM, "others": [ITEM]},
    "Aliased": {"firstName": "a", "age": 4},
    "Closed": {"x": 1, "y": 2},
    "Open": {"x": 1, "z": 2},
    "Strict": {"count": 1, "when": "2020-01-02T03:04:05", "key": "00000000-0000-0000-0000-000000000005"},
    "Rich": {"when": "2020-01-02", "span": "PT1S", "amount": "1.10", "color": "red", "level": 1, "raw": "a"},
    "Checked": {"even": 2},
    "Numbers": [1, 2],
    "Box[int]": {"content": 1},
    "Point": {"x": 1, "y": 2},
    "Movie": {"title": "a", "year": 1},
    "Pair": [1, "a"],
    "list[Item]": [ITEM],
    "dict[str, Item]": {"a": ITEM},
    "dict[int, float]": {"1": 1.5},
    "dict": {"a": 1},
    "dict[str, Any]": {"a": 1},
    "list": [1],
    "list[int]": [1, 2],
    "set[int]": [1, 1],
    "tuple[int, str]": [1, "a"],
    "Any": {"a": [1]},
    "Item | Closed": {"x": 1},
    "Closed | Item": {"name": "a"},
    "Item | int | list[int]": [1],
    "int": 1,
    "float": 1,
    "str": "a",
    "bool": True,
    "bytes": "a",
    "datetime": "2020-01-02T03:04:05",
    "Decimal": 1.1,
    "Color": "red",
    "Level": 1,
    "UUID": "00000000-0000-0000-0000-000000000005",
    'Literal["a", 1]': 1,
    "Json[list[int]]": "[1]",
    "None": None,
    "deque[int]": [1],
    "defaultdict[str, list[int]]": {"a": [1]},
}
SCALAR = ("int", "float", "str", "bool", "bytes", "datetime", "Decimal", "Color", "Level", "UUID", 'Literal["a", 1]', "Json[list[int]]",
          "Any", "None")  # fmt: skip
ARGUMENTS = (
    "embed=True",
    "embed=False",
    'alias="al"',
    "strict=True",
    'media_type="application/x-thing"',
    "title='t'",
    "",
)


@st.composite
def nearly(draw: st.DrawFn, document: Any) -> Any:
    """Return `document`, or one with some part replaced, removed or added."""
    if draw(st.integers(0, 2)) == 0:
        return document
    if isinstance(document, dict) and document and draw(st.integers(0, 5)):
        changed = dict(document)
        key = draw(st.sampled_from(sorted(changed)))
        action = draw(st.sampled_from(["change", "change", "remove", "add"]))
        if action == "remove":
            del changed[key]
        elif action == "add":
            changed[draw(st.sampled_from(["extra", "é", "", "$x"]))] = draw(scalars)
        else:
            changed[key] = draw(nearly(changed[key]))
        return changed
    if isinstance(document, list) and document and draw(st.integers(0, 5)):
        return [draw(nearly(document[0])), *document[1:]] if draw(st.booleans()) else [*document, draw(scalars)]
    return draw(documents)


@st.composite
def _body_parameter(draw: st.DrawFn, name: str) -> tuple[str, str, Any, bool]:
    """Return name, text, fitting document, whether it has a default."""
    annotation = draw(st.sampled_from(sorted(BODY_TYPES)))
    document = BODY_TYPES[annotation]
    needs_marker = annotation in SCALAR
    if draw(st.integers(0, 3)) == 0:
        annotation = f"{annotation} | None"
    default = draw(st.sampled_from(["None", "None", '{"x": 1}', "[]"])) if draw(st.integers(0, 3)) == 0 else None
    if needs_marker or draw(st.integers(0, 3)) == 0:
        argument = draw(st.sampled_from(ARGUMENTS))
        key = "al" if "alias" in argument else name
        if draw(st.booleans()):
            text = f"{name}: Annotated[{annotation}, Body({argument})]"
            return key, text if default is None else f"{text} = {default}", document, default is not None
        arguments = ", ".join(part for part in (default, argument) if part)
        return key, f"{name}: {annotation} = Body({arguments})", document, True
    text = f"{name}: {annotation}"
    return name, text if default is None else f"{text} = {default}", document, default is not None


@st.composite
def body_handlers(draw: st.DrawFn) -> tuple[str, st.SearchStrategy[Request]]:
    """Return an application with a handler that shows its body, and a strategy for requests to it."""
    names = draw(st.lists(st.sampled_from(["a", "b", "data"]), min_size=1, max_size=2, unique=True))
    drawn = [draw(_body_parameter(name)) for name in names]
    ordered = sorted(drawn, key=lambda parameter: parameter[3])
    signature = [text for _, text, _, _ in ordered]
    if draw(st.integers(0, 3)) == 0:
        signature.insert(0, "q: int")
    shown = ", ".join(f"{name}={name}" for name in names)
    program = "\n".join(
        [
            f"app = App({draw(st.sampled_from(['', '', 'strict_content_type=False']))})",
            '@app.post("/")',
            f"{draw(st.sampled_from(['async def', 'def']))} handler({', '.join(signature)}):",
            f"    return show_all({shown})",
        ]
    )
    whole = drawn[0][2] if len(drawn) == 1 else {key: document for key, _, document, _ in drawn}
    wrapped = {key: document for key, _, document, _ in drawn}
    target = draw(st.sampled_from([b"/?q=1", b"/"]))
    sent = st.sampled_from([whole, wrapped]).flatmap(nearly)
    return program, request_with(target, sent)
