"""Forms: models spread over form fields, unions of such models, and the limits of automatic form parsing.

A parameter with `Form()` and a model (or a union of models) as annotation takes the whole form. Every other form
parameter takes one field of it.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    NonNegativeInt,
    Tag,
    TypeAdapter,
    with_config,
)
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from turboapi import params
from turboapi._plan.arguments import (
    get_model_type,
    get_multidict_extras,
    get_multidict_value,
    get_param_aliases,
    get_validation_alias,
    is_json_field,
)
from turboapi._plan.fields import (
    ModelField,
    Undefined,
    get_cached_model_fields,
    is_bytes_or_nonable_bytes_annotation,
    is_bytes_sequence_annotation,
    lenient_issubclass,
    serialize_sequence_value,
    union_args,
    value_is_sequence,
)
from turboapi.datastructures import FormData, StarletteUploadFile
from turboapi.logger import logger

__all__ = [
    "FormLimits",
    "add_form_union_validators",
    "apply_form_body_schema",
    "ensure_multipart_is_installed",
    "extract_form_body",
    "extract_form_model",
    "get_form_model",
    "get_form_model_schema",
    "get_form_models",
    "get_form_union_models",
    "multipart_incorrect_install_error",
    "multipart_not_installed_error",
    "read_file_bytes",
    "resolve_form_limits",
    "validate_form_limits",
]

FormItem = tuple[str, Any, ModelField | None]

multipart_not_installed_error = (
    'Form data requires "python-multipart" to be installed. \n'
    'You can install "python-multipart" with: \n\n'
    "pip install python-multipart\n"
)
multipart_incorrect_install_error = (
    'Form data requires "python-multipart" to be installed. '
    'It seems you installed "multipart" instead. \n'
    'You can remove "multipart" with: \n\n'
    "pip uninstall multipart\n\n"
    'And then install "python-multipart" with: \n\n'
    "pip install python-multipart\n"
)


def ensure_multipart_is_installed() -> None:
    """Check that forms can be parsed.

    Raises:
        RuntimeError: `python-multipart` is missing, too old, or an unrelated package is installed in its place.
    """
    if _has_attribute("python_multipart", "__version__", above="0.0.12"):
        return
    if not _has_attribute("multipart", "__version__"):
        message = multipart_not_installed_error
    elif not _has_attribute("multipart.multipart", "parse_options_header"):
        message = multipart_incorrect_install_error
    else:
        return  # an old release, from when the module was named like that other package
    logger.error(message)
    raise RuntimeError(message)


def _has_attribute(module: str, name: str, *, above: Any = None) -> bool:
    try:
        value = getattr(import_module(module), name, None)
    except ImportError:
        return False
    return value is not None and (above is None or value > above)


@with_config(ConfigDict(strict=True, extra="forbid"))
class FormLimits(TypedDict, total=False):
    """Limits for the automatic parsing of `Form`, `File` and `UploadFile` parameters.

    `max_fields` and `max_files` count the form's parts, `max_part_size` is the size in bytes of one that is no file.
    """

    max_fields: NonNegativeInt
    max_files: NonNegativeInt
    max_part_size: NonNegativeInt


_form_limits_adapter = TypeAdapter(FormLimits)


def validate_form_limits(limits: FormLimits | None) -> FormLimits:
    """Return checked limits, none for None.

    Raises:
        ValidationError: an unknown limit, or one that is no non-negative integer.
    """
    return {} if limits is None else _form_limits_adapter.validate_python(limits)


def resolve_form_limits(inherited: FormLimits, overrides: FormLimits | None) -> FormLimits:
    """Return the limits of an outer level as changed by an inner one."""
    return {**inherited, **overrides} if overrides else inherited


def get_form_union_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models of a union that consists of at least two models, and perhaps None; else an empty list."""
    models = []
    for arg in union_args(annotation):
        choice = get_args(arg)[0] if get_origin(arg) is Annotated else arg
        if choice is type(None):
            continue
        if not lenient_issubclass(choice, BaseModel):
            return []
        models.append(choice)
    return models if len(models) > 1 else []


def get_form_models(field: ModelField) -> list[type[BaseModel]]:
    """Return the models that the field builds from a whole form: one, several for a union, none for other fields."""
    info: Any = field.field_info
    if not isinstance(info, params.Form) or info.embed or is_json_field(field):
        return []
    model = get_model_type(info.annotation)
    return [model] if model is not None else get_form_union_models(info.annotation)


def get_form_model(field: ModelField) -> type[BaseModel] | None:
    """Return the model that the field builds from a whole form, unless there is a choice of several."""
    models = get_form_models(field)
    return models[0] if len(models) == 1 else None


def add_form_union_validators(annotation: Any) -> Any:
    """Return a union of models in which each model picks its own values from the form's."""
    return Union[tuple(map(_normalizing_choice, get_args(annotation)))]  # noqa: UP007


def _normalizing_choice(choice: Any) -> Any:
    if choice is type(None):
        return choice
    model, *metadata = get_args(choice) if get_origin(choice) is Annotated else (choice,)
    # The tag is what union errors name the choice by: the discriminator's if there is one, else as without us.
    tags = [item for item in metadata if isinstance(item, Tag)] or [Tag(model.__name__)]
    return Annotated[choice, BeforeValidator(partial(_normalize_form_model, model=model)), tags[-1]]


def _normalize_form_model(value: Any, *, model: type[BaseModel]) -> Any:
    """Give `value`, the raw form as a dictionary, the shape that `model` expects: lists, aliases, no empty fields."""
    if not isinstance(value, dict):
        return value
    form = FormData(
        [(key, item) for key, items in value.items() for item in (items if isinstance(items, list) else [items])]
    )
    normalized = {alias: item for alias, item, _ in extract_form_items(get_cached_model_fields(model), form)}
    # No form holds None or an empty list, but a validator of the user's may have put them there.
    normalized.update((key, item) for key, item in value.items() if item is None or item == [])
    return normalized


def extract_form_items(fields: Sequence[ModelField], form: FormData) -> Iterator[FormItem]:
    """Yield (alias, value, field) for each field that the form has, then (key, value, None) for everything else."""
    known: set[str] = set()
    for field in fields:
        for alias, _ in get_param_aliases(field):
            known.add(alias)
            value = get_multidict_value(field, form, alias)
            if value is not Undefined:
                yield alias, value, field
                break
    for key, value in get_multidict_extras(form, known):
        yield key, value, None


async def extract_form_body(fields: Sequence[ModelField], form: FormData) -> AsyncIterator[FormItem]:
    """Like `extract_form_items`, with uploaded files read for the fields that want their bytes."""
    for alias, value, field in extract_form_items(fields, form):
        if field is not None and isinstance(field.field_info, params.File):
            value = await _file_contents(field, value)
        yield alias, value, field


async def _file_contents(field: ModelField, value: Any) -> Any:
    annotation = field.field_info.annotation
    if is_bytes_or_nonable_bytes_annotation(annotation) and isinstance(value, StarletteUploadFile):
        return await read_file_bytes(value)
    if is_bytes_sequence_annotation(annotation) and value_is_sequence(value):
        contents = [await read_file_bytes(item) if isinstance(item, StarletteUploadFile) else item for item in value]
        return serialize_sequence_value(field=field, value=contents)
    return value


async def read_file_bytes(file: StarletteUploadFile) -> bytes:
    """Read the rest of a file and go back to where it was, since other parameters may read the same file."""
    position = file.file.tell()
    try:
        return await file.read()
    finally:
        await file.seek(position)


async def extract_form_model(field: ModelField, models: Sequence[type[BaseModel]], form: FormData) -> Any:
    """Return the input for a field that takes the whole form; `Undefined` if it may be None and nothing is there."""
    may_be_none = type(None) in get_args(field.field_info.annotation)
    if may_be_none and not any(_is_supplied(model, form) for model in models):
        return Undefined
    # The choices of a union pick their values from the raw form themselves.
    fields = get_cached_model_fields(models[0]) if len(models) == 1 else []
    return {alias: value async for alias, value, _ in extract_form_body(fields, form)}


def _form_names(model: type[BaseModel]) -> set[str]:
    return {alias for field in get_cached_model_fields(model) for alias, _ in get_param_aliases(field)}


def _takes_extras(model: type[BaseModel]) -> bool:
    return model.model_config.get("extra") in ("allow", "forbid")


def _is_supplied(model: type[BaseModel], form: FormData) -> bool:
    return not _form_names(model).isdisjoint(form) or (_takes_extras(model) and bool(form))


def get_form_model_schema(
    model: type[BaseModel], core_schema: CoreSchema, handler: GetJsonSchemaHandler
) -> dict[str, Any]:
    """Return the JSON schema of a form model with the names that form fields really have."""
    schema = handler(core_schema)
    resolved = handler.resolve_ref_schema(schema)
    required = resolved.get("required", [])
    names = dict(_renamed_properties(model, resolved.get("properties", {}), required))
    if not names:
        return schema
    renamed = deepcopy(resolved)  # the model itself may be documented elsewhere
    renamed["properties"] = {names.get(name, [name])[0]: value for name, value in renamed["properties"].items()}
    renamed["required"] = []
    for name in required:
        aliases = names.get(name, [name])
        if len(aliases) == 1:
            renamed["required"].append(aliases[0])
        else:
            any_of = [{"required": [alias]} for alias in aliases]
            renamed.setdefault("allOf", []).append({"anyOf": any_of})
    return renamed


def _renamed_properties(
    model: type[BaseModel], properties: Mapping[str, Any], required: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the schema's name for each field whose form names differ from it, with those names."""
    for field in get_cached_model_fields(model):
        choices = field.field_info.validation_alias
        shown = choices.choices[0] if isinstance(choices, AliasChoices) else get_validation_alias(field)
        aliases = [alias for alias, _ in get_param_aliases(field)]
        if (
            isinstance(shown, str)
            and shown in properties
            and (aliases[0] != shown or (len(aliases) > 1 and shown in required))
        ):
            yield shown, aliases


def apply_form_body_schema(body_params: Sequence[ModelField], schema: dict[str, Any]) -> None:
    """Turn the JSON schema of a body whose properties are named `field_0`, … into that of the flat form.

    Single fields become properties; each model becomes a condition under `allOf`, since all of them see the whole form.
    """
    parameter_schemas = schema.pop("properties")
    schema.pop("required", None)
    properties: dict[str, Any] = {}
    required: list[str] = []
    conditions: list[dict[str, Any]] = []
    for index, param in enumerate(body_params):
        field_schema = parameter_schemas[f"field_{index}"]
        if models := get_form_models(param):
            conditions.extend(_form_model_conditions(param, models, field_schema))
            continue
        alias = get_param_aliases(param)[0][0]
        if alias in properties:
            conditions.append({"properties": {alias: field_schema}})
        else:
            properties[alias] = field_schema
        if param.field_info.is_required() and alias not in required:
            required.append(alias)
    if properties:
        schema["properties"] = properties
    if required:
        schema["required"] = required
    schema["allOf"] = conditions


def _form_model_conditions(
    param: ModelField, models: Sequence[type[BaseModel]], schema: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    schema.pop("default", None)
    if type(None) in get_args(param.field_info.annotation):
        # In a flat form, None shows by the absence of all fields of the group.
        schema["anyOf"] = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        absent = _absence_condition(models)
        if param.field_info.is_required():
            yield {"not": absent}
        else:
            schema = {"anyOf": [absent, schema]}
    yield schema


def _absence_condition(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    if any(map(_takes_extras, models)):
        return {"maxProperties": 0}
    names = sorted(set().union(*map(_form_names, models)))
    return {"not": {"anyOf": [{"required": [name]} for name in names]}} if names else {}
