"""`jsonable_encoder`: any object as something that `json.dumps` takes."""

import datetime
import sys
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from importlib import import_module
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from operator import attrgetter, methodcaller
from pathlib import Path, PurePath
from re import Pattern
from types import GeneratorType
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel
from pydantic.networks import AnyUrl, NameEmail
from pydantic.types import SecretBytes, SecretStr
from pydantic_core import PydanticUndefinedType, Url

from turboapi.exceptions import PydanticV1NotSupportedError
from turboapi.types import IncEx

__all__ = [
    "ENCODERS_BY_TYPE",
    "decimal_encoder",
    "encoders_by_class_tuples",
    "generate_encoders_by_class_tuples",
    "is_pydantic_v1_model_instance",
    "isoformat",
    "jsonable_encoder",
    "pydantic_v1_base_model",
]

Encoder = Callable[[Any], Any]

_SCALARS = (str, int, float, type(None))
_SEQUENCES = (list, set, frozenset, GeneratorType, tuple, deque)


def isoformat(o: datetime.date | datetime.time) -> str:
    """Return a date, time or datetime in ISO 8601 format."""
    return o.isoformat()


def decimal_encoder(dec_value: Decimal) -> int | float:
    """Return an int if the number has no digits after the point (`Decimal("1")`), else a float (`Decimal("1.0")`)."""
    exponent = dec_value.as_tuple().exponent
    return int(dec_value) if isinstance(exponent, int) and exponent >= 0 else float(dec_value)


def _optional_colors() -> dict[type[Any], Encoder]:
    """The colour classes of pydantic (deprecated there) and of its companion package, as far as they exist."""
    encoders: dict[type[Any], Encoder] = {}
    for module in ("pydantic.color", "pydantic_extra_types.color"):
        try:
            encoders[import_module(module).Color] = str
        except ImportError:
            continue
    return encoders


ENCODERS_BY_TYPE: dict[type[Any], Encoder] = {
    bytes: methodcaller("decode"),
    **_optional_colors(),
    datetime.date: isoformat,
    datetime.datetime: isoformat,
    datetime.time: isoformat,
    datetime.timedelta: methodcaller("total_seconds"),
    Decimal: decimal_encoder,
    Enum: attrgetter("value"),
    frozenset: list,
    deque: list,
    GeneratorType: list,
    **dict.fromkeys((IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network), str),
    NameEmail: str,
    Path: str,
    Pattern: attrgetter("pattern"),
    SecretBytes: str,
    SecretStr: str,
    set: list,
    UUID: str,
    Url: str,
    AnyUrl: str,
}
"""How `jsonable_encoder` treats the values of these types and their subclasses. May be extended."""


def generate_encoders_by_class_tuples(type_encoder_map: dict[Any, Encoder]) -> dict[Encoder, tuple[Any, ...]]:
    """Group types by encoder, in a form that `isinstance` takes."""
    grouped: dict[Encoder, tuple[Any, ...]] = defaultdict(tuple)
    for type_, encoder in type_encoder_map.items():
        grouped[encoder] += (type_,)
    return grouped


encoders_by_class_tuples = generate_encoders_by_class_tuples(ENCODERS_BY_TYPE)


def pydantic_v1_base_model() -> type[Any] | tuple[()]:
    """Return `pydantic.v1.BaseModel`, or something that nothing is an instance of as long as nobody has imported it."""
    # Importing it here would take long, and warn on new Python versions. Who has a v1 model has imported it.
    module = sys.modules.get("pydantic.v1.main")
    return module.BaseModel if module is not None else ()


def is_pydantic_v1_model_instance(obj: Any) -> bool:
    """Say whether `obj` is an instance of a `pydantic.v1` model."""
    return isinstance(obj, pydantic_v1_base_model())


def jsonable_encoder(
    obj: Any,
    include: IncEx | None = None,
    exclude: IncEx | None = None,
    by_alias: bool = True,
    exclude_unset: bool = False,
    exclude_defaults: bool = False,
    exclude_none: bool = False,
    custom_encoder: dict[Any, Encoder] | None = None,
    sqlalchemy_safe: bool = True,
) -> Any:
    """Convert `obj` to values that can be written as JSON: dictionaries, lists, strings, numbers, booleans and None.

    Args:
        obj: anything: pydantic models, dataclasses, msgspec structs, the types in `ENCODERS_BY_TYPE`, containers of
            those; other objects are taken apart with `dict()` or `vars()`.
        include: the keys to keep, of the outermost model or dictionary.
        exclude: the keys to leave out.
        by_alias: name the fields of pydantic models by their aliases.
        exclude_unset: leave out what was not set explicitly in a pydantic model.
        exclude_defaults: leave out what equals its default in a pydantic model.
        exclude_none: leave out what is None.
        custom_encoder: type -> function, tried before anything else.
        sqlalchemy_safe: leave out the keys that start with `_sa`, where SQLAlchemy keeps its state.

    Raises:
        PydanticV1NotSupportedError: there is a `pydantic.v1` model in it.
        ValueError: there is an object in it that cannot be taken apart.
    """
    encoder = _JSONEncoder(
        by_alias, exclude_unset, exclude_defaults, exclude_none, custom_encoder or {}, sqlalchemy_safe
    )
    return encoder.encode(obj, include, exclude)


@dataclass
class _JSONEncoder:
    """One set of options, applied to a whole tree."""

    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    custom_encoder: dict[Any, Encoder]
    sqlalchemy_safe: bool

    def encode(self, obj: Any, include: IncEx | None = None, exclude: IncEx | None = None) -> Any:
        if self.custom_encoder and (encoder := self._custom_encoder_for(obj)) is not None:
            return encoder(obj)
        if type(obj) in _SCALARS:  # PERF: what most objects are, before everything that they are not
            return obj
        if isinstance(obj, BaseModel):
            return self._encode_model(obj, _as_set(include), _as_set(exclude))
        if is_dataclass(obj):
            assert not isinstance(obj, type)
            return self.encode(asdict(obj), include, exclude)
        if isinstance(obj, Enum):
            return obj.value
        if isinstance(obj, PurePath):
            return str(obj)
        if isinstance(obj, _SCALARS):
            return obj
        if isinstance(obj, PydanticUndefinedType):
            return None
        # NOTE: frames limit the depth of a tree. So each level takes one, and no comprehension, which may be another.
        if isinstance(obj, dict):
            include, exclude = _as_set(include), _as_set(exclude)
            encoded = {}
            for key, value in obj.items():
                if self._is_wanted(key, value, include, exclude):
                    encoded[self.encode(key)] = self.encode(value)
            return encoded
        if isinstance(obj, _SEQUENCES):
            include, exclude = _as_set(include), _as_set(exclude)
            items = []
            for item in obj:
                items.append(self.encode(item, include, exclude))
            return items
        if isinstance(obj, msgspec.Struct):
            return self.encode(msgspec.to_builtins(obj, enc_hook=self.encode), include, exclude)
        return self._encode_other(obj, include, exclude)

    def _custom_encoder_for(self, obj: Any) -> Encoder | None:
        exact = self.custom_encoder.get(type(obj))
        if exact is not None:
            return exact
        return next((encoder for type_, encoder in self.custom_encoder.items() if isinstance(obj, type_)), None)

    def _encode_model(self, obj: BaseModel, include: Any, exclude: Any) -> Any:
        dumped = obj.model_dump(
            mode="json",
            include=include,
            exclude=exclude,
            by_alias=self.by_alias,
            exclude_unset=self.exclude_unset,
            exclude_none=self.exclude_none,
            exclude_defaults=self.exclude_defaults,
        )
        return self._after_model_dump.encode(dumped)

    @cached_property
    def _after_model_dump(self) -> "_JSONEncoder":
        return _JSONEncoder(True, False, self.exclude_defaults, self.exclude_none, {}, self.sqlalchemy_safe)

    def _is_wanted(self, key: Any, value: Any, include: Any, exclude: Any) -> bool:
        return (
            (include is None or key in include)
            and (exclude is None or key not in exclude)
            and not (value is None and self.exclude_none)
            and not (self.sqlalchemy_safe and isinstance(key, str) and key.startswith("_sa"))
        )

    def _encode_other(self, obj: Any, include: Any, exclude: Any) -> Any:
        encoder = ENCODERS_BY_TYPE.get(type(obj)) or _encoder_by_class(obj)
        if encoder is not None:
            return encoder(obj)
        if is_pydantic_v1_model_instance(obj):
            raise PydanticV1NotSupportedError(
                f"pydantic.v1 models are no longer supported by FastAPI. Please update the model {obj!r}."
            )
        return self.encode(_take_apart(obj), include, exclude)


def _as_set(keys: Any) -> Any:
    return keys if keys is None or isinstance(keys, (set, dict)) else set(keys)


def _encoder_by_class(obj: Any) -> Encoder | None:
    return next((encoder for encoder, types in encoders_by_class_tuples.items() if isinstance(obj, types)), None)


def _take_apart(obj: Any) -> Any:
    try:
        return dict(obj)
    except Exception as not_iterable:
        try:
            return vars(obj)
        except Exception as no_attributes:
            raise ValueError([not_iterable, no_attributes]) from no_attributes
