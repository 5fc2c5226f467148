"""The runner of the libraries' suites, without pip's and pytest's part of it."""

import tomllib
from pathlib import Path

import pytest

from tests.compat.suite import ecosystem
from tests.compat.suite.run import ROOT, Results


@pytest.mark.parametrize("library", ecosystem.LIBRARIES, ids=lambda library: library.name)
def test_every_library_is_pinned(library: ecosystem.Library) -> None:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["ecosystem"]
    pins = [str(pin) for pin in group if str(pin).partition("==")[0].partition("[")[0] == library.name]
    assert len(pins) == 1 and "==" in pins[0]


@pytest.mark.parametrize(
    ("theirs", "ours", "regressions"),
    [
        ({"a": "passed", "b": "failed", "c": "skipped"}, {"a": "passed", "b": "failed", "c": "failed"}, []),
        ({"a": "passed", "b": "passed", "c": "passed"}, {"a": "failed", "b": "skipped"}, ["a", "b", "c"]),
        ({"b": "failed"}, {"b": "passed", "c": "passed"}, []),
        ({"a[x]": "passed", "a[y]": "passed"}, {"a[z]": "passed", "a[y]": "passed"}, []),
        ({"a[x]": "passed", "a[y]": "passed"}, {"a[x]": "passed", "a[y]": "failed"}, ["a"]),
    ],
)
def test_regressions(theirs: Results, ours: Results, regressions: list[str]) -> None:
    assert ecosystem.regressions_of(ours, theirs) == regressions


def test_a_distribution_is_found_by_either_spelling(tmp_path: Path) -> None:
    (tmp_path / "fastapi_users-1.0.tar.gz").touch()
    assert ecosystem._find(tmp_path, "fastapi-users-1.0.tar.gz") == tmp_path / "fastapi_users-1.0.tar.gz"
    assert ecosystem._find(tmp_path, "fastapi-users-2.0.tar.gz") is None
