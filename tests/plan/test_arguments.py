# ruff: noqa: B008 - calls in default values are what is tested here

import enum
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, Json, model_validator

from tests.plan.oracle import OURS, THEIRS, Framework, plain
from turboapi import params
from turboapi._plan.arguments import ParamFacts, extract_param, param_facts
from turboapi._plan.fields import ModelField

Case = Callable[[Framework], tuple[str, Callable[..., Any]]]
CASES: list[Case] = []


class Color(enum.Enum):
    red = "red"


class Filters(BaseModel):
    limit: int = Field(10, gt=0)
    tags: list[str] = Field([], alias="tag")
    x_token: str | None = None
    choice: int = Field(0, validation_alias=AliasChoices("one", "two"))


class Forbidding(Filters):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow", loc_by_alias=False)
    a_b: int


class NamesOnly(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
    a_b: int = Field(1, alias="other")


class Looking(BaseModel):
    a: int = 1

    @model_validator(mode="before")
    @classmethod
    def see(cls, value: Any) -> Any:
        assert isinstance(value, dict)
        return {"a": len(value)}


def case(function: Case) -> Case:
    CASES.append(function)
    return function


@case
def scalars(f: Framework) -> Any:
    def endpoint(
        item_id: int,
        a: str,
        b: bool = False,
        c: int | None = None,
        d: float = 0.5,
        e: Color = Color.red,
        f_: UUID | None = None,
        g: datetime | None = None,
        h: Literal["x", "1"] = "x",
        i: int | str = 3,
        j: Annotated[int, f.Query(strict=True)] = 1,
    ) -> None: ...

    return "/{item_id}", endpoint


@case
def constraints_and_defaults(f: Framework) -> Any:
    def endpoint(
        item_id: Annotated[int, f.Path(ge=2)],
        a: str = f.Query("default", min_length=2, max_length=3, pattern="^[a-z]+$"),
        b: list[int] = f.Query([1, 2]),
        c: Annotated[list[str], f.Query(default_factory=lambda: ["made"])] = f.Undefined,
        d: int = f.Query("bad", validate_default=True),
        e: set[int] | None = None,
        f_: Annotated[tuple[int, int], f.Query()] = (1, 2),
        g: Annotated[Json[list[int]], f.Query()] = "[]",  # type: ignore[assignment]
        h: Annotated[int, BeforeValidator(lambda value: len(value))] = 0,
        i: Decimal = Decimal(1),
    ) -> None: ...

    return "/{item_id}", endpoint


@case
def aliases(f: Framework) -> Any:
    def endpoint(
        item_id: Annotated[int, f.Path(alias="id")],
        a: Annotated[int, f.Query(alias="limit")],
        b: Annotated[str, f.Query(validation_alias="tag")] = "",
        c: Annotated[str, f.Query(validation_alias=AliasChoices("two", "one", "a"))] = "",
        d: Annotated[str, f.Query(validation_alias=AliasPath("one", 0))] = "",
        e: Annotated[str, f.Query(validation_alias=AliasChoices(AliasPath("x", 0), "tag"))] = "",
    ) -> None: ...

    return "/{id}", endpoint


@case
def headers_and_cookies(f: Framework) -> Any:
    def endpoint(
        x_token: Annotated[str, f.Header()],
        a_b: Annotated[int | None, f.Header(convert_underscores=False)] = None,
        tags: Annotated[list[str] | None, f.Header(alias="Tag")] = None,
        one: Annotated[str, f.Header(validation_alias=AliasChoices("Two", "x_token"))] = "",
        limit: Annotated[int, f.Cookie(gt=3)] = 5,
        many: Annotated[list[str], f.Cookie(alias="tag")] = [],  # noqa: B006
    ) -> None: ...

    return "/", endpoint


def _model_case(model: Any, optional: bool = False) -> None:
    def build(f: Framework) -> Any:
        annotation = model | None if optional else model
        default = {"default": None} if optional else {}

        def query(q: annotation = f.Query(**default)) -> None: ...
        def header(h: annotation = f.Header(**default)) -> None: ...
        def unconverted(h: annotation = f.Header(convert_underscores=False, **default)) -> None: ...
        def cookie(c: annotation = f.Cookie(**default)) -> None: ...
        def endpoint(
            q: Any = f.Depends(query),
            h: Any = f.Depends(header),
            u: Any = f.Depends(unconverted),
            c: Any = f.Depends(cookie),
        ) -> None: ...

        return "/", endpoint

    build.__name__ = model.__name__ + "_or_none" * optional
    CASES.append(build)


for _model in (Filters, Forbidding, Allowing, NamesOnly, Looking):
    _model_case(_model)
    _model_case(_model, optional=True)

_keys = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "d",
        "e",
        "f_",
        "g",
        "h",
        "i",
        "j",
        "limit",
        "tag",
        "tags",
        "x_token",
        "x-token",
        "X-Token",
        "choice",
    ]
    + ["one", "two", "Two", "a_b", "a-b", "other", "item_id", "id", "zzz"]
)
_texts = st.sampled_from(
    ["", "1", "0", "-5", "x", "abc", "red", "true", "null", "1.5", "[1]", "[]", "1,2", "2020-01-01T00:00:00", " 1 "]
    + ["12345678-1234-5678-1234-567812345678"]
)
_items = st.lists(st.tuples(_keys, _texts), max_size=8)
_requests = st.fixed_dictionaries(
    {
        "path": st.dictionaries(st.sampled_from(["item_id", "id"]), st.one_of(_texts, st.integers()), max_size=2),
        "query": _items,
        "headers": _items,
        "cookies": st.dictionaries(_keys, _texts, max_size=5),
    }
)


def _extract(f: Framework, dependant: Any, request: dict[str, Any]) -> Any:
    received = {
        "path": request["path"],
        "query": f.QueryParams(request["query"]),
        "header": f.Headers(raw=[(k.lower().encode(), v.encode()) for k, v in request["headers"]]),
        "cookie": request["cookies"],
    }
    results = [
        f.request_params_to_args(getattr(item, f"{source}_params"), values)
        for item in (dependant, *dependant.dependencies)
        for source, values in received.items()
    ]
    return [
        ({name: (type(value), plain(value)) for name, value in values.items()}, plain(errors))
        for values, errors in results
    ]


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_values_and_errors_equal_the_oracles(build: Case) -> None:
    ours, theirs = (f.get_dependant(path=build(f)[0], call=build(f)[1]) for f in (OURS, THEIRS))

    @given(_requests)
    @settings(max_examples=60, deadline=None)
    def compare(request: dict[str, Any]) -> None:
        assert _extract(OURS, ours, request) == _extract(THEIRS, theirs, request)

    compare()


def test_defaults_are_copied() -> None:
    def endpoint(tags: Annotated[list[str], params.Query()] = ["x"]) -> None: ...  # noqa: B006

    (field,) = OURS.get_dependant(path="/", call=endpoint).query_params
    first, _ = extract_param(field, OURS.QueryParams(""))
    second, _ = extract_param(field, OURS.QueryParams(""))
    assert first == second == ["x"]
    assert first is not second


def test_a_field_that_is_no_parameter_is_refused() -> None:
    field = ModelField(field_info=params.Body(annotation=int), name="x")
    with pytest.raises(AssertionError, match="Params must be subclasses of Param"):
        extract_param(field, {})


def _facts(annotation: Any, path: str = "/") -> ParamFacts:
    def endpoint(value: annotation) -> None: ...

    (field,) = OURS.get_flat_params(OURS.get_dependant(path=path, call=endpoint))
    return param_facts(field)


def _facts_with(annotation: Any, default: Any) -> ParamFacts:
    def endpoint(value: annotation = default) -> None: ...

    (field,) = OURS.get_dependant(path="/", call=endpoint).query_params
    return param_facts(field)


@pytest.mark.parametrize(
    ("annotation", "kind", "nullable"),
    [
        (int, "int", False),
        (float, "float", False),
        (str, "str", False),
        (bool, "bool", False),
        (int | None, "int", True),
        (Annotated[str, params.Query(title="t", description="d", alias="A", deprecated=True)], "str", False),
        (Annotated[int, params.Query(ge=1)], None, False),
        (Annotated[int, Field(gt=1)], None, False),
        (Annotated[str, params.Query(min_length=1)], None, False),
        (Annotated[int, params.Query(strict=True)], None, False),
        (Annotated[float, params.Query(allow_inf_nan=False)], None, False),
        (Annotated[int | None, params.Query(le=1)], None, True),
        (Annotated[int, BeforeValidator(int)], None, False),
        (int | str, None, False),
        (Color, None, False),
        (UUID, None, False),
        (Literal["a"], None, False),
        (Any, None, False),
        (Annotated[Json[int], params.Query()], None, False),
    ],
)
def test_plain_kind_means_pydantics_own_conversion(annotation: Any, kind: str | None, nullable: bool) -> None:
    facts = _facts(annotation)
    assert (facts.plain_kind, facts.nullable) == (kind, nullable)
    assert facts.required


def test_facts_of_a_header() -> None:
    def endpoint(user_agent: Annotated[str | None, params.Header()] = None) -> None: ...

    (field,) = OURS.get_dependant(path="/", call=endpoint).header_params
    assert param_facts(field) == ParamFacts(
        source="header",
        key="user-agent",
        is_sequence=False,
        is_model=False,
        single_alias=True,
        plain_kind="str",
        nullable=True,
        default_is_safe=True,
        required=False,
    )


def test_facts_of_sequences_models_and_aliases() -> None:
    assert _facts(Annotated[list[int], params.Query()]).is_sequence
    assert not _facts(Annotated[Json[list[int]], params.Query()]).is_sequence
    assert _facts(Annotated[Color, params.Query(validation_alias="v")]).key == "v"
    choice = _facts(Annotated[int, params.Query(validation_alias=AliasChoices("one", "two"))])
    assert (choice.key, choice.single_alias) == ("one", False)
    assert _facts(int, "/{value}").source == "path"

    def endpoint(value: Annotated[Filters, params.Cookie()]) -> None: ...

    (field,) = OURS.get_dependant(path="/", call=endpoint).cookie_params
    assert param_facts(field).is_model


@pytest.mark.parametrize(
    ("annotation", "default", "is_safe"),
    [
        (int, 3, True),
        (str | None, None, True),
        (str, "x", True),
        (Color, Color.red, True),
        (Any, (1, ("a", None)), True),
        (datetime, datetime(2020, 1, 1), True),
        (Any, [1], False),
        (Any, ([1],), False),
        (Any, {}, False),
        (Any, object(), False),
        (Annotated[int, params.Query(validate_default=True)], 3, False),
        (Annotated[int, params.Query(default_factory=int)], OURS.Undefined, False),
    ],
)
def test_only_immutable_defaults_are_safe(annotation: Any, default: Any, is_safe: bool) -> None:
    assert _facts_with(annotation, default).default_is_safe is is_safe


def test_facts_of_a_type_that_is_not_complete_yet_promise_nothing() -> None:
    field = ModelField(field_info=params.Query(annotation="DefinedNowhere"), name="x")
    assert field.core_schema is None
    assert param_facts(field).plain_kind is None
