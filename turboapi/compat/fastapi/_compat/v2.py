"""`fastapi._compat.v2`: model fields."""

from pydantic import PydanticSchemaGenerationError
from pydantic_core import Url
from pydantic_core.core_schema import with_info_plain_validator_function

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

__all__ = [
    "ModelField",
    "PydanticSchemaGenerationError",
    "RequiredParam",
    "Undefined",
    "Url",
    "copy_field_info",
    "create_body_model",
    "evaluate_forwardref",
    "get_cached_model_fields",
    "get_missing_field_error",
    "get_model_fields",
    "is_scalar_field",
    "serialize_sequence_value",
    "with_info_plain_validator_function",
]
