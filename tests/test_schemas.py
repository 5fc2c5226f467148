"""The documents made of the same routes are equal to the oracle's."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import starlette.routing
import starlette.schemas
import yaml

import turboapi.schemas
from turboapi import _routes
from turboapi.requests import Request
from turboapi.schemas import BaseSchemaGenerator, EndpointInfo, OpenAPIResponse, SchemaGenerator
from turboapi.testclient import TestClient

LIBRARIES = [
    SimpleNamespace(schemas=turboapi.schemas, routing=_routes),
    SimpleNamespace(schemas=starlette.schemas, routing=starlette.routing),
]
BASES: list[dict[str, Any]] = [
    {"openapi": "3.0.0", "info": {"title": "API"}},
    {"openapi": "3.2.0", "paths": {"/given": {"get": {}}}},
    {"openapi": "3.10.1"},
    {"openapi": "4.0"},
    {"openapi": 3.2},
    {"openapi": "3"},
    {"openapi": "x3.2"},
    {},
]


def documented(request: Any) -> None:
    """
    responses:
      200:
        description: A list.
    """


def described(request: Any) -> None:
    """
    Text: not part of it
    ---
    summary: after the text
    ---
    summary: after the last line
    """


def only_text(request: Any) -> None:
    """Just a text."""


def a_list(request: Any) -> None:
    """
    - one
    - two
    """


def undocumented(request: Any) -> None: ...


class Endpoint:
    """
    summary: of the class, not of a method
    """

    def get(self, request: Any) -> None:
        """
        summary: get
        """

    def query(self, request: Any) -> None:
        """
        summary: query
        """

    def delete(self, request: Any) -> None: ...

    def trace(self, request: Any) -> None:
        """
        summary: trace
        """

    documented = documented


INSTANCE = Endpoint()


def routes(routing: Any) -> list[Any]:
    below = [
        routing.Route("/", documented),
        routing.Route("/{id:int}/x", described, methods=["POST"]),
        routing.Mount("/deep", routes=[routing.Route("/end", documented)]),
    ]
    return [
        routing.WebSocketRoute("/ws", documented),
        routing.Route("/users", documented),
        routing.Route("/users", described, methods=["PUT"]),
        routing.Route("/users/{id:int}/{rest:path}", described),
        routing.Route("/hidden", documented, include_in_schema=False),
        routing.Route("/text", only_text),
        routing.Route("/list", a_list),
        routing.Route("/nothing", undocumented),
        routing.Route("/class", Endpoint),
        routing.Route("/method", INSTANCE.documented),
        routing.Route("/query", documented, methods=["QUERY"]),
        routing.Route("/any", documented, methods=[]),
        routing.Mount("/m/{tenant:str}", routes=below),
        routing.Mount("/asgi", app=undocumented),
        routing.Mount("/none", app=SimpleNamespace(routes=None)),
        routing.Host("{sub}.example.org", app=routing.Router(below)),
    ]


def test_endpoints_are_found_alike() -> None:
    ours, theirs = (
        library.schemas.BaseSchemaGenerator().get_endpoints(routes(library.routing)) for library in LIBRARIES
    )
    assert ours == theirs
    assert EndpointInfo("/users/{id}/{rest}", "get", described) in ours
    assert EndpointInfo("/m/{tenant}/{id}/x", "post", described) in ours
    assert EndpointInfo("/deep/end", "get", documented) in ours


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_documents_are_made_alike(base: dict[str, Any]) -> None:
    ours, theirs = (
        library.schemas.SchemaGenerator(copy.deepcopy(base)).get_schema(routes(library.routing))
        for library in LIBRARIES
    )
    assert ours == theirs
    assert list(ours["paths"]) == list(theirs["paths"])


def test_what_a_document_says() -> None:
    schema = SchemaGenerator({"openapi": "3.0.0"}).get_schema(routes(_routes))
    assert schema["openapi"] == "3.0.0"
    assert schema["paths"]["/users"] == {
        "get": {"responses": {200: {"description": "A list."}}},
        "put": {"summary": "after the last line"},
    }
    assert schema["paths"]["/class"] == {"get": {"summary": "get"}}
    assert not {"/hidden", "/text", "/list", "/nothing", "/ws", "/query"} & schema["paths"].keys()


@pytest.mark.parametrize(("version", "has_query"), [("3.1.9", False), ("3.2.0", True), ("3.10.0", True), ("4.0", True)])
def test_query_operations_need_openapi_3_2(version: str, has_query: bool) -> None:
    paths = SchemaGenerator({"openapi": version}).get_schema(routes(_routes))["paths"]
    assert ("query" in paths["/class"], "/query" in paths) == (has_query, has_query)


def test_the_base_document_stays_as_it_is() -> None:
    base: dict[str, Any] = {"openapi": "3.0.0"}
    generator = SchemaGenerator(base)
    assert generator.get_schema(routes(_routes)) == generator.get_schema(routes(_routes))
    assert base == {"openapi": "3.0.0"}


def test_the_response_is_yaml() -> None:
    generator = SchemaGenerator({"openapi": "3.0.0"})
    router = _routes.Router(routes(_routes))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await generator.OpenAPIResponse(Request({**scope, "app": router}))(scope, receive, send)

    response = TestClient(app).get("/schema")
    assert response.headers["content-type"] == "application/vnd.oai.openapi"
    assert yaml.safe_load(response.text) == generator.get_schema(router.routes)
    assert response.content == starlette.schemas.OpenAPIResponse(generator.get_schema(router.routes)).body


def test_only_a_dictionary_is_a_document() -> None:
    with pytest.raises(AssertionError, match="The schema passed to OpenAPIResponse should be a dictionary."):
        OpenAPIResponse(["no"])


def test_without_pyyaml_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turboapi.schemas, "yaml", None)
    with pytest.raises(AssertionError, match="`pyyaml` must be installed to use OpenAPIResponse."):
        OpenAPIResponse({})
    with pytest.raises(AssertionError, match="`pyyaml` must be installed to use parse_docstring."):
        BaseSchemaGenerator().parse_docstring(documented)
    assert BaseSchemaGenerator().parse_docstring(undocumented) == {}


def test_the_base_generator_makes_no_document() -> None:
    with pytest.raises(NotImplementedError):
        BaseSchemaGenerator().get_schema([])
