"""Where a parameter comes from and what it must look like, as small values.

`Path`, `Query`, `Header`, `Cookie` (the `Param` family), `Body`, `Form` and `File` (the `Body` family) are pydantic
`FieldInfo` objects with a few attributes of their own; `Depends` and `Security` are frozen dataclasses. The keyword
options that all fields share are declared once, in `FieldOptions`. Users call the functions of the same names in
`turboapi.param_functions`; these classes are for `isinstance` checks and for subclassing.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack

from pydantic import AliasChoices, AliasPath, Discriminator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined as Undefined
from typing_extensions import deprecated

from turboapi.concurrency import DependencyConcurrency
from turboapi.datastructures import _Unset
from turboapi.exceptions import FastAPIDeprecationWarning
from turboapi.types import SyncMode, check_sync_mode

__all__ = [
    "Body",
    "Cookie",
    "Depends",
    "FieldOptions",
    "File",
    "Form",
    "Header",
    "Param",
    "ParamTypes",
    "Path",
    "Query",
    "Security",
]

P = ParamSpec("P")
T = TypeVar("T")


class ParamTypes(Enum):
    """The parts of a request, other than its body, that parameters are read from."""

    query = "query"
    header = "header"
    path = "path"
    cookie = "cookie"


class FieldOptions(TypedDict, total=False):
    """The keyword options that every declared field takes.

    They mean what they mean for `pydantic.Field`, and besides: `example` and `regex` are deprecated spellings of
    `examples` and `pattern`; `openapi_examples` and `include_in_schema` concern the OpenAPI document only.
    """

    default_factory: Callable[[], Any] | None
    alias: str | None
    alias_priority: int | None
    validation_alias: str | AliasPath | AliasChoices | None
    serialization_alias: str | None
    title: str | None
    description: str | None
    gt: float | None
    ge: float | None
    lt: float | None
    le: float | None
    min_length: int | None
    max_length: int | None
    pattern: str | re.Pattern[str] | None
    regex: str | None
    discriminator: str | Discriminator | None
    strict: bool | None
    validate_default: bool | None
    union_mode: Literal["smart", "left_to_right"] | None
    fail_fast: bool | None
    multiple_of: float | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    examples: list[Any] | None
    example: Any | None
    openapi_examples: dict[str, Any] | None
    deprecated: deprecated | str | bool | None
    include_in_schema: bool
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None


_NONE_BY_DEFAULT = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern", "regex", "openapi_examples")
_OPTION_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(FieldOptions.__annotations__, _Unset),
    **dict.fromkeys(_NONE_BY_DEFAULT),
    "include_in_schema": True,
}
_SHOWN_OPTIONS = [
    inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=FieldOptions.__annotations__[name]
    )
    for name, default in _OPTION_DEFAULTS.items()
]


def takes_field_options(function: Callable[P, T]) -> Callable[P, T]:
    """Make the `**options: Unpack[FieldOptions]` of `function` strict, and visible in its signature.

    Python itself would accept any name there; the decorated function raises TypeError for those it does not know.
    """
    signature = inspect.signature(function)
    own = [param for param in signature.parameters.values() if param.kind is not inspect.Parameter.VAR_KEYWORD]
    known = {param.name for param in (*own, *_SHOWN_OPTIONS)}

    @wraps(function)
    def strict(*args: P.args, **kwargs: P.kwargs) -> T:
        if not known.issuperset(kwargs):
            unknown = next(name for name in kwargs if name not in known)
            name = f"{type(args[0]).__name__}.__init__" if function.__name__ == "__init__" else function.__name__
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown!r}")
        return function(*args, **kwargs)

    strict.__signature__ = signature.replace(parameters=[*own, *_SHOWN_OPTIONS])  # type: ignore[attr-defined]
    return strict


def _warn_deprecated(name: str, replacement: str) -> None:
    """Warn at the line that declares the parameter, however many calls of this package lie in between."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals["__name__"] in (__name__, "turboapi.param_functions"):
        frame, depth = frame.f_back, depth + 1
    message = f"`{name}` has been deprecated, please use `{replacement}` instead"
    warnings.warn(message, category=FastAPIDeprecationWarning, stacklevel=depth)


class _Declaration(FieldInfo):  # type: ignore[misc]  # pydantic marks it final, and keeps supporting this use
    """A `FieldInfo` built from `FieldOptions`."""

    example: Any
    include_in_schema: bool
    openapi_examples: dict[str, Any] | None

    @takes_field_options
    def __init__(
        self, default: Any = Undefined, *, annotation: Any | None = None, **options: Unpack[FieldOptions]
    ) -> None:
        values: dict[str, Any] = {**_OPTION_DEFAULTS, **options}
        self.example = values.pop("example")
        if self.example is not _Unset:
            _warn_deprecated("example", "examples")
        self.include_in_schema = values.pop("include_in_schema")
        self.openapi_examples = values.pop("openapi_examples")
        if (regex := values.pop("regex")) is not None:
            _warn_deprecated("regex", "pattern")
            values["pattern"] = values["pattern"] or regex
        alias = values["alias"]
        if values["serialization_alias"] in (_Unset, None) and isinstance(alias, str):
            values["serialization_alias"] = alias
        if values["validation_alias"] in (_Unset, None):
            values["validation_alias"] = alias
        given = {name: value for name, value in values.items() if value is not _Unset}
        super().__init__(default=default, annotation=annotation, **given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.default})"


class Param(_Declaration):  # type: ignore[misc]
    """A parameter from outside the body. `in_` says where from; without it, from the query string."""

    in_: ParamTypes


class Path(Param):  # type: ignore[misc]
    """A part of the path. Always required: a default value is an AssertionError."""

    in_ = ParamTypes.path

    @takes_field_options
    def __init__(self, default: Any = ..., *, annotation: Any | None = None, **options: Unpack[FieldOptions]) -> None:
        assert default is ..., "Path parameters cannot have a default value"
        self.in_ = self.in_
        super().__init__(default, annotation=annotation, **options)


class Query(Param):  # type: ignore[misc]
    """A query parameter."""

    in_ = ParamTypes.query


class Header(Param):  # type: ignore[misc]
    """A request header. With `convert_underscores`, the parameter `user_agent` is the header `user-agent`."""

    in_ = ParamTypes.header

    @takes_field_options
    def __init__(
        self,
        default: Any = Undefined,
        *,
        annotation: Any | None = None,
        convert_underscores: bool = True,
        **options: Unpack[FieldOptions],
    ) -> None:
        self.convert_underscores = convert_underscores
        super().__init__(default, annotation=annotation, **options)


class Cookie(Param):  # type: ignore[misc]
    """A cookie of the request."""

    in_ = ParamTypes.cookie


class Body(_Declaration):  # type: ignore[misc]
    """The request body, or with `embed` (or beside other body parameters) one key of it."""

    @takes_field_options
    def __init__(
        self,
        default: Any = Undefined,
        *,
        annotation: Any | None = None,
        embed: bool | None = None,
        media_type: str = "application/json",
        **options: Unpack[FieldOptions],
    ) -> None:
        self.embed = embed
        self.media_type = media_type
        super().__init__(default, annotation=annotation, **options)


class Form(Body):  # type: ignore[misc]
    """A field of a form, or with a model as annotation the form itself."""

    @takes_field_options
    def __init__(
        self,
        default: Any = Undefined,
        *,
        annotation: Any | None = None,
        media_type: str = "application/x-www-form-urlencoded",
        **options: Unpack[FieldOptions],
    ) -> None:
        super().__init__(default, annotation=annotation, media_type=media_type, **options)


class File(Form):  # type: ignore[misc]
    """A file in a multipart form, as `bytes` or as `UploadFile`."""

    @takes_field_options
    def __init__(
        self,
        default: Any = Undefined,
        *,
        annotation: Any | None = None,
        media_type: str = "multipart/form-data",
        **options: Unpack[FieldOptions],
    ) -> None:
        super().__init__(default, annotation=annotation, media_type=media_type, **options)


@dataclass(frozen=True)
class Depends:
    """A parameter whose value is what `dependency` returns; without it, what the annotation returns when called.

    Raises:
        ValueError: `max_concurrency` is neither None nor a positive integer, or `sync_mode` is no mode.
    """

    dependency: Callable[..., Any] | None = None
    use_cache: bool = True
    scope: Literal["function", "request"] | None = None
    max_concurrency: int | None = field(default=None, kw_only=True)
    sync_mode: SyncMode | None = field(default=None, repr=False, kw_only=True)
    # An init field, so that `dataclasses.replace` keeps it and copies of one declaration share one limit. Its identity
    # takes part in `==`, so that two declarations with equal options remain two.
    _concurrency: DependencyConcurrency | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.sync_mode is not None:
            check_sync_mode(self.sync_mode)
        limit = self.max_concurrency
        if limit is None:
            object.__setattr__(self, "_concurrency", None)
            return
        if type(limit) is not int or limit < 1:
            raise ValueError("max_concurrency must be a positive integer or None")
        if self._concurrency is None or self._concurrency.max_concurrency != limit:
            object.__setattr__(self, "_concurrency", DependencyConcurrency(limit))


@dataclass(frozen=True)
class Security(Depends):
    """A dependency that requires OAuth 2 scopes."""

    scopes: Sequence[str] | None = None
