import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from tests.plan.oracle import OURS
from turboapi import params
from turboapi._plan.arguments import param_facts
from turboapi._plan.body import body_facts
from turboapi._plan.fields import ModelField, create_model_field, field_annotation_is_scalar
from turboapi._plan.structs import adapt_structs, is_struct_annotation
from turboapi.exceptions import FastAPIError

T = TypeVar("T")


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    y: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Shape(msgspec.Struct, rename="camel"):
    all_points: list[Point]
    by_name: dict[str, Point] = {}
    by_number: dict[int, int] = {}
    when: datetime | None = None
    parent: "Shape | None" = None

    def __post_init__(self) -> None:
        if not self.all_points:
            raise ValueError("no points")


class Box(msgspec.Struct, Generic[T]):
    content: T


def _field(annotation: Any) -> ModelField:
    return create_model_field("body", annotation, field_info=params.Body(annotation=annotation))


@pytest.mark.parametrize("annotation", [Point, Box, Box[int]])
def test_struct_annotations_are_recognised(annotation: Any) -> None:
    assert is_struct_annotation(annotation)
    assert not field_annotation_is_scalar(annotation)


@pytest.mark.parametrize(
    "annotation", [int, list[int], int | None, Annotated[str, "x"], dict[str, Any], None, Any, "Point"]
)
def test_annotations_without_structs_stay_the_same_object(annotation: Any) -> None:
    assert adapt_structs(annotation) is annotation


@pytest.mark.parametrize(
    "annotation",
    [Point | None, list[Point], dict[str, list[Point]], tuple[Point, int], Annotated[list[Point], "x"], Box[int] | int],
)
def test_structs_inside_other_types_are_adapted(annotation: Any) -> None:
    adapted = adapt_structs(annotation)
    assert adapted is not annotation
    TypeAdapter(adapted)
    if "x" in get_args(annotation):
        assert "x" in get_args(adapted)


def test_values_are_converted_and_written() -> None:
    field = _field(Shape)
    value, errors = field.validate({"allPoints": [{"x": "1"}], "byNumber": {"1": 2}, "when": "2020-01-01T00:00:00Z"})
    assert not errors
    assert value.all_points == [Point(1)]
    assert value.by_number == {1: 2}
    assert (
        json.loads(field.serialize_json(value)) == field.serialize(value) == msgspec.to_builtins(value, str_keys=True)
    )
    assert field.validate(value) == (value, [])


@pytest.mark.parametrize(
    ("body", "type_", "place", "message", "input_value"),
    [
        ([], "dict_type", (), "Input should be a valid dictionary", []),
        ({}, "missing", ("allPoints",), "Field required", {}),
        ({"allPoints": [{"x": 1}, {}]}, "missing", ("allPoints", 1, "x"), "Field required", {}),
        ({"allPoints": [{"x": "no"}]}, "int_type", ("allPoints", 0, "x"), "Input should be a valid integer", "no"),
        ({"allPoints": 3}, "list_type", ("allPoints",), "Input should be a valid list", 3),
        (
            {"allPoints": [{"x": 1, "z": 5}]},
            "extra_forbidden",
            ("allPoints", 0, "z"),
            "Extra inputs are not permitted",
            5,
        ),
        (
            {"allPoints": [{"x": 1, "y": -1}]},
            "value_error",
            ("allPoints", 0, "y"),
            "Value error, Expected `float` >= 0.0",
            -1,
        ),
        (
            {"allPoints": [], "byName": {"a": {"x": []}}},
            "int_type",
            ("byName", "...", "x"),
            "Input should be a valid integer",
            {"a": {"x": []}},
        ),
        (
            {"allPoints": [], "byNumber": {"a": 1}},
            "int_type",
            ("byNumber", "[key]"),
            "Input should be a valid integer",
            {"a": 1},
        ),
        ({"allPoints": []}, "value_error", (), "Value error, no points", {"allPoints": []}),
        (
            {"allPoints": [], "when": "x"},
            "value_error",
            ("when",),
            "Value error, Invalid RFC3339 encoded datetime",
            "x",
        ),
    ],
)
def test_errors_look_like_pydantics(body: Any, type_: str, place: Any, message: str, input_value: Any) -> None:
    value, (error,) = _field(Shape).validate(body, loc=("body",))
    assert value is None
    assert (error["type"], error["loc"], error["msg"], error["input"]) == (
        type_,
        ("body", *place),
        message,
        input_value,
    )


def test_errors_in_containers_of_structs_say_where() -> None:
    _, errors = _field(list[Point]).validate([{"x": 1}, {"x": None}, {}], loc=("body",))
    assert [(error["loc"], error["type"]) for error in errors] == [
        (("body", 1, "x"), "int_type"),
        (("body", 2, "x"), "missing"),
    ]


def _document(field: ModelField) -> Any:
    mapping, definitions = GenerateJsonSchema(ref_template="#/s/{model}").generate_definitions(
        [(field, "validation", field._type_adapter.core_schema)]  # type: ignore[list-item]
    )
    return mapping[field, "validation"], definitions  # type: ignore[index]


def test_json_schema_is_msgspecs_with_references_resolved() -> None:
    schema, definitions = _document(_field(list[Shape] | None))
    (expected,), components = msgspec.json.schema_components([list[Shape]], ref_template="#/s/{name}")
    assert schema == {"anyOf": [expected, {"type": "null"}]}
    assert definitions == components


def test_one_struct_has_one_schema_wherever_it_is_used() -> None:
    Wrapper = msgspec.defstruct("Wrapper", [("point", Point)], module="elsewhere")
    adapters = [_field(Wrapper), _field(list[Point])]
    generator = GenerateJsonSchema(ref_template="#/s/{model}")
    inputs: Any = [(field, "validation", field._type_adapter.core_schema) for field in adapters]
    _, definitions = generator.generate_definitions(inputs)
    assert sorted(definitions) == ["Point", "Wrapper"]


def test_generic_structs_have_a_schema() -> None:
    assert list(_document(_field(Box[int]))[1]) == ["Box_int_"]


def test_a_struct_that_msgspec_cannot_decode_is_a_definition_error() -> None:
    class Impossible(msgspec.Struct):
        x: list[int] | set[int]

    with pytest.raises(FastAPIError, match="valid Pydantic field type"):
        _field(Impossible)


def test_a_struct_is_a_body_by_default() -> None:
    def endpoint(one: Point, many: list[Point] | None = None, q: int = 0) -> None: ...

    dependant = OURS.get_dependant(path="/", call=endpoint)
    assert [field.name for field in dependant.body_params] == ["one", "many"]
    values, errors = asyncio.run(OURS.request_body_to_args(dependant.body_params, {"one": {"x": 1}}, True))
    assert (values, errors) == ({"one": Point(1), "many": None}, [])
    body = OURS.get_body_field(body_params=dependant.body_params, name="endpoint", embed_body_fields=True)
    assert body is not None
    assert set(body._type_adapter.json_schema()["$defs"]) == {"Point"}


def test_a_struct_cannot_be_a_query_parameter() -> None:
    def endpoint(one: Annotated[Point, params.Query()]) -> None: ...

    with pytest.raises(AssertionError, match="Query parameter 'one' must be one of the supported types"):
        OURS.get_dependant(path="/", call=endpoint)


def test_other_parameters_know_nothing_of_structs() -> None:
    def endpoint(q: int) -> None: ...

    (field,) = OURS.get_dependant(path="/", call=endpoint).query_params
    assert param_facts(field).plain_kind == "int"


class Everything(msgspec.Struct):
    a: int | None = None
    b: float = 0.0
    c: bool = False
    d: str = ""
    e: list[int] = []
    f: dict[str, float] = {}
    g: set[int] = set()
    h: datetime | None = None
    i: UUID | None = None
    j: dict[int, str] = {}
    k: Any = None
    l: tuple[int, str] | None = None  # noqa: E741


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["1", "1.5", "true", "0", "null", "2020-01-01T00:00:00Z", str(UUID(int=5))]),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["1", "a", "-2"]), inner)),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from("abcdefghijklz"), _values, max_size=4))
@settings(max_examples=200, deadline=None)
def test_direct_decoding_gives_the_exact_value(document: Any) -> None:
    field = _field(Everything)
    facts = body_facts([field], False)
    assert facts.decode is not None
    raw = json.dumps(document).encode()
    try:
        direct = facts.decode(raw)
    except ValueError:
        return
    exact, errors = field.validate(json.loads(raw))
    assert not errors
    assert repr(direct) == repr(exact)


def test_structs_are_not_confused_with_models_and_dataclasses() -> None:
    @dataclass
    class Data:
        x: int

    class Model(BaseModel):
        x: int

    assert not is_struct_annotation(Data)
    assert not is_struct_annotation(list[Model])
