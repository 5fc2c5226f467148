import asyncio
import json
import typing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, Union, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, Json, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from tests.plan.oracle import OURS
from turboapi import params
from turboapi._plan.arguments import param_facts
from turboapi._plan.body import body_facts
from turboapi._plan.fields import ModelField, create_model_field, field_annotation_is_scalar
from turboapi._plan.structs import adapt_structs, contains_struct, is_struct_annotation, is_tagged_union
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


class Cat(msgspec.Struct, tag="cat"):
    """A cat."""

    lives: Annotated[int, msgspec.Meta(ge=1, le=9, description="What is left")] = 9


class Dog(msgspec.Struct, tag="dog", forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=2, pattern="^[A-Z]")]


class Limits(msgspec.Struct):
    at_least: Annotated[int, msgspec.Meta(ge=3)] | None = None
    at_most: Annotated[float, msgspec.Meta(le=1.5)] = 0
    above: Annotated[float, msgspec.Meta(gt=1)] = 2
    below: Annotated[float, msgspec.Meta(lt=1)] = 0
    step: Annotated[int, msgspec.Meta(multiple_of=5)] = 0
    short: Annotated[str, msgspec.Meta(max_length=2)] = ""
    long: Annotated[str, msgspec.Meta(min_length=2)] = "ab"
    pattern: Annotated[str, msgspec.Meta(pattern="^a'b$")] = "a'b"
    few: Annotated[list[int], msgspec.Meta(max_length=1)] = []
    many: Annotated[dict[str, int], msgspec.Meta(min_length=1)] = {}
    data: Annotated[bytes, msgspec.Meta(max_length=1)] = b""


class Early(msgspec.Struct):
    late: "Late"  # type: ignore[name-defined]  # noqa: F821


class LimitsModel(BaseModel):
    at_least: Annotated[int, Field(ge=3)] | None = None
    at_most: float = Field(0, le=1.5)
    above: float = Field(2, gt=1)
    below: float = Field(0, lt=1)
    step: int = Field(0, multiple_of=5)
    short: str = Field("", max_length=2)
    long: str = Field("ab", min_length=2)
    pattern: str = Field("a'b", pattern="^a'b$")
    few: list[int] = Field([], max_length=1)
    many: dict[str, int] = Field({}, min_length=1)
    data: bytes = Field(b"", max_length=1)


class Zoo(BaseModel):
    first: Point
    pet: Cat | Dog | None = None
    pets: dict[str, Cat | Dog] = {}
    mixed: Point | int | list[Point] = 1
    box: Box[int] = Box(1)


def _field(annotation: Any) -> ModelField:
    return create_model_field("body", annotation, field_info=params.Body(annotation=annotation))


@pytest.mark.parametrize("annotation", [Point, Box, Box[int]])
def test_struct_annotations_are_recognised(annotation: Any) -> None:
    assert is_struct_annotation(annotation)
    assert not field_annotation_is_scalar(annotation)


@pytest.mark.parametrize(
    "annotation",
    [int, list[int], Annotated[str, "x"], None, Any, "Point", Point, list[Point], Point | None, Box[int], Cat | Point],
)
def test_annotations_without_tagged_unions_stay_the_same_object(annotation: Any) -> None:
    assert adapt_structs(annotation) is annotation


@pytest.mark.parametrize(
    "annotation",
    [
        Cat | Dog,
        Union[Cat, Dog, None],  # noqa: UP007
        list[Cat | Dog],
        dict[str, list[Cat | Dog]],
        tuple[Cat | Dog, int],
        Annotated[list[Cat | Dog], "x"],
        list[Cat | Dog] | int,
        typing.List[Cat | Dog],  # noqa: UP006
    ],
)
def test_tagged_unions_become_one_type(annotation: Any) -> None:
    adapted = adapt_structs(annotation)
    assert adapted is not annotation
    assert str(TypeAdapter(adapted).core_schema).count("'no-info'") == 1
    if "x" in get_args(annotation):
        assert "x" in get_args(adapted)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(Cat | Dog, True), (Cat | Dog | None, True), (Cat | None, False), (Cat | Point, False), (list[Cat], False)],
)
def test_tagged_unions_are_recognised(annotation: Any, expected: bool) -> None:
    assert is_tagged_union(annotation) is expected


@pytest.mark.parametrize("annotation", [Point, Box[int], list[Point | None], dict[str, Annotated[Cat, "x"]]])
def test_structs_are_found_inside_of_annotations(annotation: Any) -> None:
    assert contains_struct(annotation)
    assert not contains_struct(list[int] | None)


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
            "greater_than_equal",
            ("allPoints", 0, "y"),
            "Input should be greater than or equal to 0",
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
            "datetime_parsing",
            ("when",),
            "Input should be a valid datetime, invalid RFC3339 encoded datetime",
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


@pytest.mark.parametrize(
    "body",
    [
        {"at_least": 2},
        {"at_most": 2},
        {"above": 1},
        {"below": 1},
        {"step": 6},
        {"short": "abc"},
        {"long": "a"},
        {"pattern": "b"},
        {"few": [1, 2]},
        {"many": {}},
        {"at_least": []},
        {"short": 5},
        {"few": 5},
    ],
)
def test_errors_of_constraints_are_those_of_an_equivalent_model(body: Any) -> None:
    _, ours = _field(Limits).validate(body, loc=("body",))
    _, expected = _field(LimitsModel).validate(body, loc=("body",))
    assert ours == expected


def test_other_constraints() -> None:
    _, (error,) = _field(Limits).validate({"data": "AAAA"})
    assert (error["type"], error["ctx"]) == ("bytes_too_long", {"max_length": 1})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "cow"}, [("union_tag_invalid", ())]),
        ({}, [("missing", ("type",))]),
        (3, [("dict_type", ())]),
        ({"type": "cat", "lives": 10}, [("less_than_equal", ("lives",))]),
        ({"type": "dog", "name": "A"}, [("string_too_short", ("name",))]),
        ({"type": "dog", "name": "Al", "x": 1}, [("extra_forbidden", ("x",))]),
    ],
)
def test_tagged_unions_have_one_error(body: Any, expected: Any) -> None:
    for annotation, value, loc in ((Cat | Dog, body, ()), (list[Cat | Dog | None], [body], (0,))):
        _, errors = _field(annotation).validate(value)
        assert [(error["type"], error["loc"]) for error in errors] == [
            (type_, loc + place) for type_, place in expected
        ]


def test_the_error_of_an_unknown_tag_reads_like_pydantics() -> None:
    _, (error,) = _field(Cat | Dog).validate({"type": "cow"})
    assert error["msg"] == "Input tag 'cow' found using 'type' does not match any of the expected tags"
    assert error["ctx"] == {"discriminator": "'type'", "tag": "'cow'"}


class Shelter(msgspec.Struct):
    pets: dict[str, Cat | Dog] = {}
    names: dict[str, Annotated[list[str], msgspec.Meta(max_length=1)]] = {}
    kind: str = ""

    def __post_init__(self) -> None:
        if self.kind:
            raise ValueError(self.kind)


@pytest.mark.parametrize(
    ("body", "type_", "place"),
    [
        ({"pets": {"a": {"type": "cow"}}}, "union_tag_invalid", ("pets", "...")),
        ({"pets": {"a": {"type": "cat", "lives": 0}}}, "greater_than_equal", ("pets", "...", "lives")),
        ({"names": {"a": ["b", "c"]}}, "value_error", ("names", "...")),
        ({"kind": "Invalid value 'x'"}, "value_error", ()),
        ({"kind": "Invalid value 5 - at `$.kind`"}, "value_error", ("kind",)),
        ({"kind": "Expected `str` matching regex x"}, "value_error", ()),
    ],
)
def test_nothing_is_claimed_that_msgspec_does_not_tell(body: Any, type_: str, place: Any) -> None:
    _, (error,) = _field(Shelter).validate(body)
    assert (error["type"], error["loc"]) == (type_, place)


def test_models_with_structs_are_validated_and_written() -> None:
    field = _field(Zoo)
    body = {
        "first": {"x": "1"},
        "pet": {"type": "dog", "name": "Al"},
        "pets": {"a": {"type": "cat"}},
        "mixed": [{"x": 2}],
    }
    value, errors = field.validate(body)
    assert not errors
    assert value == Zoo(first=Point(1), pet=Dog("Al"), pets={"a": Cat()}, mixed=[Point(2)])
    assert value.box == Box(1)
    expected = {
        "first": {"x": 1, "y": 0.0},
        "pet": {"type": "dog", "name": "Al"},
        "pets": {"a": {"type": "cat", "lives": 9}},
        "mixed": [{"x": 2, "y": 0.0}],
        "box": {"content": 1},
    }
    assert json.loads(field.serialize_json(value)) == field.serialize(value) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"first": {}}, [("missing", ("first", "x"))]),
        ({"pet": {"type": "cow"}}, [("union_tag_invalid", ("pet",))]),
        ({"pet": {"type": "cat", "lives": 0}}, [("greater_than_equal", ("pet", "Cat", "lives"))]),
        ({"pets": {"a": {"type": "dog"}}}, [("missing", ("pets", "a", "Dog", "name"))]),
        ({"pets": {"a": {"type": 1}, "b": {}}}, None),
        (
            {"mixed": "x"},
            [
                ("dict_type", ("mixed", "Point")),
                ("int_parsing", ("mixed", "int")),
                ("list_type", ("mixed", "list[Point]")),
            ],
        ),
        ({"box": {"content": "x"}}, [("int_type", ("box", "content"))]),
    ],
)
def test_errors_of_structs_in_models_say_where(part: Any, expected: Any) -> None:
    _, errors = _field(Zoo).validate({"first": {"x": 1}, **part})
    assert errors
    assert "function-plain" not in str(errors)
    if expected is not None:
        assert [(error["type"], error["loc"]) for error in errors] == expected


def test_instances_stay_what_they_are_in_unions() -> None:
    class Puppy(Dog, tag="puppy"):
        age: int = 0

    class Model(BaseModel):
        pet: Cat | Dog | Puppy

    for pet in (Cat(), Dog("Al"), Puppy("Al", 2)):
        assert Model(pet=pet).pet is pet
        value, errors = _field(Cat | Dog | Puppy).validate(pet)
        assert value is pet
        assert not errors


def test_a_model_waits_for_the_classes_of_its_structs() -> None:
    class Model(BaseModel):
        node: Early

    globals()["Late"] = msgspec.defstruct("Late", [("x", int)])
    try:
        Model.model_rebuild()
        assert Model.model_validate({"node": {"late": {"x": 1}}}).node.late.x == 1
    finally:
        del globals()["Late"]


def test_a_struct_may_speak_for_itself() -> None:
    class Own(msgspec.Struct):
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.int_schema()

    assert TypeAdapter(list[Own]).validate_python(["1"]) == [1]


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


@pytest.mark.parametrize("kind", [params.Query, params.Header, params.Cookie, params.Form])
@pytest.mark.parametrize("annotation", [Point, Point | None, list[Point]])
def test_a_struct_cannot_be_a_parameter_model(kind: Any, annotation: Any) -> None:
    def endpoint(one: Annotated[annotation, kind()]) -> None: ...

    expected = f"{kind.__name__} parameter 'one' cannot be a msgspec.Struct"
    with pytest.raises(AssertionError, match=expected):
        OURS.get_dependant(path="/", call=endpoint)


@pytest.mark.parametrize("kind", [params.Query, params.Header, params.Cookie, params.Form])
def test_a_parameter_may_be_a_struct_as_json_text(kind: Any) -> None:
    def endpoint(one: Annotated[Json[Point], kind()]) -> None: ...

    dependant = OURS.get_dependant(path="/", call=endpoint)
    (field,) = dependant.query_params + dependant.header_params + dependant.cookie_params + dependant.body_params
    assert field.validate('{"x": 1}') == (Point(1), [])


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


_tagged = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["cat", "dog", "cow", 1]), "lives": _scalars, "name": st.text(max_size=3)}
)


@pytest.mark.parametrize("annotation", [Cat | Dog, Cat | Dog | None])
@given(document=st.one_of(_tagged, _scalars))
@settings(max_examples=100, deadline=None)
def test_direct_decoding_of_tagged_unions_gives_the_exact_value(annotation: Any, document: Any) -> None:
    field = _field(annotation)
    facts = body_facts([field], False)
    assert facts.struct_type == annotation
    assert facts.decode is not None
    try:
        direct = facts.decode(json.dumps(document).encode())
    except ValueError:
        direct = None
    exact, errors = field.validate(document)
    assert direct == exact
    assert bool(errors) == (direct is None and document is not None) or (document is None and annotation == Cat | Dog)


def test_structs_are_not_confused_with_models_and_dataclasses() -> None:
    @dataclass
    class Data:
        x: int

    class Model(BaseModel):
        x: int

    assert not is_struct_annotation(Data)
    assert not is_struct_annotation(list[Model])
