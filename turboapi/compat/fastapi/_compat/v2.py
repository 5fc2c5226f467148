"""`fastapi._compat.v2`: model fields and their JSON schemas.

A document is generated with names that follow from its fields, so `model_name_map` is taken and not looked at.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, get_args

from pydantic import BaseModel, PydanticSchemaGenerationError
from pydantic_core import Url
from pydantic_core.core_schema import with_info_plain_validator_function

from turboapi._plan import fields
from turboapi._plan.fields import (
    ModelField,
    RequiredParam,
    Undefined,
    copy_field_info,
    create_body_model,
    evaluate_forwardref,
    get_cached_model_fields,
    get_missing_field_error,
    get_model_fields,
    is_scalar_field,
    serialize_sequence_value,
)
from turboapi.compat._view import show
from turboapi.openapi import schemas
from turboapi.openapi.constants import REF_TEMPLATE
from turboapi.openapi.schemas import FieldSchemas, get_flat_models, has_computed_fields
from turboapi.openapi.schemas import SchemaGenerator as GenerateJsonSchema

__all__ = [
    "GenerateJsonSchema",
    "ModelField",
    "PydanticSchemaGenerationError",
    "REF_TEMPLATE",
    "RequiredParam",
    "Undefined",
    "Url",
    "copy_field_info",
    "create_body_model",
    "evaluate_forwardref",
    "get_cached_model_fields",
    "get_definitions",
    "get_flat_models_from_annotation",
    "get_flat_models_from_field",
    "get_flat_models_from_fields",
    "get_flat_models_from_model",
    "get_missing_field_error",
    "get_model_fields",
    "get_model_name_map",
    "get_schema_from_model_field",
    "is_scalar_field",
    "normalize_name",
    "serialize_sequence_value",
    "with_info_plain_validator_function",
]

FieldMapping = dict[tuple[ModelField, Literal["validation", "serialization"]], dict[str, Any]]
Model = type[BaseModel] | type[Enum]


def get_definitions(
    *, fields: Sequence[ModelField], model_name_map: dict[Any, str], separate_input_output_schemas: bool = True
) -> tuple[FieldMapping, dict[str, dict[str, Any]]]:
    """Return the schemas of `fields`, by field and mode, and the definitions that these refer to, by name."""
    generated = FieldSchemas(fields, separate_input_output_schemas=separate_input_output_schemas)
    return {(field, generated.mode_of(field)): generated.of(field) for field in fields}, generated.definitions


def get_schema_from_model_field(
    *,
    field: ModelField,
    model_name_map: dict[Any, str],
    field_mapping: FieldMapping,
    separate_input_output_schemas: bool = True,
    field_alias: str | None = None,
) -> dict[str, Any]:
    """Return the schema of a field out of what `get_definitions` returns."""
    is_separate = separate_input_output_schemas or has_computed_fields(field)
    schema = dict(field_mapping[field, field.mode if is_separate else "validation"])
    if "$ref" not in schema and field_alias is not None:
        schema["title"] = field.field_info.title or field_alias.title().replace("_", " ")
    return schema


def get_flat_models_from_annotation(annotation: Any, known_models: set[Model]) -> set[Model]:
    """Add the models and enums in the arguments of an annotation to `known_models`, and return that."""
    known_models.update(get_flat_models(get_args(annotation)))
    return known_models


def get_flat_models_from_field(field: ModelField, known_models: set[Model]) -> set[Model]:
    """Add the models and enums that a field consists of to `known_models`, and return that."""
    known_models.update(get_flat_models([field.field_info.annotation]))
    return known_models


def get_flat_models_from_fields(fields: Sequence[ModelField], known_models: set[Model]) -> set[Model]:
    """Add the models and enums that fields consist of to `known_models`, and return that."""
    for field in fields:
        get_flat_models_from_field(field, known_models)
    return known_models


def get_flat_models_from_model(model: type[BaseModel], known_models: set[Model] | None = None) -> set[Model]:
    """Add the models and enums in the fields of a model to `known_models`, and return that."""
    return get_flat_models_from_fields(get_model_fields(model), known_models if known_models else set())


def normalize_name(name: str) -> str:
    """Return a name of a definition: other characters than letters, digits, ".", "-" and "_" are replaced."""
    return re.sub(r"[^a-zA-Z0-9.\-_]", "_", name)


def get_model_name_map(unique_models: set[Model]) -> dict[Model, str]:
    """Return models with their names; of several with the same name there is one."""
    by_name = {normalize_name(model.__name__): model for model in unique_models}
    return {model: name for name, model in by_name.items()}


show(
    __name__,
    fields,
    schemas,
    renamed={
        "_has_computed_fields": (schemas, "has_computed_fields"),
    },
)
