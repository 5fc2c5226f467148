"""`msgspec.Struct` classes where pydantic expects one of its own types.

A struct class tells pydantic itself how to treat it, wherever it stands: in an annotation, a model, a dataclass.
Validation is `msgspec.convert`, its errors become pydantic errors, and the JSON schema is msgspec's. msgspec stops at
the first error, so there is one error per struct. For unions of structs that have tags, `adapt_structs` and
`readable_errors` do what pydantic does for unions with a discriminator.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import msgspec.inspect
from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    ValidationError,
)
from pydantic.json_schema import CoreRef, GenerateJsonSchema
from pydantic_core import (
    CoreSchema,
    ErrorDetails,
    InitErrorDetails,
    PydanticCustomError,
    core_schema,
)

__all__ = [
    "StructSchema",
    "adapt_structs",
    "contains_struct",
    "is_struct_annotation",
    "is_tagged_union",
    "readable_errors",
]

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
_WRONG_TYPE = re.compile(r"Expected `(\w+)(?: \| null)?`(?:, got `.*`)?", re.DOTALL)
_WRONG_TAG = re.compile(r"Invalid value ('.*'|\".*\"|-?\d+)", re.DOTALL)
_WRONG_FIELDS = {
    "missing": re.compile(r"Object missing required field `(.*)`", re.DOTALL),
    "extra_forbidden": re.compile(r"Object contains unknown field `(.*)`", re.DOTALL),
}
_OUT_OF_RANGE = re.compile(r"Expected `(?:int|float)` (>=|>|<=|<) (\S+)")
_RANGE_ERRORS = {
    ">=": ("greater_than_equal", "ge"),
    ">": ("greater_than", "gt"),
    "<=": ("less_than_equal", "le"),
    "<": ("less_than", "lt"),
}
_NO_MULTIPLE = re.compile(r"Expected `(?:int|float)` that's a multiple of (\S+)")
_WRONG_LENGTH = re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)")
_NO_MATCH = re.compile(r"Expected `str` matching regex ('.*'|\".*\")", re.DOTALL)
_UNREADABLE = {
    "Invalid RFC3339 encoded datetime": "datetime_parsing",
    "Invalid RFC3339 encoded date": "date_parsing",
    "Invalid RFC3339 encoded time": "time_parsing",
    "Invalid ISO8601 duration": "time_delta_parsing",
    "Invalid UUID": "uuid_parsing",
}
_REF_PREFIX = "struct:"
_LABEL = re.compile(r"function-plain\[struct:(.*?)\(\)\]")  # pydantic's name for a `StructSchema` in a union


def is_struct_annotation(annotation: Any) -> bool:
    """Say whether `annotation` is a struct class, or a generic one with its arguments."""
    candidate = get_origin(annotation) or annotation
    return isinstance(candidate, type) and issubclass(candidate, msgspec.Struct)


def contains_struct(annotation: Any) -> bool:
    """Say whether there is a struct anywhere in `annotation`."""
    return is_struct_annotation(annotation) or any(map(contains_struct, get_args(annotation)))


def is_tagged_union(annotation: Any) -> bool:
    """Say whether `annotation` is a union of structs, perhaps with None, that msgspec tells apart by their tags."""
    args = get_args(annotation)
    choices = [arg for arg in args if arg is not NoneType]
    if not _is_union(annotation) or len(choices) < 2 or not all(map(is_struct_annotation, choices)):
        return False
    try:
        msgspec.json.Decoder(annotation)
    except TypeError:
        return False
    return True


def adapt_structs(annotation: Any) -> Any:
    """Return `annotation` with each tagged union of structs made one type, the same object if there is none."""
    args = get_args(annotation)
    if not args:
        return annotation
    if is_tagged_union(annotation):
        choices: Any = Union[tuple(arg for arg in args if arg is not NoneType)]  # noqa: UP007
        union: Any = Annotated[choices, StructSchema(choices)]
        return union | None if NoneType in args else union
    origin = get_origin(annotation)
    if origin is Annotated:
        adapted = adapt_structs(args[0])
        return annotation if adapted is args[0] else Annotated[(adapted, *annotation.__metadata__)]
    new_args = tuple(map(adapt_structs, args))
    if is_struct_annotation(annotation) or all(new is old for new, old in zip(new_args, args, strict=True)):
        return annotation
    if _is_union(annotation):
        return Union[new_args]  # noqa: UP007
    return annotation.copy_with(new_args) if hasattr(annotation, "copy_with") else origin[new_args]


def _is_union(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return origin is Union or origin is UnionType


def _display_name(annotation: Any) -> str:
    args = get_args(annotation)
    if _is_union(annotation):
        return " | ".join(map(_display_name, args))
    name = getattr(get_origin(annotation) or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(_display_name, args))}]" if args else name


@dataclass(frozen=True, slots=True)
class StructSchema:
    """The `Annotated` metadata from which pydantic learns how to treat `type`, a struct or a tagged union."""

    type: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        try:
            msgspec.json.Decoder(self.type)
        except TypeError as exc:
            raise PydanticSchemaGenerationError(f"msgspec cannot decode {self.type!r}: {exc}") from exc
        except NameError as exc:  # of a class to come: a model waits for it
            raise PydanticUndefinedAnnotation.from_name_error(exc) from exc
        return core_schema.no_info_plain_validator_function(
            self, serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.json_schema(handler.generate_json_schema)  # type: ignore[attr-defined]

    def json_schema(self, generator: GenerateJsonSchema) -> dict[str, Any]:
        """Return msgspec's JSON schema, with the classes in it among the definitions of `generator`."""
        (root,), components = msgspec.json.schema_components([self.type], ref_template=_REF_PREFIX + "{name}")
        references_of = _core_refs_by_name(self.type)
        references, definitions = {}, {}
        for name, component in components.items():
            core_ref = references_of.get(name) or f"{self.type.__module__}.{name}:struct{id(self.type)}"
            definition, reference = generator.get_cache_defs_ref_schema(CoreRef(core_ref))
            references[_REF_PREFIX + name] = reference["$ref"]
            definitions[definition] = component
        resolve = _reference_resolver(references)
        generator.definitions.update((name, resolve(component)) for name, component in definitions.items())
        return resolve(root)  # type: ignore[no-any-return]

    @property
    def __name__(self) -> str:
        return f"struct:{_display_name(self.type)}"

    def __call__(self, value: Any) -> Any:
        """Return `value`, made of JSON types, as an instance of the struct.

        Raises:
            ValidationError: pydantic's, with one error that points to the place in `value`.
        """
        try:
            return msgspec.convert(value, self.type, strict=False, str_keys=True)
        except msgspec.ValidationError as exc:
            details = _error_details(str(exc), value)
            raise ValidationError.from_exception_data(repr(self.type), [details]) from None


def _struct_core_schema(cls: type[msgspec.Struct], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Answer pydantic's question to the class `cls` that it met as `source`, which may have type arguments."""
    return handler.generate_schema(Annotated[source, StructSchema(source)])


# A model builds its schema when its class is created: only the struct class itself can tell it by then. What a struct
# class says for itself goes first.
if not hasattr(msgspec.Struct, "__get_pydantic_core_schema__"):
    msgspec.Struct.__get_pydantic_core_schema__ = classmethod(_struct_core_schema)  # type: ignore[attr-defined]


def readable_errors(exc: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors, those about structs in unions as if the structs were models.

    Choices of a union that have another tag than the value say nothing, unless all of them do: then it is one error.
    """
    errors = exc.errors(include_url=False)
    if not any(isinstance(step, str) and _REF_PREFIX in step for error in errors for step in error["loc"]):
        return errors
    decided: set[Loc] = set()  # the unions about which there is an error already
    for error in errors:
        if not _is_wrong_choice(error):
            loc = error["loc"]
            decided.update(loc[:index] for index, step in enumerate(loc) if _is_label(step))
    readable = []
    for error in errors:
        if _is_wrong_choice(error):
            union = error["loc"][:-1]
            if union in decided:
                continue
            decided.add(union)
            error["loc"] = union
        error["loc"] = tuple(_LABEL.sub(r"\1", step) if isinstance(step, str) else step for step in error["loc"])
        readable.append(error)
    return readable


def _is_wrong_choice(error: ErrorDetails) -> bool:
    return error["type"] == "union_tag_invalid" and bool(error["loc"]) and _is_label(error["loc"][-1])


def _is_label(step: str | int) -> bool:
    return isinstance(step, str) and _LABEL.fullmatch(step) is not None


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
        if not isinstance(schema, dict):
            return [resolve(item) for item in schema] if isinstance(schema, list) else schema
        resolved = {
            key: references.get(value, value) if key == "$ref" else resolve(value) for key, value in schema.items()
        }
        if isinstance(mapping := schema.get("discriminator"), dict) and "mapping" in mapping:
            targets = {tag: references.get(target, target) for tag, target in mapping["mapping"].items()}
            resolved["discriminator"] = {**mapping, "mapping": targets}
        return resolved

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
    input_value = _value_at(value, loc)
    # The same words may come from a `__post_init__`.
    if loc and (match := _WRONG_TAG.fullmatch(message)) and ("..." in loc or match[1] == repr(input_value)):
        *place, tag_field = loc
        error = _wrong_tag(str(tag_field), match[1])
        return InitErrorDetails(type=error, loc=tuple(place), input=_value_at(value, tuple(place)))
    known, context = _known_error(message, input_value, is_exact="..." not in loc)
    if known is None:
        custom = PydanticCustomError("value_error", "Value error, {error}", {"error": message})
        return InitErrorDetails(type=custom, loc=loc, input=input_value)
    details = InitErrorDetails(type=known, loc=loc, input=input_value)
    if context:
        details["ctx"] = context
    return details


def _wrong_tag(tag_field: str, tag: str) -> PydanticCustomError:
    return PydanticCustomError(
        "union_tag_invalid",
        "Input tag {tag} found using {discriminator} does not match any of the expected tags",
        {"discriminator": repr(tag_field), "tag": tag},
    )


def _known_error(message: str, value: Any, *, is_exact: bool) -> tuple[str | None, dict[str, Any]]:
    """Return the type and the context of pydantic's error that says the same as `message`; None if there is none.

    Unless it `is_exact`, `value` is something around the wrong value.
    """
    if match := _WRONG_TYPE.fullmatch(message):
        return _ERROR_TYPES.get(match[1]), {}
    if match := _OUT_OF_RANGE.fullmatch(message):
        error_type, key = _RANGE_ERRORS[match[1]]
        return error_type, {key: _number(match[2])}
    if match := _NO_MULTIPLE.fullmatch(message):
        return "multiple_of", {"multiple_of": _number(match[1])}
    if match := _NO_MATCH.fullmatch(message):
        return "string_pattern_mismatch", {"pattern": ast.literal_eval(match[1])}
    if match := _WRONG_LENGTH.fullmatch(message):
        return _length_error(match[1], match[2], int(match[3]), value if is_exact else None)
    if unreadable := _UNREADABLE.get(message):
        return unreadable, {"error": message[0].lower() + message[1:]}
    return None, {}


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _length_error(kind: str, sign: str, limit: int, value: Any) -> tuple[str | None, dict[str, Any]]:
    word, key = ("short", "min_length") if sign == ">=" else ("long", "max_length")
    if kind in ("str", "bytes"):
        return f"{'string' if kind == 'str' else kind}_too_{word}", {key: limit}
    if not isinstance(value, Collection):
        return None, {}
    field_type = "List" if kind == "array" else "Dictionary"
    return f"too_{word}", {"field_type": field_type, key: limit, "actual_length": len(value)}


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
