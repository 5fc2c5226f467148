"""A callable's signature with evaluated annotations, and the meaning of each of its parameters.

`analyze_param` answers for one parameter: it is a dependency, a field read from the request, or one of the special
objects (`Request`, `Response`, …) that a handler gets by asking for their type. A declaration that contradicts itself
is an AssertionError that names the parameter.
"""

import inspect
import re
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
)
from copy import copy
from dataclasses import dataclass, replace
from typing import Annotated, Any, ForwardRef, get_args, get_origin

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from typing_inspection.typing_objects import is_typealiastype

from turboapi import params
from turboapi._foreign import own_annotation, own_marker, receiver
from turboapi._plan.arguments import get_model_type
from turboapi._plan.fields import (
    ModelField,
    RequiredParam,
    Undefined,
    copy_field_info,
    create_model_field,
    evaluate_forwardref,
    field_annotation_is_scalar,
    field_annotation_is_scalar_sequence,
    is_scalar_field,
    is_uploadfile_or_nonable_uploadfile_annotation,
    is_uploadfile_sequence_annotation,
    lenient_issubclass,
)
from turboapi._plan.forms import add_form_union_validators, ensure_multipart_is_installed, get_form_union_models
from turboapi._plan.structs import contains_struct
from turboapi.background import StarletteBackgroundTasks
from turboapi.requests import HTTPConnection, Request
from turboapi.responses import Response
from turboapi.security.oauth2 import SecurityScopes
from turboapi.websockets import WebSocket

__all__ = [
    "SPECIAL_PARAMS",
    "ParamDetails",
    "analyze_param",
    "get_path_param_names",
    "get_stream_item_type",
    "get_typed_annotation",
    "get_typed_return_annotation",
    "get_typed_signature",
]

# Type -> the attribute of `Dependant` that takes the parameter's name. The order matters: Request is an HTTPConnection.
SPECIAL_PARAMS: dict[type[Any], str] = {
    Request: "request_param_name",
    WebSocket: "websocket_param_name",
    HTTPConnection: "http_connection_param_name",
    Response: "response_param_name",
    StarletteBackgroundTasks: "background_tasks_param_name",
    SecurityScopes: "security_scopes_param_name",
}
_STREAM_ORIGINS = {AsyncIterable, AsyncIterator, AsyncGenerator, Iterable, Iterator, Generator}


def get_path_param_names(path: str) -> set[str]:
    """Return the names between braces in a path, with their convertors if they have any."""
    return set(re.findall("{(.*?)}", path))


def _get_signature(call: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(call, eval_str=True)
    except NameError:  # a name that exists for type checkers only, perhaps in an annotation that does not matter
        if sys.version_info >= (3, 14):
            from annotationlib import Format

            return inspect.signature(call, annotation_format=Format.FORWARDREF)
        return inspect.signature(call)


def get_typed_signature(call: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of `call` with its string annotations evaluated, as far as they can be."""
    namespace = _namespace(call)
    return inspect.Signature(
        [
            param.replace(annotation=get_typed_annotation(param.annotation, namespace))
            for param in _get_signature(call).parameters.values()
        ]
    )


def get_typed_return_annotation(call: Callable[..., Any]) -> Any:
    """Return the evaluated return annotation of `call`; None if there is none."""
    annotation = _get_signature(call).return_annotation
    return None if annotation is inspect.Signature.empty else get_typed_annotation(annotation, _namespace(call))


def _namespace(call: Callable[..., Any]) -> dict[str, Any]:
    return getattr(inspect.unwrap(call), "__globals__", {})


def get_typed_annotation(annotation: Any, globalns: dict[str, Any]) -> Any:
    """Evaluate an annotation that is a string; others are returned unchanged."""
    if isinstance(annotation, str):
        annotation = evaluate_forwardref(ForwardRef(annotation), globalns, globalns)
        if annotation is type(None):
            return None
    return annotation


def get_stream_item_type(annotation: Any) -> Any | None:
    """Return the type of the items of an (async) iterable or generator annotation; None for other annotations."""
    if get_origin(annotation) not in _STREAM_ORIGINS:
        return None
    args = get_args(annotation)
    return args[0] if args else Any


@dataclass
class ParamDetails:
    """The meaning of a parameter: `depends` or `field` is set, or neither for a special type.

    `receive` makes what the parameter gets of our object, when the special type is one of Starlette's own.
    """

    type_annotation: Any
    depends: params.Depends | None
    field: ModelField | None
    receive: Callable[[Any], Any] | None = None


def analyze_param(*, param_name: str, annotation: Any, value: Any, path_param_names: Collection[str]) -> ParamDetails:
    """Work out what a parameter is from its annotation, its default `value` and the names in the route's path.

    Raises:
        AssertionError: the declaration contradicts itself or cannot be read from where it says.
        FastAPIError: there is no pydantic schema for the type.
        RuntimeError: the parameter needs form parsing, which is not installed.
    """
    is_path_param = param_name in path_param_names
    if is_typealiastype(annotation):
        annotation = annotation.__value__
    declared, annotation, value = annotation, own_annotation(annotation), own_marker(value)
    use_annotation: Any = Any if annotation is inspect.Signature.empty else annotation
    is_annotated = get_origin(use_annotation) is Annotated
    type_annotation = get_args(use_annotation)[0] if is_annotated else use_annotation

    depends, field_info = _declared_in_annotation(use_annotation) if is_annotated else (None, None)
    if field_info is not None:
        field_info = _with_default(field_info, param_name, use_annotation, value, is_path_param)
    depends, field_info = _declared_by_default(param_name, type_annotation, value, depends, field_info)

    if depends is not None:
        if depends.dependency is None:
            depends = replace(depends, dependency=type_annotation)
    elif lenient_issubclass(type_annotation, tuple(SPECIAL_PARAMS)):
        assert field_info is None, f"Cannot specify FastAPI annotation for type {type_annotation!r}"
    elif field_info is None:
        field_info = _inferred(type_annotation, use_annotation, value, is_path_param)

    field = None
    if field_info is not None:
        field = _build_field(param_name, field_info, use_annotation, path_param_names)
    receive = None
    if declared is not annotation and depends is None and field is None:
        receive = receiver(get_args(declared)[0] if is_annotated else declared)
    return ParamDetails(type_annotation=type_annotation, depends=depends, field=field, receive=receive)


def _declared_in_annotation(annotation: Any) -> tuple[params.Depends | None, FieldInfo | None]:
    """Return the last marker in `Annotated[...]`: a dependency or a field."""
    markers = [arg for arg in get_args(annotation)[1:] if isinstance(arg, (params.Param, params.Body, params.Depends))]
    if not markers:
        return None, None
    marker = markers[-1]
    return (marker, None) if isinstance(marker, params.Depends) else (None, marker)


def _with_default(
    field_info: FieldInfo, param_name: str, annotation: Any, value: Any, is_path_param: bool
) -> FieldInfo:
    """Return a field declared in `Annotated` with everything else in there merged in, and with its default value."""
    copied = copy_field_info(field_info=field_info, annotation=annotation)
    assert copied.default is Undefined, (
        f"`{copied.__class__.__name__}` default value cannot be set in"
        f" `Annotated` for {param_name!r}. Set the default value with `=` instead."
    )
    if value is inspect.Signature.empty:
        copied.default = RequiredParam
    else:
        assert not is_path_param, "Path parameters cannot have default values"
        copied.default = value
    return copied


def _declared_by_default(
    param_name: str,
    type_annotation: Any,
    value: Any,
    depends: params.Depends | None,
    field_info: FieldInfo | None,
) -> tuple[params.Depends | None, FieldInfo | None]:
    """Take into account a marker given as default value, `q: str = Query()`."""
    if isinstance(value, params.Depends):
        assert depends is None, f"Cannot specify `Depends` in `Annotated` and default value together for {param_name!r}"
        assert field_info is None, (
            "Cannot specify a FastAPI annotation in `Annotated` and `Depends` as a"
            f" default value together for {param_name!r}"
        )
        return value, None
    if isinstance(value, FieldInfo):
        assert field_info is None, (
            f"Cannot specify FastAPI annotations in `Annotated` and default value together for {param_name!r}"
        )
        value.annotation = type_annotation
        return depends, value
    return depends, field_info


def _inferred(type_annotation: Any, use_annotation: Any, value: Any, is_path_param: bool) -> FieldInfo:
    """Return the field for a parameter without a marker: what it is follows from its type."""
    default = RequiredParam if value is inspect.Signature.empty else value
    field_info: FieldInfo
    if is_path_param:
        # A default value is ignored, because the same function may serve another route without this path parameter.
        field_info = params.Path(annotation=use_annotation)
    else:
        field_info = _kind_for(type_annotation)(default, annotation=use_annotation)
    if get_origin(use_annotation) is Annotated:
        default = field_info.default
        field_info = copy_field_info(field_info=field_info, annotation=use_annotation)
        field_info.default = default
        if is_path_param:
            field_info.default_factory = None
    return field_info


def _kind_for(annotation: Any) -> type[params.File] | type[params.Body] | type[params.Query]:
    if is_uploadfile_or_nonable_uploadfile_annotation(annotation) or is_uploadfile_sequence_annotation(annotation):
        return params.File
    return params.Query if field_annotation_is_scalar(annotation) else params.Body


def _build_field(
    param_name: str, field_info: FieldInfo, annotation: Any, path_param_names: Collection[str]
) -> ModelField:
    is_path_param = param_name in path_param_names
    assert not is_path_param or isinstance(field_info, params.Path), (
        f"Cannot use `{field_info.__class__.__name__}` for path param {param_name!r}"
    )
    if isinstance(field_info, params.Path):
        field_info = _with_route_alias(field_info, path_param_names)
    elif isinstance(field_info, params.Param) and getattr(field_info, "in_", None) is None:
        field_info.in_ = params.ParamTypes.query
    elif isinstance(field_info, params.Form):
        ensure_multipart_is_installed()
        if get_form_union_models(field_info.annotation):
            field_info.annotation = add_form_union_validators(field_info.annotation)
    if not field_info.alias:
        convert = getattr(field_info, "convert_underscores", None)
        field_info.alias = param_name.replace("_", "-") if convert else param_name
    field = create_model_field(
        name=param_name, type_=annotation, default=field_info.default, alias=field_info.alias, field_info=field_info
    )
    _check_type(field, is_path_param)
    return field


def _with_route_alias(field_info: params.Path, path_param_names: Collection[str]) -> params.Path:
    """Replace a choice of names by the one that the route's path has. Other routes may share `field_info`."""
    choices = field_info.validation_alias
    if not isinstance(choices, AliasChoices) or not all(isinstance(choice, str) for choice in choices.choices):
        return field_info
    for choice in choices.choices:
        if choice in path_param_names:
            field_info = copy(field_info)
            field_info.validation_alias = str(choice)
            break
    return field_info


def _check_type(field: ModelField, is_path_param: bool) -> None:
    annotation = field.field_info.annotation
    if is_path_param:
        assert is_scalar_field(field), "Path params must be of one of the supported types"
    elif isinstance(field.field_info, params.Query):
        assert (
            is_scalar_field(field)
            or field_annotation_is_scalar_sequence(annotation)
            or get_model_type(annotation) is not None
            or contains_struct(annotation)  # `get_dependant` says more about these
        ), f"Query parameter {field.name!r} must be one of the supported types"
