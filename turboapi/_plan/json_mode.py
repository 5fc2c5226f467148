"""Is validating JSON text the same as parsing it first and validating the result?

pydantic can do either, and the former is much faster. But it is laxer with JSON input in places (strict mode, bytes,
exactness in unions) and user functions see different input. `validates_json_alike` says yes only for schemas made of
what is known, and tested, to behave alike: whatever `validate_json(text)` accepts,
`validate_python(json.loads(text), from_attributes=True)` accepts with an equal result.

One difference remains: an integer of 309 digits or more, where a float is expected, is infinity in JSON and an
error in Python. `json_validator` returns a function that refuses documents with numbers of that length.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

__all__ = ["json_validator", "validates_json_alike"]

Schema = Mapping[str, Any]

_OVERFLOW_DIGITS = 309  # 10**308 is a float, 10**309 is not

_COMMON = frozenset(("type", "ref", "metadata", "serialization", "strict"))
_LENGTH = ("min_length", "max_length", "fail_fast")
_BOUNDS = ("gt", "ge", "lt", "le")
_FIELD = (
    "schema",
    "frozen",
    "validation_alias",
    "serialization_alias",
    "serialization_exclude",
    "serialization_exclude_if",
)

# Node type -> the keys it may have besides the common ones. Keys and types that are not here are not known to be alike.
_NODES: dict[str, frozenset[str]] = {
    name: frozenset(keys) | _COMMON
    for name, keys in {
        "any": (),
        "none": (),
        "bool": (),
        "int": (*_BOUNDS, "multiple_of"),
        "float": (*_BOUNDS, "multiple_of", "allow_inf_nan"),
        "str": (
            "pattern",
            "regex_engine",
            "min_length",
            "max_length",
            "strip_whitespace",
            "to_lower",
            "to_upper",
            "ascii_only",
        ),
        "date": (*_BOUNDS, "now_op", "now_utc_offset"),
        "datetime": (*_BOUNDS, "now_op", "now_utc_offset", "tz_constraint", "microseconds_precision"),
        "time": (*_BOUNDS, "tz_constraint", "microseconds_precision"),
        "timedelta": (*_BOUNDS, "microseconds_precision"),
        "uuid": ("version",),
        "literal": ("expected",),
        "enum": ("cls", "members", "sub_type"),
        "list": ("items_schema", *_LENGTH),
        "set": ("items_schema", *_LENGTH),
        "frozenset": ("items_schema", *_LENGTH),
        "tuple": ("items_schema", "variadic_item_index", *_LENGTH),
        "dict": ("keys_schema", "values_schema", *_LENGTH),
        "nullable": ("schema",),
        "default": ("schema", "default", "default_factory", "default_factory_takes_data"),
        "definitions": ("schema", "definitions"),
        "definition-ref": ("schema_ref",),
        "union": ("choices", "mode", "auto_collapse"),
        "tagged-union": ("choices", "discriminator", "from_attributes"),
        "model": (
            "cls",
            "generic_origin",
            "schema",
            "custom_init",
            "root_model",
            "post_init",
            "revalidate_instances",
            "frozen",
            "config",
            "extra_behavior",
        ),
        "model-fields": (
            "fields",
            "model_name",
            "computed_fields",
            "extras_schema",
            "extras_keys_schema",
            "extra_behavior",
            "from_attributes",
        ),
        "model-field": _FIELD,
        "typed-dict": (
            "fields",
            "cls",
            "cls_name",
            "computed_fields",
            "extras_schema",
            "extra_behavior",
            "total",
            "config",
        ),
        "typed-dict-field": (*_FIELD, "required"),
        "dataclass": (
            "cls",
            "generic_origin",
            "schema",
            "fields",
            "cls_name",
            "post_init",
            "revalidate_instances",
            "frozen",
            "slots",
            "config",
        ),
        "dataclass-args": ("dataclass_name", "fields", "computed_fields", "collect_init_only", "extra_behavior"),
        "dataclass-field": (*_FIELD, "name", "kw_only", "init"),
    }.items()
}
# A union picks the choice that fits best without conversions. Only these types are equally strict about Python and JSON
# input; a date or an enum, for example, may be a string in strict JSON, but not in strict Python.
_IN_UNIONS = frozenset(
    (
        "any",
        "none",
        "bool",
        "int",
        "float",
        "str",
        "literal",
        "list",
        "dict",
        "nullable",
        "default",
        "model",
        "model-fields",
        "model-field",
        "union",
        "definition-ref",
    )
)
_CONFIG = frozenset(
    (
        "title",
        "strict",
        "extra_fields_behavior",
        "typed_dict_total",
        "from_attributes",
        "loc_by_alias",
        "revalidate_instances",
        "str_max_length",
        "str_min_length",
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "allow_inf_nan",
        "ser_json_timedelta",
        "ser_json_temporal",
        "ser_json_bytes",
        "ser_json_inf_nan",
        "hide_input_in_errors",
        "validation_error_cause",
        "regex_engine",
        "cache_strings",
        "validate_by_alias",
        "validate_by_name",
        "serialize_by_alias",
        "polymorphic_serialization",
    )
)
_CHILDREN = frozenset(
    (
        "schema",
        "items_schema",
        "keys_schema",
        "values_schema",
        "extras_schema",
        "extras_keys_schema",
        "fields",
        "choices",
        "definitions",
    )
)


def json_validator(schema: Schema, validator: Any) -> Callable[[bytes], Any] | None:
    """Return a function that validates raw JSON, or None if that is not the same as parsing it first.

    What the function accepts is what the exact way accepts, with an equal result. When it raises ValueError (pydantic's
    ValidationError is one), only the exact way can tell whether the document is valid.
    """
    if not validates_json_alike(schema):
        return None
    validate: Callable[[bytes], Any] = validator.validate_json
    if not _has_float(schema):
        return validate

    def validate_checked(raw: bytes) -> Any:
        if len(raw) >= _OVERFLOW_DIGITS and _may_overflow(raw):
            raise ValueError("a number in the document may be too long for a float")
        return validate(raw)

    return validate_checked


def _may_overflow(raw: bytes) -> bool:
    """Say whether there may be `_OVERFLOW_DIGITS` digits in a row.

    PERF: such a run covers one of the positions 308, 617, …, and half of it lies before or behind that position, so
    most of the document need not be looked at.
    """
    half = _OVERFLOW_DIGITS // 2
    for at in range(_OVERFLOW_DIGITS - 1, len(raw), _OVERFLOW_DIGITS):
        if 0x30 <= raw[at] <= 0x39 and (raw[at - half : at].isdigit() or raw[at : at + half].isdigit()):
            return True
    return False


def _has_float(schema: Schema) -> bool:
    return any(node["type"] == "float" and node.get("allow_inf_nan") is not False for node in _walk(schema))


def validates_json_alike(schema: Schema) -> bool:
    """Say whether both ways of validation give the same result for this core schema, long numbers aside."""
    definitions = {item["ref"]: item for item in schema.get("definitions", ())}
    return all(_is_alike(node, definitions) for node in _walk(schema))


def _is_alike(node: Schema, definitions: Mapping[str, Schema]) -> bool:
    type_ = node["type"]
    known = _NODES.get(type_)
    if known is None or not known.issuperset(node) or node.get("strict"):
        return False
    config = node.get("config")
    if config and (config.get("strict") or not _CONFIG.issuperset(config)):
        return False
    if type_ == "union" and not _may_be_in_union(node, definitions, set()):
        return False
    check = _CHECKS.get(type_)
    return check is None or check(node)


def _may_be_in_union(node: Schema, definitions: Mapping[str, Schema], seen: set[str]) -> bool:
    if node["type"] not in _IN_UNIONS:
        return False
    children = _children(node)
    if node["type"] == "definition-ref":
        ref = node["schema_ref"]
        if ref in seen:
            return True
        seen.add(ref)
        children = iter((definitions[ref],))
    return all(_may_be_in_union(child, definitions, seen) for child in children)


def _walk(schema: Schema) -> Iterator[Schema]:
    """Yield a node and everything below it. References are not followed: their targets are below the root."""
    yield schema
    for child in _children(schema):
        yield from _walk(child)


def _children(schema: Schema) -> Iterator[Schema]:
    for key in _CHILDREN.intersection(schema):
        child = schema[key]
        if isinstance(child, dict):
            if isinstance(child.get("type"), str):
                yield child
            else:
                yield from child.values()
        elif isinstance(child, (list, tuple)):
            # A choice of a union may come with a label, as a tuple. The fields of a dataclass may be mere names.
            items = (item[0] if isinstance(item, tuple) else item for item in child)
            yield from (item for item in items if isinstance(item, dict))


def _all_exact_str(values: Any) -> bool:
    return all(type(value) is str for value in values)


def _is_str_enum(schema: Schema) -> bool:
    # A value that is a str subclass would be its own kind of string; `_missing_` is user code.
    own_missing = schema["cls"]._missing_.__func__ is not Enum._missing_.__func__  # type: ignore[attr-defined]
    return not own_missing and _all_exact_str(member.value for member in schema["members"])


def _has_plain_alias(schema: Schema) -> bool:
    """Names only: a path into nested data could reach into a string, which is indexable in Python."""
    alias = schema.get("validation_alias")
    if alias is None or isinstance(alias, str):
        return True
    paths = [alias] if alias and not isinstance(alias[0], list) else alias
    return all(len(path) == 1 and isinstance(path[0], str) for path in paths)


def _runs_no_user_code(schema: Schema) -> bool:
    """A failed attempt is repeated the exact way, so code with side effects must not run in it."""
    if schema.get("custom_init"):
        return False
    hook = schema.get("post_init")
    cls = schema["cls"]
    return not hook or (issubclass(cls, BaseModel) and _is_private_attribute_hook(getattr(cls, hook)))


def _is_private_attribute_hook(hook: Any) -> bool:
    return getattr(hook, "__module__", "").startswith("pydantic.")


_CHECKS: dict[str, Callable[[Schema], bool]] = {
    "literal": lambda schema: _all_exact_str(schema["expected"]),
    "enum": _is_str_enum,
    "tagged-union": lambda schema: isinstance(schema["discriminator"], str) and _all_exact_str(schema["choices"]),
    "model": _runs_no_user_code,
    "dataclass": _runs_no_user_code,
    "dataclass-args": lambda schema: not schema.get("collect_init_only"),
    "model-field": _has_plain_alias,
    "typed-dict-field": _has_plain_alias,
    "dataclass-field": _has_plain_alias,
}
