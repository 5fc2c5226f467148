"""The request body: one field for the document, values for the handler, facts for the compiled fast path.

In go the body parameters of a route (its own and its dependencies') and what was received: the result of `json.loads`,
raw `bytes` when the content type is not JSON, a `FormData`, or `Undefined` when there was no body.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import msgspec
from pydantic import BaseModel, ConfigDict, GetPydanticSchema

from turboapi import params
from turboapi._plan.arguments import Errors, get_param_aliases, validate_value
from turboapi._plan.fields import (
    Loc,
    ModelField,
    Undefined,
    create_body_model,
    create_model_field,
    get_missing_field_error,
    lenient_issubclass,
    union_args,
)
from turboapi._plan.forms import (
    FormLimits,
    apply_form_body_schema,
    ensure_multipart_is_installed,
    extract_form_body,
    extract_form_model,
    get_form_model,
    get_form_model_schema,
    get_form_models,
    resolve_form_limits,
    validate_form_limits,
)
from turboapi._plan.json_mode import json_validator
from turboapi._plan.structs import is_struct_annotation, is_tagged_union
from turboapi.datastructures import FormData

__all__ = [
    "BodyFacts",
    "FormLimits",
    "body_facts",
    "ensure_multipart_is_installed",
    "get_body_field",
    "request_body_to_args",
    "resolve_form_limits",
    "should_embed_body_fields",
    "validate_form_limits",
]


def should_embed_body_fields(fields: Sequence[ModelField]) -> bool:
    """Say whether the fields are keys of the body, rather than one field being the whole body."""
    if not fields:
        return False
    first, *others = fields
    # Several dependencies may declare the same field; it is one field as long as the name is the same.
    if any(field.name != first.name for field in others):
        return True
    info: Any = first.field_info
    form_models = get_form_models(first)
    if form_models and any(
        not get_form_models(field) or field.field_info.annotation is not info.annotation for field in others
    ):
        return True
    if getattr(info, "embed", None):
        return True
    takes_whole_form = bool(form_models) or lenient_issubclass(info.annotation, BaseModel)
    return isinstance(info, params.Form) and not takes_whole_form


async def request_body_to_args(
    body_fields: Sequence[ModelField], received_body: Any, embed_body_fields: bool
) -> tuple[dict[str, Any], Errors]:
    """Return the valid values by parameter name, and the errors.

    Args:
        body_fields: the body parameters of one callable, at least one.
        received_body: see the module's docstring.
        embed_body_fields: whether the route as a whole embeds its body parameters.
    """
    assert body_fields, "request_body_to_args() should be called with fields"
    form = received_body if isinstance(received_body, FormData) else None
    found: dict[str, tuple[str, Any]] = {}
    if form is not None:
        received_body, found = await _read_form_fields(body_fields, form)
    if _is_whole_body(body_fields, embed_body_fields):
        value, errors = validate_value(body_fields[0], received_body, {}, loc=("body",))
        return {body_fields[0].name: value}, errors
    values: dict[str, Any] = {}
    errors = []
    for field in body_fields:
        loc, value = await _form_value(field, form, found) if form is not None else _json_value(field, received_body)
        if value is _NOT_AN_OBJECT:
            errors.append(get_missing_field_error(loc))
            continue
        value, field_errors = validate_value(field, value, values, loc=loc)
        if field_errors:
            errors.extend(field_errors)
        else:
            values[field.name] = value
    return values, errors


_NOT_AN_OBJECT = object()


def _is_whole_body(fields: Sequence[ModelField], embed_body_fields: bool) -> bool:
    return (
        len(fields) == 1
        and not embed_body_fields
        and not should_embed_body_fields(fields)
        and not get_form_models(fields[0])
    )


async def _read_form_fields(
    fields: Sequence[ModelField], form: FormData
) -> tuple[dict[str, Any], dict[str, tuple[str, Any]]]:
    """Return the form as a dictionary, and by parameter name the alias and value of the fields that it has."""
    single_fields = [field for field in fields if not get_form_models(field)]
    values: dict[str, Any] = {}
    found: dict[str, tuple[str, Any]] = {}
    if single_fields:
        async for alias, value, field in extract_form_body(single_fields, form):
            values[alias] = value
            if field is not None:
                found[field.name] = (alias, value)
    return values, found


async def _form_value(field: ModelField, form: FormData, found: dict[str, tuple[str, Any]]) -> tuple[Loc, Any]:
    if models := get_form_models(field):
        return ("body",), await extract_form_model(field, models, form)
    alias, value = found.get(field.name, (get_param_aliases(field)[0][0], Undefined))
    return ("body", alias), value


def _json_value(field: ModelField, body: Any) -> tuple[Loc, Any]:
    """Return the place and value of an embedded field; `_NOT_AN_OBJECT` if the body is other JSON."""
    aliases = [alias for alias, _ in get_param_aliases(field)]
    if body is Undefined or isinstance(body, bytes):
        return ("body", aliases[0]), Undefined
    try:
        for alias in aliases:
            if (value := body.get(alias, Undefined)) is not Undefined:
                return ("body", alias), value
    except AttributeError:
        return ("body", aliases[0]), _NOT_AN_OBJECT
    return ("body", aliases[0]), Undefined


def get_body_field(*, body_params: Sequence[ModelField], name: str, embed_body_fields: bool) -> ModelField | None:
    """Return one field that describes the body as a whole, for the OpenAPI document and to tell forms from JSON.

    It validates nothing: that is done with the single `body_params`. `name` distinguishes the made-up model
    `Body_<name>`. None means that there is no body.
    """
    if not body_params:
        return None
    first = body_params[0]
    has_models = any(map(get_form_models, body_params))
    if not embed_body_fields and not any(map(_is_nullable_form_model, body_params)):
        return first
    fields = [_flat_form_field(index, field) for index, field in enumerate(body_params)] if has_models else body_params
    config = ConfigDict(json_schema_extra=partial(apply_form_body_schema, body_params)) if has_models else None
    model = create_body_model(fields=fields, model_name="Body_" + name, config=config)
    if embed_body_fields:
        return create_model_field(name="body", type_=model, alias="body", field_info=_body_info(body_params, model))
    info: Any = copy(first.field_info)
    info.annotation = model
    info.metadata = []  # the constraints are those of the parameter, not of the form
    info.discriminator = None
    return ModelField(name=first.name, field_info=info)


def _is_nullable_form_model(field: ModelField) -> bool:
    return bool(get_form_models(field)) and type(None) in get_args(field.field_info.annotation)


def _flat_form_field(index: int, field: ModelField) -> ModelField:
    """Return a stand-in under a name that clashes with nothing; `apply_form_body_schema` takes it apart again."""
    info: Any = copy(field.field_info)
    model: Any = get_form_model(field)
    if model is not None:
        json_schema = GetPydanticSchema(get_pydantic_json_schema=partial(get_form_model_schema, model))
        documented = Annotated[(model, json_schema)]
        info.annotation = documented if info.annotation is model else documented | None
    name = f"field_{index}"
    info.alias = info.validation_alias = info.serialization_alias = name
    info.title = info.title or field.name.replace("_", " ").title()
    return ModelField(name=name, field_info=info)


def _body_info(body_params: Sequence[ModelField], model: type[BaseModel]) -> params.Body:
    infos: list[Any] = [field.field_info for field in body_params]
    kind = next((kind for kind in (params.File, params.Form) if _any_is(infos, kind)), params.Body)
    options: dict[str, Any] = {"annotation": model, "alias": "body"}
    if not any(info.is_required() for info in infos):
        options["default"] = None
    media_types = {info.media_type for info in infos if isinstance(info, kind)}
    if kind is params.Form and "multipart/form-data" in media_types:
        options["media_type"] = "multipart/form-data"
    elif kind is not params.File and len(media_types) == 1:
        options["media_type"] = media_types.pop()
    return kind(**options)


def _any_is(infos: Sequence[Any], kind: type[Any]) -> bool:
    return any(isinstance(info, kind) for info in infos)


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """What the compiled fast path needs to know about a route's body.

    Attributes:
        field: the one field that is the whole body; None if there are several, it is embedded, or it is a form.
        is_form: the body has to be read as a form.
        decode: turns the raw JSON of the whole body into the value of `field`. What it accepts is what the exact way
            accepts, with an equal value; when it raises ValueError, the exact way has to try again, and make the
            errors. None if there is no such shortcut.
        json_direct: `decode` is nothing but `validate_json` of the field's validator.
        struct_type: `decode` is nothing but `msgspec.json.Decoder(struct_type, strict=False).decode`.
    """

    field: ModelField | None
    is_form: bool
    decode: Callable[[bytes], Any] | None
    json_direct: bool
    struct_type: Any | None


def body_facts(body_fields: Sequence[ModelField], embed_body_fields: bool) -> BodyFacts:
    """Return the facts about all body parameters of a route, in its own signature and in its dependencies'."""
    is_form = _any_is([field.field_info for field in body_fields], params.Form)
    if is_form or not _is_whole_body(body_fields, embed_body_fields):
        return BodyFacts(field=None, is_form=is_form, decode=None, json_direct=False, struct_type=None)
    field = body_fields[0]
    info = field.field_info
    if not info.metadata and _is_made_of_structs(info.annotation):
        decode = msgspec.json.Decoder(info.annotation, strict=False).decode
        return BodyFacts(field=field, is_form=False, decode=decode, json_direct=False, struct_type=info.annotation)
    schema, validator = field.core_schema, field._type_adapter.validator
    validate = json_validator(schema, validator) if schema is not None else None
    is_plain = validate is not None and validate == validator.validate_json
    return BodyFacts(field=field, is_form=False, decode=validate, json_direct=is_plain, struct_type=None)


def _is_made_of_structs(annotation: Any) -> bool:
    """Say whether the annotation is a struct, a tagged union, or a list, a dictionary or an optional one of those."""
    if is_struct_annotation(annotation) or is_tagged_union(annotation):
        return True
    if args := union_args(annotation):
        return len(args) == 2 and type(None) in args and any(map(_is_made_of_structs, args))
    match get_origin(annotation), get_args(annotation):
        case (origin, (item,)) if origin is list:
            return _is_made_of_structs(item)
        case (origin, (key, item)) if origin is dict and key is str:
            return _is_made_of_structs(item)
    return False
