"""The same names from both frameworks, and plain descriptions of what they build, for comparison with `==`.

Test cases are functions that take a `Framework` and build a signature with its markers and types.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import fastapi
import fastapi._compat
import fastapi.datastructures
import fastapi.dependencies.models
import fastapi.dependencies.utils
import fastapi.params
import starlette.background
import starlette.datastructures
import starlette.requests
from pydantic import BaseModel

import turboapi._plan.body
import turboapi._plan.dependencies
import turboapi._plan.fields
import turboapi._plan.forms
import turboapi._plan.signature
from turboapi import background, datastructures, param_functions, params, requests, responses, websockets
from turboapi.security import oauth2

_MARKERS = ("Path", "Query", "Header", "Cookie", "Body", "Form", "File", "Depends", "Security")


@dataclass(frozen=True)
class Framework:
    """One of the two; `markers` and `types` are for test cases, the rest is what is under test."""

    name: str
    params: Any
    markers: Any
    types: Any
    get_dependant: Callable[..., Any]
    get_parameterless_sub_dependant: Callable[..., Any]
    get_flat_params: Callable[[Any], list[Any]]
    get_flat_body_params: Callable[[Any], list[Any]]
    get_cache_key: Callable[[Any], Any]
    get_oauth_scopes: Callable[[Any], list[str]]
    get_computed_scope: Callable[[Any], str | None]
    get_body_field: Callable[..., Any]
    should_embed_body_fields: Callable[..., bool]
    request_params_to_args: Callable[..., Any]
    request_body_to_args: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.markers if name in _MARKERS else self.types, name)


OURS = Framework(
    name="turboapi",
    params=params,
    markers=param_functions,
    types=SimpleNamespace(
        Request=requests.Request,
        HTTPConnection=requests.HTTPConnection,
        WebSocket=websockets.WebSocket,
        Response=responses.Response,
        JSONResponse=responses.JSONResponse,
        BackgroundTasks=background.BackgroundTasks,
        StarletteBackgroundTasks=background.StarletteBackgroundTasks,
        SecurityScopes=oauth2.SecurityScopes,
        OAuth2PasswordBearer=oauth2.OAuth2PasswordBearer,
        UploadFile=datastructures.UploadFile,
        QueryParams=datastructures.QueryParams,
        Headers=datastructures.Headers,
        FormData=datastructures.FormData,
        Undefined=turboapi._plan.fields.Undefined,
    ),
    get_dependant=turboapi._plan.dependencies.get_dependant,
    get_parameterless_sub_dependant=turboapi._plan.dependencies.get_parameterless_sub_dependant,
    get_flat_params=turboapi._plan.dependencies.get_flat_params,
    get_flat_body_params=turboapi._plan.dependencies.get_flat_body_params,
    get_cache_key=turboapi._plan.dependencies.get_cache_key,
    get_oauth_scopes=turboapi._plan.dependencies.get_oauth_scopes,
    get_computed_scope=turboapi._plan.dependencies.get_computed_scope,
    get_body_field=turboapi._plan.body.get_body_field,
    should_embed_body_fields=turboapi._plan.body.should_embed_body_fields,
    request_params_to_args=turboapi._plan.arguments.request_params_to_args,
    request_body_to_args=turboapi._plan.body.request_body_to_args,
)

_utils, _models = fastapi.dependencies.utils, fastapi.dependencies.models
THEIRS = Framework(
    name="fastapi",
    params=fastapi.params,
    markers=fastapi,
    types=SimpleNamespace(
        Request=fastapi.Request,
        HTTPConnection=starlette.requests.HTTPConnection,
        WebSocket=fastapi.WebSocket,
        Response=fastapi.Response,
        JSONResponse=fastapi.responses.JSONResponse,
        BackgroundTasks=fastapi.BackgroundTasks,
        StarletteBackgroundTasks=starlette.background.BackgroundTasks,
        SecurityScopes=fastapi.security.SecurityScopes,
        OAuth2PasswordBearer=fastapi.security.OAuth2PasswordBearer,
        UploadFile=fastapi.UploadFile,
        QueryParams=starlette.datastructures.QueryParams,
        Headers=starlette.datastructures.Headers,
        FormData=starlette.datastructures.FormData,
        Undefined=fastapi._compat.Undefined,
    ),
    get_dependant=_utils.get_dependant,
    get_parameterless_sub_dependant=_utils.get_parameterless_sub_dependant,
    get_flat_params=_utils.get_flat_params,
    get_flat_body_params=_utils._get_flat_body_params,
    get_cache_key=lambda dependant: _models._get_cache_key(dependant=dependant),
    get_oauth_scopes=lambda dependant: _models._get_oauth_scopes(dependant=dependant),
    get_computed_scope=lambda dependant: _models._get_computed_scope(dependant=dependant),
    get_body_field=_utils._get_body_field,
    should_embed_body_fields=_utils._should_embed_body_fields,
    request_params_to_args=_utils.request_params_to_args,
    request_body_to_args=_utils.request_body_to_args,
)

_OWN_MODULE = re.compile(r"\b(?:turboapi|fastapi|starlette)\.(?:\w+\.)*")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def plain(value: Any) -> Any:
    """Return `value` without anything that differs just because there are two frameworks."""
    if isinstance(value, (str, int, float, bytes, type(None))):
        return value
    if isinstance(value, BaseModel):
        return type(value), plain(value.__dict__), plain(value.model_extra), value.model_fields_set
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value), [plain(item) for item in value]
    if type(value).__name__ == "UploadFile":
        return "UploadFile", value.filename, value.file.tell()
    if type(value).__name__ == "DefaultPlaceholder":
        return "DefaultPlaceholder"
    return _OWN_MODULE.sub("", _ADDRESS.sub("", repr(value)))


def describe_field(field: Any) -> dict[str, Any]:
    info = field.field_info
    own = {name: plain(value) for name, value in getattr(info, "__dict__", {}).items()}
    return {
        "kind": type(info).__name__,
        "info": {name: plain(getattr(info, name)) for name in info.__slots__ if name != "_attributes_set"},
        "own": own,
        "names": (field.name, field.alias, field.validation_alias, field.serialization_alias),
        "mode": field.mode,
        "default": plain(field.default),
    }


def describe_dependant(framework: Framework, dependant: Any) -> dict[str, Any]:
    description: dict[str, Any] = {}
    for name in type(dependant).__dataclass_fields__:
        if name in ("receivers", "solvers", "sync_mode"):  # ours only
            continue
        value = getattr(dependant, name)
        if name.endswith("_params"):
            value = [describe_field(field) for field in value]
        elif name == "dependencies":
            value = [describe_dependant(framework, item) for item in value]
        elif name == "call":
            value = getattr(value, "__qualname__", type(value).__name__)
        elif name == "concurrency":
            value = value and value.max_concurrency
        description[name] = value
    description["oauth_scopes"] = framework.get_oauth_scopes(dependant)
    description["computed_scope"] = framework.get_computed_scope(dependant)
    description["cache_key"] = framework.get_cache_key(dependant)[1:]
    return description


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the call returns, or the name and text of its exception."""
    try:
        return "returned", function(*args, **kwargs)
    except Exception as exc:
        return type(exc).__name__, _OWN_MODULE.sub("", str(exc))


def form(framework: Framework, items: Iterable[tuple[str, Any]]) -> Any:
    """Build a form; a value `("filename", b"content")` is an uploaded file."""
    return framework.FormData([(key, _form_value(framework, value)) for key, value in items])


def _form_value(framework: Framework, value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    filename, content = value
    return framework.UploadFile(file=BytesIO(content), filename=filename, size=len(content))
