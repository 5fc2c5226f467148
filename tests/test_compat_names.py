"""The alias offers every public name of FastAPI and Starlette, and the private ones that published code imports."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

# Names that the alias does not have, by module. `None` is all of a module.
ELSEWHERE = "merely imported there; import it from the module that defines it"
PAGES = "the templates of the debug page, which are other ones here"
TELEMETRY = "telemetry is part of the application here, not middleware of its own"
TYPES = "an annotation of private functions"
UNUSED = "of no use outside of FastAPI's own code"

ABSENT: dict[str, dict[str, str]] = {
    "fastapi._body_limit": {"HTTPException": ELSEWHERE},
    "fastapi._compat.shared": {"UploadFile": ELSEWHERE, "WithArgsTypes": TYPES},
    "fastapi._compat.v2": {"ModelNameMap": TYPES, "TypeModelSet": TYPES, "asdict": UNUSED},
    "fastapi._form_limits": {"NonNegativeInt": TYPES},
    "fastapi.applications": {"ExceptionTelemetryMiddleware": TELEMETRY},
    "fastapi.dependencies.models": {"ModelField": ELSEWHERE},
    "fastapi.dependencies.utils": dict.fromkeys(
        ("BackgroundTasks", "QueryParams", "UploadFile", "contextmanager_in_threadpool", "run_in_threadpool"), ELSEWHERE
    ),
    "fastapi.exception_handlers": dict.fromkeys(("HTTPException", "is_body_allowed_for_status_code"), ELSEWHERE),
    "fastapi.openapi.utils": {"ModelNameMap": TYPES},
    "fastapi.param_functions": {"Example": ELSEWHERE},
    "fastapi.params": {"Example": ELSEWHERE},
    "fastapi.security.api_key": dict.fromkeys(("HTTPException", "HTTP_401_UNAUTHORIZED", "SecurityBase"), ELSEWHERE),
    "fastapi.security.http": dict.fromkeys(("HTTP_401_UNAUTHORIZED", "SecurityBase"), ELSEWHERE),
    "fastapi.security.oauth2": dict.fromkeys(("HTTP_401_UNAUTHORIZED", "SecurityBase"), ELSEWHERE),
    "fastapi.security.open_id_connect_url": dict.fromkeys(
        ("HTTPException", "HTTP_401_UNAUTHORIZED", "SecurityBase"), ELSEWHERE
    ),
    "fastapi.sse": {"StreamingResponse": ELSEWHERE},
    "fastapi.telemetry._api": dict.fromkeys(("HTTPException", "Request", "WebSocket", "WebSocketException"), ELSEWHERE),
    "fastapi.telemetry._asgi": {"ExceptionTelemetryMiddleware": TELEMETRY},
    "fastapi.utils": dict.fromkeys(
        ("ModelField", "PydanticV1NotSupportedError", "annotation_is_pydantic_v1"), ELSEWHERE
    ),
    "starlette._exception_handler": {"HTTPException": ELSEWHERE},
    "starlette.authentication": {"HTTPException": ELSEWHERE},
    "starlette.background": dict.fromkeys(("is_async_callable", "run_in_threadpool"), ELSEWHERE),
    "starlette.datastructures": dict.fromkeys(("Scope", "parse_host_header", "run_in_threadpool"), ELSEWHERE),
    "starlette.endpoints": {"HTTPException": ELSEWHERE},
    "starlette.formparsers": {"UploadFile": ELSEWHERE},
    "starlette.middleware.body_limit": {"HTTPException": ELSEWHERE},
    "starlette.middleware.errors": dict.fromkeys(
        ("CENTER_LINE", "FRAME_TEMPLATE", "JS", "LINE", "STYLES", "TEMPLATE"), PAGES
    ),
    "starlette.middleware.exceptions": dict.fromkeys(("HTTPException", "WebSocketException"), ELSEWHERE),
    "starlette.requests": {"HTTPException": ELSEWHERE},
    "starlette.routing": {"HTTPException": ELSEWHERE},
    "starlette.staticfiles": {"HTTPException": ELSEWHERE},
}
# Attributes of classes, and signatures, that differ.
ABSENT_ATTRIBUTES = {
    ("RequestBodyLimitResponder", name): "annotated, and set on instances only" for name in ("receive", "scope", "send")
}
DIFFERENT = {
    ("ModelField", "validate"): "`values`, which is not looked at, is None by default",
    ("ServerErrorMiddleware", "format_line"): PAGES,
}
# Parameters that only ours have, all of them with defaults.
ADDED = {
    "callbacks": "`app.api_route()` takes it as `router.api_route()` does",
    "strict_content_type": "settable for a single path operation",
    "sync_mode": "where plain functions run",
    "auto_head": "whether routes for GET answer HEAD",
    "cancel_on_disconnect": "whether requests are cancelled when their client leaves",
    "receive": "how the objects of Starlette's own classes are made",
    "receivers": "how the objects of Starlette's own classes are made",
}

# What published libraries and FastAPI's own tests import although it is private.
PRIVATE = {
    "fastapi._compat": ["ModelField", "Undefined", "v2", "shared", "get_definitions", "PYDANTIC_VERSION_MINOR_TUPLE"],
    "fastapi._compat.v2": ["_has_computed_fields"],
    "fastapi._form_limits": ["_FormLimits", "_validate_form_limits"],
    "fastapi.dependencies.models": ["Dependant", "_get_cache_key", "_get_oauth_scopes", "_is_coroutine_callable"],
    "fastapi.dependencies.utils": [
        *("_get_body_field", "_get_flat_body_params", "_should_embed_body_fields", "_read_file_bytes"),
        *("_get_param_model", "_get_param_aliases", "_get_model_type", "_get_multidict_value", "_is_json_field"),
    ],
    "fastapi.routing": [
        *("_IncludedRouter", "_EffectiveRouteContext", "_RouterIncludeContext", "_iter_routes_with_context"),
        *("_DefaultLifespan", "_merge_lifespan_context", "_PING_INTERVAL", "_iter_included_route_candidates"),
        *("_get_fastapi_scope", "_update_scope", "_restore_fastapi_scope_key", "_effective_route_context_var"),
    ],
    "starlette._exception_handler": ["wrap_app_handling_exceptions"],
    "starlette._utils": ["is_async_callable", "get_route_path", "AwaitableOrContextManager"],
}


def run(*arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    return json.loads(run("tests/surface.py"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ours(theirs: dict[str, Any]) -> dict[str, Any]:
    return json.loads(run("tests/surface.py", "--alias", *theirs))  # type: ignore[no-any-return]


def compared(theirs: dict[str, Any], ours: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """Return each public name that is there with both, with its two descriptions."""
    return [
        (module, name, names[name], ours[module][name])
        for module, names in theirs.items()
        if ours[module] is not None
        for name in names
        if name in ours[module] and not name.startswith("_")
    ]


def test_every_public_name(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    missing = {module for module, names in ours.items() if names is None}
    assert missing == set()
    absent = {
        module: {name for name in theirs[module].keys() - names.keys() if not name.startswith("_")}
        for module, names in ours.items()
        if names is not None
    }
    assert {module: names for module, names in absent.items() if names} == {
        module: set(names) for module, names in ABSENT.items()
    }


@pytest.mark.parametrize("where", [[], ["--alias"]], ids=["reference", "alias"])
def test_private_names(where: list[str]) -> None:
    imports = "".join(f"from {module} import {name}\n" for module, names in PRIVATE.items() for name in names)
    run("-c", PROLOGUE + imports, *where)


def test_every_public_attribute(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    absent = {
        (name, attribute)
        for _, name, their, our in compared(theirs, ours)
        if isinstance(their, dict) and isinstance(our, dict)
        for attribute in their.keys() - our.keys()
    }
    assert absent == set(ABSENT_ATTRIBUTES)


def parameters_differ(theirs: list[str] | None, ours: list[str] | None) -> bool:
    if theirs is None or ours is None:
        return theirs is not ours
    return [each for each in ours if not is_added(each, theirs)] != theirs


def is_added(parameter: str, theirs: list[str]) -> bool:
    _, name, *default = parameter.split(" ", 2)
    return name in ADDED and bool(default) and parameter not in theirs


def test_every_signature(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    different = set()
    for _, name, their, our in compared(theirs, ours):
        if not isinstance(their, dict):
            if parameters_differ(their, our):
                different.add((name, ""))
        elif "fields" in their:
            assert our["fields"] == their["fields"], name
        else:
            shared = their.keys() & our.keys()
            different |= {(name, each) for each in shared if parameters_differ(their[each], our[each])}
    assert different == set(DIFFERENT)


# --- private functions work ---------------------------------------------------------------------------------------

PROLOGUE = """
import json, sys
if "--alias" in sys.argv:
    from turboapi.compat import install
    install()
from enum import Enum
from typing import Annotated, Any
from pydantic import BaseModel, computed_field
import fastapi
from fastapi import Body, Depends, FastAPI, Form, Query, Security
from fastapi.security import OAuth2PasswordBearer

class Kind(Enum):
    a = "a"

class Inner(BaseModel):
    kind: Kind

class Item(BaseModel):
    "What is sold.\\f Hidden."
    name: str = "n"
    inner: list[Inner] = []

    @computed_field
    @property
    def size(self) -> int:
        return 1

app = FastAPI()
scheme = OAuth2PasswordBearer("token")

@app.post("/items/{item_id}", tags=["t"], responses={404: {"model": Inner}, "5XX": {"description": "d"}})
def create(
    item_id: int, item: Item, q: Annotated[list[str], Query(title="Q")], token: Annotated[str, Depends(scheme)]
) -> Item:
    "Create it."

@app.get("/items", deprecated=True, operation_id="all")
def read(kind: Kind = Kind.a) -> dict[str, Item]: ...

route, other = app.routes[-2:]
"""

PROGRAMS = {
    "schemas": """
from fastapi._compat import get_definitions, get_flat_models_from_fields, get_model_name_map
from fastapi._compat import get_schema_from_model_field
from fastapi.openapi.utils import get_fields_from_routes
fields = get_fields_from_routes(app.routes)
names = get_model_name_map(get_flat_models_from_fields(fields, known_models=set()))
shown = [[field.name, field.mode] for field in fields], sorted(names.values())
for separate in (True, False):
    options = {"model_name_map": names, "separate_input_output_schemas": separate}
    mapping, definitions = get_definitions(fields=fields, **options)
    schemas = [get_schema_from_model_field(field=field, field_mapping=mapping, **options) for field in fields]
    shown = *shown, schemas, {name: definitions[name] for name in sorted(definitions)}
""",
    "paths": """
from fastapi._compat import get_definitions, get_flat_models_from_fields, get_model_name_map
from fastapi.openapi import utils
fields = utils.get_fields_from_routes(app.routes)
names = get_model_name_map(get_flat_models_from_fields(fields, known_models=set()))
mapping, _ = get_definitions(fields=fields, model_name_map=names)
ids, shown = set(), []
options = {"model_name_map": names, "field_mapping": mapping}
for each in (route, other):
    shown.append(utils.get_openapi_path(route=each, operation_ids=ids, **options))
    shown.append(utils.get_openapi_operation_request_body(body_field=each.body_field, **options))
    shown.append(utils.get_openapi_operation_metadata(route=each, method="GET", operation_ids=set()))
    shown.append(utils.generate_operation_summary(route=each, method="GET"))
    shown.append(utils.generate_operation_id(route=each, method="GET"))
shown.append([sorted(ids), utils.validation_error_definition, utils.validation_error_response_definition])
shown.append([sorted(utils.METHODS_WITH_BODY), utils.REF_PREFIX, utils.status_code_ranges])
""",
    "models": """
from fastapi._compat import v2
field = route.body_field
shown = [
    sorted(model.__name__ for model in found)
    for found in (
        v2.get_flat_models_from_field(field, known_models=set()),
        v2.get_flat_models_from_annotation(dict[str, Inner], known_models=set()),
        v2.get_flat_models_from_annotation(Inner, known_models=set()),
        v2.get_flat_models_from_model(Item),
    )
]
shown.append([v2.normalize_name("a[b, c]"), v2.REF_TEMPLATE, v2._has_computed_fields(field)])
shown.append(v2.GenerateJsonSchema(ref_template="#/{model}").generate({"type": "bytes"}))
""",
    "dependants": """
from fastapi.dependencies import utils
from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection
dependant = Dependant(path="/")
fields = utils.get_flat_params(route.dependant)
for field in fields:
    utils.add_param_to_fields(field=field, dependant=dependant)
shown = [[field.name for field in dependant.path_params], [field.name for field in dependant.query_params]]
for name, kind in (("c", HTTPConnection), ("r", fastapi.Request), ("x", int)):
    shown.append(utils.add_non_field_param_to_dependency(param_name=name, type_annotation=kind, dependant=dependant))
shown.append([dependant.request_param_name, dependant.http_connection_param_name])
shown.append(utils.get_validation_alias(fields[0]))
shown.append(utils.request_params_to_args(dependant.path_params, {"item_id": "3"}))
shown.append(utils.request_params_to_args(fields=dependant.path_params, received_params={"item_id": "x"}))
""",
    "results": """
import asyncio
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import run_endpoint_function, serialize_response
async def answer(**options):
    result = await serialize_response(field=route.response_field, **options)
    return result.decode() if isinstance(result, bytes) else result
async def collect():
    found = [await serialize_response(response_content={"kind": Kind.a})]
    for is_coroutine in (True, False):
        for options in ({}, {"exclude": {"size"}}, {"dump_json": True}, {"exclude_defaults": True}):
            found.append(await answer(response_content={"name": "m"}, is_coroutine=is_coroutine, **options))
    try:
        await answer(response_content={"name": 1}, endpoint_ctx={"function": "f"})
    except ResponseValidationError as exc:
        found.append([exc.errors(), exc.body, str(exc)])
    async def endpoint(a):
        return a
    for call in (endpoint, lambda a: a):
        dependant = fastapi.dependencies.models.Dependant(call=call)
        found.append(await run_endpoint_function(dependant=dependant, values={"a": 1}, is_coroutine=call is endpoint))
    return found
shown = asyncio.run(collect())
""",
    "patches": """
import fastapi.applications
from fastapi.testclient import TestClient
fastapi.applications.get_openapi = lambda **options: {"title": options["title"]}
fastapi.applications.get_swagger_ui_html = lambda **options: fastapi.responses.HTMLResponse(options["openapi_url"])
fastapi.openapi.utils.METHODS_WITH_BODY
client = TestClient(app)
shown = [client.get("/openapi.json").json(), client.get("/docs").text]
""",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_private_functions(program: str) -> None:
    code = f"{PROLOGUE}{PROGRAMS[program]}\nprint(json.dumps(shown, default=str))"
    assert json.loads(run("-c", code, "--alias")) == json.loads(run("-c", code))
