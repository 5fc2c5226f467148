"""JSON schemas of declared values: step one of the document.

In go the fields of all routes: bodies, responses, parameters. Out come a schema per field and the definitions that
these refer to, under names that are unique in the document. All schemas are generated together, because a model is
called `Item` only where no other one is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import MethodType
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import CoreRef, DefsRef, GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from turboapi._plan.fields import ModelField, lenient_issubclass
from turboapi._plan.structs import StructSchema, is_struct_annotation, is_tagged_union
from turboapi.openapi.constants import REF_TEMPLATE

__all__ = ["FieldSchemas", "SchemaGenerator", "Schemas", "get_flat_models", "has_computed_fields"]

Mode = Literal["validation", "serialization"]
Key = tuple[str, Mode]
Definitions = dict[str, dict[str, Any]]

_STRUCT_MARK = ":struct"  # in the references that `turboapi._plan.structs` makes
_ATOMS = (str, int, float, bool, type(None))


class SchemaGenerator(GenerateJsonSchema):
    """pydantic's generator, with `bytes` described as content of a media type (JSON Schema Validation, section 8)."""

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of `bytes`."""
        described: JsonSchemaValue = {"type": "string", "contentMediaType": "application/octet-stream"}
        config = self._config
        encoding = config.ser_json_bytes if self.mode == "serialization" else config.val_json_bytes
        if encoding == "base64":
            described["contentEncoding"] = "base64"
        self.update_with_validations(described, schema, self.ValidationsMapping.bytes)
        return described

    def union_schema(self, schema: core_schema.UnionSchema) -> JsonSchemaValue:
        """Return the schema of a union, with a discriminator if it is one of structs with tags."""
        choices = [choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]]
        structs = [validate for choice in choices if isinstance(validate := _validator_of(choice), StructSchema)]
        if len(structs) == len(choices):
            union: Any = Union[tuple(struct.type for struct in structs)]  # noqa: UP007
            if is_tagged_union(union):
                return StructSchema(union).json_schema(self)
        return super().union_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say whether a field of a model gets a title: not one that is a reference, as those of structs are."""
        validator = _validator_of(schema)
        is_struct = isinstance(validator, StructSchema) and is_struct_annotation(validator.type)
        return not is_struct and super().field_title_should_be_set(schema)

    def get_cache_defs_ref_schema(self, core_ref: CoreRef) -> tuple[DefsRef, JsonSchemaValue]:
        """Return the name of a definition and a reference to it; a struct has one definition for both modes."""
        if _STRUCT_MARK not in core_ref:
            return super().get_cache_defs_ref_schema(core_ref)
        mode, self._mode = self._mode, "validation"
        try:
            return super().get_cache_defs_ref_schema(core_ref)
        finally:
            self._mode = mode


def _validator_of(schema: Any) -> Any:
    return schema["function"]["function"] if schema["type"] == "function-plain" else None


class Schemas(Protocol):
    """Gives the schemas of fields."""

    def of(self, field: ModelField, alias: str | None = None) -> dict[str, Any]:
        """Return the schema of a field."""
        ...


class FieldSchemas:
    """The JSON schemas of fields, and what they refer to.

    Args:
        fields: everything that the document describes; in case of a conflict the first ones get the better names.
        separate_input_output_schemas: describe a model twice where the values that it takes and gives differ.

    Raises:
        PydanticInvalidForJsonSchema: one of them cannot be described, for example a callable.
    """

    definitions: Definitions
    """The schemas below `components.schemas`, by name."""

    def __init__(self, fields: Iterable[ModelField], *, separate_input_output_schemas: bool = True) -> None:
        self._separate = separate_input_output_schemas
        unique_fields = list(dict.fromkeys(fields))
        inputs = _Inputs()
        self._keys = {item: inputs.add(self.mode_of(item), item._type_adapter.core_schema) for item in unique_fields}
        for model, mode in self._inner_models(unique_fields):
            inputs.add(mode, TypeAdapter(model).core_schema)
        self._schemas, definitions = inputs.generate()
        self.definitions = dict(definitions)
        for definition in self.definitions.values():
            if "description" in definition:
                # Text behind a form feed is for readers of the source only.
                definition["description"] = definition["description"].split("\f")[0]

    def of(self, field: ModelField, alias: str | None = None) -> dict[str, Any]:
        """Return the schema of a field. One without title that is no reference is titled after `alias`, or its own."""
        # A copy down to the last member, because what users add to an operation is merged into it.
        schema: dict[str, Any] = _copy_json(self._schemas[self._keys[field]])
        if "$ref" not in schema:
            schema["title"] = field.field_info.title or (alias or _own_alias(field)).title().replace("_", " ")
        return schema

    def mode_of(self, field: ModelField) -> Mode:
        """Return whether the values that a field takes are described, or those that it gives."""
        return field.mode if self._separate or has_computed_fields(field) else "validation"

    def _inner_models(self, fields: list[ModelField]) -> Iterator[tuple[Any, Mode]]:
        """Yield the models and enums inside of the fields' types, each with the mode to describe it in.

        They are documented even where nothing refers to them, since a type around them describes itself differently.
        """
        described = {item.field_info.annotation for item in fields if isinstance(item.field_info.annotation, type)}
        modes: tuple[Mode, ...] = ("validation", "serialization")
        for mode in modes:
            for model in get_flat_models(item.field_info.annotation for item in fields if item.mode == mode):
                if model not in described:
                    yield (
                        model,
                        mode if self._separate or _annotation_has_computed_fields(model, set()) else "validation",
                    )


def _own_alias(field: ModelField) -> str:
    special = field.validation_alias if field.mode == "validation" else field.serialization_alias
    return special or field.alias


class _Inputs:
    """What to generate, without repetition: most parameters of an application are one of a few types."""

    def __init__(self) -> None:
        self._inputs: dict[str, tuple[str, Mode, CoreSchema]] = {}

    def add(self, mode: Mode, schema: CoreSchema) -> Key:
        """Ask for the schema; it will be found under the key that is returned."""
        parts: list[str] = [mode]
        _write_fingerprint(schema, parts.append)
        key = ",".join(parts)
        self._inputs.setdefault(key, (key, mode, schema))
        return key, mode

    def generate(self) -> tuple[Mapping[Key, JsonSchemaValue], Mapping[Any, Any]]:
        """Return the schemas by key, and their definitions by name."""
        return SchemaGenerator(ref_template=REF_TEMPLATE).generate_definitions(list(self._inputs.values()))


def _write_fingerprint(schema: Any, write: Callable[[str], None]) -> None:
    """Write what is equal for core schemas that mean the same. Objects other than data count as different.

    PERF: text, since the garbage collector would look at every tuple of a tree again and again.
    """
    kind = type(schema)
    if kind is dict and schema.get("type") == "model-fields":  # mostly one object wherever the model is used
        write(f"#{id(schema)}")
    elif kind is dict:
        write("{")
        for key, value in schema.items():
            write(repr(key))
            _write_fingerprint(value, write)
        write("}")
    elif kind is list or kind is tuple:
        write("[" if kind is list else "(")
        for item in schema:
            _write_fingerprint(item, write)
        write("]")
    elif kind in _ATOMS:
        write(repr(schema))
    elif kind is MethodType:  # made anew wherever it is asked for
        write(f"{id(schema.__self__)}.{id(schema.__func__)}")
    else:
        write(f"#{id(schema)}")


def _copy_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy_json(item) for key, item in value.items()}
    return [_copy_json(item) for item in value] if isinstance(value, list) else value


def get_flat_models(annotations: Iterable[Any]) -> list[type[BaseModel] | type[Enum]]:
    """Return the models and enums that the annotations consist of, and those in the fields of these models."""
    found: dict[Any, None] = {}
    pending = list(annotations)[::-1]
    while pending:
        annotation = pending.pop()
        if lenient_issubclass(annotation, (BaseModel, Enum)):
            if annotation not in found:
                found[annotation] = None
                fields = annotation.model_fields if issubclass(annotation, BaseModel) else {}
                pending.extend(info.annotation for info in reversed(fields.values()))
        elif get_origin(annotation) is not None:
            pending.extend(reversed(get_args(annotation)))
    return list(found)


def has_computed_fields(field: ModelField) -> bool:
    """Say whether the values that the field gives have more members than those that it takes."""
    schema: Any = field._type_adapter.core_schema
    if schema.get("schema", {}).get("computed_fields", []):
        return True
    return _annotation_has_computed_fields(field.field_info.annotation, set())


def _annotation_has_computed_fields(annotation: Any, known: set[type[BaseModel]]) -> bool:
    if lenient_issubclass(annotation, BaseModel):
        if annotation in known:
            return False
        known.add(annotation)
        inner = [info.annotation for info in annotation.model_fields.values()]
        return bool(annotation.model_computed_fields) or any(_annotation_has_computed_fields(i, known) for i in inner)
    return any(_annotation_has_computed_fields(arg, known) for arg in get_args(annotation))
