"""What an operation answers: its Responses Object."""

import inspect
from copy import deepcopy
from functools import lru_cache
from http.client import responses as STATUS_TEXTS
from typing import Any

from turboapi._foreign import derives_from
from turboapi.datastructures import DefaultPlaceholder
from turboapi.openapi.constants import REF_PREFIX
from turboapi.openapi.schemas import Schemas
from turboapi.responses import JSONResponse, Response
from turboapi.routing import APIRoute, EffectiveRoute
from turboapi.sse import EVENT_SCHEMA
from turboapi.utils import deep_dict_update, is_body_allowed_for_status_code

__all__ = ["VALIDATION_ERROR_DEFINITIONS", "add_validation_error", "describe_responses"]

STATUS_RANGES = {
    "1XX": "Information",
    "2XX": "Success",
    "3XX": "Redirection",
    "4XX": "Client Error",
    "5XX": "Server Error",
    "DEFAULT": "Default Response",
}

VALIDATION_ERROR_DEFINITIONS: dict[str, Any] = {
    "ValidationError": {
        "title": "ValidationError",
        "type": "object",
        "properties": {
            "loc": {
                "title": "Location",
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"title": "Message", "type": "string"},
            "type": {"title": "Error Type", "type": "string"},
            "input": {"title": "Input"},
            "ctx": {"title": "Context", "type": "object"},
        },
        "required": ["loc", "msg", "type"],
    },
    "HTTPValidationError": {
        "title": "HTTPValidationError",
        "type": "object",
        "properties": {
            "detail": {"title": "Detail", "type": "array", "items": {"$ref": REF_PREFIX + "ValidationError"}}
        },
    },
}
"""What the body of a 422 answer looks like, by schema name."""


def describe_responses(route: APIRoute | EffectiveRoute, schemas: Schemas) -> dict[str, Any]:
    """Return the Responses Object: the answer to expect, and those that the route declares besides."""
    option = route.response_class
    response_class: type[Response] = option.value if isinstance(option, DefaultPlaceholder) else option
    assert response_class, "A response class is needed to generate OpenAPI"
    expected: dict[str, Any] = {"description": route.response_description}
    if is_body_allowed_for_status_code(route.status_code) and (
        content := _describe_content(route, response_class, schemas)
    ):
        expected["content"] = content
    status = route.status_code
    if status is None:
        status = _default_status(response_class)  # type: ignore[arg-type]  # it looks at the hash of instances
    described = {str(status): expected}
    for status_key, response in route.responses.items():
        _merge_response(described, route, status_key, response, response_class.media_type, schemas)
    return described


@lru_cache(maxsize=256)
def _default_status(response_class: type[Response]) -> int:
    parameter = inspect.signature(response_class.__init__).parameters.get("status_code")
    return parameter.default if parameter is not None and isinstance(parameter.default, int) else 200


def _describe_content(
    route: APIRoute | EffectiveRoute, response_class: type[Response], schemas: Schemas
) -> dict[str, Any]:
    item = route.stream_item_field
    if route.is_json_stream:
        return {"application/jsonl": {"itemSchema": schemas.of(item) if item else {}}}
    if route.is_sse_stream:
        return {"text/event-stream": {"itemSchema": _event_schema(schemas.of(item) if item else None)}}
    if not response_class.media_type:
        return {}
    schema: dict[str, Any] = {"type": "string"}
    if derives_from(response_class, JSONResponse):
        schema = schemas.of(route.response_field) if route.response_field else {}
    return {response_class.media_type: {"schema": schema}}


def _event_schema(data_schema: dict[str, Any] | None) -> dict[str, Any]:
    schema = deepcopy(EVENT_SCHEMA)
    if data_schema is not None:
        schema["required"] = ["data"]
        schema["properties"]["data"] = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": data_schema,
        }
    return schema


def _merge_response(
    described: dict[str, Any],
    route: APIRoute | EffectiveRoute,
    status: int | str,
    response: dict[str, Any],
    media_type: str | None,
    schemas: Schemas,
) -> None:
    """Add an answer that the route declares in `responses` to those described so far."""
    declared = deepcopy({key: value for key, value in response.items() if key != "model"})
    status_key = str(status).upper()
    target = described.setdefault("default" if status_key == "DEFAULT" else status_key, {})
    if field := route.response_fields.get(status):
        content = declared.setdefault("content", {}).setdefault(media_type or "application/json", {})
        deep_dict_update(content.setdefault("schema", {}), schemas.of(field))
    status_text = STATUS_RANGES.get(status_key) or STATUS_TEXTS.get(int(status))
    description = declared.get("description") or target.get("description") or status_text or "Additional Response"
    deep_dict_update(target, declared)
    target["description"] = description


def add_validation_error(described: dict[str, Any]) -> bool:
    """Add the answer to invalid input, unless something is said about it already. Returns whether it was added."""
    if not described.keys().isdisjoint(("422", "4XX", "default")):
        return False
    schema = {"$ref": REF_PREFIX + "HTTPValidationError"}
    described["422"] = {"description": "Validation Error", "content": {"application/json": {"schema": schema}}}
    return True
