"""The shared rows on aiohttp's own server, on uvloop: `python -m benchmarks.load.peers.aiohttp_app --port PORT`."""

from functools import partial
from typing import Any

import orjson
import uvloop
from aiohttp import WSMsgType, web

from ..apps import Item
from ..rows import HELLO, HOST
from . import port_argument


def dumps(value: Any) -> str:
    written: str = orjson.dumps(value).decode()
    return written


json_response = partial(web.json_response, dumps=dumps)
routes = web.RouteTableDef()


@routes.get("/hello")
async def hello(request: web.Request) -> web.Response:
    return json_response(HELLO)


@routes.get(r"/items/{item_id:\d+}")
async def read_item(request: web.Request) -> web.Response:
    return json_response({"item_id": int(request.match_info["item_id"]), "q": request.query.get("q")})


@routes.post("/items")
async def create_item(request: web.Request) -> web.Response:
    item = Item.model_validate_json(await request.read())
    return web.Response(text=item.model_dump_json(), content_type="application/json")


@routes.get("/missing")
async def missing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text=dumps({"detail": "No such item"}), content_type="application/json")


@routes.get("/echo")
async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(routes)
    web.run_app(app, host=HOST, port=port_argument(), access_log=None, print=None, loop=uvloop.new_event_loop())
