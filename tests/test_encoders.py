import dataclasses
import datetime
import enum
import json
import re
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from collections.abc import Callable, Iterator
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import fastapi.encoders
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, NameEmail, SecretBytes, SecretStr, computed_field
from pydantic_core import PydanticUndefined, Url

from tests.plan.oracle import outcome
from turboapi import encoders
from turboapi.encoders import jsonable_encoder
from turboapi.exceptions import PydanticV1NotSupportedError

theirs = fastapi.encoders.jsonable_encoder


class Color(enum.Enum):
    red = "red"
    pair = (1, 2)


class Level(enum.IntEnum):
    high = 3


class Item(BaseModel):
    name: str = Field(alias="Name")
    price: Decimal = Decimal("1.0")
    when: datetime.datetime | None = None
    sub: "Item | None" = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> float:
        return float(self.price * 2)


@dataclasses.dataclass
class Data:
    x: int
    when: datetime.date = datetime.date(2020, 1, 1)
    _sa_state: int = 1
    none: None = None


class Plain:
    def __init__(self) -> None:
        self.a, self._sa_b, self.c = 1, 2, {Color.red: None}


class Pairs:
    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter([("a", Color.red), ("b", None)])


class Slotted:
    __slots__ = ("a",)


class Text(str):
    pass


class SubDecimal(Decimal):
    pass


Point = namedtuple("Point", "x y")

VALUES: dict[str, Callable[[], Any]] = {
    "scalars": lambda: [1, 1.5, True, None, "x", Text("t"), Level.high, float("inf")],
    "bytes": lambda: b"abc",
    "bad bytes": lambda: b"\xff",
    "dates": lambda: [datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3), datetime.time(1, 2, 3, 4)],
    "aware": lambda: datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    "timedelta": lambda: datetime.timedelta(days=1, microseconds=5),
    "decimals": lambda: [
        Decimal("1"),
        Decimal("1.0"),
        Decimal("1e5"),
        Decimal("1.1"),
        SubDecimal("2"),
        Decimal("Infinity"),
    ],
    "enums": lambda: {Color.red: Color.pair, "level": Level.high},
    "sets": lambda: [{1}, frozenset({2}), deque([3]), (4, (5,))],
    "generator": lambda: (item for item in (1, Color.red)),
    "addresses": lambda: [ip_address("::1"), ip_network("10.0.0.0/8")],
    "paths": lambda: [Path("/a"), PurePosixPath("b"), PureWindowsPath("c\\d")],
    "pattern": lambda: re.compile("^x"),
    "secrets": lambda: [SecretStr("x"), SecretBytes(b"x")],
    "uuid": lambda: uuid.UUID(int=7),
    "urls": lambda: [Url("http://a/"), AnyUrl("http://b/c")],
    "undefined": lambda: [PydanticUndefined, {"a": PydanticUndefined}],
    "model": lambda: Item(Name="x", sub=Item(Name="y")),
    "models": lambda: {"items": [Item(Name="x")], "_sa_x": 1, Color.red: Item(Name="z")},
    "dataclass": lambda: Data(1),
    "nested dataclass": lambda: [Data(1, when=datetime.date(2021, 1, 1))],
    "dataclass type": lambda: Data,
    "plain object": Plain,
    "iterable of pairs": Pairs,
    "slots": Slotted,
    "named tuple": lambda: Point(1, Color.red),
    "mappings": lambda: [OrderedDict(b=1, a=2), UserDict(x=Color.red)],
    "dict": lambda: {"name": 1, "_sa": 2, "none": None, 3: b"x", None: 1, "sub": {"name": 1, "none": None}},
    "object": object,
    "complex": lambda: 1j,
    "exception": lambda: ValueError("x"),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"include": {"name", "x", "a"}},
    {"include": ["name", "sub"]},
    {"include": {"sub": {"name"}}},
    {"exclude": {"name", "x", "a"}},
    {"exclude": ("when", "c")},
    {"by_alias": False},
    {"exclude_unset": True},
    {"exclude_defaults": True},
    {"exclude_none": True},
    {"sqlalchemy_safe": False},
    {"custom_encoder": {int: str, Color: lambda value: value.name, dict: lambda value: {"n": len(value)}}},
    {"custom_encoder": {datetime.date: lambda value: "date", Data: lambda value: "data", Item: lambda value: "item"}},
    {"custom_encoder": {object: repr}, "exclude_none": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_results_equal_the_oracles(name: str, options: dict[str, Any]) -> None:
    if "generator" in name and "custom_encoder" in options:
        options = {}  # its repr has an address
    ours, expected = (outcome(encode, VALUES[name](), **options) for encode in (jsonable_encoder, theirs))
    assert re.sub("0x[0-9a-f]+", "", repr(ours)) == re.sub("0x[0-9a-f]+", "", repr(expected))


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.decimals(allow_nan=False),
    st.dates(),
) | st.one_of(
    st.datetimes(), st.times(), st.timedeltas(), st.uuids(), st.sampled_from([*Color, *Level]), st.ip_addresses()
)
_keys = st.one_of(st.text(), st.integers(), st.sampled_from(["_sa_x", "a", Color.red, None]), st.uuids())
_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(_keys, inner), st.tuples(inner, inner), inner.map(lambda x: deque([x]))
    ),
    max_leaves=10,
)


@given(_trees, st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_random_trees_equal_the_oracles(tree: Any, exclude_none: bool, sqlalchemy_safe: bool) -> None:
    options = {"exclude_none": exclude_none, "sqlalchemy_safe": sqlalchemy_safe}
    ours = jsonable_encoder(tree, **options)
    assert repr(ours) == repr(theirs(tree, **options))
    json.dumps(ours)


def test_table_of_types_equals_the_oracles() -> None:
    assert set(encoders.ENCODERS_BY_TYPE) >= {
        type_ for type_ in fastapi.encoders.ENCODERS_BY_TYPE if type_.__name__ != "PyExtraColor"
    }
    grouped = encoders.generate_encoders_by_class_tuples({int: str, bool: str, float: repr})
    assert grouped == {str: (int, bool), repr: (float,)}
    assert NameEmail in encoders.encoders_by_class_tuples[str]


def test_types_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS_BY_TYPE, Slotted, lambda value: "slotted")
    assert jsonable_encoder([Slotted()]) == ["slotted"]


@pytest.mark.parametrize("value", ["1", "1.0", "1e3", "-5", "0.10", "NaN", "-Infinity"])
def test_decimals(value: str) -> None:
    ours, expected = encoders.decimal_encoder(Decimal(value)), fastapi.encoders.decimal_encoder(Decimal(value))
    assert (type(ours), repr(ours)) == (type(expected), repr(expected))


@pytest.mark.filterwarnings("ignore")
def test_pydantic_v1_models_are_refused() -> None:
    v1 = pytest.importorskip("pydantic.v1", reason="pydantic has removed its v1 namespace")

    class Old(v1.BaseModel):  # type: ignore[misc, name-defined]
        a: int

    with pytest.raises(PydanticV1NotSupportedError, match="Please update the model Old"):
        jsonable_encoder({"x": Old(a=1)})


class Part(msgspec.Struct, rename="camel", tag=True, omit_defaults=True):
    when_made: datetime.datetime
    number: Decimal = Decimal(1)
    model: Any = None


def test_structs_are_encoded_as_msgspec_does_with_anything_inside() -> None:
    part = Part(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), model=Item(Name="x"))
    encoded = jsonable_encoder({"parts": [part]})
    assert encoded == {
        "parts": [{"type": "Part", "whenMade": "2020-01-01T00:00:00Z", "model": theirs(Item(Name="x"))}],
    }


def test_options_apply_to_structs() -> None:
    class Row(msgspec.Struct):
        a: int = 1
        b: int | None = None

    assert jsonable_encoder(Row(), exclude_none=True) == {"a": 1}
    assert jsonable_encoder([Row()], include={"b"}) == [{"b": None}]
    assert jsonable_encoder(Row(), exclude={"b"}) == {"a": 1}
    assert jsonable_encoder(Row(), custom_encoder={Row: lambda row: "row"}) == "row"
