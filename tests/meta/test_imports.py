"""Every module imports alone, the oracles stay out, and the extensions are the compiled ones."""

import importlib
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "turboapi"
EXTENSIONS = sorted(path.stem for path in (PACKAGE / "_speedups").glob("*.pyx"))

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for suffix in ("py", "pyx")
    for path in PACKAGE.rglob(f"*.{suffix}")
    if path.stem != "__main__"
)
ABOVE_THE_PACKAGE = ("turboapi.cli", "turboapi.compat", "turboapi.server", "turboapi.testclient")

IMPORT_EACH_ALONE = """
import importlib, os, sys, traceback, types
import anyio, httptools, msgspec, opentelemetry.propagate, pydantic, uvloop  # once: only own imports matter here

folder, with_package, names = sys.argv[1], sys.argv[2].split(), sys.argv[3:]

def import_alone(name):
    if name not in with_package:
        stub = sys.modules["turboapi"] = types.ModuleType("turboapi")  # without what its __init__ would import first
        stub.__path__ = [folder]
    importlib.import_module(name)

failed = []
for name in names:
    child = os.fork()
    if child == 0:
        try:
            import_alone(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(", ".join(failed) or 0)
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=600
    )


def test_every_module_imports_alone() -> None:
    with_package = [name for name in MODULES if name == "turboapi" or name.startswith(ABOVE_THE_PACKAGE)]
    done = run_python(IMPORT_EACH_ALONE, str(PACKAGE), " ".join(with_package), *MODULES)
    assert done.returncode == 0, done.stderr


def test_the_oracles_are_not_loaded() -> None:
    code = (
        "import sys, turboapi; print(sorted({'fastapi', 'starlette'} & {name.split('.')[0] for name in sys.modules}))"
    )
    done = run_python(code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_is_loaded_from_a_compiled_file(name: str) -> None:
    module = importlib.import_module(f"turboapi._speedups.{name}")
    assert module.__spec__ is not None
    assert isinstance(module.__spec__.loader, ExtensionFileLoader)
    assert (module.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))


def test_every_extension_is_built() -> None:
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    built = [
        Path(source).stem for module in pyproject["tool"]["setuptools"]["ext-modules"] for source in module["sources"]
    ]
    assert sorted(built) == EXTENSIONS
