"""`fastapi.openapi.utils`: `get_openapi`, and the steps of it that published code calls on its own.

Schemas come from `fastapi._compat.get_definitions`. The names of models follow from the fields given to that, so
`model_name_map` is taken and not looked at.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from turboapi import params
from turboapi._plan import dependencies
from turboapi._plan.fields import ModelField
from turboapi.compat._view import show
from turboapi.compat.fastapi._compat import v2
from turboapi.compat.fastapi._compat.v2 import FieldMapping, get_schema_from_model_field
from turboapi.exceptions import FastAPIDeprecationWarning
from turboapi.openapi import operations, parameters, responses, utils
from turboapi.openapi.constants import METHODS_WITH_BODY, REF_PREFIX
from turboapi.openapi.models import OpenAPI
from turboapi.openapi.operations import ApiRoute, Components, DocumentParts
from turboapi.openapi.parameters import describe_body
from turboapi.openapi.responses import VALIDATION_ERROR_DEFINITIONS
from turboapi.openapi.utils import get_openapi
from turboapi.routing import BaseRoute, RouteContext
from turboapi.utils import generate_operation_id_for_path

__all__ = [
    "METHODS_WITH_BODY",
    "REF_PREFIX",
    "OpenAPI",
    "generate_operation_id",
    "generate_operation_summary",
    "get_fields_from_routes",
    "get_openapi",
    "get_openapi_operation_metadata",
    "get_openapi_operation_request_body",
    "get_openapi_path",
    "validation_error_definition",
    "validation_error_response_definition",
]

validation_error_definition = VALIDATION_ERROR_DEFINITIONS["ValidationError"]
validation_error_response_definition = VALIDATION_ERROR_DEFINITIONS["HTTPValidationError"]


@dataclass
class _Generated:
    """Schemas that have been generated before."""

    field_mapping: FieldMapping
    separate_input_output_schemas: bool

    def of(self, field: ModelField, alias: str | None = None) -> dict[str, Any]:
        return get_schema_from_model_field(
            field=field,
            model_name_map={},
            field_mapping=self.field_mapping,
            separate_input_output_schemas=self.separate_input_output_schemas,
            field_alias=alias,
        )


def get_fields_from_routes(routes: Sequence[BaseRoute | RouteContext]) -> list[ModelField]:
    """Return the fields that a document of `routes` describes."""
    return DocumentParts.of(_Generated({}, True)).collect_fields(cast(Sequence[BaseRoute], routes))


def get_openapi_path(
    *,
    route: ApiRoute,
    operation_ids: set[str],
    model_name_map: dict[Any, str],
    field_mapping: FieldMapping,
    separate_input_output_schemas: bool = True,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a route's Path Item Object, its security schemes, and the definitions to add for it."""
    components = Components()
    schemas = _Generated(field_mapping, separate_input_output_schemas)
    path = DocumentParts.of(schemas, operation_ids).describe_path(route, components)
    return path, components.security_schemes, components.schemas


def get_openapi_operation_metadata(*, route: ApiRoute, method: str, operation_ids: set[str]) -> dict[str, Any]:
    """Return the members of an Operation Object that stand above the details; `operation_ids` gets its id."""
    return DocumentParts.of(_Generated({}, True), operation_ids).describe_head(route)


def get_openapi_operation_request_body(
    *,
    body_field: ModelField | None,
    model_name_map: dict[Any, str],
    field_mapping: FieldMapping,
    separate_input_output_schemas: bool = True,
) -> dict[str, Any] | None:
    """Return the Request Body Object; None without a body."""
    if not body_field:
        return None
    return describe_body(body_field, _Generated(field_mapping, separate_input_output_schemas))


def generate_operation_summary(*, route: ApiRoute, method: str) -> str:
    """Return the summary of an operation, by default the name of its route as a title."""
    return route.summary or route.name.replace("_", " ").title()


def generate_operation_id(*, route: ApiRoute, method: str) -> str:
    """Return the id of an operation, by default of its name, path and method. Deprecated."""
    warnings.warn(
        "fastapi.openapi.utils.generate_operation_id() was deprecated, it is not used internally, "
        "and will be removed soon",
        category=FastAPIDeprecationWarning,
        stacklevel=2,
    )
    return route.operation_id or generate_operation_id_for_path(name=route.name, path=route.path_format, method=method)


show(
    __name__,
    utils,
    operations,
    parameters,
    responses,
    v2,
    renamed={
        "Body": (params, "Body"),
        "get_flat_params": (dependencies, "get_flat_params"),
        "status_code_ranges": (responses, "STATUS_RANGES"),
    },
)
