"""What the soak test fails for."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.soak.__main__ import BOUNDS, SCENES, Sample, growth, missing, unexpected

AT_FIRST = Sample(resident=90_000, descriptors=20, threads=4, tasks=2)


def test_growth_within_the_bounds_is_none() -> None:
    grown = Sample(*(value + bound for value, bound in zip(AT_FIRST, BOUNDS, strict=True)))
    assert growth({7: AT_FIRST, 8: AT_FIRST}, {7: grown, 8: AT_FIRST}) == []


@pytest.mark.parametrize("name", Sample._fields)
def test_growth_beyond_its_bound_is_told(name: str) -> None:
    grown = AT_FIRST._replace(**{name: getattr(AT_FIRST, name) + getattr(BOUNDS, name) + 1})
    [line] = growth({7: AT_FIRST}, {7: grown})
    assert line.startswith(f"worker 7: {name} from ")


def test_a_worker_that_was_replaced_is_told() -> None:
    assert growth({7: AT_FIRST}, {9: AT_FIRST}) == ["workers [7] have become [9]"]


def test_scenes_that_never_end_are_told() -> None:
    assert len(missing(dict.fromkeys(SCENES, 0))) == len(SCENES)  # type: ignore[arg-type]


def test_only_planned_errors_may_be_logged() -> None:
    lines = ["Traceback (most recent call last):", "RuntimeError: as planned", "WARNING 1.2.3.4 - 400", "KeyError: 'a'"]
    server: Any = SimpleNamespace(out=[], err=lines)
    assert unexpected(server) == ["KeyError: 'a'"]
