# ruff: noqa: B008 - calls in default values are what is tested here

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    Tag,
    ValidationError,
    model_validator,
)

from tests.plan.oracle import OURS, THEIRS, Framework, describe_field, form, outcome, plain
from turboapi import params
from turboapi._plan.body import BodyFacts, body_facts, resolve_form_limits, validate_form_limits
from turboapi._plan.fields import ModelField
from turboapi._plan.forms import ensure_multipart_is_installed, read_file_bytes
from turboapi.datastructures import UploadFile

Case = Callable[[Framework], Callable[..., Any]]
CASES: list[Case] = []


class Item(BaseModel):
    name: str
    size: int = 0


class Choice(BaseModel):
    kind: Literal["choice"]
    tags: list[str] = Field([], alias="tag")
    n: int = Field(0, validation_alias=AliasChoices("one", "two"))


class Other(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["other"]
    name: str = "x"


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    size: int = Field(1, alias="Size")


class Looking(BaseModel):
    names: Any = None

    @model_validator(mode="before")
    @classmethod
    def see(cls, value: Any) -> Any:
        return {"names": sorted(value)} if isinstance(value, dict) else value


def _kind_of(value: Any) -> str:
    return "other" if isinstance(value, dict) and value.get("kind") == "other" else "choice"


def case(function: Case) -> Case:
    CASES.append(function)
    return function


@case
def one_model(f: Framework) -> Any:
    def endpoint(item: Item) -> None: ...

    return endpoint


@case
def one_optional_model(f: Framework) -> Any:
    def endpoint(item: Item | None = None) -> None: ...

    return endpoint


@case
def one_embedded_model(f: Framework) -> Any:
    def endpoint(item: Annotated[Item, f.Body(embed=True)]) -> None: ...

    return endpoint


@case
def scalar_and_sequence(f: Framework) -> Any:
    def endpoint(
        name: Annotated[str, f.Body(min_length=2)],
        size: list[int] = f.Body([1]),
        kind: str | None = f.Body(None, alias="K"),
    ) -> None: ...

    return endpoint


@case
def one_scalar(f: Framework) -> Any:
    def endpoint(name: Annotated[int, f.Body(ge=1)]) -> None: ...

    return endpoint


@case
def one_scalar_with_default(f: Framework) -> Any:
    def endpoint(name: int = f.Body("bad", validate_default=True)) -> None: ...

    return endpoint


@case
def several_models(f: Framework) -> Any:
    def endpoint(
        item: Item,
        other: Allowing | None = None,
        n: Annotated[int, f.Body(validation_alias=AliasChoices("two", "one"))] = 3,
    ) -> None: ...

    return endpoint


@case
def unions(f: Framework) -> Any:
    def endpoint(item: Annotated[Choice | Other | None, f.Body(discriminator="kind")] = None) -> None: ...

    return endpoint


@case
def json_string(f: Framework) -> Any:
    def endpoint(name: Annotated[Json[list[int]], f.Body()]) -> None: ...

    return endpoint


@case
def form_fields(f: Framework) -> Any:
    def endpoint(
        name: Annotated[str, f.Form()],
        size: int | None = f.Form(None),
        tag: list[str] = f.Form(["dflt"]),
        flag: bool = f.Form(False),
        n: Annotated[str, f.Form(validation_alias=AliasChoices("two", "one"))] = "",
        data: Annotated[Json[Any], f.Form()] = "1",  # type: ignore[assignment]
    ) -> None: ...

    return endpoint


@case
def one_form_field(f: Framework) -> Any:
    def endpoint(name: str = f.Form()) -> None: ...

    return endpoint


@case
def form_model(f: Framework) -> Any:
    def endpoint(choice: Annotated[Choice, f.Form()]) -> None: ...

    return endpoint


@case
def optional_form_model(f: Framework) -> Any:
    def endpoint(item: Annotated[Item | None, f.Form()] = None) -> None: ...

    return endpoint


@case
def required_nullable_form_model(f: Framework) -> Any:
    def endpoint(item: Annotated[Allowing | None, f.Form()]) -> None: ...

    return endpoint


@case
def several_form_models(f: Framework) -> Any:
    def endpoint(
        item: Annotated[Item, f.Form()],
        allowing: Annotated[Allowing | None, f.Form()] = None,
        looking: Annotated[Looking, f.Form()] = None,  # type: ignore[assignment]
        name: Annotated[str, f.Form()] = "",
        again: Annotated[str, f.Form(alias="name")] = "",
    ) -> None: ...

    return endpoint


@case
def form_union(f: Framework) -> Any:
    def endpoint(choice: Annotated[Choice | Other, f.Form()]) -> None: ...

    return endpoint


@case
def optional_discriminated_form_union(f: Framework) -> Any:
    def endpoint(
        choice: Annotated[Choice | Other | None, f.Form(discriminator="kind")] = None,
        item: Annotated[Item | None, f.Form()] = None,
    ) -> None: ...

    return endpoint


@case
def tagged_form_union(f: Framework) -> Any:
    union = Annotated[
        Annotated[Choice, Tag("choice")] | Annotated[Other, Tag("other")], Discriminator(_kind_of), f.Form()
    ]

    def endpoint(choice: union) -> None: ...

    return endpoint


@case
def embedded_form_model(f: Framework) -> Any:
    def endpoint(name: Annotated[Json[Item], f.Form()]) -> None: ...

    return endpoint


@case
def files(f: Framework) -> Any:
    def endpoint(
        upload: f.UploadFile,
        data: Annotated[bytes | None, f.File()] = None,
        many: Annotated[list[bytes], f.File()] = [],  # noqa: B006
        uploads: list[f.UploadFile] | None = None,
        several: Annotated[set[bytes] | None, f.File(alias="many")] = None,
        name: Annotated[str, f.Form()] = "",
    ) -> None: ...

    return endpoint


@case
def converted_file(f: Framework) -> Any:
    def endpoint(data: Annotated[bytes, f.File(), BeforeValidator(lambda value: value * 2)]) -> None: ...

    return endpoint


_keys = st.sampled_from(
    [
        "name",
        "size",
        "kind",
        "K",
        "tag",
        "tags",
        "one",
        "two",
        "n",
        "Size",
        "item",
        "other",
        "zzz",
        "flag",
        "data",
        "choice",
    ]
)
_texts = st.sampled_from(["", "1", "abc", "choice", "other", "true", "[1]", '{"name": "x"}', "null"])
_scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.floats(allow_nan=False), _texts)
_documents = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=5)),
    max_leaves=8,
)
_files = st.tuples(st.sampled_from(["", "a.txt"]), st.sampled_from([b"", b"abc"]))
_file_keys = st.sampled_from(["upload", "data", "many", "uploads", "name"])
_forms = st.lists(st.one_of(st.tuples(_keys, _texts), st.tuples(_file_keys, _files)), max_size=7)


def _fields(f: Framework, build: Case) -> list[Any]:
    return f.get_flat_body_params(f.get_dependant(path="/", call=build(f)))


def _extract(f: Framework, fields: list[Any], body: Any, embed: bool) -> Any:
    values, errors = asyncio.run(
        f.request_body_to_args(body_fields=fields, received_body=body, embed_body_fields=embed)
    )
    return {name: (type(value).__name__, plain(value)) for name, value in values.items()}, plain(errors)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_values_and_errors_equal_the_oracles(build: Case) -> None:
    ours, theirs = _fields(OURS, build), _fields(THEIRS, build)
    embed = OURS.should_embed_body_fields(ours)
    assert embed == THEIRS.should_embed_body_fields(theirs)

    @given(st.one_of(st.tuples(st.just("form"), _forms), st.tuples(st.just("json"), _documents)))
    @settings(max_examples=60, deadline=None)
    def compare(body: tuple[str, Any]) -> None:
        kind, content = body
        bodies = [form(f, content) if kind == "form" else content for f in (OURS, THEIRS)]
        assert outcome(_extract, OURS, ours, bodies[0], embed) == outcome(_extract, THEIRS, theirs, bodies[1], embed)

    compare()
    for body in (b"raw", b""):
        assert _extract(OURS, ours, body, embed) == _extract(THEIRS, theirs, body, embed)
    assert _extract(OURS, ours, OURS.Undefined, embed) == _extract(THEIRS, theirs, THEIRS.Undefined, embed)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_body_field_equals_the_oracles(build: Case) -> None:
    def describe(f: Framework) -> Any:
        fields = _fields(f, build)
        embed = f.should_embed_body_fields(fields)
        field = f.get_body_field(body_params=fields, name="endpoint", embed_body_fields=embed)
        assert field is not None
        description = describe_field(field)
        description["info"].pop("annotation")
        return description, field._type_adapter.json_schema()

    assert describe(OURS) == describe(THEIRS)


@pytest.mark.parametrize("same", [True, False])
def test_parameters_of_one_name_in_dependencies(same: bool) -> None:
    def embeds(f: Framework) -> bool:
        def dependency(choice: Annotated[Choice, f.Form()]) -> None: ...
        def endpoint(
            choice: Annotated[Choice if same else Other, f.Form()], d: None = f.Depends(dependency)
        ) -> None: ...

        return f.should_embed_body_fields(f.get_flat_body_params(f.get_dependant(path="/", call=endpoint)))

    assert embeds(OURS) == embeds(THEIRS) == (not same)


def test_no_body_parameters() -> None:
    assert not OURS.should_embed_body_fields([])
    assert OURS.get_body_field(body_params=[], name="x", embed_body_fields=False) is None
    with pytest.raises(AssertionError, match="should be called with fields"):
        asyncio.run(OURS.request_body_to_args([], {}, False))


def test_a_file_read_for_a_parameter_is_left_where_it_was() -> None:
    stream = BytesIO(b"hello")
    stream.seek(2)
    assert asyncio.run(read_file_bytes(UploadFile(stream, filename="x"))) == b"llo"
    assert stream.tell() == 2


@pytest.mark.parametrize(
    "limits", [{"max_fields": -1}, {"max_files": "3"}, {"max_part_size": True}, {"other": 1}, {"max_fields": 1.0}, 3]
)
def test_bad_form_limits_are_refused(limits: Any) -> None:
    with pytest.raises(ValidationError):
        validate_form_limits(limits)


def test_inner_form_limits_override_outer_ones() -> None:
    outer = validate_form_limits({"max_fields": 1, "max_files": 2})
    assert validate_form_limits(None) == {}
    assert resolve_form_limits(outer, None) == outer
    assert resolve_form_limits(outer, {"max_fields": 5}) == {"max_fields": 5, "max_files": 2}


def test_missing_multipart_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_multipart_is_installed()
    monkeypatch.setattr("python_multipart.__version__", "0.0.12")
    monkeypatch.setitem(__import__("sys").modules, "multipart", None)
    with pytest.raises(RuntimeError, match='You can install "python-multipart" with'):
        ensure_multipart_is_installed()


def test_wrong_multipart_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = type(asyncio)("multipart")
    wrong.__version__ = "1.0"  # type: ignore[attr-defined]
    monkeypatch.setattr("python_multipart.__version__", "0.0.12")
    monkeypatch.setitem(__import__("sys").modules, "multipart", wrong)
    monkeypatch.setitem(__import__("sys").modules, "multipart.multipart", type(asyncio)("multipart.multipart"))
    with pytest.raises(RuntimeError, match='It seems you installed "multipart" instead'):
        ensure_multipart_is_installed()


class Point(msgspec.Struct):
    x: int
    label: str | None = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int


def _facts(*annotations: Any) -> BodyFacts:
    fields = [ModelField(field_info=_as_info(annotation), name=f"p{i}") for i, annotation in enumerate(annotations)]
    return body_facts(fields, OURS.should_embed_body_fields(fields))


def _as_info(annotation: Any) -> Any:
    return annotation if isinstance(annotation, params.Body) else params.Body(annotation=annotation)


@pytest.mark.parametrize("annotation", [Item, Item | None, list[Item], dict[str, datetime], int, Any, list[int | str]])
def test_one_known_body_is_validated_directly(annotation: Any) -> None:
    facts = _facts(annotation)
    assert facts.json_direct
    assert facts.field is not None
    assert facts.decode == facts.field._type_adapter.validator.validate_json


def test_floats_are_validated_directly_with_a_check() -> None:
    facts = _facts(list[float])
    assert not facts.json_direct
    assert facts.decode is not None
    assert facts.decode(b"[1.5, 2]") == [1.5, 2.0]
    with pytest.raises(ValueError, match="too long"):
        facts.decode(b"[" + b"9" * 400 + b"]")


@pytest.mark.parametrize("annotation", [Strict, bytes, datetime | str, Annotated[int, BeforeValidator(int)]])
def test_other_bodies_are_not_validated_directly(annotation: Any) -> None:
    facts = _facts(annotation)
    assert facts == BodyFacts(field=facts.field, is_form=False, decode=None, json_direct=False, struct_type=None)


@pytest.mark.parametrize(
    ("annotations", "is_form"),
    [
        ([], False),
        ([Item, int], False),
        ([params.Body(annotation=Item, embed=True)], False),
        ([params.Form(annotation=Item)], True),
        ([params.Form(annotation=str)], True),
        ([params.File(annotation=bytes), params.Form(annotation=int)], True),
    ],
)
def test_no_field_is_the_whole_json_body(annotations: list[Any], is_form: bool) -> None:
    assert _facts(*annotations) == BodyFacts(None, is_form, None, json_direct=False, struct_type=None)


@pytest.mark.parametrize("annotation", [Point, Point | None, list[Point], dict[str, list[Point]]])
def test_structs_are_decoded_by_msgspec(annotation: Any) -> None:
    facts = _facts(annotation)
    assert facts.struct_type == annotation
    assert facts.decode is not None
    assert not facts.json_direct


@pytest.mark.parametrize(
    "annotation", [Point | int, set[Point], dict[int, Point], params.Body(annotation=list[Point], min_length=1)]
)
def test_structs_among_other_things_are_left_to_the_exact_way(annotation: Any) -> None:
    facts = _facts(annotation)
    assert facts.struct_type is None
    assert facts.decode is None


def test_direct_bodies_have_the_exact_value() -> None:
    raw = json.dumps({"name": "x", "size": "3"}).encode()
    facts = _facts(Item)
    assert facts.field is not None
    assert facts.decode is not None
    exact, errors = asyncio.run(OURS.request_body_to_args([facts.field], json.loads(raw), False))
    assert not errors
    assert facts.decode(raw) == exact["p0"] == Item(name="x", size=3)
