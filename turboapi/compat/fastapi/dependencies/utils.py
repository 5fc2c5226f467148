"""`fastapi.dependencies.utils`: reading signatures and solving dependencies."""

from turboapi._plan.arguments import request_params_to_args
from turboapi._plan.body import get_body_field as _get_body_field
from turboapi._plan.body import request_body_to_args
from turboapi._plan.body import should_embed_body_fields as _should_embed_body_fields
from turboapi._plan.dependencies import (
    get_dependant,
    get_flat_params,
    get_parameterless_sub_dependant,
)
from turboapi._plan.dependencies import get_flat_body_params as _get_flat_body_params
from turboapi._plan.forms import (
    ensure_multipart_is_installed,
    multipart_incorrect_install_error,
    multipart_not_installed_error,
)
from turboapi._plan.forms import read_file_bytes as _read_file_bytes
from turboapi._plan.handlers import SolvedDependency, solve_dependencies
from turboapi._plan.signature import (
    ParamDetails,
    analyze_param,
    get_stream_item_type,
    get_typed_annotation,
    get_typed_return_annotation,
    get_typed_signature,
)

__all__ = [
    "SolvedDependency",
    "ParamDetails",
    "_get_body_field",
    "_get_flat_body_params",
    "_read_file_bytes",
    "_should_embed_body_fields",
    "analyze_param",
    "ensure_multipart_is_installed",
    "get_dependant",
    "get_flat_params",
    "get_parameterless_sub_dependant",
    "get_stream_item_type",
    "get_typed_annotation",
    "get_typed_return_annotation",
    "get_typed_signature",
    "multipart_incorrect_install_error",
    "multipart_not_installed_error",
    "request_body_to_args",
    "request_params_to_args",
    "solve_dependencies",
]
