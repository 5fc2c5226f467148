"""Runs one scheme under both libraries and demands the same outcome."""

from types import SimpleNamespace
from typing import Any, Protocol

import fastapi.exceptions
import fastapi.security
import pytest
import starlette.exceptions
import starlette.requests
from pydantic import BaseModel

import turboapi.exceptions
import turboapi.requests
import turboapi.security

OURS = SimpleNamespace(
    schemes=vars(turboapi.security.http) | vars(turboapi.security),
    connection=turboapi.requests.HTTPConnection,
    base_error=turboapi.exceptions.StarletteHTTPException,
    error=turboapi.exceptions.HTTPException,
)
THEIRS = SimpleNamespace(
    schemes=vars(fastapi.security.http) | vars(fastapi.security),
    connection=starlette.requests.HTTPConnection,
    base_error=starlette.exceptions.HTTPException,
    error=fastapi.exceptions.HTTPException,
)


class Compare(Protocol):
    def __call__(
        self, scheme: str, options: dict[str, Any], *, headers: dict[str, str] = ..., query: str = ..., kind: str = ...
    ) -> Any: ...


def run(library: SimpleNamespace, scheme: str, options: dict[str, Any], scope: dict[str, Any]) -> Any:
    """Return what the scheme yields, or what its exception would tell the client."""
    call = library.schemes[scheme](**options)(library.connection(scope))
    try:
        call.send(None)
    except StopIteration as stop:
        result = stop.value
        return (type(result).__name__, result.model_dump()) if isinstance(result, BaseModel) else result
    except library.base_error as error:
        return isinstance(error, library.error), error.status_code, error.detail, error.headers
    raise AssertionError("a scheme has nothing to wait for")


def compare_outcomes(
    scheme: str,
    options: dict[str, Any],
    *,
    headers: dict[str, str] | None = None,
    query: str = "",
    kind: str = "http",
) -> Any:
    scope = {
        "type": kind,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "query_string": query.encode(),
    }
    ours = run(OURS, scheme, options, dict(scope))
    assert ours == run(THEIRS, scheme, options, dict(scope))
    return ours


@pytest.fixture(scope="session")
def compare() -> Compare:
    return compare_outcomes
