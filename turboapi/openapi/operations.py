"""Routes to Path Item Objects: puts together what `parameters`, `responses` and `schemas` describe.

`DocumentParts` reads all routes first, since the schemas of all their fields have to be generated together, and then
describes them one by one. On the way it collects what belongs under `components`.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from turboapi._plan.fields import ModelField
from turboapi.openapi.constants import METHODS_WITH_BODY
from turboapi.openapi.parameters import RequestParts, describe_body, describe_parameters, describe_security
from turboapi.openapi.responses import VALIDATION_ERROR_DEFINITIONS, add_validation_error, describe_responses
from turboapi.openapi.schemas import FieldSchemas, Schemas
from turboapi.routing import APIRoute, BaseRoute, EffectiveRoute, iter_effective_routes
from turboapi.utils import deep_dict_update

__all__ = ["Components", "DocumentParts"]

ApiRoute = APIRoute | EffectiveRoute
PathItem = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Components:
    """What operations refer to."""

    schemas: dict[str, Any] = field(default_factory=dict)
    security_schemes: dict[str, Any] = field(default_factory=dict)


class DocumentParts:
    """The parts of one document.

    Args:
        routes: everything that is described, webhooks included.
        separate_input_output_schemas: describe a model twice where the values that it takes and gives differ.
    """

    components: Components
    """Complete when all routes have been described."""

    def __init__(self, routes: Sequence[BaseRoute | EffectiveRoute], *, separate_input_output_schemas: bool) -> None:
        self._request_parts: dict[int, RequestParts] = {}
        self._operation_ids: set[str] = set()
        fields = self.collect_fields(routes)
        schemas = FieldSchemas(fields, separate_input_output_schemas=separate_input_output_schemas)
        self._schemas: Schemas = schemas
        self.components = Components(schemas=schemas.definitions)

    @classmethod
    def of(cls, schemas: Schemas, operation_ids: set[str] | None = None) -> "DocumentParts":
        """Return the parts of a document whose schemas have been generated before.

        Args:
            schemas: gives the schema of each field.
            operation_ids: the ids that are taken; it gets those of the routes that are described.
        """
        parts = cls([], separate_input_output_schemas=True)
        parts._schemas = schemas
        if operation_ids is not None:
            parts._operation_ids = operation_ids
        return parts

    def _parts(self, route: ApiRoute) -> RequestParts:
        parts = self._request_parts.get(id(route))
        if parts is None:
            parts = self._request_parts[id(route)] = RequestParts.of(route.dependant)
        return parts

    def collect_fields(self, routes: Sequence[BaseRoute | EffectiveRoute]) -> list[ModelField]:
        """Return the fields to describe: those of callbacks, then all bodies, all responses and all parameters."""
        callbacks: list[ModelField] = []
        bodies: list[ModelField] = []
        results: list[ModelField] = []
        params: list[ModelField] = []
        for route in _api_routes(routes):
            if not route.include_in_schema:
                continue
            callbacks.extend(self.collect_fields(route.callbacks or ()))
            bodies.extend(filter(None, [route.body_field]))
            results.extend(filter(None, [route.response_field, *route.response_fields.values()]))
            results.extend(filter(None, [route.stream_item_field]))
            params.extend(param.field for param in self._parts(route).params)
        return [*callbacks, *bodies, *results, *params]

    def describe_paths(self, routes: Sequence[BaseRoute | EffectiveRoute]) -> dict[str, PathItem]:
        """Return the Paths Object. Of several operations with the same path and method the last one is described."""
        paths: dict[str, PathItem] = {}
        for route in _api_routes(routes):
            if described := self.describe_path(route, self.components):
                paths.setdefault(route.path_format, {}).update(described)
        return paths

    def describe_path(self, route: ApiRoute, components: Components) -> PathItem:
        """Return the Path Item Object of a route; what it refers to is added to `components`."""
        assert route.methods is not None, "Methods must be a list"
        if not route.include_in_schema:
            return {}
        return {method.lower(): self._describe_operation(route, method, components) for method in route.methods}

    def _describe_operation(self, route: ApiRoute, method: str, components: Components) -> dict[str, Any]:
        parts = self._parts(route)
        operation = self.describe_head(route)
        schemes, required_schemes = describe_security(parts)
        components.security_schemes.update(schemes)
        if required_schemes:
            operation["security"] = required_schemes
        if parameters := describe_parameters(parts, self._schemas):
            operation["parameters"] = parameters
        if route.body_field and method in METHODS_WITH_BODY:
            operation["requestBody"] = describe_body(route.body_field, self._schemas)
        if route.callbacks:
            operation["callbacks"] = self._describe_callbacks(route.callbacks)
        operation["responses"] = describe_responses(route, self._schemas)
        if (parts.params or route.body_field) and add_validation_error(operation["responses"]):
            components.schemas.update(VALIDATION_ERROR_DEFINITIONS)
        if route.openapi_extra:
            deep_dict_update(operation, route.openapi_extra)
        return operation

    def _describe_callbacks(self, callbacks: Sequence[BaseRoute]) -> dict[str, dict[str, PathItem]]:
        # The components that only callbacks refer to are not listed, because FastAPI's documents do not list them.
        return {
            callback.name: {callback.path: self.describe_path(callback, Components())}
            for callback in callbacks
            if isinstance(callback, APIRoute)
        }

    def describe_head(self, route: ApiRoute) -> dict[str, Any]:
        """Return what the documentation shows above the details, warning of an operation id that is not unique."""
        operation: dict[str, Any] = {"tags": route.tags} if route.tags else {}
        operation["summary"] = route.summary or route.name.replace("_", " ").title()
        if route.description:
            operation["description"] = route.description
        operation_id = route.operation_id or route.unique_id
        if operation_id in self._operation_ids:
            _warn_duplicate(operation_id, route.endpoint)
        self._operation_ids.add(operation_id)
        operation["operationId"] = operation_id
        if route.deprecated:
            operation["deprecated"] = route.deprecated
        return operation


def _api_routes(routes: Sequence[BaseRoute | EffectiveRoute]) -> Iterator[ApiRoute]:
    for route in iter_effective_routes(cast(Sequence[BaseRoute], routes)):
        if isinstance(route, (APIRoute, EffectiveRoute)):
            yield route


def _warn_duplicate(operation_id: str, endpoint: Any) -> None:
    message = (
        f"Duplicate Operation ID {operation_id} for function {getattr(endpoint, '__name__', '<unnamed_endpoint>')}"
    )
    if file_name := getattr(endpoint, "__globals__", {}).get("__file__"):
        message += f" at {file_name}"
    warnings.warn(message, stacklevel=2)
