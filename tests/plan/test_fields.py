import typing
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from fastapi import UploadFile as TheirUploadFile
from fastapi._compat import shared, v2
from fastapi.params import Body as TheirBody
from fastapi.params import Query as TheirQuery
from fastapi.utils import create_model_field as their_create_model_field
from pydantic import BaseModel, ConfigDict, Field, Json, RootModel, ValidationError
from pydantic.fields import FieldInfo

from turboapi import params
from turboapi._plan import fields
from turboapi._plan.fields import (
    ModelField,
    Undefined,
    copy_field_info,
    create_body_model,
    create_model_field,
    evaluate_forwardref,
    get_cached_model_fields,
    get_missing_field_error,
    is_scalar_field,
    serialize_sequence_value,
)
from turboapi.datastructures import UploadFile
from turboapi.exceptions import FastAPIError, PydanticV1NotSupportedError

T = typing.TypeVar("T")


class Model(BaseModel):
    model_config = ConfigDict(str_to_upper=True)
    a: int = Field(alias="A", gt=1)
    b: list["Model"] = []
    c: str = "x"
    d: dict[str, int] = {}


class Generic(BaseModel, typing.Generic[T]):
    value: T


@dataclass
class Data:
    x: int


class Hooked:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        raise NotImplementedError


ANNOTATIONS: list[Any] = [
    int,
    str,
    bytes,
    bytearray,
    None,
    Any,
    ...,
    datetime,
    Literal["a"],
    list,
    list[int],
    typing.List[int],  # noqa: UP006
    list[Model],
    list[bytes],
    list[bytes | None],
    list[list[int]],
    set[int],
    frozenset[str],
    deque[int],
    tuple[int, ...],
    tuple[int, str],
    tuple[Model, int],
    Sequence[int],
    typing.Sequence[bytes],
    dict,
    dict[str, int],
    Mapping[str, int],
    Model,
    Generic[int],
    RootModel[list[int]],
    Data,
    Hooked,
    int | None,
    Optional[int],  # noqa: UP045
    Union[int, str],  # noqa: UP007
    int | list[int],
    list[int] | None,
    list[str] | list[bytes],
    list[Model] | None,
    bytes | None,
    bytes | str,
    Model | None,
    Model | int,
    dict[str, int] | None,
    Annotated[int, "x"],
    Annotated[list[int], "x"],
    Annotated[Model, "x"],
    Annotated[list[int], "x"] | None,
    list[Annotated[int, "x"]],
    Annotated[bytes, "x"],
    Json[int],
    str | type(None),
    range,
    memoryview,
    typing.TypedDict("Movie", {"title": str}),
    typing.NamedTuple("Pair", [("x", int)]),
    "forward",
]
PREDICATES = [
    "field_annotation_is_sequence",
    "field_annotation_is_complex",
    "field_annotation_is_scalar",
    "field_annotation_is_scalar_sequence",
    "is_bytes_or_nonable_bytes_annotation",
    "is_bytes_sequence_annotation",
    "is_uploadfile_or_nonable_uploadfile_annotation",
    "is_uploadfile_sequence_annotation",
    "annotation_is_pydantic_v1",
]


@pytest.mark.parametrize("name", PREDICATES)
def test_predicates_equal_the_oracles(name: str) -> None:
    ours, theirs = getattr(fields, name), getattr(shared, name)
    for annotation in ANNOTATIONS:
        assert ours(annotation) == theirs(annotation), annotation
    shapes: list[Any] = [
        lambda t: t,
        lambda t: t | None,
        lambda t: list[t],
        lambda t: list[t] | None,
        lambda t: list[t | None],
    ]
    shapes += [lambda t: list[t] | list[str], lambda t: t | str, lambda t: tuple[t, ...], lambda t: Annotated[t, "x"]]
    for shape in shapes:
        assert ours(shape(UploadFile)) == theirs(shape(TheirUploadFile))


@pytest.mark.parametrize("value", ["x", b"x", [1], (1,), {1}, frozenset(), deque(), {}, None, 1, range(2)], ids=repr)
def test_sequence_values_equal_the_oracles(value: Any) -> None:
    assert fields.value_is_sequence(value) == shared.value_is_sequence(value)


@pytest.mark.parametrize("cls", [int, bool, Model, list[int], None, "x", 3], ids=repr)
def test_lenient_issubclass(cls: Any) -> None:
    for classes in (int, (int, BaseModel)):
        assert fields.lenient_issubclass(cls, classes) == shared.lenient_issubclass(cls, classes)


def _pairs() -> list[tuple[ModelField, Any]]:
    infos: list[dict[str, Any]] = [
        {"annotation": int},
        {"annotation": int, "default": 3, "alias": "x"},
        {"annotation": str, "default": None, "title": "T", "description": "d", "examples": ["e"], "deprecated": True},
        {"annotation": str, "default_factory": lambda: "made", "validation_alias": "v", "serialization_alias": "s"},
        {"annotation": int, "strict": True, "gt": 3, "multiple_of": 2, "default": 4, "json_schema_extra": {"k": 1}},
        {"annotation": list[int], "min_length": 1, "default": []},
        {"annotation": Model},
        {"annotation": Model | None, "default": None},
        {"annotation": Generic[int] | Generic[str]},
        {"annotation": int, "default": "no number", "validate_default": True},
    ]
    return [
        (ModelField(ours(**info), "name"), v2.ModelField(theirs(**info), "name"))
        for info in infos
        for ours, theirs in ((params.Query, TheirQuery), (params.Body, TheirBody), (FieldInfo, FieldInfo))
    ]


@pytest.mark.parametrize(("ours", "theirs"), _pairs())
def test_field_equals_the_oracles(ours: ModelField, theirs: Any) -> None:
    for name in ("alias", "validation_alias", "serialization_alias", "default", "name", "mode", "config"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.get_default() == theirs.get_default()
    for mode in ("validation", "serialization"):
        schema: Any = mode
        assert ours._type_adapter.json_schema(mode=schema) == theirs._type_adapter.json_schema(mode=schema)
    for value in (1, "2", "x", None, 4, [1], ["x"], {"A": 5}, {"A": 0, "b": [{}]}, {"value": 3}):
        assert ours.validate(value, {}, loc=("query", "x")) == theirs.validate(value, {}, loc=("query", "x"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by_alias": False},
        {"exclude_unset": True},
        {"exclude_defaults": True},
        {"exclude_none": True},
        {"include": {"a"}},
        {"exclude": {"a"}},
    ],
)
def test_serialization_equals_the_oracles(options: Any) -> None:
    ours, theirs = ModelField(FieldInfo(annotation=Model), "x"), v2.ModelField(FieldInfo(annotation=Model), "x")
    value = Model.model_validate({"A": 2, "b": [{"A": 3}]})
    assert ours.serialize(value, **options) == theirs.serialize(value, **options)
    assert ours.serialize(value, mode="python", **options) == theirs.serialize(value, mode="python", **options)
    assert ours.serialize_json(value, **options) == theirs.serialize_json(value, **options)


def test_objects_are_validated_by_their_attributes() -> None:
    class Row:
        A = 7
        b: list[Any] = []

    value, errors = ModelField(FieldInfo(annotation=Model), "x").validate(Row())
    assert not errors
    assert value.a == 7


def test_fields_are_compared_and_hashed_by_identity() -> None:
    info = FieldInfo(annotation=int)
    one, two = ModelField(info, "x"), ModelField(info, "x")
    assert one == one
    assert one != two
    assert len({one, two, one}) == 2


def test_a_model_without_additions_keeps_its_own_validator() -> None:
    field = ModelField(params.Body(annotation=Model, alias="x"), "x")
    assert field._type_adapter.validator is Model.__pydantic_validator__
    assert field._type_adapter is field._type_adapter


def test_required_field_has_no_default() -> None:
    assert ModelField(FieldInfo(annotation=int), "x").default is Undefined


def test_a_type_without_schema_is_a_definition_error() -> None:
    class Opaque: ...

    for create, error in ((create_model_field, FastAPIError), (their_create_model_field, Exception)):
        with pytest.raises(error) as caught:
            create("x", Opaque)  # type: ignore[operator]
        message = str(caught.value)
        assert message.startswith("Invalid args for response field! Hint: check that <class ")
        assert message.endswith("https://fastapi.tiangolo.com/tutorial/response-model/")


@pytest.mark.filterwarnings("ignore")
def test_pydantic_v1_models_are_refused() -> None:
    v1 = pytest.importorskip("pydantic.v1", reason="pydantic has removed its v1 namespace")

    class Old(v1.BaseModel):  # type: ignore[misc, name-defined]
        a: int

    for annotation in (Old, Old | None, list[Old], list[Old] | int):
        assert fields.annotation_is_pydantic_v1(annotation) == shared.annotation_is_pydantic_v1(annotation)
    with pytest.raises(PydanticV1NotSupportedError, match="Please update the response model list"):
        create_model_field("x", list[Old])
    assert fields.is_pydantic_v1_model_instance(Old(a=1))
    assert not fields.is_pydantic_v1_model_instance(Model(A=2))


def test_merging_an_annotation_keeps_the_original() -> None:
    annotation = Annotated[int, Field(gt=1, title="first"), "x", params.Query(lt=9, description="d"), Field(le=5)]
    original = params.Query(lt=9, description="d", include_in_schema=False)
    copied = copy_field_info(field_info=original, annotation=annotation)
    theirs = v2.copy_field_info(
        field_info=TheirQuery(lt=9, description="d", include_in_schema=False), annotation=annotation
    )
    assert isinstance(copied, params.Query)
    assert (copied.annotation, copied.metadata) == (int, theirs.metadata)
    assert (copied.title, copied.description) == (theirs.title, theirs.description) == ("first", "d")
    assert copied.include_in_schema is False
    assert copied._attributes_set == theirs._attributes_set
    assert original.title is None


def test_missing_error_equals_the_oracles() -> None:
    assert get_missing_field_error(("query", "x")) == v2.get_missing_field_error(("query", "x"))
    assert list(get_missing_field_error(())) == list(v2.get_missing_field_error(()))


def test_fields_of_a_model() -> None:
    ours, theirs = get_cached_model_fields(Model), v2.get_cached_model_fields(Model)
    assert [(field.name, field.alias, field.config) for field in ours] == [
        (field.name, field.alias, field.config) for field in theirs
    ]
    assert get_cached_model_fields(Model) is ours
    for value in ("2", "x", {"k": "1"}, [{"A": 3}]):
        assert [field.validate(value) for field in ours] == [field.validate(value) for field in theirs]


def test_body_model_has_the_fields_given() -> None:
    given = [
        ModelField(params.Body(annotation=int, alias="A", gt=1), "a"),
        ModelField(params.Body("x", annotation=str), "b"),
    ]
    model = create_body_model(fields=given, model_name="Body_x", config={"extra": "forbid"})
    assert model.__name__ == "Body_x"
    assert model.model_validate({"A": 2}).model_dump() == {"a": 2, "b": "x"}
    with pytest.raises(ValidationError):
        model.model_validate({"A": 1})


@pytest.mark.parametrize(
    "annotation", [list[str], list[str] | None, None | set[str], tuple[str, ...], Sequence[str], deque, frozenset[str]]
)
def test_sequences_get_the_container_of_the_annotation(annotation: Any) -> None:
    info = FieldInfo(annotation=annotation)
    ours = serialize_sequence_value(field=ModelField(info, "x"), value=["a", "b"])
    theirs = v2.serialize_sequence_value(field=v2.ModelField(info, "x"), value=["a", "b"])
    assert (type(ours), ours) == (type(theirs), theirs)


def test_forward_references() -> None:
    namespace = {"Known": int}
    for value in ("list[Known]", "Unknown", int, typing.ForwardRef("Known | None")):
        reference = typing.ForwardRef(value) if isinstance(value, str) else value
        assert evaluate_forwardref(reference, namespace, namespace) == v2.evaluate_forwardref(
            reference, namespace, namespace
        )


def test_scalar_fields_are_not_in_the_body() -> None:
    assert is_scalar_field(ModelField(params.Query(annotation=int), "x"))
    assert not is_scalar_field(ModelField(params.Query(annotation=list[int]), "x"))
    assert not is_scalar_field(ModelField(params.Body(annotation=int), "x"))
