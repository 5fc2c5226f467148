import asyncio
from typing import Any

import pytest

from turboapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from turboapi.types import Receive, Scope, Send


async def nothing(*_: Any) -> Any:
    return None


@pytest.mark.parametrize("options", [{}, {"context_name": "other"}])
@pytest.mark.parametrize("fails", [False, True])
def test_clean_up_waits_for_the_end_of_the_application(options: dict[str, str], fails: bool) -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stack = scope[options.get("context_name", "fastapi_middleware_astack")]
        stack.callback(events.append, "cleaned up")
        events.append("answered")
        if fails:
            raise KeyError

    call = AsyncExitStackMiddleware(app, **options)({}, nothing, nothing)
    if fails:
        with pytest.raises(KeyError):
            asyncio.run(call)
    else:
        asyncio.run(call)
    assert events == ["answered", "cleaned up"]
