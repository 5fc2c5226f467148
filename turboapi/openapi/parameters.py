"""What an operation takes: its parameters, its body and the security schemes that guard it.

`RequestParts` is read off the tree of dependencies once per route; the functions turn it into the members of an
Operation Object.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from turboapi._plan.arguments import get_param_aliases, get_param_model
from turboapi._plan.dependencies import (
    Dependant,
    UsesScopesCache,
    get_cache_key,
    get_oauth_scopes,
    get_security_scheme,
    is_security_scheme,
)
from turboapi._plan.fields import ModelField, get_cached_model_fields
from turboapi.datastructures import _Unset
from turboapi.encoders import jsonable_encoder
from turboapi.openapi.schemas import Schemas
from turboapi.params import ParamTypes
from turboapi.security.base import SecurityBase
from turboapi.types import DependencyCacheKey

__all__ = ["DeclaredParam", "RequestParts", "describe_body", "describe_parameters", "describe_security"]

_SOURCES = (ParamTypes.path, ParamTypes.query, ParamTypes.header, ParamTypes.cookie)


@dataclass(frozen=True, slots=True)
class DeclaredParam:
    """One parameter. `declaration` is what stands in the signature: the field itself, or the model it is part of."""

    source: ParamTypes
    declaration: ModelField
    field: ModelField


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What a route and its dependencies take from a request outside of the body."""

    params: list[DeclaredParam] = field(default_factory=list)
    security: list[tuple[SecurityBase, list[str]]] = field(default_factory=list)
    """The schemes, each with the scopes that are required of it."""

    @classmethod
    def of(cls, dependant: Dependant) -> "RequestParts":
        """Read the parts off a route's tree, in which what occurs several times counts once."""
        security = []
        declarations: dict[ParamTypes, list[ModelField]] = {source: [] for source in _SOURCES}
        for item, scopes in _iter_unique(dependant, [], [], {}):
            for source, fields in declarations.items():
                fields.extend(getattr(item, f"{source.value}_params"))
            if item is not dependant and is_security_scheme(item):
                security.append((get_security_scheme(item), scopes))
        params = [
            DeclaredParam(source, declaration, item)
            for source, fields in declarations.items()
            for declaration in fields
            for item in _flat_fields(declaration)
        ]
        return cls(params, security)


def _iter_unique(
    dependant: Dependant, scopes: list[str], visited: list[DependencyCacheKey], uses_scopes: UsesScopesCache
) -> Iterator[tuple[Dependant, list[str]]]:
    """Yield each dependant before those below it, with the security scopes that are required on the way to it."""
    key = get_cache_key(dependant, uses_scopes)
    if key in visited:  # a list, because callables need not be hashable
        return
    visited.append(key)
    scopes = list(dict.fromkeys([*scopes, *get_oauth_scopes(dependant)]))
    yield dependant, scopes
    for item in dependant.dependencies:
        yield from _iter_unique(item, scopes, visited, uses_scopes)


def _flat_fields(declaration: ModelField) -> list[ModelField]:
    model = get_param_model(declaration)
    return [declaration] if model is None else get_cached_model_fields(model)


def describe_security(parts: RequestParts) -> tuple[dict[str, Any], list[dict[str, list[str]]]]:
    """Return the Security Scheme Objects by name, and the Security Requirement Objects."""
    schemes: dict[str, Any] = {}
    required: dict[str, dict[str, None]] = {}
    for scheme, scopes in parts.security:
        schemes[scheme.scheme_name] = jsonable_encoder(scheme.model, by_alias=True, exclude_none=True)
        required.setdefault(scheme.scheme_name, {}).update(dict.fromkeys(scopes))
    return schemes, [{name: list(scopes)} for name, scopes in required.items()]


def describe_parameters(parts: RequestParts, schemas: Schemas) -> list[dict[str, Any]]:
    """Return the Parameter Objects. Of several with the same place and name, a required one wins, else the last."""
    described = [
        _describe_parameter(param, schemas)
        for param in parts.params
        if getattr(param.declaration.field_info, "include_in_schema", True)
    ]
    unique = {(item["in"], item["name"]): item for item in described}
    unique.update({(item["in"], item["name"]): item for item in described if item["required"]})
    return list(unique.values())


def _describe_parameter(param: DeclaredParam, schemas: Schemas) -> dict[str, Any]:
    info: Any = param.field.field_info
    convert = param.source is ParamTypes.header and _converts_underscores(param)
    alias, name = get_param_aliases(param.field, convert_underscores=convert)[0]
    parameter = {
        "name": name,
        "in": param.source.value,
        "required": info.is_required() and not _is_of_optional_model(param.declaration),
        "schema": schemas.of(param.field, alias),
    }
    if info.description:
        parameter["description"] = info.description
    _add_examples(parameter, info)
    if getattr(info, "deprecated", None):
        parameter["deprecated"] = True
    return parameter


def _converts_underscores(param: DeclaredParam) -> bool:
    by_default = getattr(param.declaration.field_info, "convert_underscores", True)
    return bool(getattr(param.field.field_info, "convert_underscores", by_default))


def _is_of_optional_model(declaration: ModelField) -> bool:
    """Say whether the declaration is a model that may be missing as a whole, as in `Model | None = None`."""
    model, info = get_param_model(declaration), declaration.field_info
    return model is not None and info.annotation is not model and not info.is_required()


def _add_examples(target: dict[str, Any], info: Any) -> None:
    # The fields of models have none of these attributes.
    if examples := getattr(info, "openapi_examples", None):
        target["examples"] = jsonable_encoder(examples)
    elif (example := getattr(info, "example", _Unset)) is not _Unset:
        target["example"] = jsonable_encoder(example)


def describe_body(body: ModelField, schemas: Schemas) -> dict[str, Any]:
    """Return the Request Body Object."""
    info: Any = body.field_info
    content = {"schema": schemas.of(body)}
    _add_examples(content, info)
    described: dict[str, Any] = {"required": True} if info.is_required() else {}
    return {**described, "content": {info.media_type: content}}
