"""`msgspec.Struct` classes where pydantic expects one of its own types.

`adapt_structs` goes over an annotation and marks every struct in it, so that pydantic can build a schema: validation
is `msgspec.convert`, its errors become pydantic errors, and the JSON schema is msgspec's.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import msgspec.inspect
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PydanticSchemaGenerationError, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

Loc = tuple[str | int, ...]

# The name that msgspec has for an expected type -> the pydantic error that says the same.
_ERROR_TYPES = {
    "array": "list_type",
    "bool": "bool_type",
    "float": "float_type",
    "int": "int_type",
    "null": "none_required",
    "object": "dict_type",
    "str": "string_type",
}
_WITH_PATH = re.compile(r"(?P<problem>.*) - at (?P<key>`key` in )?`\$(?P<path>.*)`", re.DOTALL)
_PATH_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_WRONG_TYPE = re.compile(r"Expected `(\w+)`, got `\w+`")
_WRONG_FIELDS = {
    "missing": re.compile(r"Object missing required field `(.*)`", re.DOTALL),
    "extra_forbidden": re.compile(r"Object contains unknown field `(.*)`", re.DOTALL),
}
_REF_PREFIX = "struct:"


def is_struct_annotation(annotation: Any) -> bool:
    """Say whether `annotation` is a struct class, or a generic one with its arguments."""
    candidate = get_origin(annotation) or annotation
    return isinstance(candidate, type) and issubclass(candidate, msgspec.Struct)


def adapt_structs(annotation: Any) -> Any:
    """Return `annotation` with every struct in it made understandable for pydantic, the same object if it has none."""
    if is_struct_annotation(annotation):
        return Annotated[annotation, StructSchema(annotation)]
    args = get_args(annotation)
    if not args:
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated:
        adapted = adapt_structs(args[0])
        return annotation if adapted is args[0] else Annotated[(adapted, *annotation.__metadata__)]
    new_args = tuple(adapt_structs(arg) for arg in args)
    if all(new is old for new, old in zip(new_args, args, strict=True)):
        return annotation
    if origin is Union or origin is UnionType:
        return Union[new_args]  # noqa: UP007
    return annotation.copy_with(new_args) if hasattr(annotation, "copy_with") else origin[new_args]


@dataclass(frozen=True, slots=True)
class StructSchema:
    """The `Annotated` metadata from which pydantic learns how to treat the struct `type`."""

    type: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        try:
            msgspec.json.Decoder(self.type)
        except TypeError as exc:
            raise PydanticSchemaGenerationError(f"msgspec cannot decode {self.type!r}: {exc}") from exc
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        (root,), components = msgspec.json.schema_components([self.type], ref_template=_REF_PREFIX + "{name}")
        generator = handler.generate_json_schema  # type: ignore[attr-defined]
        references_of = _core_refs_by_name(self.type)
        references, definitions = {}, {}
        for name, component in components.items():
            core_ref = references_of.get(name) or f"{self.type.__module__}.{name}:struct{id(self.type)}"
            definition, reference = generator.get_cache_defs_ref_schema(core_ref)
            references[_REF_PREFIX + name] = reference["$ref"]
            definitions[definition] = component
        resolve = _reference_resolver(references)
        generator.definitions.update((name, resolve(component)) for name, component in definitions.items())
        return resolve(root)  # type: ignore[no-any-return]

    def validate(self, value: Any) -> Any:
        """Return `value`, made of JSON types, as an instance of the struct.

        Raises:
            ValidationError: pydantic's, with one error that points to the place in `value`.
        """
        try:
            return msgspec.convert(value, self.type, strict=False, str_keys=True)
        except msgspec.ValidationError as exc:
            details = _error_details(str(exc), value)
            raise ValidationError.from_exception_data(repr(self.type), [details]) from None


def _core_refs_by_name(struct: Any) -> dict[str, str]:
    """Return the reference of each class in a struct, so that one class has one schema whoever refers to it."""
    refs: dict[str, str] = {}
    seen: set[type[Any]] = set()
    pending: list[Any] = [msgspec.inspect.type_info(struct)]
    while pending:
        node = pending.pop()
        cls = getattr(node, "cls", None)
        if cls is not None:
            if cls in seen:
                continue
            seen.add(cls)
            refs[cls.__name__] = f"{cls.__module__}.{cls.__qualname__}:struct{id(cls)}"
        for name in node.__struct_fields__:
            value = getattr(node, name)
            values = value if isinstance(value, tuple) else (value,)
            pending.extend(item for item in values if isinstance(item, (msgspec.inspect.Type, msgspec.inspect.Field)))
    return refs


def _reference_resolver(references: dict[str, str]) -> Callable[[Any], Any]:
    def resolve(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {
                key: references.get(value, value) if key == "$ref" else resolve(value) for key, value in schema.items()
            }
        return [resolve(item) for item in schema] if isinstance(schema, list) else schema

    return resolve


def _error_details(message: str, value: Any) -> InitErrorDetails:
    """Translate msgspec's message, whose path looks like ``$.a[0].b``, to a pydantic error."""
    loc: Loc = ()
    if match := _WITH_PATH.fullmatch(message):
        message, loc = match["problem"], tuple(_path_steps(match["path"]))
        if match["key"]:
            loc += ("[key]",)
    for error_type, pattern in _WRONG_FIELDS.items():
        if match := pattern.fullmatch(message):
            input_value = _value_at(value, loc if error_type == "missing" else (*loc, match[1]))
            return InitErrorDetails(type=error_type, loc=(*loc, match[1]), input=input_value)
    wrong = _WRONG_TYPE.fullmatch(message)
    error: Any = _ERROR_TYPES.get(wrong[1]) if wrong else None
    if error is None:
        error = PydanticCustomError("value_error", "Value error, {error}", {"error": message})
    return InitErrorDetails(type=error, loc=loc, input=_value_at(value, loc))


def _path_steps(path: str) -> Iterator[str | int]:
    for name, index in _PATH_STEP.findall(path):
        yield int(index) if index.isdecimal() else name or index


def _value_at(value: Any, loc: Loc) -> Any:
    for step in loc:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break  # msgspec does not tell which key of a dictionary it was: report the dictionary
    return value
