"""`Hub` and `HttpProtocol` as Python sees them, and on real sockets; tests/wire is about the rules of HTTP."""

import asyncio
import contextlib
import socket

import pytest
import uvloop

from tests.wire.harness import Site, Wire, echo, parse_answers, request, respond
from turboapi._speedups.exchange import Settings
from turboapi._speedups.protocol import HttpProtocol, Hub
from turboapi._speedups.tasks import Runner


def test_hub_shows_what_it_was_given():
    loop, settings, state = uvloop.new_event_loop(), Settings(), {"a": 1}
    hub = Hub(loop, Site(asgi=echo), settings, state)
    assert (hub.loop, hub.settings, hub.state) == (loop, settings, state)
    assert isinstance(hub.runner, Runner)
    assert (hub.connections, hub.requests, hub.total_requests, hub.open) == (0, 0, 0, set())
    hub.stop()
    hub.drain()
    hub.close_idle()
    hub.abort()
    loop.close()


@pytest.mark.parametrize("arguments", [(), (None,), (None, None, None), (None, echo, Settings())])
def test_hub_needs_a_site_and_settings(arguments):
    with pytest.raises((TypeError, AttributeError)):
        Hub(*arguments)


def test_protocol_belongs_to_a_hub():
    with pytest.raises(TypeError):
        HttpProtocol()
    site = Wire(echo)
    peer = site.connect()
    assert isinstance(peer.protocol, HttpProtocol)
    assert site.hub.open == {peer.protocol}
    assert (peer.protocol.client, peer.protocol.server, peer.protocol.scheme) == (
        ("1.2.3.4", 5),
        ("6.7.8.9", 80),
        "http",
    )
    assert peer.protocol.eof_received() is None
    site.close()
    assert site.hub.open == set()


def talk(app, script, **settings):
    """Runs `script(reader, writer, hub)` as a client of `app` on a real socket."""

    async def main():
        loop = asyncio.get_running_loop()
        hub = Hub(loop, Site(asgi=app), Settings(**settings))
        hub.start()
        server = await loop.create_server(hub.protocol, "127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(20):
                result = await script(reader, writer, hub)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            async with asyncio.timeout(20):
                while hub.connections or hub.requests:
                    await asyncio.sleep(0.001)
            return result
        finally:
            hub.stop()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def test_pipelined_requests_on_a_socket():
    async def script(reader, writer, hub):
        writer.write(request("POST /a HTTP/1.1", "Content-Length: 3", body=b"abc") * 100)
        writer.write(request("GET /end HTTP/1.1", "Connection: close"))
        return await reader.read(-1)

    answers = parse_answers(talk(echo, script))
    assert [answer.body for answer in answers] == [b"POST /a\nabc"] * 100 + [b"GET /end\n"]


def test_large_body_both_ways_on_a_socket():
    body = bytes(range(256)) * 16384

    async def script(reader, writer, hub):
        writer.write(request("POST / HTTP/1.1", f"Content-Length: {len(body)}", "Connection: close", body=body))
        await asyncio.sleep(0.05)
        return await reader.read(-1)

    [answer] = parse_answers(talk(echo, script))
    assert answer.body == b"POST /\n" + body


def test_refusal_reaches_a_client_that_goes_on_sending():
    async def script(reader, writer, hub):
        writer.write(request("POST / HTTP/1.1", "Content-Length: 5000000"))
        for _ in range(50):
            writer.write(b"x" * 100_000)
            await writer.drain()
        return await reader.read(-1)

    [answer] = parse_answers(talk(echo, script, limit_body=1000))
    assert answer.status == 413


def test_slow_reader_on_a_socket_holds_the_application_up():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    async def script(reader, writer, hub):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        writer.write(request("GET / HTTP/1.1", "Connection: close"))
        await asyncio.sleep(0.1)
        held_up = len(sent) < 200
        return held_up, await reader.read(-1)

    held_up, data = talk(app, script)
    assert held_up
    assert len(parse_answers(data)[0].body) == 20_000_000


@pytest.mark.parametrize("message", [b"", request()[:-3], request(), request("POST / HTTP/1.1", "Content-Length: 9")])
def test_reset_on_a_socket(message):
    seen = []

    async def app(scope, receive, send):
        seen.append("begun")
        while (await receive())["type"] != "http.disconnect":
            pass
        seen.append("disconnect")
        await respond(send)

    async def script(reader, writer, hub):
        writer.write(message)
        await asyncio.sleep(0.02)
        writer.transport.abort()

    talk(app, script)
    assert seen in ([], ["begun", "disconnect"])
    assert bool(seen) is message.endswith(b"\r\n\r\n")


def test_the_hub_tells_of_every_connection_from_the_limit_on():
    site = Wire(echo)
    calls = []
    site.hub.call_when_full(2, lambda: calls.append(site.hub.connections))
    first, *_ = [site.connect() for _ in range(3)]
    first.leave()
    site.connect()
    assert calls == [2, 3, 3]
    site.hub.call_when_full(0, lambda: calls.append("none"))
    site.connect()
    assert calls == [2, 3, 3]
    site.close()
