"""`turboapi` exports on purpose: everything FastAPI does, in order, and nothing by accident."""

from types import ModuleType

import fastapi
import pytest

import turboapi


def public_names(module: ModuleType) -> set[str]:
    return {n for n, value in vars(module).items() if not n.startswith("_") and not isinstance(value, ModuleType)}


def test_all_is_sorted_without_duplicates() -> None:
    assert list(turboapi.__all__) == sorted(set(turboapi.__all__))


@pytest.mark.parametrize("name", turboapi.__all__)
def test_exported_name_resolves(name: str) -> None:
    assert getattr(turboapi, name) is not None


def test_nothing_public_is_missing_from_all() -> None:
    assert sorted(public_names(turboapi) - set(turboapi.__all__)) == []


def test_everything_fastapi_exports_is_exported() -> None:
    expected = public_names(fastapi) - {"FastAPI"} | {"TurboAPI", "status"}
    assert sorted(expected - set(turboapi.__all__)) == []
