import inspect
import typing
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi.dependencies import utils

from turboapi import params
from turboapi._plan.signature import (
    analyze_param,
    get_path_param_names,
    get_stream_item_type,
    get_typed_annotation,
    get_typed_return_annotation,
    get_typed_signature,
)

if TYPE_CHECKING:
    from nowhere import Missing


def evaluated(
    a: "int", b: "str | None" = None, *args: "list[int]", c: "Annotated[int, 'x']", **kw: "dict[str, int]"
) -> "list[str]":
    return []


def half_evaluated(a: "int", b: "Missing") -> "Missing":
    return b


def returns_none(a: "None") -> "None": ...


def bare(a, b=1):  # type: ignore[no-untyped-def]
    return a


@wraps(evaluated)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return evaluated(*args, **kwargs)


class Instance:
    def __init__(self, x: "int") -> None: ...

    def __call__(self, y: "str") -> "bytes":
        return b""

    def method(self, z: "Instance") -> "Instance":
        return z


CALLS: list[Any] = [evaluated, half_evaluated, returns_none, bare, wrapped, Instance, Instance(1), Instance(1).method]
CALLS += [partial(evaluated, 1), partial(half_evaluated, b=1), lambda x, y=3: x]


@pytest.mark.parametrize("call", CALLS)
def test_signatures_equal_the_oracles(call: Any) -> None:
    assert get_typed_signature(call) == utils.get_typed_signature(call)
    assert get_typed_return_annotation(call) == utils.get_typed_return_annotation(call)


def test_none_as_a_string_is_none() -> None:
    assert get_typed_annotation("None", {}) is None
    assert get_typed_annotation(int, {}) is int


@pytest.mark.parametrize(
    "annotation",
    [
        AsyncIterable[int],
        AsyncIterator[list[str]],
        Generator[int, None, None],
        Iterable[Any],
        typing.Iterator[int],
        typing.Iterator,
        AsyncIterable,
        list[int],
        int,
        None,
        dict[str, int],
        Annotated[Iterable[int], "x"],
    ],
)
def test_stream_items_equal_the_oracles(annotation: Any) -> None:
    assert get_stream_item_type(annotation) == utils.get_stream_item_type(annotation)


@pytest.mark.parametrize("path", ["/", "/{a}", "/{a}/{b:path}", "/x{a}y/{a}", "/{}", "{a}{b}"])
def test_path_names_equal_the_oracles(path: str) -> None:
    assert get_path_param_names(path) == utils.get_path_param_names(path)


def test_a_shared_marker_is_not_changed_by_its_use() -> None:
    marker = params.Query(min_length=3)
    details = [
        analyze_param(param_name=name, annotation=Annotated[str, marker], value=default, path_param_names=set())
        for name, default in (("a", "x"), ("b", inspect.Signature.empty))
    ]
    fields = [detail.field for detail in details]
    assert [field and (field.alias, field.field_info.is_required()) for field in fields] == [("a", False), ("b", True)]
    assert marker.alias is None
    assert marker.is_required()


def test_a_dependency_is_taken_from_the_annotation() -> None:
    marker = params.Depends(max_concurrency=2)
    details = analyze_param(
        param_name="x", annotation=Annotated[Instance, marker], value=inspect.Signature.empty, path_param_names=()
    )
    assert details.depends is not None
    assert (details.depends.dependency, details.field, marker.dependency) == (Instance, None, None)
    assert details.depends._concurrency is marker._concurrency
