import inspect
from typing import Any

import fastapi.exceptions
import pytest
import starlette.exceptions
import starlette.formparsers
import starlette.requests

from turboapi import exceptions

ERRORS = [{"type": "missing", "loc": ("query", "q"), "msg": "Field required", "input": None}]
PLACE = {"function": "read_item", "file": "app.py", "line": 7}
CONTEXTS: list[dict[str, Any] | None] = [
    None,
    {},
    {"path": "GET /items"},
    PLACE,
    {**PLACE, "path": "GET /items"},
    {**PLACE, "line": 0, "path": "GET /items"},
    {"function": "read_item"},
]
PAIRS = {
    exceptions.StarletteHTTPException: starlette.exceptions.HTTPException,
    exceptions.StarletteWebSocketException: starlette.exceptions.WebSocketException,
    exceptions.StarletteDeprecationWarning: starlette.exceptions.StarletteDeprecationWarning,
    exceptions.MultiPartException: starlette.formparsers.MultiPartException,
    exceptions.ClientDisconnect: starlette.requests.ClientDisconnect,
    **{
        getattr(exceptions, name): value
        for name, value in vars(fastapi.exceptions).items()
        if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("Starlette")
    },
}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("ours", "reference"), PAIRS.items(), ids=lambda cls: cls.__name__)
def test_ancestry_and_signature_are_the_references(ours: Any, reference: Any) -> None:
    assert [cls.__name__ for cls in ours.__mro__] == [cls.__name__ for cls in reference.__mro__]
    assert parameters(ours.__init__) == parameters(reference.__init__)


@pytest.mark.parametrize("name", ["EndpointContext", "RequestErrorModel", "WebSocketErrorModel"])
def test_every_other_name_of_the_reference_is_there(name: str) -> None:
    ours, reference = getattr(exceptions, name), getattr(fastapi.exceptions, name)
    assert ours.__name__ == reference.__name__
    assert ours.__annotations__ == reference.__annotations__


@pytest.mark.parametrize("ours", [exceptions.StarletteHTTPException, exceptions.HTTPException])
@pytest.mark.parametrize(
    "arguments",
    [
        {"status_code": 404},
        {"status_code": 499},
        {"status_code": 404, "detail": ""},
        {"status_code": 422, "detail": "No", "headers": {"x-a": "1"}},
        {"status_code": 400, "detail": ["any", {"json": None}]},
    ],
)
def test_http_exception_reads_like_the_reference(ours: type, arguments: dict[str, Any]) -> None:
    error, expected = ours(**arguments), PAIRS[ours](**arguments)
    assert (str(error), repr(error), vars(error)) == (str(expected), repr(expected), vars(expected))


@pytest.mark.parametrize("ours", [exceptions.StarletteWebSocketException, exceptions.WebSocketException])
@pytest.mark.parametrize("arguments", [{"code": 1008}, {"code": 1011, "reason": "Sorry"}])
def test_websocket_exception_reads_like_the_reference(ours: type, arguments: dict[str, Any]) -> None:
    error, expected = ours(**arguments), PAIRS[ours](**arguments)
    assert (str(error), repr(error), vars(error)) == (str(expected), repr(expected), vars(expected))


def test_repr_names_the_subclass() -> None:
    class Teapot(exceptions.HTTPException):
        pass

    assert repr(Teapot(418)) == 'Teapot(status_code=418, detail="I\'m a Teapot")'


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("errors", [[], ERRORS, ERRORS * 2])
@pytest.mark.parametrize(
    "name", ["RequestValidationError", "ResponseValidationError", "WebSocketRequestValidationError"]
)
def test_validation_error_reads_like_the_reference(name: str, errors: list[Any], context: dict[str, Any]) -> None:
    error = getattr(exceptions, name)(errors, endpoint_ctx=context)
    expected = getattr(fastapi.exceptions, name)(errors, endpoint_ctx=context)
    assert (str(error), repr(error), vars(error)) == (str(expected), repr(expected), vars(expected))
    assert error.errors() is errors


def test_validation_error_keeps_the_body() -> None:
    assert exceptions.RequestValidationError([], body={"a": 1}).body == {"a": 1}
    assert exceptions.ResponseValidationError([], body="result").body == "result"


def test_form_error_has_its_message() -> None:
    error = exceptions.MultiPartException("Too many fields.")
    assert (error.message, str(error)) == ("Too many fields.", "Too many fields.")


def test_tree_in_the_docstring_shows_every_class_below_its_base() -> None:
    lines = (exceptions.__doc__ or "").splitlines()
    depth = {line.strip("│├└─ ").split()[0]: len(line) - len(line.lstrip("│├└─ ")) for line in lines if line.strip()}
    for ours in PAIRS:
        name = next(name for name in exceptions.__all__ if getattr(exceptions, name) is ours)
        base = (
            next(other for other, value in vars(exceptions).items() if value is ours.__base__)
            if (ours.__base__ in vars(exceptions).values())
            else ours.__base__.__name__
        )
        assert depth[name] == depth[base] + 4
