"""Response models that are written as JSON by what they hold: no alias, no serializer, no type that needs one.

Pydantic's serializer decides field by field, at every value. For a *plain* schema the decision is the same each time,
and falls here, once; the compiled core checks that the values are of the types they should be, and writes them.

    plain = str | int | float | bool | None | nullable plain | list of plain | dict from str to plain
          | model whose fields are plain
"""

from __future__ import annotations

from typing import Any

from turboapi._speedups.serialize import Shape

__all__ = ["plain_shape"]

_SCALARS = {"str": str, "int": int, "float": float, "bool": bool, "none": type(None)}
_FIELD_KEYS = {"type", "schema", "validation_alias", "frozen", "metadata"}
_TRANSPARENT = ("default", "function-before", "function-after")  # they say nothing about how a value is written


def plain_shape(core_schema: Any) -> Shape | None:
    """Return what values of a core schema of pydantic look like; None if they are not plain."""
    try:
        return _shape(core_schema, {}, ())
    except _NotPlainError:
        return None


class _NotPlainError(Exception):
    pass


def _shape(schema: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Shape:
    if "serialization" in schema:
        raise _NotPlainError
    kind = schema["type"]
    if kind in _SCALARS:
        return Shape(_SCALARS[kind])
    if kind == "definitions":
        known = {**definitions, **{each["ref"]: each for each in schema["definitions"]}}
        return _shape(schema["schema"], known, inside)
    if kind == "definition-ref":
        name = schema["schema_ref"]
        if name in inside or name not in definitions:  # a model that contains itself
            raise _NotPlainError
        return _shape(definitions[name], definitions, (*inside, name))
    if kind in _TRANSPARENT:
        return _shape(schema["schema"], definitions, inside)
    if kind == "nullable":
        return _shape(schema["schema"], definitions, inside).or_none()
    if kind == "list" and "items_schema" in schema:
        return Shape(list, items=_shape(schema["items_schema"], definitions, inside))
    if kind == "dict" and schema.get("keys_schema", {}).get("type") == "str" and "values_schema" in schema:
        return Shape(dict, items=_shape(schema["values_schema"], definitions, inside))
    if kind == "model":
        return _model_shape(schema, definitions, inside)
    raise _NotPlainError


def _model_shape(schema: Any, definitions: dict[str, Any], inside: tuple[str, ...]) -> Shape:
    fields = schema["schema"]
    while fields["type"] in _TRANSPARENT and "serialization" not in fields:
        fields = fields["schema"]
    config = schema.get("config", {})
    if (
        fields["type"] != "model-fields"
        or "serialization" in fields
        or fields.get("computed_fields")
        or fields.get("extra_behavior", config.get("extra_fields_behavior")) == "allow"
        or any(name.startswith("ser") for name in config)
    ):
        raise _NotPlainError
    shapes = {}
    for name, field in fields["fields"].items():
        if not field.keys() <= _FIELD_KEYS:
            raise _NotPlainError
        shapes[name] = _shape(field["schema"], definitions, inside)
    return Shape(schema["cls"], fields=shapes)
