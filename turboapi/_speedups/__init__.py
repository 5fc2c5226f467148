"""The compiled hot path: the only door to it.

One request goes down this list::

    protocol      bytes -> HTTP messages: parsing, keep-alive, pipelining, limits, timeouts, back-pressure
    bodies        large bodies past the parser, which `arrivals` wakes the application for
    exchange      one request and its response on our server   (asgi: the same between ASGI's receive and send)
    layers        the middleware around the routes
    endpoint      Site finds the Endpoint by its router; Endpoint conducts:
    router          method and path -> route and path values
    arguments       texts of path, query, headers, cookies -> values   (query, convert, headers)
    dependencies    the steps that call what the handler depends on
    dispatch        plain functions: in a worker thread, or at once
    exits           the exit code of dependencies, behind the answer
                  HANDLER
    serialize       result -> JSON
    writer        status, headers, body -> bytes
    outlet        bytes -> socket
    access        requests -> lines of the access log
    tasks         runs all of that; a Task only where something has to be waited for

A WebSocket leaves it at the protocol: there `frames` reads messages, which `websocket` passes to and from
an application that `stepping` resumes.

Nothing here knows decorators, annotations or OpenAPI: `turboapi._plan.endpoint` freezes a route into these objects.
"""

try:
    from turboapi._speedups.access import AccessLog, json_lines, printable, text_lines
    from turboapi._speedups.arguments import Argument, Call
    from turboapi._speedups.asgi import AsgiExchange, answer
    from turboapi._speedups.dependencies import Visit
    from turboapi._speedups.dispatch import Dispatch
    from turboapi._speedups.endpoint import (
        Endpoint,
        Hooks,
        Site,
        answer_500,
        decode_json,
        log_and_answer_500,
        reply,
        routes_epoch,
    )
    from turboapi._speedups.exchange import HttpExchange, Settings, file_sender
    from turboapi._speedups.frames import BrokenFrame, FrameReader, frame
    from turboapi._speedups.layers import AS_ASGI, DispatchLayer, InnerExchange, Inside, Layer, Layers
    from turboapi._speedups.protocol import HttpProtocol, Hub
    from turboapi._speedups.request import BodyHook, Exchange, HeaderHook, ResponseHook, ScopeHook
    from turboapi._speedups.router import Entry, Match, Router
    from turboapi._speedups.stepping import innermost
    from turboapi._speedups.websocket import Channel, as_message, channel_of
except ModuleNotFoundError as exc:
    if not (exc.name or "").startswith("turboapi._speedups."):
        raise
    raise ImportError(
        f"TurboAPI's compiled extension {exc.name} is missing: this is a checkout in which it has not been built. "
        "Run `python3 -m pip install -e .` there."
    ) from exc

__all__ = [
    "AS_ASGI",
    "AccessLog",
    "Argument",
    "AsgiExchange",
    "BodyHook",
    "BrokenFrame",
    "Call",
    "Channel",
    "Dispatch",
    "DispatchLayer",
    "Endpoint",
    "Entry",
    "Exchange",
    "FrameReader",
    "HeaderHook",
    "Hooks",
    "HttpExchange",
    "HttpProtocol",
    "Hub",
    "InnerExchange",
    "Inside",
    "Layer",
    "Layers",
    "Match",
    "ResponseHook",
    "Router",
    "ScopeHook",
    "Settings",
    "Site",
    "Visit",
    "answer",
    "answer_500",
    "as_message",
    "channel_of",
    "decode_json",
    "file_sender",
    "frame",
    "innermost",
    "json_lines",
    "log_and_answer_500",
    "printable",
    "reply",
    "routes_epoch",
    "text_lines",
]
