"""OpenAPI documents from docstrings: for plain routes, which say nothing of their parameters.

What a path operation declares is described by `turboapi.openapi` instead. Needs PyYAML.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from turboapi._routes import BaseRoute, Host, Mount, Route
from turboapi.requests import Request
from turboapi.responses import Response

try:
    yaml: Any = importlib.import_module("yaml")
except ModuleNotFoundError:
    yaml = None

__all__ = ["BaseSchemaGenerator", "EndpointInfo", "OpenAPIResponse", "SchemaGenerator"]

VERBS = ("get", "post", "put", "patch", "delete", "options", "query")

_CONVERTOR = re.compile(r":\w+}")  # what "{id:int}" has more than "{id}", and the brace


class OpenAPIResponse(Response):
    """A document, a dictionary, as YAML."""

    media_type = "application/vnd.oai.openapi"

    def render(self, content: Any) -> bytes:
        assert yaml is not None, "`pyyaml` must be installed to use OpenAPIResponse."
        assert isinstance(content, dict), "The schema passed to OpenAPIResponse should be a dictionary."
        text: str = yaml.dump(content, default_flow_style=False)
        return text.encode("utf-8")


class EndpointInfo(NamedTuple):
    """An operation: its path without convertors, its verb in lower case, and the function with the docstring."""

    path: str
    http_method: str
    func: Callable[..., Any]


def _operations(route: Route) -> Iterator[tuple[str, Callable[..., Any]]]:
    endpoint = route.endpoint
    if inspect.isfunction(endpoint) or inspect.ismethod(endpoint):
        yield from ((method.lower(), endpoint) for method in route.methods or ["GET"] if method != "HEAD")
    else:
        yield from ((verb, getattr(endpoint, verb)) for verb in VERBS if hasattr(endpoint, verb))


class BaseSchemaGenerator:
    """Finds the operations of routes; a subclass makes the document of them."""

    def get_schema(self, routes: list[BaseRoute]) -> dict[str, Any]:
        """Return the document for `routes`."""
        raise NotImplementedError

    def get_endpoints(self, routes: list[BaseRoute]) -> list[EndpointInfo]:
        """Return the operations of `routes` and of what is mounted below them."""
        found: list[EndpointInfo] = []
        for route in routes:
            if isinstance(route, Mount | Host):
                prefix = self._remove_converter(route.path) if isinstance(route, Mount) else ""
                inner = self.get_endpoints(route.routes or [])
                found += [info._replace(path=prefix + info.path) for info in inner]
            elif isinstance(route, Route) and route.include_in_schema:
                path = self._remove_converter(route.path)
                found += [EndpointInfo(path, verb, func) for verb, func in _operations(route)]
        return found

    def _remove_converter(self, path: str) -> str:
        return _CONVERTOR.sub("}", path)

    def parse_docstring(self, func_or_method: Callable[..., Any]) -> dict[str, Any]:
        """Return the YAML mapping in a docstring, which stands after the last "---"; empty if there is none."""
        docstring = func_or_method.__doc__
        if not docstring:
            return {}
        assert yaml is not None, "`pyyaml` must be installed to use parse_docstring."
        parsed = yaml.safe_load(docstring.split("---")[-1])
        return parsed if isinstance(parsed, dict) else {}

    def OpenAPIResponse(self, request: Request[Any]) -> Response:
        """Return the document for the routes of the application that `request` came to."""
        return OpenAPIResponse(self.get_schema(routes=request.app.routes))


class SchemaGenerator(BaseSchemaGenerator):
    """Adds the paths to a document that has everything else."""

    def __init__(self, base_schema: dict[str, Any]) -> None:
        self.base_schema = base_schema

    def get_schema(self, routes: list[BaseRoute]) -> dict[str, Any]:
        schema = dict(self.base_schema)
        paths = schema.setdefault("paths", {})
        has_query = self._openapi_version() >= (3, 2)
        for path, verb, func in self.get_endpoints(routes):
            if (verb != "query" or has_query) and (operation := self.parse_docstring(func)):
                paths.setdefault(path, {})[verb] = operation
        return schema

    def _openapi_version(self) -> tuple[int, int]:
        found = re.match(r"(\d+)\.(\d+)", str(self.base_schema.get("openapi", "")))
        return (int(found[1]), int(found[2])) if found else (0, 0)
