"""The writer has no names in Python: its bytes are seen through a connection."""

import email.utils
import http
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.harness import Wire, request, respond

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).map(lambda name: f"x-{name}".encode())
VALUE = st.binary(max_size=40).map(lambda value: re.sub(rb"[\x00-\x1f\x7f]", b"", value).strip())


def answer_bytes(status, headers, body, **options):
    async def app(scope, receive, send):
        await respond(send, body, status, headers)

    site = Wire(app, **options)
    try:
        return site.connect().feed(request()).output
    finally:
        site.close()


@pytest.mark.parametrize("status", [*http.HTTPStatus, 218, 299, 450, 599, 600, 999])
def test_status_line(status):
    phrase = status.phrase if isinstance(status, http.HTTPStatus) else ""
    line = answer_bytes(int(status), [], b"").partition(b"\r\n")[0]
    assert line == f"HTTP/1.1 {int(status)} {phrase}".encode()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TOKEN, VALUE), max_size=8), st.binary(max_size=300))
def test_headers_and_body_arrive_as_they_were_given(headers, body):
    data = answer_bytes(200, headers, body, date_header=False, server_header=False)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in [(b"content-length", b"%d" % len(body)), *headers])
    assert data == b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n" + body


def test_date_is_an_imf_fixdate():
    date = re.search(rb"\r\ndate: ([^\r]+)\r\n", answer_bytes(200, [], b"")).group(1).decode()
    moment = email.utils.parsedate_to_datetime(date)
    assert date == email.utils.format_datetime(moment.astimezone(moment.tzinfo), usegmt=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=70_000), max_size=5))
def test_chunks(parts):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    site = Wire(app)
    _, _, body = site.connect().feed(request()).output.partition(b"\r\n\r\n")
    site.close()
    if parts:
        assert body == b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
    else:
        assert body == b""
