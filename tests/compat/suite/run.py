"""Runs FastAPI's own, unmodified test suite on TurboAPI.

    python tests/compat/suite/run.py SDIST [--report FOLDER] [pytest arguments]

SDIST is FastAPI's source distribution, unpacked or as it comes from
`pip download --no-deps --no-binary :all: fastapi==0.165.0`. What the tests need of it, which is everything but the
package itself, is copied to a temporary folder, where pytest runs in a process of its own. Printed are the numbers of
each file that did not pass as a whole; `failed.txt` in the report folder holds the ids of what failed. The exit status
is 0 if only tests failed that `known_differences.txt` lists with a reason, and all of those did.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KNOWN_DIFFERENCES = HERE / "known_differences.txt"

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


def run_pytest(root: Path, report: Path, arguments: list[str]) -> None:
    """Run the suite in `root` on TurboAPI; `report` is where the results go, as JUnit XML."""
    paths = [str(HERE / "site"), str(ROOT), str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    chosen = any(argument.startswith("tests") for argument in arguments)
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
        ),
        *(f"--junit-xml={report}", "-o", "junit_family=xunit1"),
        *(f"--ignore={name}" for name in LEFT_OUT),
        *arguments,
        *([] if chosen else ["tests"]),
    ]
    subprocess.run(command, cwd=root, env=environment, check=False)


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


def known_differences() -> set[str]:
    """Return the ids of tests that may fail, and folders ("…/") of such; the lines before them, with "#", say why."""
    lines = (line.strip() for line in KNOWN_DIFFERENCES.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def is_known(name: str, known: set[str]) -> bool:
    """Say whether a test is listed, itself or by its folder."""
    return name in known or any(name.startswith(entry) for entry in known if entry.endswith("/"))


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
        run_pytest(unpack(options.sdist.resolve(), Path(folder)), report, arguments)
    results = read_results(report)
    failed = {name for name, outcome in results.items() if outcome == "failed"}
    (options.report / "failed.txt").write_text("".join(f"{name}\n" for name in sorted(failed)))
    print_summary(results)
    known = known_differences()
    unexpected = {name for name in failed if not is_known(name, known)}
    fixed = {name for name in known if results.get(name) == "passed"}
    print_all("failed", unexpected)
    print_all("passed, though listed as a known difference", fixed)
    return 1 if unexpected or fixed else 0


if __name__ == "__main__":
    sys.exit(main())
