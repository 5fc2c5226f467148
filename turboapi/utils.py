"""Small helpers that the public API has always offered under this name."""

import re
import warnings
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from turboapi._plan.fields import create_model_field
from turboapi._plan.signature import get_path_param_names
from turboapi.datastructures import DefaultPlaceholder
from turboapi.exceptions import FastAPIDeprecationWarning

__all__ = [
    "create_model_field",
    "deep_dict_update",
    "generate_operation_id_for_path",
    "generate_unique_id",
    "get_path_param_names",
    "get_value_or_default",
    "is_body_allowed_for_status_code",
]

T = TypeVar("T")

_WILDCARD_STATUS_CODES = ("default", "1XX", "2XX", "3XX", "4XX", "5XX")


class NamedRoute(Protocol):
    """What `generate_unique_id` reads of a route."""

    name: str
    path_format: str
    methods: Collection[str]


def is_body_allowed_for_status_code(status_code: int | str | None) -> bool:
    """Say whether a response with this status may have a body (RFC 9110 sections 15.2, 15.3.5, 15.3.6 and 15.4.5).

    The wildcards of OpenAPI's Responses Object ("default", "4XX", …) may, and so may None.
    """
    if status_code is None or status_code in _WILDCARD_STATUS_CODES:
        return True
    code = int(status_code)
    return code >= 200 and code not in (204, 205, 304)


def generate_unique_id(route: NamedRoute) -> str:
    """Return the default operation id of a route, made of its name, path and first method."""
    assert route.methods
    method = next(iter(route.methods))
    return re.sub(r"\W", "_", f"{route.name}{route.path_format}") + f"_{method.lower()}"


def generate_operation_id_for_path(*, name: str, path: str, method: str) -> str:
    """Return an operation id. Deprecated: nothing uses it."""
    warnings.warn(
        "fastapi.utils.generate_operation_id_for_path() was deprecated, "
        "it is not used internally, and will be removed soon",
        category=FastAPIDeprecationWarning,
        stacklevel=2,
    )
    return re.sub(r"\W", "_", f"{name}{path}") + f"_{method.lower()}"


def deep_dict_update(main_dict: dict[Any, Any], update_dict: dict[Any, Any]) -> None:
    """Update the first dictionary in place: dictionaries in it are updated likewise, lists are extended."""
    for key, value in update_dict.items():
        old = main_dict.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            deep_dict_update(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            main_dict[key] = old + value
        else:
            main_dict[key] = value


def get_value_or_default(first_item: DefaultPlaceholder | T, *extra_items: DefaultPlaceholder | T) -> Any:
    """Return the first item that was set, as opposed to being a `Default(...)`; if none was, the first item."""
    return next((item for item in (first_item, *extra_items) if not isinstance(item, DefaultPlaceholder)), first_item)
