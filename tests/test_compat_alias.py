"""The alias, each time in a process of its own: it changes what `import` does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

APPLICATION = """
from typing import Annotated
from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket, status
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

class Loud(APIRoute):
    def get_route_handler(self):
        handler = super().get_route_handler()
        async def loud(request):
            response = await handler(request)
            response.headers["x-loud"] = type(request).__module__
            return response
        return loud

app = FastAPI()
router = APIRouter(route_class=Loud)

@router.get("/items/{item_id}", status_code=status.HTTP_202_ACCEPTED)
def read_item(item_id: int):
    if item_id == 0:
        raise HTTPException(404)
    return item_id

app.include_router(router, prefix="/api")

@app.websocket("/ws/{name}")
async def talk(websocket: WebSocket, name: str, twice: Annotated[str, Depends(lambda name: name * 2)]):
    await websocket.accept()
    await websocket.send_text(twice)

client = TestClient(app)
response = client.get("/api/items/3")
assert (response.status_code, response.json(), response.headers["x-loud"]) == (202, 3, "turboapi.requests")
assert client.get("/api/items/0").json() == {"detail": "Not Found"}
with client.websocket_connect("/ws/a") as websocket:
    assert websocket.receive_text() == "aa"
"""


def run(code: str, *, install: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    prelude = "from turboapi.compat import install, uninstall\ninstall()\n" if install else ""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def check(code: str, **options: object) -> None:
    done = run(code, **options)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr


def test_an_application_runs_unchanged() -> None:
    check(APPLICATION + "import sys; assert type(app).__mro__[1].__name__ == 'TurboAPI'")


def test_neither_package_needs_to_be_installed() -> None:
    hide = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fastapi", "starlette"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(1, Hide())
"""
    check(hide + APPLICATION)


def test_nothing_of_the_real_packages_is_loaded() -> None:
    check(
        APPLICATION
        + """
import sys
aliased = [module for name, module in sys.modules.items() if name.split(".")[0] in ("fastapi", "starlette")]
real = [module for module in aliased if not module.__name__.startswith("turboapi.")]
assert real == [], real
"""
    )


@pytest.mark.parametrize(
    "name", ["encoders", "concurrency", "responses", "requests", "security.oauth2", "openapi.docs"]
)
def test_same_module_under_both_names(name: str) -> None:
    check(f"import fastapi.{name}, turboapi.{name}\nassert fastapi.{name} is turboapi.{name}")


def test_from_import_of_submodules() -> None:
    check(
        """
from fastapi import routing, params
from starlette import status, formparsers
from fastapi.middleware import Middleware
import turboapi.formparsers
assert formparsers is turboapi.formparsers and status.HTTP_200_OK == 200
"""
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("exceptions", "HTTPException"),
        ("exceptions", "WebSocketException"),
        ("background", "BackgroundTasks"),
        ("datastructures", "UploadFile"),
    ],
)
def test_names_that_differ_between_the_packages(module: str, name: str) -> None:
    check(
        f"""
from fastapi.{module} import {name} as ours
from starlette.{module} import {name} as base
assert ours is not base and issubclass(ours, base) and base.__name__ == ours.__name__ == {name!r}
"""
    )


def test_applications() -> None:
    check(
        """
from fastapi import FastAPI
from starlette.applications import Starlette
assert issubclass(FastAPI, Starlette) and FastAPI.__name__ == "FastAPI"
"""
    )


def test_status_is_one_module_with_the_name_it_is_imported_by() -> None:
    check(
        """
import warnings
import starlette.status, turboapi.status
from fastapi import status
assert status is starlette.status and dir(status) == dir(turboapi.status) and status.WS_1001_GOING_AWAY == 1001
try:
    status.HTTP_999
except AttributeError as exc:
    assert str(exc) == "module 'starlette.status' has no attribute 'HTTP_999'"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert status.HTTP_414_REQUEST_URI_TOO_LONG == 414
assert [warning.filename for warning in caught] == ["<string>"], caught
"""
    )


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("starlette.routing", "def lifespan(app): yield\nstarlette.routing.Router(lifespan=lifespan)"),
        ("starlette.concurrency", "import asyncio; asyncio.run(starlette.concurrency.run_until_first_complete())"),
        ("starlette.config", "starlette.config.Config('/nothing')"),
    ],
)
def test_warnings_are_filtered_by_the_names_of_the_modules(module: str, code: str) -> None:
    ignore = f"import warnings; warnings.filterwarnings('ignore', module={module!r})\n"
    check(f"import {module}\n{ignore}{code}")
    assert "Warning: " in run(f"import {module}\n{code}").stderr


def test_a_patched_name_of_routing_is_patched_where_it_is_looked_up() -> None:
    check(
        """
import fastapi.routing
from turboapi._plan import streams
fastapi.routing._PING_INTERVAL = 0.5
assert streams.PING_INTERVAL == 0.5
"""
    )


@pytest.mark.parametrize(
    "name", ["fastapi.nothing", "starlette.nothing", "fastapi.security.nothing", "starlette.sse.x"]
)
def test_unknown_modules(name: str) -> None:
    check(
        f"""
try:
    import {name}
except ModuleNotFoundError as exc:
    assert exc.name == {name!r} or {name!r}.startswith(exc.name)
else:
    raise SystemExit("imported")
"""
    )


def test_unknown_names() -> None:
    check(
        """
try:
    from fastapi import nothing
except ImportError:
    pass
else:
    raise SystemExit("imported")
"""
    )


def test_install_twice_and_uninstall() -> None:
    check(
        """
import sys
before = list(sys.meta_path)
install()
assert sys.meta_path == before
import fastapi
uninstall()
assert "fastapi" not in sys.modules and len(sys.meta_path) == len(before) - 1
"""
    )


def test_install_comes_too_late() -> None:
    done = run("import fastapi\nfrom turboapi.compat import install\ninstall()", install=False)
    assert "RuntimeError: fastapi has been imported already" in done.stderr


def test_versions() -> None:
    check(
        """
import fastapi, starlette
from importlib.metadata import PackageNotFoundError, distributions, version
assert fastapi.__version__ == version("fastapi") == version("FastAPI") == "0.165.0"
assert starlette.__version__ == version("starlette") == "1.10.0"
assert {"fastapi", "starlette", "pytest"} <= {found.metadata["Name"] for found in distributions()}
assert not [found for found in distributions(name="pytest") if found.metadata["Name"] != "pytest"]
"""
    )


PROGRAM = """
import sys
import fastapi
if __name__ == "__main__":
    print(sys.argv[1:], sys.path[0], fastapi.APIRouter.__module__)
    sys.exit(3)
"""


@pytest.mark.parametrize("launch", [["program.py"], ["-m", "program"]])
def test_run_a_program(tmp_path: Path, launch: list[str]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = launch_alias(tmp_path, *launch, "--flag", "-m")
    assert (done.stdout, done.stderr) == (f"['--flag', '-m'] {tmp_path} turboapi.routing\n", "")
    assert done.returncode == 3


def test_run_a_program_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/program.py").write_text("import beside")
    (tmp_path / "below/beside.py").write_text(PROGRAM.replace("__main__", "beside"))
    done = launch_alias(tmp_path, "below/program.py")
    assert done.stdout == f"[] {tmp_path / 'below'} turboapi.routing\n", done.stderr


@pytest.mark.parametrize("arguments", [[], ["-m"], ["-c", "import fastapi"]])
def test_run_nothing(tmp_path: Path, arguments: list[str]) -> None:
    done = launch_alias(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def launch_alias(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "turboapi.compat", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_run_as_a_module() -> None:
    done = run("import runpy; runpy.run_module('fastapi', run_name='__main__', alter_sys=True)")
    assert "usage" in (done.stdout + done.stderr).lower() or "fastapi[standard]" in done.stdout


def test_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import fastapi\ndef test(): assert fastapi.APIRouter.__module__ == 'turboapi.routing'\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "turboapi.compat.pytest",
            "-p",
            "no:cacheprovider",
            tmp_path,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_solving_dependencies() -> None:
    check(
        """
import asyncio
from contextlib import AsyncExitStack
from typing import Annotated
from fastapi import Depends, Request
from fastapi.dependencies.utils import get_dependant, solve_dependencies

log = []

async def resource(q: int):
    yield q + 1
    log.append("closed")

def target(request: Request, found: Annotated[int, Depends(resource)], other: str = "b"): ...

async def solve(query):
    async with AsyncExitStack() as stack:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query}
        scope |= {"fastapi_inner_astack": stack, "fastapi_function_astack": stack}
        request = Request(scope)
        dependant = get_dependant(path="/", call=target)
        solved = await solve_dependencies(
            request=request, dependant=dependant, async_exit_stack=stack, embed_body_fields=False
        )
        assert log == []
        return request, solved

request, solved = asyncio.run(solve(b"q=1"))
assert solved.values == {"request": request, "found": 2, "other": "b"} and solved.errors == [] and log == ["closed"]
log.clear()
_, solved = asyncio.run(solve(b"q=x"))
assert [error["loc"] for error in solved.errors] == [("query", "q")]
"""
    )


def test_versions_are_those_of_the_releases() -> None:
    check(
        """
from importlib.metadata import distribution, version
import fastapi, starlette
assert (version("FastAPI"), version("starlette")) == (fastapi.__version__, starlette.__version__)
assert distribution("fastapi").requires is None
assert version("pydantic")
"""
    )


def test_the_logger_of_fastapi_hears_of_warnings() -> None:
    check(
        """
import logging, unittest
from fastapi.logger import logger
with unittest.TestCase().assertLogs("fastapi", "WARNING") as logs:
    import fastapi
    logger.warning("heard")
assert logs.output == ["WARNING:turboapi:heard"]
"""
    )
