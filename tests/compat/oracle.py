"""The oracle: an application and its requests, answered by FastAPI and by both entrances of TurboAPI, must not differ."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from hypothesis import HealthCheck, settings

from tests.compat.client import ANSWERED, Answer, Request, ask_asgi, ask_native
from tests.compat.framework import FASTAPI, TURBOAPI, Build, Framework

_loop = asyncio.new_event_loop()
logging.getLogger("turboapi.error").addHandler(logging.NullHandler())  # 500s are wanted here

THOROUGH = 8
_HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def examples(count: int) -> settings:
    """Return settings that draw `count` examples, several times as many in the profile "thorough"."""
    times = THOROUGH if settings.get_current_profile_name() == "thorough" else 1
    return settings(max_examples=count * times, deadline=None, suppress_health_check=_HEALTHY)


# FastAPI trips over an unset variable of its own where it means to say that an exception was swallowed.
_SWALLOWED = ("UnboundLocalError", "FastAPIError")
_SWALLOWED_NAME = re.compile(rf"\b{_SWALLOWED[0]}\b")
COMPARED_HEADERS = (b"content-type", b"location", b"www-authenticate", b"set-cookie", b"cache-control", b"content-length", b"etag",
                    b"last-modified", b"accept-ranges", b"content-range", b"content-disposition", b"vary", b"content-encoding")  # fmt: skip


def _number(text: str) -> tuple[str, str]:
    return ("number", text)  # 1, 1.0 and True are equal in Python, and not to a client


def _float(text: str) -> tuple[str, str]:
    return _number(repr(float(text)))


def _pairs(items: list[tuple[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
    return ("object", items)  # the order of keys counts


def content(answer: Answer) -> Any:
    """Return the body as the client sees it: a JSON value, or else text or bytes."""
    media_type = b"".join(answer.all(b"content-type")).partition(b";")[0]
    try:
        if media_type == b"application/json" and answer.body:
            return json.loads(answer.body, parse_float=_float, parse_int=_number, object_pairs_hook=_pairs)
        return answer.body.decode()
    except ValueError:
        return answer.body


def view(answer: Answer) -> dict[str, Any]:
    """Return what has to be equal of two answers."""
    seen: dict[str, Any] = {"status": answer.status, "body": content(answer)}
    for name in COMPARED_HEADERS:
        seen[name.decode()] = answer.all(name)
    if answer.all(b"content-length") == [b"%d" % len(answer.body)]:
        seen["content-length"] = "right"  # the spelling of numbers in JSON may differ
    seen["x-*"] = [pair for pair in answer.headers if pair[0].startswith((b"x-", b"access-control-"))]
    seen["allow"] = {method.strip() for value in answer.all(b"allow") for method in value.split(b",")}
    return seen


class Subject:
    """An application of one framework, and the log into which it writes what it does."""

    def __init__(self, framework: Framework, program: "Build | str") -> None:
        self.log: list[Any] = []
        self.app: Any = None
        self.refused = ""
        try:
            self.app = framework.run(program, self.log) if isinstance(program, str) else program(framework, self.log)
        except Exception as exc:
            self.refused = f"{type(exc).__name__}: {exc}".replace(TURBOAPI.name, FASTAPI.name)
            self.exception = exc

    @cached_property
    def site(self) -> Any:
        """The application as TurboAPI's server serves it: frozen once."""
        return self.app.freeze()

    def ask(self, ask: Callable[..., Any], request: Request, root_path: str) -> tuple[dict[str, Any], str | None]:
        self.log.clear()
        asked = self.site if ask is ask_native else self.app
        answer = _loop.run_until_complete(ask(asked, request, root_path, self.log))
        log = [_SWALLOWED_NAME.sub(_SWALLOWED[1], entry) if isinstance(entry, str) else entry for entry in self.log]
        return {**view(answer), "log": log}, answer.error


# What a server makes of an exception that reaches it before the response has begun.
_SERVER_ERROR = {"status": 500, "body": "Internal Server Error", "content-type": [b"text/plain; charset=utf-8"]}


def _as_native(expected: dict[str, Any], error: str | None, got: dict[str, Any]) -> dict[str, Any]:
    """Return what our server may make of an answer: it knows the length of what an application sends in one part."""
    length = expected["content-length"] or got["content-length"]
    log = [entry for entry in expected["log"] if entry != ANSWERED]
    seen = {**expected, "log": log, "content-length": length}
    return seen | _SERVER_ERROR if error and not expected["status"] else seen


def _is_told(expected: dict[str, Any], error: str | None, got: dict[str, Any], our_error: str | None) -> bool:
    """Whether FastAPI fails to write its list of mistakes (NaN, lone surrogates), which we send: see compatibility.md."""
    return (
        (expected["status"], got["status"], our_error) == (500, 422, None)
        and error in ("ValueError", "UnicodeEncodeError")
        and got["content-type"] == [b"application/json"]
        and isinstance(got["body"], tuple)
        and expected["log"] == got["log"]
    )


def differences(program: "Build | str", requests: Sequence[Request], root_path: str = "") -> list[str]:
    """Return what differs, one text per request and entrance; nothing if all is the same."""
    reference, ours = Subject(FASTAPI, program), Subject(TURBOAPI, program)
    if reference.refused or ours.refused:
        if reference.refused == ours.refused:
            return []
        return [
            f"definition: FastAPI {reference.refused or 'accepts'}\n            TurboAPI {ours.refused or 'accepts'}"
        ]
    return compare(reference, ours, requests, root_path)


def compare(reference: Subject, ours: Subject, requests: Sequence[Request], root_path: str = "") -> list[str]:
    """The same for two applications that are there."""
    found = []
    for request in requests:
        expected, error = reference.ask(ask_asgi, request, root_path)
        for entrance, ask in (("ASGI", ask_asgi), ("native", ask_native)):
            try:
                got, our_error = ours.ask(ask, request, root_path)
            except Exception as exc:
                if entrance == "native" and type(exc).__name__ == error:
                    continue  # a route that cannot be frozen stops our server before the first request
                found.append(f"{request} [{entrance}] {type(exc).__name__}: {exc}")
                continue
            if entrance == "native":
                expected = _as_native(expected, error, got)
            if _is_told(expected, error, got, our_error):
                continue
            lines = [f"  {key}: {expected[key]!r} != {got[key]!r}" for key in expected if expected[key] != got[key]]
            if entrance == "ASGI" and our_error != error and (error, our_error) != _SWALLOWED:
                lines.append(f"  raised: {error} != {our_error}")
            if lines:
                found.append("\n".join([f"{request} [{entrance}] FastAPI != TurboAPI", *lines]))
    return found


def assert_same(program: "Build | str", *requests: Request, root_path: str = "") -> None:
    """Fail unless FastAPI and both entrances of TurboAPI answer all requests alike, with the same side effects."""
    found = differences(program, requests or [Request()], root_path)
    source = program if isinstance(program, str) else program.__name__
    assert not found, "\n".join([source, *found])
