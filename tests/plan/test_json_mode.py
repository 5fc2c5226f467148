import enum
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    TypeAdapter,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from turboapi._plan.json_mode import json_validator, validates_json_alike


class Color(enum.Enum):
    red = "red"
    green = "g"


class Size(enum.StrEnum):
    small = "s"
    large = "l"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    model_config = ConfigDict(extra="allow")
    kind: Literal["dog", "wolf"]
    name: str


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []
    parent: "Tree | None" = None


class Movie(TypedDict, total=False):
    title: str
    year: int


@dataclass
class Point:
    x: float
    y: float = 0.5


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    plain: int = Field(alias="plainAlias")
    choice: str = Field("d", validation_alias=AliasChoices("one", "two"))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int
    s: str = Field("abc", min_length=2, max_length=5)


class Numbers(RootModel[list[float]]):
    pass


class Private(BaseModel):
    a: int = 1
    _secret: int = PrivateAttr(7)


# Each leaf: a type, and values that a JSON document may hold for it: valid, nearly valid, and valid elsewhere.
_TRICKY: list[Any] = [
    None, True, False, 0, 1, -1, 2, 2**53 + 1, 2**63, -(2**63), 2**64, 10**25, 10**308, 10**309, -(10**309), 10**400,
    [10**400], 1.0, -0.0, 0.5, 1e20, 1e300, 1.5e-9, math.inf, -math.inf, math.nan, "", "1", " 1 ", "1.0", "1_000",
    "1e3", "-0", "0x10", "true", "True", "off", "yes", "y", "null", "nan", "inf", "Infinity", "red", "g", "s", "l",
    "cat", "dog", "x", "été", "\u0000", "\U0001f600", "2020-01-01", "2020-01-01T00:00:00Z",
    "2020-01-01T12:30:00.123456789+02:00", "2020-01-01 12:30", "20200101", "1577836800", 1577836800, 1577836800123,
    86400, "12:30", "12:30:00.5Z", 3600, 3600.5, "P1DT2H", "1 day, 02:00:00", "00:00:10", -10, 99999999999,
    "12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678",
    "{12345678-1234-5678-1234-567812345678}", "urn:uuid:12345678-1234-5678-1234-567812345678", [], {}, [1, 2], ["a"],
    [[1]], {"a": 1}, {"1": 2}, {"kind": "cat"}, {"kind": "dog", "name": "x", "more": [1.0]}, {"kind": "cow"},
    {"kind": "cat", "lives": "7"}, {"value": 1, "children": [{"value": "2"}], "parent": {"value": 1.0}},
    {"title": "t", "year": "1999"}, {"title": 1}, {"x": 1, "y": "2"}, {"x": None}, [1.5, "2.5"],
    {"plainAlias": 1, "two": "b", "one": "a"}, {"plain": "1"}, {"n": 1.0, "s": "abc"}, {"n": 1, "z": 2}, {"a": 5},
]  # fmt: skip

_LEAVES: list[Any] = [
    Any, None, bool, int, float, str, date, datetime, time, timedelta, UUID, Color, Size, Literal["red", "x"],
    Annotated[int, Field(ge=0, lt=10**30, multiple_of=2)], Annotated[float, Field(gt=0, allow_inf_nan=False)],
    Annotated[str, Field(min_length=1, max_length=5, pattern="^[a-z1]*$")],
    Annotated[datetime, Field(ge=datetime(2000, 1, 1))], Tree, Movie, Point, Aliased, Strict, Numbers, Private,
    Annotated[Cat | Dog, Field(discriminator="kind")],
]  # fmt: skip


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hashable = st.sampled_from([int, str, UUID, bool, date])
    return st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: t | None if t is not None else None),
        inner.map(lambda t: dict[str, t]),
        st.tuples(hashable, inner).map(lambda pair: dict[pair[0], pair[1]]),
        hashable.map(lambda t: set[t]),
        hashable.map(lambda t: frozenset[t]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair[0], pair[1]]),
        inner.map(lambda t: tuple[t, ...]),
        inner.map(lambda t: Annotated[list[t], Field(min_length=1, max_length=3)]),
        st.builds(_make_model, inner, inner, st.sampled_from(["ignore", "allow", "forbid"])),
    )


def _make_model(first: Any, second: Any, extra: Any) -> Any:
    config = ConfigDict(extra=extra, str_strip_whitespace=True)
    return create_model("Model", __config__=config, a=(first, ...), b=(second, Field(None, alias="B")))


_types = st.recursive(st.sampled_from(_LEAVES), _containers, max_leaves=6)
_scalars = st.one_of(
    st.sampled_from(_TRICKY), st.integers(), st.integers(-(10**40), 10**40), st.floats(), st.text(max_size=5),
    st.integers().map(str), st.datetimes().map(str),
)  # fmt: skip
_keys = st.one_of(
    st.sampled_from(["a", "B", "b", "kind", "1", "x", "value", "true", "2020-01-01"]), st.text(max_size=3)
)
_documents = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=4)),
    max_leaves=8,
)


def _near(type_: Any) -> st.SearchStrategy[Any]:
    """Documents that have the right outer shape for the type."""
    origin, args = getattr(type_, "__origin__", None), getattr(type_, "__args__", ())
    if (
        isinstance(type_, type)
        and issubclass(type_, BaseModel)
        and "a" in type_.model_fields
        and "b" in type_.model_fields
    ):
        infos = type_.model_fields
        return st.fixed_dictionaries(
            {"a": _near(infos["a"].annotation)},
            optional={"B": _near(infos["b"].annotation), "b": _documents, "extra": _documents},
        )
    if hasattr(type_, "__metadata__"):
        return _near(origin)
    if origin in (list, set, frozenset):
        return st.lists(_near(args[0]), max_size=3)
    if origin is tuple:
        return st.lists(_near(args[0]), max_size=3) if args[-1] is ... else st.tuples(*map(_near, args)).map(list)
    if origin is dict:
        return st.dictionaries(_keys, _near(args[1]), max_size=3)
    if args and type(None) in args:
        return st.one_of(st.none(), _near(next(arg for arg in args if arg is not type(None))))
    return _scalars


def _validated(validate: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, validate()
    except (ValidationError, ValueError, OverflowError, RecursionError):
        return False, None


def _fingerprint(value: Any) -> Any:
    """Everything that tells two results apart: types, -0.0, nan, the set fields and the extra values of models."""
    if isinstance(value, BaseModel):
        fields = {**value.__dict__, **(value.model_extra or {})}
        return (
            type(value),
            sorted(value.model_fields_set),
            _fingerprint(fields),
            _fingerprint(value.__pydantic_private__),
        )
    if is_dataclass(value):
        return type(value), _fingerprint(vars(value))
    if isinstance(value, dict):
        return dict, [(_fingerprint(key), _fingerprint(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [_fingerprint(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(_fingerprint(item)) for item in value)
    return type(value), repr(value)


def assert_alike(adapter: TypeAdapter[Any], raw: bytes) -> None:
    validate = json_validator(adapter.core_schema, adapter.validator)
    assert validate is not None
    direct, direct_value = _validated(lambda: validate(raw))
    if direct:
        exact, exact_value = _validated(lambda: adapter.validate_python(json.loads(raw), from_attributes=True))
        assert exact, raw
        assert _fingerprint(direct_value) == _fingerprint(exact_value), raw


@pytest.mark.parametrize("type_", _LEAVES, ids=str)
def test_a_value_of_a_leaf_type_is_accepted_only_as_it_is_the_exact_way(type_: Any) -> None:
    adapter = TypeAdapter(type_)
    assert validates_json_alike(adapter.core_schema)
    for value in _TRICKY:
        assert_alike(adapter, json.dumps(value).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": "2", "B": 1, "B": 2}', b'{"a": "x", "a": 1}', b'{"a": 1, "a": "x"}',
        b'{"c": 1, "c": 2, "a": 0}', b'{"a": 1e400}', b'{"a": -0}', b'{"a": -0.0}', b'{"a": 1E2}', b'{"a": NaN}',
        b'{"a": "\\ud800"}', b'{"a": "\\u00e9"}', b' {"a" : 1 } ', b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}x', b"", b"{",
        b'{"a": 01}', b'{"a": "\xff"}', b'{"a": "\t"}', '{"a": 1}'.encode("utf-16"), b"[" * 300 + b"]" * 300,
        b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 0.1e-400}', b'{"a": 123456789012345678.5}',
        b'{"a": 0.30000000000000004441}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("type_", [int, float, str, Any, bool], ids=str)
@pytest.mark.parametrize("extra", ["ignore", "allow", "forbid"])
def test_odd_documents_are_accepted_only_as_they_are_the_exact_way(raw: bytes, type_: Any, extra: Any) -> None:
    assert_alike(TypeAdapter(_make_model(type_, Any, extra)), raw)
    assert_alike(TypeAdapter(dict[str, type_]), raw)
    assert_alike(TypeAdapter(Any), raw)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_types_and_documents(data: st.DataObject) -> None:
    type_ = data.draw(_types)
    try:
        adapter = TypeAdapter(type_)
    except TypeError:  # a set of something unhashable
        return
    assert validates_json_alike(adapter.core_schema)
    document = data.draw(st.one_of(_near(type_), _documents))
    assert_alike(adapter, json.dumps(document).encode())


_union_members = st.sampled_from(
    [int, float, str, bool, None, Any, Literal["red", "x"], Cat, Dog, Aliased, Strict, Tree, Numbers]
)
_unions = st.recursive(
    _union_members,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: dict[str, t]),
        st.lists(inner, min_size=2, max_size=4).map(lambda types: Union[tuple(types)]),  # noqa: UP007
        st.builds(_make_model, inner, inner, st.sampled_from(["ignore", "allow", "forbid"])),
        inner.map(lambda t: Annotated[Union[t, Cat, Dog], Field(union_mode="left_to_right")]),  # noqa: UP007
    ),
    max_leaves=6,
)


@given(_unions, _documents)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_unions_and_documents(type_: Any, document: Any) -> None:
    assert_alike(TypeAdapter(type_), json.dumps(document).encode())


def test_direct_validation_accepts_what_is_valid() -> None:
    """The property above would hold for a validator that refuses everything."""
    model = create_model("M", a=(int, ...), b=(list[Tree], []), c=(dict[str, UUID], {}), d=(datetime | None, None))
    raw = (
        b'{"a": "1", "b": [{"value": 2}], "c": {"x": "12345678-1234-5678-1234-567812345678"}, "d": "2020-01-01T00:00Z"}'
    )
    validate = json_validator(TypeAdapter(model).core_schema, TypeAdapter(model).validator)
    assert validate is not None
    assert validate(raw).a == 1


@pytest.mark.parametrize("offset", [0, 1, 150, 308, 309, 700])
@pytest.mark.parametrize(("digits", "is_refused"), [(150, False), (309, True), (400, True), (1000, True)])
def test_a_number_too_long_for_a_float_is_left_to_the_exact_way(offset: int, digits: int, is_refused: bool) -> None:
    adapter = TypeAdapter(list[float])
    validate = json_validator(adapter.core_schema, adapter.validator)
    assert validate is not None
    raw = b"[" + b" " * offset + b"9" * digits + b", 1.5" + b" " * 400 + b"]"
    if is_refused:
        with pytest.raises(ValueError, match="too long"):
            validate(raw)
    else:
        assert validate(raw) == [float("9" * digits), 1.5]


def test_ordinary_numbers_in_long_documents_are_not_refused() -> None:
    adapter = TypeAdapter(list[float])
    validate = json_validator(adapter.core_schema, adapter.validator)
    assert validate is not None
    numbers = [0.1234567890123456 * 7**i for i in range(-100, 200)]
    assert validate(json.dumps(numbers).encode()) == numbers


class _BeforeModel(BaseModel):
    a: int

    @model_validator(mode="before")
    @classmethod
    def look(cls, value: Any) -> Any:
        return value


class _FieldValidatorModel(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def look(cls, value: int) -> int:
        return value


class _PostInitModel(BaseModel):
    a: int

    def model_post_init(self, context: Any) -> None:
        pass


class _CustomInitModel(BaseModel):
    a: int

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)


class _StrictModel(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int


class _StrictFieldModel(BaseModel):
    a: int = Field(strict=True)


class _NestedStrictModel(BaseModel):
    inner: list[_StrictModel]


class _CoercingModel(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    a: str


class _Base64Model(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64")
    a: int


class _DefaultValidatingModel(BaseModel):
    model_config = ConfigDict(validate_default=True)
    a: int = 1


class _PathAliasModel(BaseModel):
    a: str = Field(validation_alias=AliasPath("x", 0))


class _Dated(BaseModel):
    day: date


class _UnionOfRepeated(BaseModel):
    first: _Dated
    second: _Dated | Cat


class _NumberEnum(enum.Enum):
    one = 1


class _LenientEnum(enum.Enum):
    a = "a"

    @classmethod
    def _missing_(cls, value: object) -> Any:
        return cls.a


@pydantic_dataclass
class _PostInitDataclass:
    a: int

    def __post_init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "type_",
    [
        bytes, Decimal, complex, AnyUrl, UUID | str, datetime | int, Size | str, Color | int, set[int] | list[int],
        tuple[int, int] | str, Point | Cat, Literal[1, "a"], Literal[1, 2],
        Annotated[int, BeforeValidator(lambda v: v)], Annotated[int, AfterValidator(lambda v: v)],
        Annotated[int, Field(strict=True)], list[bytes], dict[str, Decimal], tuple[int, bytes],
        list[int | list[str | date]], _UnionOfRepeated, _NumberEnum, _LenientEnum, _BeforeModel, _FieldValidatorModel,
        _PostInitModel, _CustomInitModel, _StrictModel, _StrictFieldModel, _NestedStrictModel, _CoercingModel,
        _Base64Model, _DefaultValidatingModel, _PathAliasModel, _PostInitDataclass, type[int], Callable[[], int],
        list[_BeforeModel], dict[str, list[_StrictModel]],
    ],
    ids=str,
)  # fmt: skip
def test_schemas_that_are_not_known_to_be_alike_are_refused(type_: Any) -> None:
    adapter = TypeAdapter(
        type_,
        config=None
        if hasattr(type_, "model_config") or is_dataclass(type_)
        else ConfigDict(arbitrary_types_allowed=True),
    )
    assert not validates_json_alike(adapter.core_schema)
