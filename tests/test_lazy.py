"""`_lazy`: packages whose modules are imported when somebody asks for them."""

import subprocess
import sys
from pathlib import Path

import pytest

import turboapi.openapi
import turboapi.server
from turboapi.openapi.models import OpenAPI
from turboapi.server.worker import Server

ROOT = Path(__file__).parents[1]
HEAVY = ("turboapi.openapi.models", "turboapi.server.worker", "uvloop", "websockets")


def loaded_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_an_application_is_imported_without_its_server_and_openapi() -> None:
    assert loaded_after("import turboapi; turboapi.TurboAPI()").isdisjoint(HEAVY)


def test_the_heavy_modules_come_when_they_are_asked_for() -> None:
    code = "import turboapi, turboapi.server; turboapi.TurboAPI().openapi(); turboapi.server.run"
    assert loaded_after(code).issuperset(HEAVY)


@pytest.mark.parametrize("package", [turboapi.openapi, turboapi.server])
def test_public_names_are_there_and_listed(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert set(names) <= set(dir(package))
    assert all(getattr(package, name) is getattr(package, name) for name in names)


def test_names_are_those_of_the_modules() -> None:
    assert turboapi.openapi.OpenAPI is OpenAPI
    assert turboapi.server.Server is Server


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'turboapi\.server' has no attribute 'nothing'"):
        turboapi.server.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from turboapi.openapi import nothing  # type: ignore[attr-defined]  # noqa: F401
