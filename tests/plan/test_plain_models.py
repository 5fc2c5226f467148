"""Models that the compiled core writes: byte for byte what pydantic's serializer writes, or nothing."""

import math
import warnings
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from turboapi._plan.plain_models import plain_shape
from turboapi._speedups.serialize import models_json


class Inner(BaseModel):
    text: str
    number: int | None = None


class Outer(BaseModel):
    name: str
    price: float
    is_new: bool = True
    nothing: None = None
    tags: list[str] = []
    scores: dict[str, float] = {}
    inner: Inner
    others: list[Inner | None] = []


class Validated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[str, AfterValidator(str.upper), Field(max_length=10)]
    size: int = Field(1, ge=0, validation_alias=AliasChoices("size", "length"))

    @field_validator("size")
    @classmethod
    def check(cls, value: int) -> int:
        return value + 1

    @model_validator(mode="after")
    def check_all(self) -> "Validated":
        return self


TEXT = st.text(st.characters(codec=None), max_size=20)
INNER = st.builds(Inner, text=TEXT, number=st.none() | st.integers())
OUTER = st.builds(
    Outer,
    name=TEXT,
    price=st.floats(allow_nan=True),
    is_new=st.booleans(),
    tags=st.lists(TEXT, max_size=3),
    scores=st.dictionaries(TEXT, st.floats(), max_size=3),
    inner=INNER,
    others=st.lists(st.none() | INNER, max_size=3),
)


def written(annotation: Any, value: Any) -> bytes | None:
    """What the compiled core writes. It has to be what pydantic writes."""
    adapter = TypeAdapter(annotation)
    shape = plain_shape(adapter.core_schema)
    assert shape is not None
    found = models_json(shape, value)
    if found is not None:
        assert found == adapter.serializer.to_json(value, by_alias=True)
    return found


@given(st.lists(OUTER, max_size=3))
def test_what_is_written_is_what_pydantic_writes(values):
    written(list[Outer], values)
    for value in values:
        written(Outer, value)


@given(
    st.lists(st.builds(Inner, text=st.text(max_size=20), number=st.none() | st.integers(-(2**63), 2**63)), max_size=3)
)
def test_plain_values_are_written(values):
    assert written(list[Inner], values) is not None
    assert written(dict[str, list[Inner]], {"a": values}) is not None
    assert written(list[Inner] | None, None) == b"null"


def test_validators_do_not_matter():
    assert written(Validated, Validated(code="abc", length=2)) == b'{"code":"ABC","size":3}'


class Aliased(BaseModel):
    name: str = Field(alias="Name")


class SerializationAliased(BaseModel):
    name: str = Field(serialization_alias="Name")


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper)

    name: str


class Excluded(BaseModel):
    name: str
    secret: str = Field(exclude=True)


class Computed(BaseModel):
    name: str

    @computed_field
    def upper(self) -> str:
        return self.name.upper()


class FieldSerialized(BaseModel):
    name: str

    @field_serializer("name")
    def write(self, value: str) -> str:
        return value.upper()


class ModelSerialized(BaseModel):
    name: str

    @model_serializer
    def write(self) -> dict[str, Any]:
        return {"other": self.name}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Configured(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    number: float


class Root(RootModel[list[str]]):
    pass


class Tree(BaseModel):
    name: str
    branches: list["Tree"] = []


class Holder(BaseModel):
    inner: Aliased


@pytest.mark.parametrize(
    "annotation",
    [
        Aliased,
        SerializationAliased,
        Generated,
        Excluded,
        Computed,
        FieldSerialized,
        ModelSerialized,
        Open,
        Configured,
        Root,
        Tree,
        Holder,
        list[Holder],
        Any,
        datetime,
        Decimal,
        bytes,
        int | str,
        Literal["a"],
        tuple[int, ...],
        set[int],
        dict[int, str],
        list,
        dict,
        Annotated[str, PlainSerializer(str.upper)],
        Annotated[list[str], PlainSerializer(len)],
        Annotated[Inner, PlainSerializer(lambda inner: inner.text)],
    ],
    ids=str,
)
def test_what_is_left_to_pydantic(annotation):
    assert plain_shape(TypeAdapter(annotation).core_schema) is None


class Child(Inner):
    secret: str = "secret"


class Text(str):
    pass


def changed(**values: Any) -> Inner:
    inner = Inner(text="a", number=1)
    inner.__dict__.update(values)
    return inner


def shortened() -> Inner:
    inner = Inner(text="a", number=1)
    del inner.number
    return inner


@pytest.mark.parametrize(
    "value",
    [
        Child(text="a"),
        changed(text=1),
        changed(text=Text("a")),
        changed(text=None),
        changed(number=True),
        changed(number=1.0),
        changed(number="1"),
        changed(text="\ud800"),
        changed(more=1),
        shortened(),
        {"text": "a", "number": 1},
        None,
    ],
    ids=repr,
)
def test_values_that_are_not_as_declared_are_left_to_pydantic(value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, about such values
        assert written(Inner, value) is None


@pytest.mark.parametrize(
    "value",
    [changed(number=2**64), Inner.model_construct(number=1, text="a"), Inner.model_construct(text="a", unknown=2)],
    ids=repr,
)
def test_values_that_are_as_declared_however_they_were_made(value):
    assert written(Inner, value) is not None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e16, 1e-5, 5e-324, 1, True])
def test_numbers_that_are_spelled_in_another_way_are_left_to_pydantic(number):
    inner = Outer(name="a", price=1.5, inner=Inner(text="b"))
    inner.price = number
    assert written(Outer, inner) is None


@pytest.mark.parametrize("number", [0.0, -0.0, 0.1, 1e-4, 123456789012345.6, 9999999999999998.0, 1 / 3])
def test_usual_numbers_are_written(number):
    assert written(Outer, Outer(name="a", price=number, inner=Inner(text="b"))) is not None
