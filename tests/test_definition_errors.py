"""Declarations that are refused: FastAPI decides with which exception, and ours has notes that tell where."""

import importlib
import inspect
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from turboapi import APIRouter, Depends, Query, TurboAPI
from turboapi.server.config import ServerConfig
from turboapi.server.importer import ImportAppError, load_app
from turboapi.server.tracebacks import format_short

PREAMBLE = """\
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from collections.abc import AsyncIterator
from {package} import APIRouter, Body, Cookie, Depends, {app} as App, File, Form, Header, Path, Query, Request, Response
from {package} import Security, UploadFile, WebSocket
from pydantic import BaseModel

class Odd: pass
class Item(BaseModel):
    name: str
app, router = App(), APIRouter()
"""


@dataclass(frozen=True)
class Bad:
    name: str
    code: str
    notes: tuple[str, ...]
    """What our notes say; `(@n)` stands for the file and the n-th line of the code."""


BAD = [
    Bad(
        "a path parameter that is no scalar",
        '@app.get("/{p}")\ndef read(p: list[int]): ...',
        ("in parameter 'p' of bad.read (@1)", "in the route '/{p}' of bad.read (@1)"),
    ),
    Bad(
        "a query parameter that is no scalar",
        '@app.get("/")\nasync def read(a: int, q: Item | list[Item] = Query()): ...',
        ("in parameter 'q' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "a path parameter with a default value",
        '@app.get("/{p}")\ndef read(p: Annotated[int, Path()] = 1): ...',
        ("in parameter 'p' of bad.read (@1)", "in the route '/{p}' of bad.read (@1)"),
    ),
    Bad(
        "a default value of Path",
        '@app.get("/{p}")\ndef read(p: int = Path(default=1)): ...',
        (),  # Path itself refuses; the traceback leads to the line
    ),
    Bad(
        "a default value inside of Annotated",
        '@app.get("/")\ndef read(q: Annotated[int, Query(1)]): ...',
        ("in parameter 'q' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "another marker for a path parameter",
        '@app.post("/{p}")\ndef read(p: int = Query()): ...',
        ("in parameter 'p' of bad.read (@1)", "in the route '/{p}' of bad.read (@1)"),
    ),
    Bad(
        "two dependencies for one parameter",
        '@app.get("/")\ndef read(v: Annotated[int, Depends(len)] = Depends(len)): ...',
        ("in parameter 'v' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "a field and a dependency for one parameter",
        '@app.get("/")\ndef read(v: Annotated[int, Query()] = Depends(len)): ...',
        ("in parameter 'v' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "two fields for one parameter",
        '@app.get("/")\ndef read(v: Annotated[int, Query()] = Query()): ...',
        ("in parameter 'v' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "a field of a special type",
        '@app.get("/")\ndef read(r: Annotated[Request, Query()]): ...',
        ("in parameter 'r' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "a body of a type that pydantic does not know",
        '@app.post("/")\ndef read(a: Item, b: Odd): ...',
        ("in parameter 'b' of bad.read (@1)", "in the route '/' of bad.read (@1)"),
    ),
    Bad(
        "a dependency's parameter, two levels down",
        "def low(h: Odd = Header()): ...\n\ndef high(v: Any = Depends(low)): ...\n\n"
        '@app.get("/x")\ndef read(w: Any = Depends(high)): ...',
        (
            "in parameter 'h' of bad.low (@1)",
            "in parameter 'v' of bad.high (@3)",
            "in parameter 'w' of bad.read (@5)",
            "in the route '/x' of bad.read (@5)",
        ),
    ),
    Bad(
        "a dependency that stands beside the route",
        'def low(h: Odd): ...\n\n@app.get("/x", dependencies=[Depends(low)])\ndef read(): ...',
        ("in parameter 'h' of bad.low (@1)", "in the route '/x' of bad.read (@3)"),
    ),
    Bad(
        "a dependency without a callable beside the route",
        '@app.get("/x", dependencies=[Depends()])\ndef read(): ...',
        ("in the route '/x' of bad.read (@1)",),
    ),
    Bad(
        "an instance that is called, as a partial",
        "class Low:\n    def __call__(self, o: Odd, x: int): ...\n\n"
        '@app.get("/x")\ndef read(v: Any = Depends(partial(Low(), x=1))): ...',
        (
            "in parameter 'o' of bad.Low (@1)",
            "in parameter 'v' of bad.read (@4)",
            "in the route '/x' of bad.read (@4)",
        ),
    ),
    Bad(
        "exit code that would run too late",
        "def short(): yield\ndef long(v: Any = Depends(short, scope='function')): yield\n"
        '@app.get("/")\ndef read(v: Any = Depends(long)): ...',
        (
            "in parameter 'v' of bad.long (@2)",
            "in parameter 'v' of bad.read (@3)",
            "in the route '/' of bad.read (@3)",
        ),
    ),
    Bad(
        "a response model of a type that pydantic does not know",
        '@router.get("/x", response_model=Odd)\ndef read(): ...',
        ("in the response model of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "a return annotation that pydantic does not know",
        '@app.get("/x")\ndef read() -> Response | None: ...',
        ("in the response model of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "another response of a type that pydantic does not know",
        '@app.get("/x", responses={404: {"model": Odd}})\ndef read(): ...',
        ("in the response model of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "streamed items of a type that pydantic does not know",
        '@app.get("/x")\nasync def read() -> AsyncIterator[Odd]:\n    yield',
        ("in the streamed items of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "a body that the status does not allow",
        '@app.get("/x", status_code=204)\ndef read() -> int: ...',
        ("in the response model of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "an annotation that cannot be evaluated",
        '@app.get("/x")\ndef read(q: "1 +"): ...',
        ("in the signature of bad.read (@1)", "in the route '/x' of bad.read (@1)"),
    ),
    Bad(
        "a parameter of a WebSocket's endpoint",
        '@app.websocket("/ws")\nasync def serve(ws: WebSocket, r: Annotated[int, Query(1)] = 1): ...',
        ("in parameter 'r' of bad.serve (@1)", "in the route '/ws' of bad.serve (@1)"),
    ),
    Bad(
        "an endpoint that cannot be called",
        'app.add_api_route("/x", 1)',
        ("in the route '/x' of builtins.int",),
    ),
    Bad(
        "a model of pydantic's first version",
        'from pydantic.v1 import BaseModel as Old\nclass Former(Old): ...\n@app.post("/")\ndef read(item: Former): ...',
        ("in parameter 'item' of bad.read (@3)", "in the route '/' of bad.read (@3)"),
    ),
    Bad(
        "no path at all",
        '@router.get("")\ndef read(): ...\napp.include_router(router)',
        ("in the route '' of bad.read (@1)",),
    ),
]


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """A function that writes a module of one of the packages, imports it and returns what that raised."""
    monkeypatch.syspath_prepend(tmp_path)

    def declare(code: str, package: str, app: str) -> Exception:
        monkeypatch.delitem(sys.modules, "bad", raising=False)
        importlib.invalidate_caches()
        (tmp_path / "bad.py").write_text(PREAMBLE.format(package=package, app=app) + code)
        with pytest.raises(Exception) as caught:
            importlib.import_module("bad")
        return caught.value

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the same name and second, another text
    return declare


def places(notes: tuple[str, ...], file: Any) -> list[str]:
    """The notes with file and line for the number of a line of the code."""
    before = PREAMBLE.count("\n")
    return [
        f"{head}({file}:{before + int(rest[:-1])})" if rest else head
        for head, _, rest in (note.partition("(@") for note in notes)
    ]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_refused_declaration(bad, declare, tmp_path):
    expected = declare(bad.code, "fastapi", "FastAPI")
    error = declare(bad.code, "turboapi", "TurboAPI")
    assert type(error).__name__ == type(expected).__name__
    assert str(error) == str(expected).replace("starlette.", "turboapi.")
    assert getattr(error, "__notes__", []) == places(bad.notes, tmp_path / "bad.py")


def test_a_failed_import_is_told_with_the_place_in_one_line(declare, tmp_path):
    declare('@app.get("/{p}")\ndef read(p: Annotated[int, Path()] = 1): ...', "turboapi", "TurboAPI")
    sys.modules.pop("bad", None)
    with pytest.raises(ImportAppError) as caught:
        load_app("bad:app", ServerConfig(app_dir=str(tmp_path)))
    notes = places(("in parameter 'p' of bad.read (@1)", "in the route '/{p}' of bad.read (@1)"), tmp_path / "bad.py")
    message = "AssertionError: Path parameters cannot have default values"
    assert str(caught.value) == f"'bad' failed while it was imported: {'; '.join([message, *notes])}"
    assert format_short(caught.value.__cause__).splitlines()[-3:] == [message, *notes]


def test_a_route_that_is_refused_where_it_is_included_is_named_as_it_is_served():
    app, router = TurboAPI(), APIRouter()

    def low(value: Annotated[int, Query(1)]) -> None: ...

    router.get("/x")(lambda: None)
    app.include_router(router, prefix="/in", dependencies=[Depends(low)])
    with pytest.raises(AssertionError, match="default value cannot be set in `Annotated` for 'value'") as caught:
        app.freeze()
    parameter, route = caught.value.__notes__
    assert parameter.startswith(f"in parameter 'value' of {__name__}.{low.__qualname__} ({__file__}:")
    assert route.startswith(f"in the route '/in/x' of {__name__}.")


def test_a_circle_of_dependencies_has_no_notes():
    def circle(value: Any) -> None: ...

    circle.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY, default=Depends(circle))]
    )
    with pytest.raises(RecursionError) as caught:
        TurboAPI().get("/")(circle)
    assert not hasattr(caught.value, "__notes__")
