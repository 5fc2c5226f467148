"""`fastapi._compat.shared`: questions about annotations."""

import sys
from typing import Any

from pydantic.version import VERSION as PYDANTIC_VERSION

from turboapi._plan.fields import (
    annotation_is_pydantic_v1,
    field_annotation_is_complex,
    field_annotation_is_scalar,
    field_annotation_is_scalar_sequence,
    field_annotation_is_sequence,
    is_bytes_or_nonable_bytes_annotation,
    is_bytes_sequence_annotation,
    is_uploadfile_or_nonable_uploadfile_annotation,
    is_uploadfile_sequence_annotation,
    lenient_issubclass,
    sequence_annotation_to_type,
    sequence_types,
    value_is_sequence,
)

__all__ = [
    "PYDANTIC_VERSION",
    "PYDANTIC_VERSION_MINOR_TUPLE",
    "annotation_is_pydantic_v1",
    "field_annotation_is_complex",
    "field_annotation_is_scalar",
    "field_annotation_is_scalar_sequence",
    "field_annotation_is_sequence",
    "is_bytes_or_nonable_bytes_annotation",
    "is_bytes_sequence_annotation",
    "is_pydantic_v1_model_class",
    "is_pydantic_v1_model_instance",
    "is_uploadfile_or_nonable_uploadfile_annotation",
    "is_uploadfile_sequence_annotation",
    "lenient_issubclass",
    "sequence_annotation_to_type",
    "sequence_types",
    "value_is_sequence",
]

PYDANTIC_VERSION_MINOR_TUPLE = tuple(int(part) for part in PYDANTIC_VERSION.split(".")[:2])


def is_pydantic_v1_model_class(cls: Any) -> bool:
    """Say whether `cls` is a model class of the old API, which nobody can have made without importing it."""
    old = sys.modules.get("pydantic.v1")
    return old is not None and lenient_issubclass(cls, old.BaseModel)


def is_pydantic_v1_model_instance(obj: Any) -> bool:
    """Say whether `obj` is an instance of a model class of the old API."""
    return is_pydantic_v1_model_class(type(obj))
