"""Request bodies: what is declared, what is sent, and how it is labelled."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compat.bodies import body_handlers
from tests.compat.client import Request, scope_of
from tests.compat.framework import FASTAPI, TURBOAPI
from tests.compat.oracle import assert_same, examples


@examples(100)
@given(data=st.data(), drawn=body_handlers())
def test_bodies(data, drawn):
    program, requests = drawn
    assert_same(program, *data.draw(st.lists(requests, min_size=1, max_size=6)))


@pytest.mark.parametrize("error", [None, OSError, RuntimeError])
def test_a_body_that_breaks_off(error):
    """The client leaves, or the server raises."""

    async def ask(app):
        messages, sent = [{"type": "http.request", "body": b"{", "more_body": True}], []

        async def receive():
            if not messages and error is not None:
                raise error
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope_of(Request("POST", headers=((b"content-type", b"application/json"),))), receive, send)
        return sent

    answers = []
    for api in (FASTAPI, TURBOAPI):
        app = api.App()
        app.post("/")(reads_json)
        answers.append(asyncio.run(ask(app)))
    assert answers[0] == answers[1]
    assert answers[0][0]["status"] == 400


async def reads_json(item: dict[str, int]):
    return item
