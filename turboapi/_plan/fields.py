"""One declared value, `ModelField`, and the questions to ask about annotations.

A field joins a pydantic `FieldInfo` (usually one of `turboapi.params`) with the `TypeAdapter` that validates and
serializes its values. The predicates decide what an annotation may be used for: scalars may be path and query
parameters, everything "complex" is a body.
"""

import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, is_dataclass
from functools import cached_property, lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from msgspec import Struct
from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic import warnings as pydantic_warnings
from pydantic._internal import _typing_extra
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from turboapi import params
from turboapi._plan.structs import adapt_structs, readable_errors
from turboapi.datastructures import StarletteUploadFile
from turboapi.encoders import is_pydantic_v1_model_instance, pydantic_v1_base_model
from turboapi.exceptions import FastAPIError, PydanticV1NotSupportedError
from turboapi.types import IncEx

__all__ = [
    "ModelField",
    "RequiredParam",
    "Undefined",
    "annotation_is_pydantic_v1",
    "copy_field_info",
    "create_body_model",
    "create_model_field",
    "evaluate_forwardref",
    "field_annotation_is_complex",
    "field_annotation_is_scalar",
    "field_annotation_is_scalar_sequence",
    "field_annotation_is_sequence",
    "get_cached_model_fields",
    "get_missing_field_error",
    "get_model_fields",
    "is_bytes_or_nonable_bytes_annotation",
    "is_bytes_sequence_annotation",
    "is_pydantic_v1_model_instance",
    "is_scalar_field",
    "is_uploadfile_or_nonable_uploadfile_annotation",
    "is_uploadfile_sequence_annotation",
    "lenient_issubclass",
    "sequence_types",
    "serialize_sequence_value",
    "union_args",
    "value_is_sequence",
]

T = TypeVar("T")
Loc = tuple[int | str, ...]

Undefined = PydanticUndefined
RequiredParam = PydanticUndefined

sequence_annotation_to_type: dict[Any, type[Any]] = {
    Sequence: list,
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    deque: deque,
}
sequence_types: tuple[type[Any], ...] = tuple(sequence_annotation_to_type)

# The attributes of a FieldInfo that change the schema built from it outside of a model -> their unset values.
_SCHEMA_ATTRIBUTES = {
    "default": Undefined,
    "default_factory": None,
    "validate_default": None,
    "discriminator": None,
    "title": None,
    "description": None,
    "examples": None,
    "deprecated": None,
    "json_schema_extra": None,
}
# Everything that merging several FieldInfo objects may change, in all supported pydantic versions.
_MERGED_ATTRIBUTES = (
    *_SCHEMA_ATTRIBUTES,
    "alias",
    "alias_priority",
    "validation_alias",
    "serialization_alias",
    "field_title_generator",
    "exclude",
    "exclude_if",
    "frozen",
    "repr",
    "init",
    "init_var",
    "kw_only",
)

# pydantic >= 2.12 gives this warning for aliases and the like inside an annotation, where a TypeAdapter ignores them.
_UNSUPPORTED_ATTRIBUTE = getattr(pydantic_warnings, "UnsupportedFieldAttributeWarning", None)

_INVALID_FIELD = (
    "Invalid args for response field! Hint: "
    "check that {type_} is a valid Pydantic field type. "
    "If you are using a return type annotation that is not a valid Pydantic "
    "field (e.g. Union[Response, dict, None]) you can disable generating the "
    "response model from the type annotation with the path operation decorator "
    "parameter response_model=None. Read more: "
    "https://fastapi.tiangolo.com/tutorial/response-model/"
)


_PLAIN_TYPES = frozenset((str, int, bool, NoneType))


def _plain_types(annotation: Any) -> tuple[Any, ...]:
    """Return the types of which an annotation is one, in their order, if all of them are plain; nothing for others."""
    types = union_args(annotation) or (annotation,)
    return types if all(isinstance(each, type) and (each in _PLAIN_TYPES or each is float) for each in types) else ()


@lru_cache(maxsize=512)
def _plain_adapter(types: tuple[Any, ...], attributes: tuple[tuple[str, type[Any], Any], ...]) -> TypeAdapter[Any]:
    """Return the adapter that fields of these types and attributes share. The types of the values tell 1 from True."""
    annotation: Any = Union[types]  # noqa: UP007 - of a tuple
    return _new_adapter(annotation, [], {name: value for name, _, value in attributes}, None)


def _new_adapter(
    annotation: Any, metadata: list[Any], attributes: dict[str, Any], config: ConfigDict | None
) -> TypeAdapter[Any]:
    # PERF: without anything to add, pydantic takes the ready-made schema of a model instead of building a copy.
    if attributes or metadata:
        own = [FieldInfo(**attributes)] if attributes else []
        annotation = Annotated[(annotation, *metadata, *own)]
    with warnings.catch_warnings():
        if _UNSUPPORTED_ATTRIBUTE is not None:
            warnings.simplefilter("ignore", category=_UNSUPPORTED_ATTRIBUTE)
        return TypeAdapter(annotation, config=config)


@dataclass(eq=False)
class ModelField:
    """A named value with a type: a parameter, a body, a response, or one field of a model.

    `config` is the pydantic configuration of the model that the field was taken from, if any. Fields compare and hash
    by identity.
    """

    field_info: FieldInfo
    name: str
    mode: Literal["validation", "serialization"] = "validation"
    config: ConfigDict | None = None
    _lookup: Any = field(default=None, init=False, repr=False)  # filled by `turboapi._plan.arguments` on first use

    @property
    def alias(self) -> str:
        alias = self.field_info.alias
        return self.name if alias is None else alias

    @property
    def validation_alias(self) -> str | None:
        alias = self.field_info.validation_alias
        return alias if isinstance(alias, str) and alias else None

    @property
    def serialization_alias(self) -> str | None:
        return self.field_info.serialization_alias or None

    @property
    def default(self) -> Any:
        return self.get_default()

    def get_default(self) -> Any:
        """Return the default value, made by the factory if there is one; `Undefined` when the field is required."""
        if self.field_info.is_required():
            return Undefined
        return self.field_info.get_default(call_default_factory=True)

    @cached_property
    def _type_adapter(self) -> TypeAdapter[Any]:
        info = self.field_info
        annotation = adapt_structs(info.annotation)
        attributes = {
            name: value for name, unset in _SCHEMA_ATTRIBUTES.items() if (value := getattr(info, name)) is not unset
        }
        if self.config is None and not info.metadata and (types := _plain_types(annotation)):
            facts = tuple((name, type(value), value) for name, value in attributes.items())
            if all(kind in _PLAIN_TYPES for _, kind, _ in facts):
                return _plain_adapter(types, facts)
        return _new_adapter(annotation, info.metadata, attributes, self.config)

    @property
    def core_schema(self) -> Mapping[str, Any] | None:
        """The schema that pydantic validates with; None as long as a class it refers to does not exist."""
        schema: Any = self._type_adapter.core_schema
        try:
            schema["type"]
        except PydanticUserError:
            return None
        return schema  # type: ignore[no-any-return]

    def validate(
        self, value: Any, values: Mapping[str, Any] | None = None, *, loc: Loc = ()
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Return the validated value and no errors, or None and the errors, their places starting with `loc`."""
        try:
            # PERF: without the wrapper of the adapter, which builds what has been deferred; the validator does, too.
            return self._type_adapter.validator.validate_python(value, from_attributes=True), []
        except ValidationError as exc:
            return None, [{**error, "loc": loc + error["loc"]} for error in readable_errors(exc)]

    def serialize(
        self,
        value: Any,
        *,
        mode: Literal["json", "python"] = "json",
        include: IncEx | None = None,
        exclude: IncEx | None = None,
        by_alias: bool = True,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
    ) -> Any:
        """Return the validated `value` as JSON types, or with `mode="python"` as plain Python ones."""
        return self._type_adapter.dump_python(
            value,
            mode=mode,
            include=include,
            exclude=exclude,
            by_alias=by_alias,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
        )

    def serialize_json(
        self,
        value: Any,
        *,
        include: IncEx | None = None,
        exclude: IncEx | None = None,
        by_alias: bool = True,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
    ) -> bytes:
        """Return the validated `value` as JSON text, in one step."""
        return self._type_adapter.dump_json(
            value,
            include=include,
            exclude=exclude,
            by_alias=by_alias,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
        )


def create_model_field(
    name: str,
    type_: Any,
    default: Any | None = Undefined,
    field_info: FieldInfo | None = None,
    alias: str | None = None,
    mode: Literal["validation", "serialization"] = "validation",
) -> ModelField:
    """Build a field, from `field_info` or else from the type, default and alias.

    Raises:
        FastAPIError: pydantic has no schema for the type.
        PydanticV1NotSupportedError: the type is, or contains, a `pydantic.v1` model.
    """
    if annotation_is_pydantic_v1(type_):
        raise PydanticV1NotSupportedError(
            f"pydantic.v1 models are no longer supported by FastAPI. Please update the response model {type_!r}."
        )
    field_info = field_info or FieldInfo(annotation=type_, default=default, alias=alias)
    model_field = ModelField(field_info=field_info, name=name, mode=mode)
    try:
        _ = model_field._type_adapter
    except PydanticSchemaGenerationError:
        raise FastAPIError(_INVALID_FIELD.format(type_=type_)) from None
    return model_field


def copy_field_info(*, field_info: FieldInfo, annotation: Any) -> FieldInfo:
    """Return a copy of `field_info` that has the type and all the metadata of an `Annotated` annotation."""
    merged = type(field_info).from_annotation(annotation)
    copied = copy(field_info)
    for name in _MERGED_ATTRIBUTES:
        if (value := getattr(merged, name, Undefined)) is not Undefined:
            setattr(copied, name, value)
    copied._attributes_set = merged._attributes_set.copy()
    copied.metadata = merged.metadata
    copied.annotation = merged.annotation
    return copied


def get_missing_field_error(loc: Loc) -> dict[str, Any]:
    """Return the error of a required value that is not in the request."""
    return {"type": "missing", "loc": loc, "msg": "Field required", "input": None}


def create_body_model(
    *, fields: Iterable[ModelField], model_name: str, config: ConfigDict | None = None
) -> type[BaseModel]:
    """Make a model of several body fields: what their embedding in one JSON object (or form) looks like."""
    definitions: Any = {item.name: (adapt_structs(item.field_info.annotation), item.field_info) for item in fields}
    return create_model(model_name, __config__=config, **definitions)


def get_model_fields(model: type[BaseModel]) -> list[ModelField]:
    """Return the fields of a model. Those that have no configuration of their own get the model's."""
    return [
        ModelField(field_info=info, name=name, config=None if _has_own_config(info.annotation) else model.model_config)
        for name, info in model.model_fields.items()
    ]


get_cached_model_fields = lru_cache(maxsize=1024)(get_model_fields)


def _has_own_config(annotation: Any) -> bool:
    return lenient_issubclass(annotation, (BaseModel, dict)) or is_dataclass(annotation)


def serialize_sequence_value(*, field: ModelField, value: Any) -> Sequence[Any]:
    """Return the items of `value` in the container that the field's annotation asks for."""
    annotation: Any = field.field_info.annotation
    if args := union_args(annotation):
        annotation = next(arg for arg in args if arg is not type(None))
    container = get_origin(annotation) or annotation
    assert lenient_issubclass(container, sequence_types)
    return sequence_annotation_to_type[container](value)  # type: ignore[no-any-return]


def evaluate_forwardref(
    value: Any, globalns: dict[str, Any] | None = None, localns: dict[str, Any] | None = None
) -> Any:
    """Resolve the forward references in `value`; one that cannot be resolved yet stays as it is."""
    if hasattr(_typing_extra, "try_eval_type"):
        return _typing_extra.try_eval_type(value, globalns, localns)[0]
    return _typing_extra.eval_type_lenient(value, globalns, localns)  # pydantic < 2.10


def lenient_issubclass(cls: Any, class_or_tuple: type[T] | tuple[type[T], ...]) -> TypeGuard[type[T]]:
    """Like `issubclass`, but False for anything that is not a class."""
    return isinstance(cls, type) and issubclass(cls, class_or_tuple)


def union_args(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, written in either way; nothing for other annotations."""
    origin = get_origin(annotation)
    return get_args(annotation) if origin is Union or origin is UnionType else ()


def _is_sequence_class(annotation: Any) -> bool:
    return lenient_issubclass(annotation, sequence_types) and not issubclass(annotation, (str, bytes))


def field_annotation_is_sequence(annotation: Any) -> bool:
    """Say whether the annotation is a sequence, or a union with one."""
    if get_origin(annotation) is Annotated:
        return field_annotation_is_sequence(get_args(annotation)[0])
    if args := union_args(annotation):
        return any(field_annotation_is_sequence(arg) for arg in args)
    return _is_sequence_class(annotation) or _is_sequence_class(get_origin(annotation))


def value_is_sequence(value: Any) -> bool:
    """Say whether `value` is a sequence, other than text."""
    return isinstance(value, sequence_types) and not isinstance(value, (str, bytes))


def _is_complex_class(annotation: Any) -> bool:
    return (
        lenient_issubclass(annotation, (BaseModel, Mapping, Struct, StarletteUploadFile))
        or _is_sequence_class(annotation)
        or is_dataclass(annotation)
    )


def field_annotation_is_complex(annotation: Any) -> bool:
    """Say whether the annotation is, or a union contains, a model, mapping, sequence, struct, dataclass or file."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return field_annotation_is_complex(get_args(annotation)[0])
    if args := union_args(annotation):
        return any(field_annotation_is_complex(arg) for arg in args)
    return (
        _is_complex_class(annotation)
        or _is_complex_class(origin)
        or hasattr(origin, "__pydantic_core_schema__")
        or hasattr(origin, "__get_pydantic_core_schema__")
    )


def field_annotation_is_scalar(annotation: Any) -> bool:
    """The opposite of complex. `...`, as in `tuple[int, ...]`, counts as a scalar."""
    return annotation is Ellipsis or not field_annotation_is_complex(annotation)


def field_annotation_is_scalar_sequence(annotation: Any) -> bool:
    """Say whether the annotation is a sequence of scalars, or a union of such sequences and scalars."""
    if get_origin(annotation) is Annotated:
        return field_annotation_is_scalar_sequence(get_args(annotation)[0])
    if args := union_args(annotation):
        sequences = [arg for arg in args if field_annotation_is_scalar_sequence(arg)]
        return bool(sequences) and all(arg in sequences or field_annotation_is_scalar(arg) for arg in args)
    return field_annotation_is_sequence(annotation) and all(map(field_annotation_is_scalar, get_args(annotation)))


def _is_or_may_be(annotation: Any, cls: type[Any]) -> bool:
    return any(lenient_issubclass(arg, cls) for arg in union_args(annotation) or (annotation,))


def _is_sequence_of(annotation: Any, cls: type[Any]) -> bool:
    if args := union_args(annotation):
        return any(_is_sequence_of(arg, cls) for arg in args)
    return field_annotation_is_sequence(annotation) and all(_is_or_may_be(arg, cls) for arg in get_args(annotation))


def is_bytes_or_nonable_bytes_annotation(annotation: Any) -> bool:
    """Say whether the annotation is `bytes`, or a union with it."""
    return _is_or_may_be(annotation, bytes)


def is_bytes_sequence_annotation(annotation: Any) -> bool:
    """Say whether the annotation is a sequence of `bytes`, or a union with one."""
    return _is_sequence_of(annotation, bytes)


def is_uploadfile_or_nonable_uploadfile_annotation(annotation: Any) -> bool:
    """Say whether the annotation is an uploaded file, or a union with it."""
    return _is_or_may_be(annotation, StarletteUploadFile)


def is_uploadfile_sequence_annotation(annotation: Any) -> bool:
    """Say whether the annotation is a sequence of uploaded files, or a union with one."""
    return _is_sequence_of(annotation, StarletteUploadFile)


def is_scalar_field(field: ModelField) -> bool:
    """Say whether the field is a scalar outside of the body."""
    return field_annotation_is_scalar(field.field_info.annotation) and not isinstance(field.field_info, params.Body)


def annotation_is_pydantic_v1(annotation: Any) -> bool:
    """Say whether the annotation is a `pydantic.v1` model, or a union or sequence with one."""
    base = pydantic_v1_base_model()
    if base == ():
        return False
    if lenient_issubclass(annotation, base) or any(lenient_issubclass(arg, base) for arg in union_args(annotation)):
        return True
    return field_annotation_is_sequence(annotation) and any(map(annotation_is_pydantic_v1, get_args(annotation)))
