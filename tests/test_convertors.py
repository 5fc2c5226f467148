import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import starlette.convertors
from hypothesis import given
from hypothesis import strategies as st

from turboapi import convertors

UUID = "12345678-1234-5678-1234-56781234abcd"
TEXTS = {
    "str": ["a", "ü b", "", "a/b"],
    "path": ["", "a/b", "/"],
    "int": ["0", "007", "-1", "1.0", "١", "9" * 40],
    "float": ["1", "1.5", "1.", ".5", "1e3", "-1", "nan", "00.10"],
    "uuid": [UUID, UUID.upper(), UUID.replace("-", ""), UUID[:-1], "g" * 32],
}
VALUES = {
    "str": ["a", 5, "", "a/b"],
    "path": ["", "a/b", 5],
    "int": [0, 12, "12", 1.9, -1, "x"],
    "float": [0, 1.5, 1e-7, 1e22, 0.1, -0.5, float("nan"), float("inf"), "2.50"],
    "uuid": [uuid.UUID(UUID), UUID],
}


def outcome(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error)


@pytest.fixture
def registry() -> Iterator[dict[str, Any]]:
    saved = dict(convertors.CONVERTOR_TYPES)
    yield convertors.CONVERTOR_TYPES
    convertors.CONVERTOR_TYPES.clear()
    convertors.CONVERTOR_TYPES.update(saved)


def test_same_types_in_the_same_order_as_the_reference() -> None:
    assert {name: type(convertor).__name__ for name, convertor in convertors.CONVERTOR_TYPES.items()} == {
        name: type(convertor).__name__ for name, convertor in starlette.convertors.CONVERTOR_TYPES.items()
    }
    assert list(convertors.CONVERTOR_TYPES) == list(starlette.convertors.CONVERTOR_TYPES)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_text_is_accepted_and_converted_like_the_reference(name: str, text: str) -> None:
    ours, expected = convertors.CONVERTOR_TYPES[name], starlette.convertors.CONVERTOR_TYPES[name]
    matches = re.fullmatch(ours.regex, text) is not None
    assert matches == (re.fullmatch(expected.regex, text) is not None)
    if matches:
        assert ours.convert(text) == expected.convert(text)
        assert type(ours.convert(text)) is type(expected.convert(text))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_value_becomes_text_like_the_reference(name: str, value: Any) -> None:
    ours, expected = convertors.CONVERTOR_TYPES[name], starlette.convertors.CONVERTOR_TYPES[name]
    assert outcome(ours.to_string, value) == outcome(expected.to_string, value)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_float_text_matches_its_own_pattern(value: float) -> None:
    ours = convertors.CONVERTOR_TYPES["float"]
    text = ours.to_string(value)
    assert re.fullmatch(ours.regex, text)
    assert ours.convert(text) == pytest.approx(value, abs=1e-20)


@given(st.uuids())
def test_uuid_survives_the_round_trip(value: uuid.UUID) -> None:
    ours = convertors.CONVERTOR_TYPES["uuid"]
    assert ours.convert(ours.to_string(value)) == value


def test_registered_convertor_is_found_by_its_key(registry: dict[str, Any]) -> None:
    class Reversed(convertors.Convertor[str]):
        regex = "[a-z]+"

        def convert(self, value: str) -> str:
            return value[::-1]

        def to_string(self, value: str) -> str:
            return value[::-1]

    convertor = Reversed()
    convertors.register_url_convertor("reversed", convertor)
    assert registry["reversed"] is convertor


def test_base_class_leaves_both_directions_to_its_subclasses() -> None:
    base = convertors.Convertor[str]()
    assert base.regex == ""
    with pytest.raises(NotImplementedError):
        base.convert("a")
    with pytest.raises(NotImplementedError):
        base.to_string("a")
