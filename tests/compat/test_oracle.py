"""The oracle notices what it is there for."""

from textwrap import dedent

import pytest

from tests.compat.client import Request
from tests.compat.framework import FASTAPI, TURBOAPI
from tests.compat.oracle import differences

PROGRAM = """
ours = App.__module__.startswith("turboapi")
app = App()
@app.get("/")
def handler(response: Response):
    {}
    return {{"a": 1, "b": 1.0}}
@app.get("/fine")
def fine(): return 1
"""


@pytest.mark.parametrize(
    "line, what",
    [
        ("if ours: return {'a': 1, 'b': 1}", "body"),
        ("if ours: return {'b': 1.0, 'a': 1}", "body"),
        ("if ours: return {'a': True, 'b': 1.0}", "body"),
        ("if ours: response.status_code = 201", "status"),
        ("if ours: response.headers['x-a'] = 'b'", "x-*"),
        ("response.set_cookie('a', str(ours))", "set-cookie"),
        ("log.append(ours)", "log"),
        ("if ours: log.append(1)", "log"),
        ("if ours: raise KeyError", "raised"),
        ("raise ([KeyError, ValueError][ours])", "raised"),
        ("return PlainTextResponse('a', media_type='text/x' if ours else 'text/y')", "content-type"),
    ],
)
def test_a_difference_is_found_at_both_entrances(line, what):
    found = differences(PROGRAM.format(line), [Request(), Request(target=b"/fine")])
    by_entrance = {entrance: text for text in found for entrance in ("ASGI", "native") if f"[{entrance}]" in text}
    assert len(found) == len(by_entrance) >= 1
    assert what in by_entrance["ASGI"]
    assert what == "raised" or what in by_entrance["native"]


def test_no_difference():
    assert (
        differences(PROGRAM.format("log.append(1); response.headers['x-a'] = 'b'"), [Request(), Request("POST")]) == []
    )


@pytest.mark.parametrize(
    "line", ["if ours: raise ValueError", "if not ours: raise ValueError", "raise ValueError(ours)"]
)
def test_a_program_that_only_one_refuses(line):
    [found] = differences(f"ours = App.__module__.startswith('turboapi')\n{line}", [Request()])
    assert found.startswith("definition: ")


def test_a_program_that_both_refuse():
    assert differences("app = App()\napp.get('/')(lambda q=Query(): 1)\nraise ValueError", [Request()]) == []


def test_both_names_stand_for_the_class_of_their_own_package():
    assert FASTAPI.namespace.keys() == TURBOAPI.namespace.keys()
    for framework, packages in ((FASTAPI, ("fastapi.", "starlette.")), (TURBOAPI, ("turboapi.",))):
        homes = {name: value.__module__ for name, value in framework.namespace.items()}
        strangers = {name: home for name, home in homes.items() if not home.startswith(packages)}
        assert strangers == {}


def test_a_body_arrives_in_pieces():
    program = dedent("""
        app = App()
        @app.post("/")
        async def handler(request: Request):
            log.append(len([part async for part in request.stream() if part]))
    """)
    assert differences(program, [Request("POST", b"/", (), b"abcdef" * 1000)]) == []
    found = differences(program, [Request("POST", b"/", (), b"abcdef" * 1000, pieces=3)])
    assert all("[native]" in text and "log" in text for text in found)  # the head is in the first piece there
