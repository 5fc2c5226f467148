"""`scope["fastapi"]`: what routing notes about a request besides the keys of ASGI and Starlette."""

from typing import Any

from turboapi.types import Scope

__all__ = [
    "ABSENT",
    "FORM_LIMITS",
    "FRONTEND_PATH",
    "FRONTEND_SPECIFICITY",
    "INCLUDED_ROUTER",
    "ROUTE_CONTEXT",
    "add_form_limits",
    "fastapi_scope",
    "restore_key",
    "update_scope",
]

ROUTE_CONTEXT = "effective_route_context"
INCLUDED_ROUTER = "included_router"
FORM_LIMITS = "form_limits"
FRONTEND_PATH = "frontend_path"
FRONTEND_SPECIFICITY = "frontend_specificity"
ABSENT = object()


def fastapi_scope(scope: Scope) -> dict[str, Any]:
    """Return the dictionary, which is there from now on."""
    found = scope.setdefault("fastapi", {})
    assert isinstance(found, dict)
    return found


def restore_key(scope: Scope, key: str, before: Any) -> None:
    """Set a key again to the value that it had; `ABSENT` means that it was not there."""
    below = scope.get("fastapi")
    if not isinstance(below, dict):
        return
    if before is ABSENT:
        below.pop(key, None)
    else:
        below[key] = before


def update_scope(scope: Scope, child_scope: Scope) -> None:
    """Update the scope with what a match has found; `scope["fastapi"]` is updated in turn."""
    below = child_scope.get("fastapi")
    if isinstance(below, dict):
        child_scope = {**child_scope, "fastapi": {**scope.get("fastapi", {}), **below}}
    scope.update(child_scope)


def add_form_limits(scope: Scope, limits: Any) -> None:
    """Set the limits of a router on top of those that enclose it."""
    if limits and scope["type"] == "http":
        below = fastapi_scope(scope)
        below[FORM_LIMITS] = {**below.get(FORM_LIMITS, {}), **limits}
