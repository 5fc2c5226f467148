"""The runner of the two suites, without pytest's part of it: what it makes of results, and of the list."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.suite import run

KNOWN = """
# Why the first may fail.
tests/test_a.py::test_one
tests/folder/

# Only then.
root: tests/test_a.py::test_two[x]
"""


def test_entries_of_a_list() -> None:
    entries = {"tests/test_a.py::test_one", "tests/folder/"}
    assert run.read_known_differences(KNOWN, is_root=False) == entries
    assert run.read_known_differences(KNOWN, is_root=True) == entries | {"tests/test_a.py::test_two[x]"}


@pytest.mark.parametrize("path", sorted(run.KNOWN_DIFFERENCES.iterdir()), ids=lambda path: path.stem)
def test_every_entry_of_the_lists_has_a_reason(path: Path) -> None:
    for paragraph in path.read_text().strip().split("\n\n"):
        assert paragraph.startswith("# "), paragraph


@pytest.mark.parametrize(
    ("results", "unexpected"),
    [
        ({"a::one": "failed", "a::two": "passed", "b/c::x": "failed"}, set()),
        ({"a::one[x]": "failed", "b.py::x": "failed"}, {"a::one[x]", "b.py::x"}),
    ],
)
def test_unexpected_failures(results: run.Results, unexpected: set[str]) -> None:
    assert run.unexpected_failures(results, {"a::one", "b/"}) == unexpected


@pytest.mark.parametrize(
    ("results", "untrue"),
    [
        ({"a::one": "failed", "b/c::x": "failed", "b/c::y": "passed"}, set()),
        ({"a::one": "passed", "b/c::x": "passed", "b/c::y": "skipped"}, {"a::one", "b/"}),
        ({"a::one": "skipped", "b/c::x": "skipped"}, set()),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_listed_tests_that_do_not_fail(results: run.Results, untrue: set[str], is_whole: bool) -> None:
    assert run.untrue_entries(results, {"a::one", "b/"}, is_whole) == untrue


def test_entries_for_tests_that_do_not_exist() -> None:
    assert run.untrue_entries({"a::two": "passed"}, {"a::one", "b/"}, is_whole=True) == {"a::one", "b/"}
    assert run.untrue_entries({"a::two": "passed"}, {"a::one", "b/"}, is_whole=False) == set()


@pytest.fixture
def run_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`run_main(known, status, **outcomes)`: run a suite of the tests `outcomes`; `known` are listed."""

    def run_main(known: list[str], status: int = 1, **outcomes: str) -> int:
        def run_pytest(root: Path, report: Path, arguments: list[str]) -> int:
            case = '<testcase classname="tests.test_a" file="tests/test_a.py" name="{}"><{}/></testcase>'
            cases = "".join(case.format(*item) for item in outcomes.items())
            report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
            return status

        sdist = tmp_path / "sdist"
        sdist.mkdir()
        (sdist / "pyproject.toml").write_text('[project]\nname = "example"\n')
        (tmp_path / "example.txt").write_text("\n".join(f"tests/test_a.py::{name}" for name in known))
        monkeypatch.setattr(run, "KNOWN_DIFFERENCES", tmp_path)
        monkeypatch.setattr(run, "run_pytest", run_pytest)
        monkeypatch.setattr("sys.argv", ["run.py", str(sdist), "--report", str(tmp_path / "report")])
        return run.main()

    return run_main


def test_known_differences_are_no_failure(run_main: Callable[..., int], tmp_path: Path) -> None:
    assert run_main(["one"], one="failure", two="system-out", three="skipped") == 0
    assert (tmp_path / "report" / "failed.txt").read_text() == "tests/test_a.py::one\n"


def test_other_failures_are_printed(run_main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["one"], one="failure", two="error") == 1
    assert "0 passed, 2 failed, 0 skipped, of 2\nfailed: tests/test_a.py::two\n" in capsys.readouterr().out


def test_untrue_entries_are_printed(run_main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["one"], status=0, one="system-out") == 1
    assert "did not fail, though example.txt says so: tests/test_a.py::one\n" in capsys.readouterr().out


@pytest.mark.parametrize("status", [2, 3, 4, 5])
def test_a_run_that_breaks_off_has_failed(run_main: Callable[..., int], status: int) -> None:
    assert run_main([], status=status, one="system-out") == status
