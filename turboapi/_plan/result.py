"""From what a handler returns to what is sent: the exact rules, and the facts by which the fast path shortens them."""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import ValidationError

from turboapi._plan.context import endpoint_context
from turboapi._plan.dependencies import Dependant
from turboapi._plan.fields import ModelField
from turboapi._plan.plain_models import plain_shape
from turboapi._plan.structs import readable_errors
from turboapi._speedups.serialize import models_json
from turboapi.datastructures import DefaultPlaceholder
from turboapi.encoders import jsonable_encoder
from turboapi.exceptions import EndpointContext, ResponseValidationError
from turboapi.requests import Request
from turboapi.responses import JSONResponse, Response
from turboapi.telemetry._api import _operation
from turboapi.types import IncEx
from turboapi.utils import is_body_allowed_for_status_code

__all__ = [
    "ResultRoute",
    "actual_response_class",
    "dump_options",
    "make_dumper",
    "make_responder",
    "passes_plain_trees",
    "render_json",
]


class ResultRoute(Protocol):
    """The attributes of a route that decide about its response."""

    dependant: Dependant
    status_code: int | None
    response_class: Any
    response_field: ModelField | None
    stream_item_field: ModelField | None
    response_model_include: IncEx | None
    response_model_exclude: IncEx | None
    response_model_by_alias: bool
    response_model_exclude_unset: bool
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool


def actual_response_class(route: ResultRoute) -> type[Response]:
    """Return the response class, declared or default."""
    declared = route.response_class
    chosen: type[Response] = declared.value if isinstance(declared, DefaultPlaceholder) else declared
    return chosen


def dump_options(route: ResultRoute) -> dict[str, Any]:
    """Return pydantic's serialization options, without those that say nothing."""
    options: dict[str, Any] = {"by_alias": route.response_model_by_alias}
    for name in ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none"):
        if value := getattr(route, f"response_model_{name}"):
            options[name] = value
        elif name in ("include", "exclude") and value is not None:
            options[name] = value  # an empty set is an opinion
    return options


def render_json(content: Any) -> bytes:
    """Return any result as the JSON bytes of the default response class (raises ValueError for NaN and the like)."""
    return JSONResponse(jsonable_encoder(content)).body  # type: ignore[return-value]


def make_dumper(route: ResultRoute) -> Callable[[Any, Any], bytes]:
    """Return `dump(result, exchange)`: validates, and thereby filters, a result and encodes it as JSON."""
    assert route.response_field is not None
    adapter = route.response_field._type_adapter
    validate = adapter.validator.validate_python
    to_json = adapter.serializer.to_json
    options = dump_options(route)
    shape = None if len(options) > 1 else plain_shape(adapter.core_schema)

    def dump(result: Any, exchange: Any) -> bytes:
        try:
            value = validate(result, from_attributes=True)
        except ValidationError as exc:
            raise _invalid_response(exc, result, _context_of(route, exchange.scope())) from None
        if shape is not None and (written := models_json(shape, value)) is not None:
            return written
        return to_json(value, **options)

    return dump


def passes_plain_trees(route: ResultRoute) -> bool:
    """Say whether the response model lets every plain JSON tree through as it is: `-> Any` and the like."""
    field = route.response_field
    if field is None or len(dump_options(route)) > 1:
        return False
    schema = field._type_adapter.core_schema
    return schema["type"] == "any" and "serialization" not in schema


def _context_of(route: ResultRoute, scope: Any) -> EndpointContext:
    assert route.dependant.call is not None
    return endpoint_context(
        route.dependant.call, method=scope["method"], root_path=scope.get("root_path", ""), path=route.dependant.path
    )


def _invalid_response(exc: ValidationError, body: Any, context: EndpointContext) -> ResponseValidationError:
    errors = [{**error, "loc": ("response", *error["loc"])} for error in readable_errors(exc)]
    return ResponseValidationError(errors=errors, body=body, endpoint_ctx=context)


def finite(data: Any) -> Any:
    """Return JSON-compatible data with null in place of NaN and the infinities."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    return [finite(item) for item in data] if isinstance(data, list) else data


def make_item_dumper(route: ResultRoute, scope: Any) -> Callable[[Any], bytes]:
    """Return the encoder of one item of a stream: validated against the item type, if there is one."""
    field = route.stream_item_field
    options = dump_options(route)

    def dump_plain(item: Any) -> bytes:
        return json.dumps(finite(jsonable_encoder(item))).encode()

    def dump_field(item: Any) -> bytes:
        assert field is not None
        try:
            value = field._type_adapter.validate_python(item, from_attributes=True)
        except ValidationError as exc:
            raise _invalid_response(exc, item, _context_of(route, scope)) from None
        return field.serialize_json(value, **options)

    return dump_plain if field is None else dump_field


def response_arguments(route: ResultRoute, background: Any, injected: Response | None) -> dict[str, Any]:
    """Return the constructor arguments that do not depend on the content: status and background tasks."""
    status = (injected.status_code if injected is not None else None) or route.status_code
    return {"background": background, **({"status_code": status} if status else {})}


Serializer = Callable[[Any, Request], Any]


def _make_serializer(route: ResultRoute, to_json: bool) -> Serializer:
    """Return `serialize(result, request)`: the content of the response, filtered by the response model, if any."""
    field = route.response_field
    options = dump_options(route)
    if field is None:
        return lambda result, request: jsonable_encoder(result)
    dump = field.serialize_json if to_json else field.serialize
    validate = field._type_adapter.validate_python

    def serialize(result: Any, request: Request) -> Any:
        try:
            value = validate(result, from_attributes=True)
        except ValidationError as exc:
            raise _invalid_response(exc, result, _context_of(route, request.scope)) from None
        return dump(value, **options)

    return serialize


def _as_operation(serialize: Serializer, function: Any) -> Serializer:
    def traced(result: Any, request: Request) -> Any:
        with _operation(name="serialization", function=function):
            return serialize(result, request)

    return traced


def make_responder(route: ResultRoute, *, as_operation: bool = False) -> Callable[..., Awaitable[Response]]:
    """Return `respond(request, result, background, injected)` for a result that is no response yet.

    `as_operation` makes a span of the serialization, if the request is traced.
    """
    response_class = actual_response_class(route)
    to_json = route.response_field is not None and isinstance(route.response_class, DefaultPlaceholder)
    serialize = _make_serializer(route, to_json)
    if as_operation:
        serialize = _as_operation(serialize, route.dependant.call)

    async def respond(request: Request, result: Any, background: Any, injected: Response | None) -> Response:
        content = serialize(result, request)
        arguments = response_arguments(route, background, injected)
        if to_json:
            response = Response(content, media_type="application/json", **arguments)
        else:
            response = response_class(content, **arguments)
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        if injected is not None:
            response.raw_headers.extend(injected.raw_headers)
        return response

    return respond
