"""Path, query, header and cookie parameters out of a request, exactly.

In go fields and what was received: a mapping of path values or cookies, `QueryParams` or `Headers`. Out come
`(values by name, errors)`. This is the complete behaviour in plain Python. The compiled fast path reads the simple
parameters itself, as far as `param_facts` says it may, and asks `extract_param` for everything else.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from pydantic import AliasChoices, AliasPath, BaseModel, Json

from turboapi import params
from turboapi._plan.fields import (
    Loc,
    ModelField,
    Undefined,
    field_annotation_is_sequence,
    get_cached_model_fields,
    get_missing_field_error,
    lenient_issubclass,
    union_args,
)
from turboapi.datastructures import FormData, Headers, ImmutableMultiDict, StarletteUploadFile

__all__ = [
    "ParamFacts",
    "extract_param",
    "get_model_type",
    "get_multidict_extras",
    "get_multidict_value",
    "get_param_aliases",
    "get_param_model",
    "get_validation_alias",
    "is_json_field",
    "param_facts",
    "request_params_to_args",
    "validate_value",
]

Errors = list[dict[str, Any]]
Aliases = Sequence[tuple[str, str]]
PlainKind = Literal["str", "int", "float", "bool"]

_IMMUTABLE_TYPES = (type(None), bool, int, float, complex, str, bytes, date, datetime, time, timedelta, Decimal, UUID)


class _Lookup:
    """What is known about finding a field in a request; worked out once per field."""

    __slots__ = ("aliases", "header_aliases", "is_json", "is_sequence", "model")

    def __init__(self, field: ModelField) -> None:
        self.is_json = any(type(item) is Json for item in field.field_info.metadata)
        self.is_sequence = field_annotation_is_sequence(field.field_info.annotation)
        self.model = None if self.is_json else _model_in(field)
        self.aliases = _find_aliases(field, convert_underscores=False)
        self.header_aliases = _find_aliases(field, convert_underscores=True)


def _lookup(field: ModelField) -> _Lookup:
    lookup: _Lookup | None = field._lookup
    if lookup is None:
        lookup = field._lookup = _Lookup(field)
    return lookup


def get_model_type(annotation: Any) -> type[BaseModel] | None:
    """Return the model that the annotation is, alone or as `Model | None`."""
    args = union_args(annotation)
    if len(args) == 2 and type(None) in args:
        annotation = args[0] if args[1] is type(None) else args[1]
    return annotation if lenient_issubclass(annotation, BaseModel) else None


def _model_in(field: ModelField) -> type[BaseModel] | None:
    annotation: Any = field.field_info.annotation
    if isinstance(field.field_info, (params.Query, params.Header, params.Cookie)):
        return get_model_type(annotation)
    return annotation if lenient_issubclass(annotation, BaseModel) else None


def get_param_model(field: ModelField) -> type[BaseModel] | None:
    """Return the model whose fields are the actual parameters, if the field is such a group."""
    return _lookup(field).model


def is_json_field(field: ModelField) -> bool:
    """Say whether the value is a JSON document in a string (`pydantic.Json`)."""
    return _lookup(field).is_json


def get_validation_alias(field: ModelField) -> str:
    """Return the one name that the field is validated under (a choice of names counts as none)."""
    return field.validation_alias or field.alias


def get_param_aliases(field: ModelField, *, convert_underscores: bool = False) -> Aliases:
    """Return the pairs (name for validation, key in the request) under which a field may be found, best first."""
    lookup = _lookup(field)
    return lookup.header_aliases if convert_underscores else lookup.aliases


def _find_aliases(field: ModelField, *, convert_underscores: bool) -> Aliases:
    request_name = field.name.replace("_", "-") if convert_underscores else field.name
    alias = get_validation_alias(field)
    aliases = [(alias, request_name if alias == field.name else alias)]
    choices = field.field_info.validation_alias
    if isinstance(field.field_info, params.Path) or isinstance(choices, AliasPath):
        return aliases
    if isinstance(choices, AliasChoices):
        names = [choice for choice in choices.choices if isinstance(choice, str)]
        if len(names) != len(choices.choices):
            return aliases
        aliases = [(name, name) for name in names]  # spelled out by the user, so underscores stay
    config = field.config or {}
    if config.get("validate_by_alias") is False:
        return [(field.name, request_name)]
    by_name = config.get("validate_by_name", config.get("populate_by_name", False))
    if by_name and all(name != field.name for name, _ in aliases):
        aliases.append((field.name, request_name))
    return aliases


def _first_received(aliases: Aliases, received: Mapping[str, Any]) -> tuple[str, str]:
    for pair in aliases:
        if pair[1] in received:
            return pair
    return aliases[0]


def is_empty_file_input(value: Any) -> bool:
    """Say whether the value is what a browser sends for a file input in which no file was chosen."""
    return isinstance(value, StarletteUploadFile) and value.filename == "" and value.size == 0


def get_multidict_value(field: ModelField, values: Mapping[str, Any], alias: str) -> Any:
    """Return what was received under the key `alias`, as a list for a sequence; `Undefined` if nothing was.

    An empty sequence counts as nothing, and so do an empty string and an empty file input in a form.
    """
    lookup = _lookup(field)
    is_form = isinstance(values, FormData)
    if lookup.is_sequence and not lookup.is_json and isinstance(values, (ImmutableMultiDict, Headers)):
        value: Any = values.getlist(alias)
        if is_form:
            value = [item for item in value if not is_empty_file_input(item)]
    else:
        value = values.get(alias)
        if value is None or (is_form and (value == "" or is_empty_file_input(value))):
            return Undefined
    return Undefined if lookup.is_sequence and len(value) == 0 else value


def get_multidict_extras(received: Mapping[str, Any], known: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the keys that are not `known` with their values; a list if there are several."""
    if isinstance(received, ImmutableMultiDict):
        items: Iterator[tuple[str, Any]] = iter(received.multi_items())
    elif isinstance(received, Headers):
        items = iter(received.items())
    else:
        yield from ((key, received.get(key)) for key in received if key not in known)
        return
    grouped: dict[str, list[Any]] = {}
    for key, value in items:
        if key not in known:
            grouped.setdefault(key, []).append(value)
    for key, values in grouped.items():
        yield key, values[0] if len(values) == 1 else values


def validate_value(
    field: ModelField, value: Any, values: Mapping[str, Any] | None = None, *, loc: Loc
) -> tuple[Any, Errors]:
    """Validate a value, or for `Undefined` supply the default. Returns (value, errors)."""
    if value is Undefined:
        if field.field_info.is_required():
            return None, [get_missing_field_error(loc)]
        value = deepcopy(field.default)
        if not field.field_info.validate_default:
            return value, []
    return field.validate(value, values, loc=loc)


def request_params_to_args(fields: Sequence[ModelField], received: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Extract all `fields`, which share one source. Returns the valid values by parameter name, and the errors."""
    values: dict[str, Any] = {}
    errors: Errors = []
    for field in fields:
        value, field_errors = extract_param(field, received, values)
        if field_errors:
            errors.extend(field_errors)
        else:
            values[field.name] = value
    return values, errors


def extract_param(
    field: ModelField, received: Mapping[str, Any], values: Mapping[str, Any] | None = None
) -> tuple[Any, Errors]:
    """Extract and validate one parameter.

    Args:
        field: the parameter; its `field_info` is a `Param`.
        received: everything that came from the parameter's source.
        values: the values of the parameters before this one.

    Returns:
        The value and an empty list, or an undefined value and the errors.
    """
    info = field.field_info
    assert isinstance(info, params.Param), "Params must be subclasses of Param"
    lookup = _lookup(field)
    if lookup.model is not None:
        return _extract_model(field, lookup.model, received)
    _, key = _first_received(lookup.aliases, received)
    value = get_multidict_value(field, received, key)
    return validate_value(field, value, values, loc=(info.in_.value, key))


@dataclass(slots=True)
class _ModelInput:
    """What was received for the fields of a parameter model."""

    values: dict[str, Any]
    used_keys: set[str]  # request keys that are not extra input
    own_keys: set[str]  # request keys that any field could have used
    header_names: dict[str, str]  # field name -> header, where they differ


def _extract_model(field: ModelField, model: type[BaseModel], received: Mapping[str, Any]) -> tuple[Any, Errors]:
    """Build the model from the values of its fields and, for its `extra` policy to judge, everything else received."""
    info: Any = field.field_info
    found = _collect_model_input(model, received, getattr(info, "convert_underscores", True))
    value: Any = found.values
    value.update(get_multidict_extras(received, found.used_keys))
    if info.annotation is not model:
        takes_extras = model.model_config.get("extra") in ("allow", "forbid") and value
        if not takes_extras and not found.own_keys.intersection(received):
            value = Undefined  # an optional group of which nothing was sent
    result, errors = validate_value(field, value, {}, loc=(info.in_.value,))
    if found.header_names and model.model_config.get("loc_by_alias", True):
        for error in errors:
            source, *place = error["loc"]
            if place and place[0] in found.header_names:
                error["loc"] = (source, found.header_names[place[0]], *place[1:])
    return result, errors


def _collect_model_input(model: type[BaseModel], received: Mapping[str, Any], convert_by_default: bool) -> _ModelInput:
    is_headers = isinstance(received, Headers)
    found = _ModelInput({}, set(), set(), {})
    for item in get_cached_model_fields(model):
        convert = is_headers and getattr(item.field_info, "convert_underscores", convert_by_default)
        aliases = get_param_aliases(item, convert_underscores=convert)
        alias, key = _first_received(aliases, received)
        value = get_multidict_value(item, received, key)
        if value is not Undefined:
            found.values[alias] = value
        if not is_headers:
            found.own_keys.update(name for _, name in aliases)
            found.used_keys.add(key)
            continue
        found.own_keys.update(name.lower() for _, name in aliases)
        found.used_keys.add(key.lower())
        # A name that stands for a header with hyphens must not come in as a header of its own.
        found.used_keys.update(alias.lower() for alias, name in aliases if alias != name)
        if alias != key:
            found.header_names[item.name] = key
    return found


@dataclass(frozen=True, slots=True)
class ParamFacts:
    """What the compiled fast path needs to know about one parameter.

    Attributes:
        source: the part of the request it comes from.
        key: the key to look up there first; headers are compared without regard to case.
        is_sequence: all values of the key are wanted, not one.
        is_model: the parameter is a group; `key` means nothing.
        single_alias: `key` is the only possible key.
        plain_kind: set when validation is exactly pydantic's lax conversion of a string to that type.
        nullable: None is a valid value.
        default_is_safe: there is a default, and one object of it may serve all requests, unvalidated.
        required: a missing value is an error.
    """

    source: Literal["path", "query", "header", "cookie"]
    key: str
    is_sequence: bool
    is_model: bool
    single_alias: bool
    plain_kind: PlainKind | None
    nullable: bool
    default_is_safe: bool
    required: bool


def param_facts(field: ModelField) -> ParamFacts:
    """Return the facts about a field whose `field_info` is a `Param`."""
    info: Any = field.field_info
    lookup = _lookup(field)
    schema = field.core_schema or {"type": "unknown"}
    return ParamFacts(
        source=info.in_.value,
        key=lookup.aliases[0][1],
        is_sequence=lookup.is_sequence and not lookup.is_json,
        is_model=lookup.model is not None,
        single_alias=len(lookup.aliases) == 1,
        plain_kind=_plain_kind(schema),
        nullable=_without_default(schema)["type"] == "nullable",
        default_is_safe=_default_is_safe(info),
        required=info.is_required(),
    )


def _without_default(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema["schema"] if schema["type"] == "default" else schema


def _plain_kind(schema: Mapping[str, Any]) -> PlainKind | None:
    if schema.get("on_error", "raise") != "raise":
        return None
    inner = _without_default(schema)
    if inner["type"] == "nullable":
        inner = inner["schema"]
    if inner["type"] in ("str", "int", "float", "bool") and inner.keys() <= {"type", "metadata", "serialization"}:
        kind: PlainKind = inner["type"]
        return kind
    return None


def _default_is_safe(info: Any) -> bool:
    if info.is_required() or info.default_factory is not None or info.validate_default:
        return False
    return _is_immutable(info.default)


def _is_immutable(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_immutable, value))
    return isinstance(value, Enum) or type(value) in _IMMUTABLE_TYPES
