"""`fastapi.dependencies.models`: the tree of dependencies."""

from turboapi._plan.dependencies import (
    Dependant,
    UsesScopesCache,
    get_cache_key,
    get_computed_scope,
    get_oauth_scopes,
    get_security_scheme,
    is_security_scheme,
    uses_scopes,
)
from turboapi._plan.dependencies import is_async_gen_callable as _is_async_gen_callable
from turboapi._plan.dependencies import is_async_gen_callable_cached as _is_async_gen_callable_cached
from turboapi._plan.dependencies import is_coroutine_callable as _is_coroutine_callable
from turboapi._plan.dependencies import is_coroutine_callable_cached as _is_coroutine_callable_cached
from turboapi._plan.dependencies import is_gen_callable as _is_gen_callable
from turboapi._plan.dependencies import is_gen_callable_cached as _is_gen_callable_cached
from turboapi.security.base import SecurityBase
from turboapi.types import DependencyCacheKey

__all__ = [
    "Dependant",
    "_get_cache_key",
    "_get_computed_scope",
    "_get_oauth_scopes",
    "_get_security_scheme",
    "_is_async_gen_callable",
    "_is_async_gen_callable_cached",
    "_is_coroutine_callable",
    "_is_coroutine_callable_cached",
    "_is_gen_callable",
    "_is_gen_callable_cached",
    "_is_security_scheme",
    "_uses_scopes",
]


def _get_oauth_scopes(*, dependant: Dependant) -> list[str]:
    return get_oauth_scopes(dependant)


def _get_cache_key(*, dependant: Dependant, uses_scopes_cache: UsesScopesCache | None = None) -> DependencyCacheKey:
    return get_cache_key(dependant, uses_scopes_cache)


def _uses_scopes(*, dependant: Dependant, cache: UsesScopesCache | None = None) -> bool:
    return uses_scopes(dependant, cache)


def _is_security_scheme(*, dependant: Dependant) -> bool:
    return is_security_scheme(dependant)


def _get_security_scheme(*, dependant: Dependant) -> SecurityBase:
    return get_security_scheme(dependant)


def _get_computed_scope(*, dependant: Dependant) -> str | None:
    return get_computed_scope(dependant)
