import copy
import dataclasses
import inspect
import warnings
from typing import Annotated, Any

import fastapi
import fastapi.param_functions
import fastapi.params
import pytest
from pydantic import AliasChoices

from turboapi import param_functions, params
from turboapi.exceptions import FastAPIDeprecationWarning

FIELDS = ["Path", "Query", "Header", "Cookie", "Body", "Form", "File"]
NAMES = [*FIELDS, "Depends", "Security"]


def _plain(value: Any) -> Any:
    return type(value).__name__ if type(value).__name__ in ("DefaultPlaceholder", "DependencyConcurrency") else value


def _signature(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.items()
    return {name: (param.kind, _plain(param.default)) for name, param in parameters if name != "sync_mode"}  # ours only


@pytest.mark.parametrize("name", NAMES)
def test_signatures_equal_the_oracles(name: str) -> None:
    assert _signature(getattr(param_functions, name)) == _signature(getattr(fastapi.param_functions, name))
    assert _signature(getattr(params, name)) == _signature(getattr(fastapi.params, name))


def test_a_subclass_shows_its_own_signature() -> None:
    class Tag(params.Query):
        def __init__(self, prefix: str) -> None:
            super().__init__(pattern=f"^{prefix}")

    assert list(inspect.signature(Tag).parameters) == ["prefix"]
    assert repr(Tag("x").metadata) == repr(params.Query(pattern="^x").metadata)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"alias": "a"},
    {"alias": "a", "serialization_alias": "s", "validation_alias": "v"},
    {"alias": "a", "serialization_alias": None, "validation_alias": None},
    {"validation_alias": AliasChoices("a", "b")},
    {"alias_priority": 1, "alias": "a"},
    {"title": "T", "description": "D", "examples": [1], "deprecated": True, "json_schema_extra": {"x": 1}},
    {"gt": 1, "le": 5, "multiple_of": 2, "strict": True, "allow_inf_nan": False},
    {"ge": 1, "lt": 5, "max_digits": 3, "decimal_places": 1},
    {"min_length": 1, "max_length": 5, "pattern": "^x", "fail_fast": True, "union_mode": "left_to_right"},
    {"discriminator": "kind", "validate_default": True},
    {"include_in_schema": False, "openapi_examples": {"a": {"value": 1}}},
    {"title": None, "description": None, "gt": None, "examples": None, "strict": None},
]


def _state(info: Any) -> dict[str, Any]:
    state = {**vars(info), **{name: getattr(info, name) for name in info.__slots__}}
    return {name: repr(_plain(value)) for name, value in state.items()}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("default", [(), ("dflt",), (None,), (...,)])
def test_fields_equal_the_oracles(name: str, options: dict[str, Any], default: tuple[Any, ...]) -> None:
    if name == "Path" and default not in ((), (...,)):
        pytest.raises(AssertionError, getattr(param_functions, name), *default, **options)
        return
    ours = getattr(param_functions, name)(*default, **options)
    theirs = getattr(fastapi, name)(*default, **options)
    assert type(ours) is getattr(params, name)
    assert _state(ours) == _state(theirs)
    assert repr(ours) == repr(theirs)
    assert _state(copy.copy(ours)) == _state(ours)


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_factory_excludes_a_default(name: str) -> None:
    field = getattr(param_functions, name)(default_factory=list)
    assert field.default_factory is list
    if name != "Path":
        with pytest.raises(TypeError, match="default"):
            getattr(param_functions, name)("x", default_factory=list)


def test_options_of_single_classes() -> None:
    assert param_functions.Header().convert_underscores is True
    assert param_functions.Header(convert_underscores=False).convert_underscores is False
    body = param_functions.Body(embed=True, media_type="application/xml")
    assert (body.embed, body.media_type) == (True, "application/xml")
    assert param_functions.Form().media_type == "application/x-www-form-urlencoded"
    assert param_functions.File().media_type == "multipart/form-data"
    assert param_functions.Form().embed is None
    assert issubclass(params.File, params.Form)
    assert issubclass(params.Form, params.Body)
    assert not issubclass(params.Body, params.Param)
    assert [params.ParamTypes(cls.in_).value for cls in (params.Path, params.Query, params.Header, params.Cookie)] == [
        "path",
        "query",
        "header",
        "cookie",
    ]
    assert getattr(params.Param(), "in_", None) is None


@pytest.mark.parametrize(
    ("name", "option"), [(name, "min_items") for name in FIELDS] + [("Form", "embed"), ("Query", "annotation")]
)
def test_unknown_options_are_refused_as_python_does(name: str, option: str) -> None:
    errors = []
    for function in (getattr(param_functions, name), getattr(fastapi, name)):
        with pytest.raises(TypeError) as caught:
            function(**{option: 1})
        errors.append(str(caught.value))
    assert errors == [f"{name}() got an unexpected keyword argument {option!r}"] * 2


def test_unknown_options_of_a_class_name_the_class() -> None:
    with pytest.raises(TypeError, match=r"^Query.__init__\(\) got an unexpected keyword argument 'min_items'$"):
        params.Query(min_items=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(("option", "replacement"), [("example", "examples"), ("regex", "pattern")])
def test_deprecated_options_warn_where_they_are_used(name: str, option: str, replacement: str) -> None:
    message = f"`{option}` has been deprecated, please use `{replacement}` instead"
    for function in (getattr(param_functions, name), getattr(params, name)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            field = function(**{option: "x"})
        assert [(item.category, str(item.message), item.filename) for item in caught] == [
            (FastAPIDeprecationWarning, message, __file__)
        ]
        expected = getattr(fastapi, name)(pattern="x").metadata if option == "regex" else []
        assert repr(field.metadata) == repr(expected)
        assert field.example == "x" or option == "regex"


def test_path_has_no_default() -> None:
    with pytest.raises(AssertionError, match="^Path parameters cannot have a default value$"):
        param_functions.Path("x")


def test_dependencies_are_hashable_values() -> None:
    def dependency() -> None: ...

    one = param_functions.Depends(dependency, scope="function")
    assert one == params.Depends(dependency, scope="function")
    assert len({one, params.Depends(dependency, scope="function"), params.Depends(dependency)}) == 2
    security = param_functions.Security(dependency, scopes=("a",), use_cache=False)
    assert security == params.Security(dependency, use_cache=False, scopes=("a",))
    assert security != params.Security(dependency, use_cache=False)
    assert repr(one).startswith("Depends(dependency=<function") and " _concurrency" not in repr(one)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.scope = None


def test_declarations_with_a_limit_are_distinct_and_keep_it_when_replaced() -> None:
    one, two = param_functions.Depends(max_concurrency=2), param_functions.Depends(max_concurrency=2)
    assert one != two
    assert dataclasses.replace(one, dependency=int)._concurrency is one._concurrency
    changed = dataclasses.replace(one, max_concurrency=3)
    assert (changed._concurrency.max_concurrency, one._concurrency.max_concurrency) == (3, 2)
    assert dataclasses.replace(one, max_concurrency=None)._concurrency is None
    assert Annotated[int, one] != Annotated[int, two]


@pytest.mark.parametrize("limit", [0, -1, True, 1.0, "1"])
def test_a_limit_is_a_positive_integer(limit: Any) -> None:
    for function in (param_functions.Depends, fastapi.Depends):
        with pytest.raises(ValueError, match="^max_concurrency must be a positive integer or None$"):
            function(max_concurrency=limit)
