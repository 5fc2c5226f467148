"""Runs the own test suites of published libraries, on FastAPI and Starlette and then on TurboAPI by the alias.

    python -m tests.compat.suite.ecosystem FOLDER [LIBRARY…]

FOLDER is where their source distributions are kept, which pip downloads in the versions that are installed. Printed is
a table of what passes; the exit status is 0 if on TurboAPI no test fails that does not fail on the real packages.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.compat.suite.run import ROOT, Results, read_results


@dataclass(frozen=True)
class Library:
    """A library whose source distribution has tests that need neither network nor services."""

    name: str
    chosen: tuple[str, ...] = ("tests",)
    """What pytest is to collect, and what else it is told."""
    files: dict[str, str] = field(default_factory=dict)
    """What the tests expect and the distribution lacks."""


LIBRARIES = (
    Library("fastapi-users"),
    # The tests below tests/ext need databases, and test the pagination of their queries.
    Library("fastapi-pagination", ("tests", "--ignore=tests/ext")),
    Library("opentelemetry-instrumentation-fastapi"),
    Library("opentelemetry-instrumentation-starlette"),
    Library("sqlmodel", ("tests/test_tutorial/test_fastapi",)),
    # Two files import helpers that are not in the distribution.
    Library("sse-starlette", ("tests", "--ignore=tests/test_issue167.py", "--ignore=tests/test_issue211.py")),
    Library("starlette-exporter", files={"tests/static/test.txt": "text"}),
)


# Where pytest looks for its configuration, and how that begins.
CONFIGURATION = {
    "pytest.ini": "",
    "pyproject.toml": "[tool.pytest",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}


def unpack(library: Library, sdists: Path, folder: Path) -> Path:
    """Download the library's source distribution if need be, and unpack it in `folder`; return its root there."""
    pin = f"{library.name}=={version(library.name)}"
    name = f"{library.name}-{version(library.name)}.tar.gz"
    found = _find(sdists, name)
    if found is None:
        download = ("download", "--quiet", "--no-deps", f"--no-binary={library.name}", f"--dest={sdists}", pin)
        subprocess.run([sys.executable, "-m", "pip", *download], check=True)
        found = _find(sdists, name)
        assert found is not None, f"{pin} has no source distribution"
    with tarfile.open(found) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    for path, text in library.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    if not any((root / path).exists() and mark in (root / path).read_text() for path, mark in CONFIGURATION.items()):
        (root / "pytest.ini").write_text("[pytest]\n")  # otherwise pytest would go by that of a folder above
    return root


def _find(folder: Path, name: str) -> Path | None:
    """Return the file of a distribution; "-" and "_" are the same in names."""
    return next((path for path in folder.iterdir() if path.name.replace("_", "-") == name.replace("_", "-")), None)


def run_tests(library: Library, root: Path, report: Path, *, alias: bool) -> Results:
    """Run the suite in `root`; return what became of each test."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *(("-p", "turboapi.compat.pytest") if alias else ()),
        *("--continue-on-collection-errors", f"--junit-xml={report}", "-o", "junit_family=xunit1"),
        *library.chosen,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    report.with_suffix(".txt").write_text(done.stdout + done.stderr)
    return read_results(report)


def summary(results: Results) -> str:
    """Return the numbers of a run."""
    counts = Counter(results.values())
    return f"{counts['passed']} passed, {counts['failed']} failed"


def regressions_of(ours: Results, theirs: Results) -> list[str]:
    """Return the tests of which fewer passed in our run. What is in brackets does not count: it may be random."""
    return sorted(_passed(theirs) - _passed(ours))


def _passed(results: Results) -> Counter[str]:
    return Counter(name.partition("[")[0] for name, outcome in results.items() if outcome == "passed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help="all by default")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    regressions: list[str] = []
    print(f"{'':48} {'FastAPI':>24} {'TurboAPI':>24}")
    for library in LIBRARIES:
        if options.libraries and library.name not in options.libraries:
            continue
        results = []
        for alias in (False, True):
            report = folder / f"{library.name}-{'turboapi' if alias else 'fastapi'}.xml"
            with tempfile.TemporaryDirectory() as temporary:
                root = unpack(library, folder, Path(temporary))
                results.append(run_tests(library, root, report, alias=alias))
        theirs, ours = results
        print(f"{library.name + ' ' + version(library.name):48} {summary(theirs):>24} {summary(ours):>24}", flush=True)
        regressions += [f"{library.name}: {name}" for name in regressions_of(ours, theirs)]
    for regression in regressions:
        print("fails on TurboAPI only:", regression)
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
