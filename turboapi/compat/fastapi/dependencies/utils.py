"""`fastapi.dependencies.utils`: reading signatures and solving dependencies."""

from collections.abc import Mapping, Sequence
from typing import Any

from turboapi import params
from turboapi._plan import arguments, body, dependencies, fields, forms, signature
from turboapi._plan.arguments import get_validation_alias
from turboapi._plan.arguments import request_params_to_args as _request_params_to_args
from turboapi._plan.body import request_body_to_args
from turboapi._plan.dependencies import (
    Dependant,
    get_dependant,
    get_flat_params,
    get_parameterless_sub_dependant,
)
from turboapi._plan.fields import ModelField
from turboapi._plan.forms import (
    ensure_multipart_is_installed,
    multipart_incorrect_install_error,
    multipart_not_installed_error,
)
from turboapi._plan.handlers import SolvedDependency, solve_dependencies
from turboapi._plan.signature import (
    ParamDetails,
    analyze_param,
    get_stream_item_type,
    get_typed_annotation,
    get_typed_return_annotation,
    get_typed_signature,
)
from turboapi.compat._view import show

__all__ = [
    "SolvedDependency",
    "ParamDetails",
    "add_non_field_param_to_dependency",
    "add_param_to_fields",
    "analyze_param",
    "ensure_multipart_is_installed",
    "get_dependant",
    "get_flat_params",
    "get_parameterless_sub_dependant",
    "get_stream_item_type",
    "get_typed_annotation",
    "get_typed_return_annotation",
    "get_typed_signature",
    "get_validation_alias",
    "multipart_incorrect_install_error",
    "multipart_not_installed_error",
    "request_body_to_args",
    "request_params_to_args",
    "solve_dependencies",
]


def request_params_to_args(
    fields: Sequence[ModelField], received_params: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Return the values of parameters, by name, and the errors."""
    return _request_params_to_args(fields, received_params)


def add_param_to_fields(*, field: ModelField, dependant: Dependant) -> None:
    """Add a path, query, header or cookie parameter to `dependant`."""
    assert not isinstance(field.field_info, params.Body)
    dependencies.add_field(dependant, field)


def add_non_field_param_to_dependency(*, param_name: str, type_annotation: Any, dependant: Dependant) -> bool | None:
    """Let `dependant` take one of the special objects under a name; None if the type is none of theirs."""
    attribute = dependencies.special_attribute(type_annotation)
    if attribute is None:
        return None
    setattr(dependant, attribute, param_name)
    return True


show(
    __name__,
    signature,
    dependencies,
    body,
    arguments,
    forms,
    fields,
    renamed={
        "_add_form_union_validators": (forms, "add_form_union_validators"),
        "_apply_form_body_schema": (forms, "apply_form_body_schema"),
        "_extract_form_items": (forms, "extract_form_items"),
        "_get_body_field": (body, "get_body_field"),
        "_get_flat_body_params": (dependencies, "get_flat_body_params"),
        "_get_form_model": (forms, "get_form_model"),
        "_get_form_models": (forms, "get_form_models"),
        "_get_form_union_models": (forms, "get_form_union_models"),
        "_get_model_type": (arguments, "get_model_type"),
        "_get_multidict_extras": (arguments, "get_multidict_extras"),
        "_get_multidict_value": (arguments, "get_multidict_value"),
        "_get_param_aliases": (arguments, "get_param_aliases"),
        "_get_param_model": (arguments, "get_param_model"),
        "_is_empty_file_input": (arguments, "is_empty_file_input"),
        "_is_json_field": (arguments, "is_json_field"),
        "_read_file_bytes": (forms, "read_file_bytes"),
        "_should_embed_body_fields": (body, "should_embed_body_fields"),
    },
)
