"""Runs the own, unmodified test suite of FastAPI or Starlette on TurboAPI.

    python tests/compat/suite/run.py SDIST [--report FOLDER] [pytest arguments]

SDIST is the source distribution of one of the two, unpacked or as it comes from
`pip download --no-deps --no-binary :all: fastapi==0.165.0`. What the tests need of it, which is everything but the
package itself, is copied to a temporary folder, where pytest runs in a process of its own. Printed are the numbers of
each file that did not pass as a whole; `failed.txt` in the report folder holds the ids of what failed.

`known_differences/` has a list for each suite of the tests that may fail, with the reasons. The exit status is 0 if
nothing else failed and nothing listed passed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KNOWN_DIFFERENCES = HERE / "known_differences"

NEEDED = ("tests", "docs_src", "scripts", "docs", "pyproject.toml")
LEFT_OUT = ("tests/benchmarks", "tests/memory_benchmarks")

Results = dict[str, str]
"""Test id -> "passed", "failed", "skipped" (or expected to fail)."""


def unpack(sdist: Path, folder: Path) -> Path:
    """Copy what the suite needs to `folder`; return its root there."""
    if sdist.is_file():
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "sdist", filter="data")
        (sdist,) = (folder / "sdist").iterdir()
    root = folder / "suite"
    root.mkdir()
    for name in NEEDED:
        source = sdist / name
        if source.is_dir():
            shutil.copytree(source, root / name, symlinks=True)
        elif source.exists():
            shutil.copy2(source, root / name)
    for name in ("static", "templates"):  # the documentation's examples expect them in the current folder
        (root / name).mkdir(exist_ok=True)
    return root


def run_pytest(root: Path, report: Path, arguments: list[str]) -> int:
    """Run the suite in `root` on TurboAPI, in two processes; `report` is where the results go, as JUnit XML.

    Returns pytest's exit status.
    """
    paths = [str(HERE / "site"), str(ROOT), str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    chosen = any(argument.startswith("tests") for argument in arguments)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-n2", "-p", "no:cacheprovider"),
        *("--continue-on-collection-errors", f"--junit-xml={report}", "-o", "junit_family=xunit1"),
        *(f"--ignore={name}" for name in LEFT_OUT),
        *arguments,
        *([] if chosen else ["tests"]),
    ]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def read_results(report: Path) -> Results:
    """Return the outcome of every test; a file that could not be imported counts as one failed test."""
    results: Results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        outcome = "failed" if outcomes & {"failure", "error"} else "skipped" if "skipped" in outcomes else "passed"
        name = test_id(case)
        if results.get(name) != "failed":  # an error in the teardown comes as a second entry
            results[name] = outcome
    return results


def test_id(case: ElementTree.Element) -> str:
    """Return pytest's id of a test."""
    file = case.get("file") or ""
    if not file:  # a collection error
        return case.get("classname", "") or case.get("name", "").replace(".", "/") + ".py"
    module = file.removesuffix(".py").replace("/", ".")
    classes = case.get("classname", "").removeprefix(module).split(".")
    return "::".join([file, *(name for name in classes if name), case.get("name", "")])


def print_summary(results: Results) -> None:
    """Print passed and failed for each file with failures, worst first, and the sums."""
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for name, outcome in results.items():
        by_file[name.split("::")[0]][outcome] += 1
    for file, counts in sorted(by_file.items(), key=lambda item: (-item[1]["failed"], item[0])):
        if counts["failed"]:
            print(f"{counts['passed']:5} passed {counts['failed']:4} failed  {file}")
    total = Counter(results.values())
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped, of {total.total()}")


def suite_name(root: Path) -> str:
    """Return whose suite it is that was unpacked in `root`: "fastapi" or "starlette"."""
    name: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"]
    return name


def read_known_differences(text: str, is_root: bool) -> set[str]:
    """Return the ids of tests that may fail, and folders ("…/") of such; the lines before them, with "#", say why.

    Entries after "root: " are for a run by root only.
    """
    lines = (line.strip() for line in text.splitlines())
    entries = {line for line in lines if line and not line.startswith("#")}
    return {entry.removeprefix("root: ") for entry in entries if is_root or not entry.startswith("root: ")}


def covers(entry: str, name: str) -> bool:
    """Say whether an entry of the list means the test `name`: by its id, or by its folder."""
    return name.startswith(entry) if entry.endswith("/") else name == entry


def unexpected_failures(results: Results, known: set[str]) -> set[str]:
    """Return the tests that failed and are not listed."""
    failed = (name for name, outcome in results.items() if outcome == "failed")
    return {name for name in failed if not any(covers(entry, name) for entry in known)}


def untrue_entries(results: Results, known: set[str], is_whole: bool) -> set[str]:
    """Return the listed tests that passed, and the listed folders where some did and none failed.

    If the suite was run as a whole, also return the entries that mean no test at all.
    """
    untrue: set[str] = set()
    for entry in known:
        outcomes = {outcome for name, outcome in results.items() if covers(entry, name)}
        if "failed" not in outcomes and ("passed" in outcomes or (is_whole and not outcomes)):
            untrue.add(entry)
    return untrue


def print_all(title: str, names: Iterable[str]) -> None:
    for name in sorted(names):
        print(f"{title}: {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--report", type=Path, default=Path("."), help="folder for failed.txt and results.xml")
    options, arguments = parser.parse_known_args()
    options.report.mkdir(parents=True, exist_ok=True)
    report = options.report.resolve() / "results.xml"
    with tempfile.TemporaryDirectory() as folder:
        root = unpack(options.sdist.resolve(), Path(folder))
        known_differences = KNOWN_DIFFERENCES / f"{suite_name(root)}.txt"
        status = run_pytest(root, report, arguments)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return status
    results = read_results(report)
    failed = {name for name, outcome in results.items() if outcome == "failed"}
    (options.report / "failed.txt").write_text("".join(f"{name}\n" for name in sorted(failed)))
    print_summary(results)
    known = read_known_differences(known_differences.read_text(), is_root=os.geteuid() == 0)
    unexpected = unexpected_failures(results, known)
    untrue = untrue_entries(results, known, is_whole=not arguments)
    print_all("failed", unexpected)
    print_all(f"did not fail, though {known_differences.name} says so", untrue)
    return 1 if unexpected or untrue else 0


if __name__ == "__main__":
    sys.exit(main())
