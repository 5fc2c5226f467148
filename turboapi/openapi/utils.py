"""`get_openapi`: an application's routes to its OpenAPI document."""

from collections.abc import Sequence
from typing import Any

from turboapi import openapi
from turboapi.openapi.operations import DocumentParts
from turboapi.routing import BaseRoute, EffectiveRoute

__all__ = ["get_openapi"]


def get_openapi(
    *,
    title: str,
    version: str,
    openapi_version: str = "3.1.0",
    summary: str | None = None,
    description: str | None = None,
    routes: Sequence[BaseRoute | EffectiveRoute],
    webhooks: Sequence[BaseRoute | EffectiveRoute] | None = None,
    tags: list[dict[str, Any]] | None = None,
    servers: list[dict[str, str | Any]] | None = None,
    terms_of_service: str | None = None,
    contact: dict[str, str | Any] | None = None,
    license_info: dict[str, str | Any] | None = None,
    separate_input_output_schemas: bool = True,
    external_docs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the OpenAPI document of `routes` and `webhooks`, made of JSON types.

    Args:
        routes: what goes under `paths`; routes other than path operations, and those that are not
            `include_in_schema`, are passed over.
        webhooks: what goes under `webhooks`.
        separate_input_output_schemas: describe a model twice where the values that it takes and gives differ.
        title, version, summary, description, terms_of_service, contact, license_info: make up `info`.
        openapi_version, tags, servers, external_docs: become the members of these names.

    Raises:
        PydanticInvalidForJsonSchema: a type cannot be described.
        ValidationError: what the application adds, for example in `openapi_extra`, makes the document invalid.
    """
    parts = DocumentParts([*routes, *(webhooks or ())], separate_input_output_schemas=separate_input_output_schemas)
    paths = parts.describe_paths(routes)
    webhook_paths = parts.describe_paths(webhooks or ())
    info = {
        "summary": summary,
        "description": description,
        "termsOfService": terms_of_service,
        "contact": contact,
        "license": license_info,
    }
    components = {
        "securitySchemes": parts.components.security_schemes,
        "schemas": dict(sorted(parts.components.schemas.items())),
    }
    optional = {
        "servers": servers,
        "components": _without_empty(components),
        "webhooks": webhook_paths,
        "tags": tags,
        "externalDocs": external_docs,
    }
    document = {
        "openapi": openapi_version,
        "info": {"title": title, "version": version, **_without_empty(info)},
        "paths": paths,
        **_without_empty(optional),
    }
    checked = openapi.OpenAPI.model_validate(document)
    dumped: dict[str, Any] = _prune(checked.model_dump(mode="json", by_alias=True, exclude_none=True))
    return dumped


def _without_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}


def _prune(value: Any) -> Any:
    """Remove from a tree of JSON types the members that `jsonable_encoder` would leave out, and return it."""
    if isinstance(value, dict):
        if doomed := [name for name, item in value.items() if item is None or name.startswith("_sa")]:
            for name in doomed:
                del value[name]
        for item in value.values():
            _prune(item)
    elif isinstance(value, list):
        for item in value:
            _prune(item)
    return value
