"""Sessions of the project: `nox -l` lists them, dependencies come from the groups in pyproject.toml.

Sessions that run the code install it with `-e .`: the extensions are compiled next to their sources, one per Python
version, so the checkout *is* the installed package, for subprocesses too. `package` checks what users install instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "typing", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
IMPORT_EVERYTHING = """\
import importlib, pkgutil, turboapi
modules = [module.name for module in pkgutil.walk_packages(turboapi.__path__, "turboapi.")]
for name in modules:
    if not name.endswith(".__main__"):
        importlib.import_module(name)
print(len(modules), "modules imported from", turboapi.__path__[0])
"""


def pyenv_folders() -> list[str]:
    """Return the folders of interpreters that pyenv has installed, active or not."""
    if shutil.which("pyenv") is None:
        return []
    root = subprocess.run(["pyenv", "root"], check=True, capture_output=True, text=True).stdout.strip()
    return [str(folder) for folder in sorted(Path(root, "versions").glob("3.*/bin"))]


def provides(folder: str, version: str) -> bool:
    """Tell whether `folder` has an interpreter of `version` that runs (a pyenv shim may not)."""
    command = shutil.which(f"python{version}", path=folder)
    return command is not None and subprocess.run([command, "--version"], capture_output=True).returncode == 0


def find_interpreters() -> list[str]:
    """Return the supported versions found on this machine, and let nox find those outside PATH as well."""
    folders = [*os.get_exec_path(), *pyenv_folders()]
    homes = {version: next((f for f in folders if provides(f, version)), None) for version in PYTHONS}
    found = {version: home for version, home in homes.items() if home is not None}
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([*os.get_exec_path(), *found.values()]))
    if missing := [version for version in PYTHONS if version not in found]:
        print(f"Python {', '.join(missing)}: not found, left out")
    return list(found)


def install(session: nox.Session, group: str) -> None:
    """Install the package for development, and what `group` names in pyproject.toml."""
    session.install(*nox.project.dependency_groups(PYPROJECT, group))
    session.install("-e", ".")


@nox.session(python=find_interpreters())
def tests(session: nox.Session) -> None:
    """Run the test suite on every interpreter found; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def compat(session: nox.Session) -> None:
    """Compare TurboAPI with FastAPI and Starlette on many more generated examples."""
    install(session, "test")
    session.run("pytest", "--hypothesis-profile=thorough", *(session.posargs or ["tests/compat"]))


def run_suite(session: nox.Session, package: str, group: str) -> None:
    """Run the own test suite of `package`, in the version that the tests compare with; `group` is what it imports."""
    install(session, group)
    folder = Path(session.create_tmp())
    version = next(line for line in PYPROJECT["dependency-groups"]["test"] if str(line).startswith(f"{package}=="))
    download = ("download", "--quiet", "--no-deps", f"--no-binary={package}", f"--dest={folder}", version)
    session.run("python", "-m", "pip", *download)
    sdist = folder / f"{version.replace('==', '-')}.tar.gz"
    session.run("python", "tests/compat/suite/run.py", str(sdist), f"--report={folder}", *session.posargs)


@nox.session
def fastapi_suite(session: nox.Session) -> None:
    """Run FastAPI's own test suite on TurboAPI; fails if a test fails that is not listed as a known difference."""
    run_suite(session, "fastapi", "suite")


@nox.session
def starlette_suite(session: nox.Session) -> None:
    """Run Starlette's own test suite on TurboAPI; fails if a test fails that is not listed as a known difference."""
    run_suite(session, "starlette", "starlette-suite")


@nox.session
def servers(session: nox.Session) -> None:
    """Run TurboAPI under other servers, and other frameworks on the built-in one."""
    install(session, "test")
    session.install(*nox.project.dependency_groups(PYPROJECT, "servers"))
    session.run("pytest", *(session.posargs or ["tests/servers", "tests/server/test_asgi_apps.py"]))


@nox.session
def ray(session: nox.Session) -> None:
    """Run TurboAPI as the application of Ray Serve, on a cluster of two nodes on this machine."""
    install(session, "test")
    session.install(*nox.project.dependency_groups(PYPROJECT, "ray"))
    session.run("pytest", *(session.posargs or ["tests/ray"]))


@nox.session
def ecosystem(session: nox.Session) -> None:
    """Run the suites of libraries built on FastAPI or Starlette on these and on TurboAPI; arguments are their names."""
    install(session, "ecosystem")
    session.run("python", "-m", "tests.compat.suite.ecosystem", session.create_tmp(), *session.posargs)


def install_copy(session: nox.Session, group: str, **environment: str) -> Path:
    """Copy the checkout, compile the copy's extensions in an environment of its own, and return the copy's folder.

    So the extensions next to the sources stay what they are.
    """
    folder = Path(session.create_tmp()) / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    left_out = shutil.ignore_patterns(".*", "*.so", "*.c", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(Path(__file__).parent, folder, ignore=left_out)
    session.chdir(folder)
    session.install(*nox.project.dependency_groups(PYPROJECT, group))
    session.install("-e", ".", env=environment)
    return folder


SANITIZED = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1", "PYTHONMALLOC": "malloc"}


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the tests of the compiled core with it built for AddressSanitizer and UndefinedBehaviorSanitizer, by gcc."""
    flags = "-O1 -g -UNDEBUG -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    install_copy(session, "test", CC="gcc", CFLAGS=flags)
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    # What is measured in memory and references is the sanitizer's there. The report is written to the real stderr.
    arguments = session.posargs or [
        "tests/wire",
        "tests/speedups",
        "tests/fuzz",
        "--ignore=tests/speedups/test_leaks.py",
    ]
    preloaded = {"LD_PRELOAD": library.stdout.strip(), **SANITIZED}
    session.run("python", "-m", "pytest", "--capture=sys", *arguments, env=preloaded)


@nox.session(python="python3.11-dbg")
def debug(session: nox.Session) -> None:
    """Run the tests of the compiled core on a debug build of CPython, whose C-API checks how it is used."""
    install_copy(session, "test", CFLAGS="-O1 -g -UNDEBUG")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/speedups", "tests/wire", "tests/fuzz"]))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Mutate inputs for a minute per target, guided by the compiled code; takes names of targets and libFuzzer options.

    Needs clang with its runtime (Debian: clang and libclang-rt-14-dev). Inputs that are found are kept in `.nox`.
    """
    names = [each for each in session.posargs if not each.startswith("-")]
    options = [each for each in session.posargs if each.startswith("-")]
    if shutil.which("clang") is None:
        session.error("clang is missing: it is what makes compiled code tell which of its branches an input takes")
    flags = "-O1 -g -UNDEBUG -fno-omit-frame-pointer -fsanitize=address,fuzzer-no-link"
    install_copy(session, "fuzz", CC="clang", CFLAGS=flags)
    home = str(session.run("python", "-c", "import atheris; print(atheris.path())", silent=True)).strip()
    preloaded = {"LD_PRELOAD": f"{home}/asan_with_fuzzer.so", **SANITIZED}
    listing = "from tests.fuzz.targets import TARGETS; print(*TARGETS)"
    known = str(session.run("python", "-c", listing, silent=True, env=preloaded)).split()
    for name in names or known:
        inputs = Path(session.create_tmp()) / "inputs" / name
        session.run("python", "-m", "tests.fuzz", name, str(inputs), "-max_total_time=60", *options, env=preloaded)


@nox.session
def soak(session: nox.Session) -> None:
    """Run a server under everything at once for ten minutes; arguments go to `python -m tests.soak`."""
    install(session, "test")
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types; the extensions are described by their .pyi files, so nothing is compiled."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "typing"), *PYPROJECT["project"]["dependencies"])
    session.run("mypy", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build source archive and wheel, install the wheel without test dependencies, and import every module of it."""
    folder = Path(session.create_tmp())
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(folder), silent=True)
    wheel = next(folder.glob("*.whl"))
    session.install(f"turboapi[forms,telemetry,templates,testclient] @ {wheel.resolve().as_uri()}")
    with session.chdir(folder):
        session.run("python", "-c", IMPORT_EVERYTHING, log=False)


def install_what_can_be(session: nox.Session, group: str) -> None:
    """Install what `group` names, one after the other, and go on where something has no release for this machine."""
    for requirement in nox.project.dependency_groups(PYPROJECT, group):
        session.run("python", "-m", "pip", "install", "--quiet", requirement, success_codes=[0, 1])


@nox.session
def instructions(session: nox.Session) -> None:
    """Count the instructions per request with callgrind; fails if a row takes more than is kept (`--update` keeps)."""
    install(session, "test")
    session.run("python", "-m", "benchmarks.instructions", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure TurboAPI beside FastAPI and nginx over real sockets; arguments go to `python -m benchmarks.load`."""
    install(session, "test")
    if {"--peers", "all", "--servers=all"} & set(session.posargs):
        install_what_can_be(session, "peers")
    session.run("python", "-m", "benchmarks.load", *session.posargs)
