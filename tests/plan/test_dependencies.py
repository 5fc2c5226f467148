# ruff: noqa: B008 - calls in default values are what is tested here

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from fastapi.dependencies import models
from pydantic import AliasChoices, BaseModel, Field, Json
from typing_extensions import TypeAliasType

from tests.plan.oracle import OURS, THEIRS, Framework, describe_dependant, describe_field, outcome
from turboapi._plan.dependencies import (
    Dependant,
    get_dependant,
    is_async_gen_callable,
    is_coroutine_callable,
    is_gen_callable,
    uses_scopes,
)

if TYPE_CHECKING:
    from nowhere import Missing

Case = Callable[[Framework], tuple[str, Callable[..., Any]]]
VALID: list[Case] = []
INVALID: list[Case] = []


class Item(BaseModel):
    name: str
    size: int = 0


class Filters(BaseModel):
    limit: int = 10
    tags: list[str] = Field([], alias="tag")


def valid(case: Case) -> Case:
    VALID.append(case)
    return case


def invalid(case: Case) -> Case:
    INVALID.append(case)
    return case


@valid
def scalars(f: Framework) -> Any:
    def endpoint(  # type: ignore[no-untyped-def]
        item_id: int, q: str, flag: bool = False, limit: int | None = None, *, ratio: float = 0.5, untyped, x=3
    ): ...

    return "/items/{item_id}", endpoint


@valid
def markers_as_defaults(f: Framework) -> Any:
    def endpoint(
        a: int = f.Path(ge=1),
        b: str = f.Query(min_length=2, alias="B", description="d", examples=["x"], deprecated=True),
        c_d: str = f.Header(None),
        e_f: str = f.Header("x", convert_underscores=False),
        g: str = f.Cookie(..., title="G"),
        h: Item = f.Body(embed=True),
        i: list[str] = f.Query(["x"], max_length=3),
        j: str = f.Query(None, include_in_schema=False, json_schema_extra={"k": 1}),
    ) -> None: ...

    return "/{a}", endpoint


@valid
def markers_in_annotations(f: Framework) -> Any:
    def endpoint(
        a: Annotated[int, f.Path(ge=1)],
        b: Annotated[str, Field(max_length=5), f.Query(min_length=2), "other"] = "dflt",
        c_d: Annotated[str | None, f.Header()] = None,
        e: Annotated[str, f.Query(), f.Cookie(alias="last")] = "",
        f_: Annotated[int, Field(gt=3)] = 4,
        g: Annotated[Item, f.Body(media_type="application/x")] = None,  # type: ignore[assignment]
        h: Annotated[list[int], Field(min_length=1)] = [1],  # noqa: B006
        i: Annotated[Json[Any], f.Query()] = "{}",  # type: ignore[assignment]
        j: Annotated[str, f.Query(default_factory=lambda: "x")] = f.Undefined,
    ) -> None: ...

    return "/{a}", endpoint


@valid
def bodies_and_files(f: Framework) -> Any:
    def endpoint(
        item: Item,
        other: Item | None,
        numbers: list[int],
        mapping: dict[str, int],
        upload: f.UploadFile,
        uploads: list[f.UploadFile] | None = None,
        union: Item | Filters | None = None,
        either: str | list[int] = "x",
    ) -> None: ...

    return "/", endpoint


@valid
def forms(f: Framework) -> Any:
    def endpoint(
        name: Annotated[str, f.Form()],
        data: Annotated[bytes, f.File()],
        many: Annotated[list[bytes], f.File(description="many")],
        model: Annotated[Item, f.Form()],
        choice: Annotated[Item | Filters | None, f.Form()] = None,
    ) -> None: ...

    return "/", endpoint


@valid
def parameter_models(f: Framework) -> Any:
    def endpoint(
        q: Annotated[Filters, f.Query()],
        h: Annotated[Filters, f.Header(convert_underscores=False)],
        c: Annotated[Filters | None, f.Cookie()] = None,
    ) -> None: ...

    return "/", endpoint


@valid
def special_types(f: Framework) -> Any:
    def endpoint(
        request: f.Request,
        websocket: f.WebSocket,
        connection: f.HTTPConnection,
        response: f.Response,
        subclass: f.JSONResponse,
        tasks: f.BackgroundTasks,
        scopes: f.SecurityScopes,
        annotated: Annotated[f.Request, "x"],
    ) -> None: ...

    return "/", endpoint


@valid
def starlette_background_tasks(f: Framework) -> Any:
    def endpoint(tasks: f.StarletteBackgroundTasks) -> None: ...

    return "/", endpoint


@valid
def dependencies(f: Framework) -> Any:
    def leaf(q: str = "", request: f.Request = None) -> str:
        return q

    async def middle(a: Annotated[str, f.Depends(leaf, use_cache=False)], item: Item) -> str:
        return a

    def generator(b: str = f.Depends(leaf)) -> Iterator[str]:
        yield b

    class Callable_:
        def __init__(self, limit: int = 1) -> None: ...

    def endpoint(
        x: Annotated[str, f.Depends(middle)],
        y: Annotated[Callable_, f.Depends()],
        z: Callable_ = f.Depends(),
        w: str = f.Depends(generator, scope="function"),
        v: str = f.Depends(generator),
        u: str = f.Depends(leaf, max_concurrency=3),
    ) -> None: ...

    return "/{q}", endpoint


@valid
def security(f: Framework) -> Any:
    scheme = f.OAuth2PasswordBearer(tokenUrl="t")

    def current(scopes: f.SecurityScopes, token: str = f.Depends(scheme)) -> str:
        return token

    def active(user: Annotated[str, f.Security(current, scopes=["a", "b"])]) -> str:
        return user

    def plain(q: str = "") -> None: ...

    def endpoint(
        one: str = f.Security(active, scopes=["b", "c"]),
        two: str = f.Security(active),
        three: None = f.Security(plain, scopes=("x",)),
        four: None = f.Depends(plain),
    ) -> None: ...

    return "/", endpoint


@valid
def path_alias_choices(f: Framework) -> Any:
    def endpoint(
        item: Annotated[int, f.Path(validation_alias=AliasChoices("other", "item"))],
        named: Annotated[int, f.Path(alias="item")],
    ) -> None: ...

    return "/{item}", endpoint


@valid
def alias_types(f: Framework) -> Any:
    Query = TypeAliasType("Query", Annotated[str, f.Query(max_length=3)])  # type: ignore[misc]

    def endpoint(q: Query, r: Literal["a", "b"] = "a") -> None: ...  # type: ignore[valid-type]

    return "/", endpoint


@valid
def marker_beats_special_type(f: Framework) -> Any:
    def get() -> Any: ...

    def endpoint(response: Annotated[f.Response, f.Depends(get)]) -> None: ...

    return "/", endpoint


@valid
def plain_param_class(f: Framework) -> Any:
    def endpoint(q: str | None = f.params.Param(default=None), r: Annotated[int, f.params.Query()] = 3) -> None: ...

    return "/", endpoint


@valid
def a_path_parameter_with_a_default(f: Framework) -> Any:
    def endpoint(item_id: int = 3, other: Annotated[int, Field(default_factory=int)] = f.Undefined) -> None: ...

    return "/{item_id}/{other}", endpoint


@valid
def partials_and_callables(f: Framework) -> Any:
    def function(a: int, b: str = "x") -> None: ...

    class Endpoint:
        def __call__(self, dep: Any = f.Depends(partial(function, b="y"))) -> None: ...

    return "/{a}", Endpoint()


@valid
def unresolvable_annotation_of_no_interest(f: Framework) -> Any:
    def dependency() -> "Missing": ...

    def endpoint(x: Annotated[Any, f.Depends(dependency)]) -> "Missing": ...

    return "/", endpoint


@invalid
def default_inside_annotated(f: Framework) -> Any:
    def endpoint(q: Annotated[str, f.Query("x")] = "y") -> None: ...

    return "/", endpoint


@invalid
def default_of_annotated_path(f: Framework) -> Any:
    def endpoint(q: Annotated[str, f.Path()] = "y") -> None: ...

    return "/{q}", endpoint


@invalid
def default_of_path(f: Framework) -> Any:
    return "/", lambda q=f.Path("x"): q


@invalid
def two_depends(f: Framework) -> Any:
    def endpoint(q: Annotated[str, f.Depends(str)] = f.Depends(int)) -> None: ...

    return "/", endpoint


@invalid
def field_and_depends(f: Framework) -> Any:
    def endpoint(q: Annotated[str, f.Query()] = f.Depends(int)) -> None: ...

    return "/", endpoint


@invalid
def two_fields(f: Framework) -> Any:
    def endpoint(q: Annotated[str, f.Query()] = f.Query()) -> None: ...

    return "/", endpoint


@invalid
def field_for_special_type(f: Framework) -> Any:
    def endpoint(request: Annotated[f.Request, f.Query()]) -> None: ...

    return "/", endpoint


@invalid
def query_for_path(f: Framework) -> Any:
    def endpoint(q: int = f.Query()) -> None: ...

    return "/{q}", endpoint


@invalid
def complex_path(f: Framework) -> Any:
    def endpoint(q: list[int]) -> None: ...

    return "/{q}", endpoint


@invalid
def model_as_path(f: Framework) -> Any:
    def endpoint(q: Item) -> None: ...

    return "/{q}", endpoint


@invalid
def mapping_as_query(f: Framework) -> Any:
    def endpoint(q: dict[str, int] = f.Query()) -> None: ...

    return "/", endpoint


@invalid
def models_in_query_list(f: Framework) -> Any:
    def endpoint(query: Annotated[list[Item], f.Query()]) -> None: ...

    return "/", endpoint


@invalid
def type_without_schema(f: Framework) -> Any:
    class Opaque: ...

    def endpoint(q: Opaque) -> None: ...

    return "/", endpoint


@invalid
def request_scope_needs_function_scope(f: Framework) -> Any:
    def short() -> Iterator[int]:
        yield 1

    def long(x: int = f.Depends(short, scope="function")) -> Iterator[int]:
        yield x

    def endpoint(y: int = f.Depends(long, scope="request")) -> None: ...

    return "/", endpoint


@invalid
def async_generator_needs_function_scope(f: Framework) -> Any:
    async def long(x: int = f.Depends(int, scope="function")) -> AsyncIterator[int]:
        yield x

    return "/", long


@invalid
def unknown_keyword(f: Framework) -> Any:
    return "/", lambda q=f.Query(min_items=1): q


@invalid
def bad_concurrency(f: Framework) -> Any:
    return "/", lambda q=f.Depends(int, max_concurrency=0): q


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.__name__)
def test_tree_equals_the_oracles(case: Case) -> None:
    ours, theirs = (f.get_dependant(path=case(f)[0], call=case(f)[1]) for f in (OURS, THEIRS))
    assert describe_dependant(OURS, ours) == describe_dependant(THEIRS, theirs)
    for name in ("get_flat_params", "get_flat_body_params"):
        flat_ours, flat_theirs = getattr(OURS, name)(ours), getattr(THEIRS, name)(theirs)
        assert [describe_field(field) for field in flat_ours] == [describe_field(field) for field in flat_theirs]


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.__name__)
def test_schemas_equal_the_oracles(case: Case) -> None:
    def schemas(f: Framework) -> Any:
        path, call = case(f)
        dependant = f.get_dependant(path=path, call=call)
        fields = f.get_flat_params(dependant) + f.get_flat_body_params(dependant)
        return [field._type_adapter.json_schema() for field in fields]

    assert schemas(OURS) == schemas(THEIRS)


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.__name__)
def test_definition_errors_equal_the_oracles(case: Case) -> None:
    def define(f: Framework) -> Any:
        path, call = case(f)
        return f.get_dependant(path=path, call=call)

    ours, theirs = outcome(define, OURS), outcome(define, THEIRS)
    assert theirs[0] != "returned"
    assert ours == theirs


def test_parameterless_dependency() -> None:
    def dependency(q: str, x: Any = None) -> Iterator[None]:
        yield

    def describe(f: Framework) -> Any:
        depends = f.Security(dependency, scopes=["a"])
        return describe_dependant(f, f.get_parameterless_sub_dependant(depends=depends, path="/{q}"))

    assert describe(OURS) == describe(THEIRS)
    for f in (OURS, THEIRS):
        with pytest.raises(AssertionError, match="A parameter-less dependency must have a callable dependency"):
            f.get_parameterless_sub_dependant(depends=f.Depends(), path="/")


def test_equal_declarations_with_a_limit_keep_their_own_accounts() -> None:
    one, two = OURS.Depends(_sync, max_concurrency=2), OURS.Depends(_sync, max_concurrency=2)

    def endpoint(a: int = one, b: int = one, c: int = two) -> None: ...

    a, b, c = (item.concurrency for item in get_dependant(path="/", call=endpoint).dependencies)
    assert a is b
    assert a is not c


def test_derived_facts_follow_changes() -> None:
    child = Dependant(call=int)
    parent = Dependant(call=str, dependencies=[child], parent_oauth_scopes=["b"])
    assert OURS.get_cache_key(parent) == (str, (), "")
    child.security_scopes_param_name = "scopes"
    parent.own_oauth_scopes = ["a", "b"]
    assert OURS.get_cache_key(parent) == (str, ("a", "b"), "")
    assert uses_scopes(parent)
    assert not hasattr(parent, "__dict__")


def _decorated(function: Any) -> Any:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _sync() -> None: ...


async def _async() -> None: ...


def _generator() -> Iterator[None]:
    yield


async def _async_generator() -> AsyncIterator[None]:
    yield


class _Base:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


class _Sync(_Base):
    def __call__(self) -> None: ...


class _Async(_Base):
    async def __call__(self) -> None: ...

    def method(self) -> None: ...

    async def async_method(self) -> None: ...


class _Generator(_Base):
    def __call__(self) -> Iterator[None]:
        yield


class _AsyncGenerator(_Base):
    async def __call__(self) -> AsyncIterator[None]:
        yield


class _WrappedCall(_Base):
    __call__ = _decorated(lambda self: None)


class _WrappedAsyncCall(_Base):
    @_decorated
    async def __call__(self) -> None: ...


_PLAIN: list[Any] = [
    _sync,
    _async,
    _generator,
    _async_generator,
    _Sync(),
    _Async(),
    _Generator(),
    _AsyncGenerator(),
    _WrappedCall(),
    _WrappedAsyncCall(),
    _Async().method,
    _Async().async_method,
    _async.__get__(1),
    _Async,
    _AsyncGenerator,
    int,
    len,
    str.upper,
]
_CALLABLES = [
    *_PLAIN,
    *(partial(call) for call in _PLAIN),
    *(partial(partial(call, 1), x=2) for call in _PLAIN),
    *(_decorated(call) for call in _PLAIN[:4]),
    *(partial(_decorated(call)) for call in _PLAIN[:4]),
    *(_decorated(partial(call)) for call in _PLAIN[:4]),
    *(_decorated(_decorated(call)) for call in _PLAIN[:4]),
]


@pytest.mark.parametrize("call", _CALLABLES)
def test_callables_are_classified_like_the_oracle_does(call: Any) -> None:
    assert is_gen_callable(call) == models._is_gen_callable(call)
    assert is_async_gen_callable(call) == models._is_async_gen_callable(call)
    assert is_coroutine_callable(call) == models._is_coroutine_callable(call)
