from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import utils as theirs
from fastapi.datastructures import Default as TheirDefault

from turboapi import utils
from turboapi.datastructures import Default
from turboapi.exceptions import FastAPIDeprecationWarning


@pytest.mark.parametrize(
    "status", [None, "default", "2XX", "5XX", 100, 199, 200, "204", 204, 205, 206, 304, 404, "500"]
)
def test_which_responses_have_a_body(status: Any) -> None:
    assert utils.is_body_allowed_for_status_code(status) == theirs.is_body_allowed_for_status_code(status)


@pytest.mark.parametrize(("name", "path"), [("read", "/"), ("read_x", "/items/{item_id}/x-y.z"), ("ü", "/é")])
def test_operation_ids(name: str, path: str) -> None:
    route: Any = SimpleNamespace(name=name, path_format=path, methods={"GET"})
    assert utils.generate_unique_id(route) == theirs.generate_unique_id(route)


def test_deprecated_operation_id() -> None:
    with pytest.warns(FastAPIDeprecationWarning, match="will be removed soon"):
        assert utils.generate_operation_id_for_path(name="read", path="/a/{b}", method="GET") == "read_a__b__get"


def test_deep_update_merges_dictionaries_and_extends_lists() -> None:
    update = {"a": {"b": 2, "d": [3]}, "l": [2], "s": {"x": 1}, "n": None}
    ours: dict[str, Any] = {"a": {"b": 1, "c": 1, "d": [1]}, "l": [1], "s": 3, "n": []}
    expected: dict[str, Any] = {"a": {"b": 1, "c": 1, "d": [1]}, "l": [1], "s": 3, "n": []}
    utils.deep_dict_update(ours, update)
    theirs.deep_dict_update(expected, update)
    assert ours == expected == {"a": {"b": 2, "c": 1, "d": [1, 3]}, "l": [1, 2], "s": {"x": 1}, "n": None}


def test_first_value_that_was_set_wins() -> None:
    first = Default("a")
    assert utils.get_value_or_default(first, Default("b"), "c", "d") == "c"
    assert utils.get_value_or_default("x", "y") == "x"
    assert utils.get_value_or_default(first, Default("b")) is first
    assert utils.get_value_or_default(first, None) is theirs.get_value_or_default(TheirDefault("a"), None) is None
