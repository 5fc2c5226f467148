"""The tree of callables behind an endpoint: `Dependant`, and what can be read off it.

`get_dependant` builds the tree by calling itself for each declared dependency. Nothing here runs a dependency.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from turboapi import params
from turboapi._foreign import derives_from, own_depends
from turboapi._plan.arguments import get_param_model, is_json_field
from turboapi._plan.context import located, without_partial
from turboapi._plan.fields import ModelField, get_cached_model_fields, lenient_issubclass
from turboapi._plan.signature import SPECIAL_PARAMS, analyze_param, get_path_param_names, get_typed_signature
from turboapi._plan.structs import contains_struct
from turboapi.concurrency import DependencyConcurrency
from turboapi.exceptions import DependencyScopeError
from turboapi.security.base import SecurityBase
from turboapi.types import DependencyCacheKey, SyncMode

if sys.version_info >= (3, 13):
    from inspect import iscoroutinefunction
else:  # inspect's version does not know functions that were marked as coroutine functions there
    from asyncio import iscoroutinefunction

__all__ = [
    "Dependant",
    "add_field",
    "get_cache_key",
    "get_computed_scope",
    "get_dependant",
    "get_flat_body_params",
    "get_flat_params",
    "get_oauth_scopes",
    "get_parameterless_sub_dependant",
    "get_security_scheme",
    "is_async_gen_callable",
    "is_coroutine_callable",
    "is_gen_callable",
    "is_security_scheme",
    "special_attribute",
    "uses_scopes",
]

_CACHED_CALLABLES = 4096
DependencyScope = Literal["function", "request"]
UsesScopesCache = dict[int, tuple["Dependant", bool]]
"""id -> (the dependant, whether it uses scopes); holding the object keeps its id from being given to another one."""


class _Keeper:
    """Keeps what is made of a tree as long as the tree."""

    __slots__ = ("_kept",)

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` returned when it was first asked for under this key."""
        if not hasattr(self, "_kept"):
            self._kept: dict[Any, Any] = {}
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


@dataclass(slots=True)
class Dependant(_Keeper):
    """A callable, where its arguments come from, and the dependencies among them."""

    path_params: list[ModelField] = field(default_factory=list)
    query_params: list[ModelField] = field(default_factory=list)
    header_params: list[ModelField] = field(default_factory=list)
    cookie_params: list[ModelField] = field(default_factory=list)
    body_params: list[ModelField] = field(default_factory=list)
    dependencies: list["Dependant"] = field(default_factory=list)
    name: str | None = None
    call: Callable[..., Any] | None = None
    request_param_name: str | None = None
    websocket_param_name: str | None = None
    http_connection_param_name: str | None = None
    response_param_name: str | None = None
    background_tasks_param_name: str | None = None
    security_scopes_param_name: str | None = None
    own_oauth_scopes: list[str] | None = None
    parent_oauth_scopes: list[str] | None = None
    use_cache: bool = True
    path: str | None = None
    scope: DependencyScope | None = None
    concurrency: DependencyConcurrency | None = None
    sync_mode: SyncMode | None = None
    receivers: dict[str, Callable[[Any], Any]] | None = None
    """What makes the objects of Starlette's own classes that special parameters ask for, by their names."""


def get_dependant(
    *,
    path: str,
    call: Callable[..., Any],
    name: str | None = None,
    own_oauth_scopes: list[str] | None = None,
    parent_oauth_scopes: list[str] | None = None,
    use_cache: bool = True,
    scope: DependencyScope | None = None,
    concurrency: DependencyConcurrency | None = None,
    sync_mode: SyncMode | None = None,
) -> Dependant:
    """Build the tree for `call`, which serves the route `path`.

    Args:
        path: the route's path; its parameters are recognised by name.
        call: the endpoint or dependency.
        name: the parameter of the caller that receives the result.
        own_oauth_scopes: the security scopes declared with this dependency.
        parent_oauth_scopes: those declared above it.
        use_cache: whether the result is shared within a request.
        scope: when the exit code runs, if that was declared.
        concurrency: the limit of concurrent calls, if one was declared.
        sync_mode: where a plain function runs, if that was declared.

    Raises:
        AssertionError: a parameter is declared in a way that contradicts itself.
        DependencyScopeError: exit code would run after that of a dependency it relies on.
        FastAPIError: a parameter's type is none that pydantic knows.

    Notes on the exception say in which parameter of which callable it is.
    """
    dependant = Dependant(
        call=call,
        name=name,
        path=path,
        use_cache=use_cache,
        scope=scope,
        concurrency=concurrency,
        sync_mode=sync_mode,
        own_oauth_scopes=own_oauth_scopes,
        parent_oauth_scopes=parent_oauth_scopes,
    )
    path_param_names = get_path_param_names(path)
    with located("the signature", call):
        parameters = get_typed_signature(call).parameters
    for param in parameters.values():
        with located(f"parameter {param.name!r}", call):
            _add_parameter(dependant, param, path_param_names)
    return dependant


def _add_parameter(dependant: Dependant, param: inspect.Parameter, path_param_names: Collection[str]) -> None:
    details = analyze_param(
        param_name=param.name,
        annotation=param.annotation,
        value=param.default,
        path_param_names=path_param_names,
    )
    if details.depends is not None:
        dependant.dependencies.append(_get_sub_dependant(dependant, details.depends, param.name))
    elif attribute := special_attribute(details.type_annotation):
        assert details.field is None, f"Cannot specify multiple FastAPI annotations for {param.name!r}"
        setattr(dependant, attribute, param.name)
        if details.receive is not None:
            dependant.receivers = {**(dependant.receivers or {}), param.name: details.receive}
    else:
        assert details.field is not None
        _check_struct(details.field)
        add_field(dependant, details.field)


def _check_struct(parameter: ModelField) -> None:
    """Refuse structs where values come as strings by name: msgspec knows nothing of aliases there, nor of lists."""
    info = parameter.field_info
    takes_strings = isinstance(info, (params.Query, params.Header, params.Cookie, params.Form))
    assert not takes_strings or is_json_field(parameter) or not contains_struct(info.annotation), (
        f"{type(info).__name__} parameter {parameter.name!r} cannot be a msgspec.Struct:"
        " declare a pydantic model, or take the struct from a JSON body"
    )


def _get_sub_dependant(parent: Dependant, depends: params.Depends, param_name: str) -> Dependant:
    assert depends.dependency
    if depends.scope == "function" and _has_exit_code(parent.call) and get_computed_scope(parent) == "request":
        parent_name = getattr(parent.call, "__name__", "<unnamed_callable>")
        raise DependencyScopeError(
            f'The dependency "{parent_name}" has a scope of '
            '"request", it cannot depend on dependencies with scope "function".'
        )
    assert parent.path is not None
    return get_dependant(
        path=parent.path,
        call=depends.dependency,
        name=param_name,
        own_oauth_scopes=_declared_scopes(depends),
        parent_oauth_scopes=(parent.parent_oauth_scopes or []) + (parent.own_oauth_scopes or []),
        use_cache=depends.use_cache,
        scope=depends.scope,
        concurrency=depends._concurrency,
        sync_mode=depends.sync_mode,
    )


def get_parameterless_sub_dependant(*, depends: params.Depends, path: str) -> Dependant:
    """Build the tree for a dependency that is declared beside a route, in `dependencies=[...]`.

    Raises:
        AssertionError: it has no callable, since there is no annotation to take it from.
    """
    depends = own_depends(depends)
    assert callable(depends.dependency), "A parameter-less dependency must have a callable dependency"
    return get_dependant(
        path=path,
        call=depends.dependency,
        scope=depends.scope,
        concurrency=depends._concurrency,
        sync_mode=depends.sync_mode,
        own_oauth_scopes=_declared_scopes(depends),
    )


def _declared_scopes(depends: params.Depends) -> list[str]:
    return list(depends.scopes or ()) if isinstance(depends, params.Security) else []


def special_attribute(annotation: Any) -> str | None:
    """Return the attribute of `Dependant` that takes the name of a parameter of a special type; None for others."""
    return next((attribute for cls, attribute in SPECIAL_PARAMS.items() if lenient_issubclass(annotation, cls)), None)


def add_field(dependant: Dependant, model_field: ModelField) -> None:
    """Add a field to the dependant's parameters that are read from the same place."""
    info = model_field.field_info
    if isinstance(info, params.Body):
        dependant.body_params.append(model_field)
        return
    source = getattr(info, "in_", None)
    assert isinstance(source, params.ParamTypes), (
        f"non-body parameters must be in path, query, header or cookie: {model_field.name}"
    )
    getattr(dependant, f"{source.value}_params").append(model_field)


def _iter_tree(dependant: Dependant) -> Iterator[Dependant]:
    """Yield the dependant and everything below it, each before its own dependencies."""
    yield dependant
    for sub_dependant in dependant.dependencies:
        yield from _iter_tree(sub_dependant)


def get_flat_body_params(dependant: Dependant) -> list[ModelField]:
    """Return the body parameters in the whole tree."""
    return [body_param for item in _iter_tree(dependant) for body_param in item.body_params]


def get_flat_params(dependant: Dependant) -> list[ModelField]:
    """Return the path, query, header and cookie parameters in the whole tree, in this order of sources.

    A dependency that occurs several times counts once. Parameter models are replaced by their fields.
    """
    unique = list(_iter_unique(dependant, [], {}))
    sources = ("path_params", "query_params", "header_params", "cookie_params")
    fields = [param for source in sources for item in unique for param in getattr(item, source)]
    return [flat for param in fields for flat in _fields_of(param)]


def _iter_unique(
    dependant: Dependant, visited: list[DependencyCacheKey], uses_scopes_cache: UsesScopesCache
) -> Iterator[Dependant]:
    key = get_cache_key(dependant, uses_scopes_cache)
    if key in visited:  # a list, because callables need not be hashable
        return
    visited.append(key)
    yield dependant
    for sub_dependant in dependant.dependencies:
        yield from _iter_unique(sub_dependant, visited, uses_scopes_cache)


def _fields_of(param: ModelField) -> Sequence[ModelField]:
    model = get_param_model(param)
    return [param] if model is None else get_cached_model_fields(model)


def get_oauth_scopes(dependant: Dependant) -> list[str]:
    """Return the security scopes that apply to the dependant: all those from above, then those that only it has."""
    scopes = list(dependant.parent_oauth_scopes or ())
    for scope in dependant.own_oauth_scopes or ():
        if scope not in scopes:
            scopes.append(scope)
    return scopes


def get_cache_key(dependant: Dependant, uses_scopes_cache: UsesScopesCache | None = None) -> DependencyCacheKey:
    """Return the key under which the result is shared in a request: the callable, the scopes that matter to it, …

    Args:
        dependant: a dependency.
        uses_scopes_cache: pass the same dictionary in repeated calls to save work.
    """
    matters = uses_scopes(dependant, uses_scopes_cache)
    scopes = tuple(sorted(set(get_oauth_scopes(dependant)))) if matters else ()
    return dependant.call, scopes, get_computed_scope(dependant) or ""


def uses_scopes(dependant: Dependant, cache: UsesScopesCache | None = None) -> bool:
    """Say whether security scopes can change what the dependant, or one below it, returns."""
    if cache is None:
        cache = {}
    known = cache.get(id(dependant))
    if known is not None and known[0] is dependant:
        return known[1]
    result = (
        bool(dependant.own_oauth_scopes)
        or dependant.security_scopes_param_name is not None
        or is_security_scheme(dependant)
        or any(uses_scopes(sub_dependant, cache) for sub_dependant in dependant.dependencies)
    )
    cache[id(dependant)] = (dependant, result)
    return result


def is_security_scheme(dependant: Dependant) -> bool:
    """Say whether the callable is one of the security schemes that the OpenAPI document lists."""
    return dependant.call is not None and derives_from(type(_unwrapped(dependant.call)), SecurityBase)


def get_security_scheme(dependant: Dependant) -> SecurityBase:
    """Return the callable of a dependant for which `is_security_scheme` is true."""
    assert dependant.call is not None
    scheme: SecurityBase = _unwrapped(dependant.call)
    assert derives_from(type(scheme), SecurityBase)
    return scheme


def get_computed_scope(dependant: Dependant) -> str | None:
    """Return when the exit code runs: as declared, by default after the response; None if there is no exit code."""
    if dependant.scope:
        return dependant.scope
    return "request" if _has_exit_code(dependant.call) else None


def _has_exit_code(call: Callable[..., Any] | None) -> bool:
    return is_gen_callable(call) or is_async_gen_callable(call)


class _CallIdentity:
    """A cache key for a callable that may be unhashable, or equal to a different one."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __hash__(self) -> int:
        return id(self.call)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CallIdentity) and self.call is other.call


def _unwrapped(call: Any) -> Any:
    return inspect.unwrap(without_partial(call))


def _functions_behind(call: Callable[..., Any]) -> Iterator[tuple[Any, bool]]:
    """Yield what may determine the kind of a callable, and whether it is (not) the `__call__` method of one.

    These are the callable without `partial` and what it wraps, and, unless that is a class, their `__call__` methods,
    which may be wrapped in the same ways.
    """
    outer, inner = without_partial(call), _unwrapped(call)
    yield outer, False
    yield inner, False
    if inspect.isclass(inner):
        return
    for owner in (outer, inner):
        method = getattr(owner, "__call__", None)  # noqa: B004
        if method is not None:
            yield without_partial(method), True
            yield _unwrapped(method), True


@lru_cache(maxsize=_CACHED_CALLABLES)
def is_gen_callable_cached(identity: _CallIdentity) -> bool:
    return any(inspect.isgeneratorfunction(function) for function, _ in _functions_behind(identity.call))


@lru_cache(maxsize=_CACHED_CALLABLES)
def is_async_gen_callable_cached(identity: _CallIdentity) -> bool:
    return any(inspect.isasyncgenfunction(function) for function, _ in _functions_behind(identity.call))


@lru_cache(maxsize=_CACHED_CALLABLES)
def is_coroutine_callable_cached(identity: _CallIdentity) -> bool:
    return any(
        (is_method or inspect.isroutine(function)) and iscoroutinefunction(function)
        for function, is_method in _functions_behind(identity.call)
    )


def is_gen_callable(call: Callable[..., Any] | None) -> bool:
    """Say whether calling it, through partials, wrappers and `__call__`, makes a generator."""
    return call is not None and is_gen_callable_cached(_CallIdentity(call))


def is_async_gen_callable(call: Callable[..., Any] | None) -> bool:
    """Say whether calling it, through partials, wrappers and `__call__`, makes an async generator."""
    return call is not None and is_async_gen_callable_cached(_CallIdentity(call))


def is_coroutine_callable(call: Callable[..., Any] | None) -> bool:
    """Say whether calling it, through partials, wrappers and `__call__`, makes a coroutine."""
    return call is not None and is_coroutine_callable_cached(_CallIdentity(call))
