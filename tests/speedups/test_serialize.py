import json
import math
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

import pytest
from fastapi.encoders import jsonable_encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import to_json

from turboapi._speedups.serialize import plain_json


class Color(Enum):
    RED = "red"


class Name(StrEnum):
    A = "a"


class Level(IntEnum):
    LOW = 1


class Text(str):
    pass


class Point(NamedTuple):
    x: int


@dataclass
class Row:
    x: int


class Item(BaseModel):
    x: int


def reference(obj):
    """What FastAPI's JSONResponse sends."""
    return json.dumps(
        jsonable_encoder(obj), ensure_ascii=False, allow_nan=False, indent=None, separators=(",", ":")
    ).encode()


def is_plain(obj):
    """The definition of a plain tree, as a model for the compiled walk (depth and unencodable values aside)."""
    if type(obj) is dict:
        return all(type(key) is str and not key.startswith("_sa") for key in obj) and all(map(is_plain, obj.values()))
    if type(obj) in (list, tuple):
        return all(map(is_plain, obj))
    return type(obj) in (str, int, bool, type(None)) or (type(obj) is float and math.isfinite(obj))


def nested(depth, make=lambda inner: [inner], inner=None):
    for _ in range(depth):
        inner = make(inner)
    return inner


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = text | st.sampled_from(["_s", "_sb", "sa", "_", "_Sa", "é_sa"])
exact_leaves = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | text
leaves = exact_leaves | st.floats(allow_nan=False, allow_infinity=False)
odd_leaves = st.sampled_from(
    [math.nan, math.inf, Color.RED, Name.A, Level.LOW, Text("a"), b"a", Decimal(1), {1}, Point(1)]
)
odd_keys = st.sampled_from([1, None, True, 1.5, "_sa", "_sa_instance_state", "_saé", Text("a"), Name.A])


def trees(leaves, keys=keys):
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=4).map(tuple)
            | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=12,
    )


@settings(max_examples=300)
@given(trees(leaves))
def test_plain_trees_have_the_bytes_of_the_reference(obj):
    assert plain_json(obj) == reference(obj)


@settings(max_examples=300)
@given(trees(leaves | odd_leaves, keys | odd_keys))
def test_exactly_the_plain_trees_are_encoded(obj):
    assert (plain_json(obj) is not None) == is_plain(obj)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_spelled_as_by_the_reference(number):
    assert plain_json(number) == reference(number)


@given(trees(leaves))
def test_trees_that_pydantic_spells_otherwise_are_left_to_it(obj):
    encoded = plain_json(obj, False)
    assert encoded is None or encoded == to_json(obj) == reference(obj)


@pytest.mark.parametrize(
    ("number", "spelled", "is_pydantics"),
    [
        (1e16, b"1e+16", False),
        (-1e22, b"-1e+22", False),
        (9999999999999998.0, b"9999999999999998.0", True),
        (1e-4, b"0.0001", True),
        (9.999e-5, b"9.999e-05", False),
        (5e-324, b"5e-324", False),
        (-0.0, b"-0.0", True),
    ],
)
def test_floats_at_the_edges_of_their_spellings(number, spelled, is_pydantics):
    assert plain_json(number) == spelled == reference(number)
    assert plain_json([number], False) == (b"[" + spelled + b"]" if is_pydantics else None)


@pytest.mark.parametrize(
    "obj",
    [
        {"message": "Hello World"},
        {},
        [],
        (),
        "".join(map(chr, range(0x100))),
        "\u2028\u2029\ufeff\uffff\U0001f600</script>",
        {"é\n": ["\x00", {"": None}]},
        [True, 1, False, 0, None, ""],
        [2**63 - 1, 2**63, 2**64 - 1, -(2**63)],
        {"x": 10**30, "y": -(10**30)},
        [[1, (2, [3])], {"a": {"b": ({},)}}],
    ],
)
def test_bytes_equal_the_reference(obj):
    assert plain_json(obj) == reference(obj)


@pytest.mark.parametrize(
    "obj",
    [
        math.nan,
        -math.inf,
        b"a",
        {1, 2},
        frozenset(),
        Text("a"),
        Color.RED,
        Name.A,
        Level.LOW,
        Point(1),
        Row(1),
        Item(x=1),
        OrderedDict(a=1),
        defaultdict(int, a=1),
        Decimal("1.0"),
        datetime(2024, 1, 1, tzinfo=UTC),
        UUID(int=1),
        range(3),
        iter([1]),
        object(),
        int,
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_other_types_are_refused_at_any_place(obj):
    assert plain_json(obj) is None
    assert plain_json([1, obj]) is None
    assert plain_json((obj,)) is None
    assert plain_json({"a": 1, "b": obj}) is None


@pytest.mark.parametrize(
    "key", [1, 1.5, None, True, (1,), b"a", Text("a"), Name.A, "_sa", "_sa_instance_state", "_sa\u0100"]
)
def test_other_keys_are_refused(key):
    assert plain_json({"z": 1, key: 2}) is None


@pytest.mark.parametrize("obj", ["\ud800", "a\udfffb", ["\udc80"], {"\ud800": 1}, {"a": {"b": "\udbff"}}])
def test_lone_surrogates_are_refused_as_the_reference_fails(obj):
    assert plain_json(obj) is None
    with pytest.raises(UnicodeEncodeError):
        reference(obj)


def test_an_integer_that_cannot_be_written_is_refused_as_the_reference_fails():
    assert plain_json([10**5000]) is None
    with pytest.raises(ValueError, match="limit"):
        reference([10**5000])


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}])
def test_sixty_four_containers_are_the_limit(make):
    assert plain_json(nested(64, make)) == reference(nested(64, make))
    assert plain_json([0, nested(64, make)]) is None
    assert plain_json(nested(65, make)) is None
    assert plain_json(nested(100_000, make)) is None


def test_cycles_are_refused():
    array, mapping = [1], {"a": 1}
    array.append(array)
    mapping["self"] = [mapping]
    assert plain_json(array) is None
    assert plain_json(mapping) is None


def test_a_value_shared_between_places_is_no_cycle():
    shared = {"a": [1]}
    assert plain_json([shared, shared]) == b'[{"a":[1]},{"a":[1]}]'
