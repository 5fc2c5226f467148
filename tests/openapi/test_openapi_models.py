from typing import Any

import fastapi.openapi.constants
import fastapi.openapi.models as theirs
import pytest
from pydantic import BaseModel, ValidationError

import turboapi.openapi.constants
import turboapi.openapi.models as ours

DEFINED = [name for name, value in vars(theirs).items() if getattr(value, "__module__", None) == theirs.__name__]
MODELS = [name for name in DEFINED if hasattr(getattr(theirs, name), "model_fields")]

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1", "contact": {"url": "https://example.com"}, "x-team": "b"},
    "servers": [{"url": "/v1"}, {"url": "https://{host}", "variables": {"host": {"default": "a", "enum": ["a"]}}}],
    "paths": {
        "/items/{id}": {
            "get": {
                "parameters": [
                    {"in": "path", "name": "id", "required": True, "schema": {"type": "integer", "minimum": 1}},
                    {"$ref": "#/components/parameters/page"},
                ],
                "responses": {
                    "200": {
                        "description": "OK",
                        "headers": {"x-total": {"schema": {"type": "integer"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                        "links": {"self": {"operationId": "read"}},
                    },
                    "x-extension": [1],
                },
                "callbacks": {"done": {"{$url}": {"post": {"responses": {"200": {"description": "ok"}}}}}},
                "security": [{"key": []}],
            },
            "post": {
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {"type": "object", "properties": {"file": {"format": "binary"}}},
                            "encoding": {"file": {"contentType": "image/png", "headers": {"a": {"$ref": "#/b"}}}},
                            "examples": {"one": {"summary": "first", "value": None, "x-more": True}},
                        }
                    }
                }
            },
        }
    },
    "components": {
        "schemas": {
            "Item": {
                "$id": "item",
                "$defs": {"a": True},
                "type": ["object", "null"],
                "not": {"const": 3},
                "if": False,
                "else": {"allOf": [{"type": "string"}, True]},
                "discriminator": {"propertyName": "kind"},
                "xml": {"name": "item"},
                "x-anything": {"goes": "here"},
            }
        },
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "x-key"},
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "login": {"type": "oauth2", "flows": {"password": {"tokenUrl": "t", "scopes": {"a": "b"}}}},
            "oidc": {"type": "openIdConnect", "openIdConnectUrl": "u"},
            "elsewhere": {"$ref": "#/x"},
        },
    },
    "webhooks": {"new": {"$ref": "#/y"}},
    "tags": [{"name": "items", "externalDocs": {"url": "https://example.com/docs"}}],
}


def test_every_name_of_the_reference_exists():
    assert set(DEFINED) - {"EmailStr"} <= set(ours.__all__)
    assert set(ours.__all__) <= set(dir(theirs))
    for name in ("METHODS_WITH_BODY", "REF_PREFIX", "REF_TEMPLATE"):
        assert getattr(turboapi.openapi.constants, name) == getattr(fastapi.openapi.constants, name)


@pytest.mark.parametrize("name", MODELS)
def test_fields_aliases_types_and_constraints_are_the_same(name):
    model, reference = getattr(ours, name), getattr(theirs, name)
    assert list(model.model_fields) == list(reference.model_fields)
    assert without_docstrings(model) == without_docstrings(reference)


def without_docstrings(model: type[BaseModel]) -> Any:
    schema = model.model_json_schema()
    for definition in (schema, *schema.get("$defs", {}).values()):
        definition.pop("description", None)
    return schema


@pytest.mark.parametrize("name", [name for name in DEFINED if hasattr(getattr(theirs, name), "__members__")])
def test_enumerations_are_the_same(name):
    assert [(m.name, m.value) for m in getattr(ours, name)] == [(m.name, m.value) for m in getattr(theirs, name)]


def test_document_comes_out_as_from_the_reference():
    document, reference = (models.OpenAPI.model_validate(DOCUMENT) for models in (ours, theirs))
    for options in ({"exclude_none": True}, {"exclude_unset": True}, {}):
        dumped = document.model_dump_json(by_alias=True, **options)
        assert dumped == reference.model_dump_json(by_alias=True, **options)


@pytest.mark.parametrize(
    "broken",
    [
        {"info": {"title": "Shop"}},
        {"components": {"schemas": {"Item": {"type": "text"}}}},
        {"components": {"schemas": {"Item": {"multipleOf": 0}}}},
        {"servers": [{"url": "/", "variables": {"host": {"default": "a", "enum": []}}}]},
        {"tags": [{"name": "a", "externalDocs": {"url": "not a url"}}]},
    ],
)
def test_broken_documents_are_refused_with_the_same_errors(broken):
    errors = []
    for models in (ours, theirs):
        with pytest.raises(ValidationError) as caught:
            models.OpenAPI.model_validate(DOCUMENT | broken)
        errors.append(caught.value.errors(include_url=False))
    assert errors[0] == errors[1]


def test_reading_a_deprecated_example_warns():
    with pytest.warns(DeprecationWarning, match="Use examples instead"):
        assert ours.Schema(example=1).example == 1


@pytest.mark.parametrize("address", ["john@example.com", "not an address"])
def test_email_addresses_are_treated_the_same_with_and_without_the_validator_package(address, caplog):
    outcomes = []
    for models in (ours, theirs):
        try:
            outcomes.append(models.Contact(email=address).email)
        except ValidationError as error:
            outcomes.append(error.errors(include_url=False))
    assert outcomes[0] == outcomes[1]
    warned = {logger: [r.message for r in caplog.records if r.name == logger] for logger in ("turboapi", "fastapi")}
    assert warned["turboapi"] == warned["fastapi"]
