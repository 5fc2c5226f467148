"""The shared rows on Falcon's ASGI application, with orjson for JSON."""

from typing import Any

import orjson
from falcon import HTTPNotFound, WebSocketDisconnected
from falcon.asgi import App, Request, Response, WebSocket
from falcon.media import JSONHandler

from ..apps import Item
from ..rows import HELLO


class Hello:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = HELLO


class ReadItem:
    async def on_get(self, request: Request, response: Response, item_id: int) -> None:
        response.media = {"item_id": item_id, "q": request.get_param("q")}


class Items:
    async def on_post(self, request: Request, response: Response) -> None:
        item = Item.model_validate_json(await request.stream.read())
        response.data = item.model_dump_json().encode()


class Missing:
    async def on_get(self, request: Request, response: Response) -> None:
        raise HTTPNotFound(description="No such item")


class Echo:
    async def on_websocket(self, request: Request, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_data(await socket.receive_data())
        except WebSocketDisconnected:
            return


async def not_found(request: Request, response: Response, error: HTTPNotFound, params: dict[str, Any]) -> None:
    response.status = error.status
    response.media = {"detail": error.description}


app = App()
app.resp_options.media_handlers["application/json"] = JSONHandler(dumps=orjson.dumps, loads=orjson.loads)
app.add_error_handler(HTTPNotFound, not_found)
app.add_route("/hello", Hello())
app.add_route("/items", Items())
app.add_route("/items/{item_id:int}", ReadItem())
app.add_route("/missing", Missing())
app.add_route("/echo", Echo())
