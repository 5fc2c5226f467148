"""The shared rows on BlackSheep, with its dependency injection, and with orjson for JSON."""

from typing import Any

import orjson
from blacksheep import Application, Request, Response, WebSocket, WebSocketDisconnectError, json
from blacksheep.exceptions import NotFound
from blacksheep.server.di import register_http_context
from blacksheep.settings.json import json_settings

from ..apps import Item
from ..rows import HELLO


def dumps(value: Any) -> str:
    written: str = orjson.dumps(value, default=lambda model: model.model_dump()).decode()
    return written


json_settings.use(loads=orjson.loads, dumps=dumps)
app = Application()
register_http_context(app)


@app.router.get("/hello")
async def hello() -> dict[str, str]:
    return HELLO


@app.router.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    return {"item_id": item_id, "q": q}


@app.router.post("/items")
async def create_item(item: Item) -> Item:
    return item


class Token:
    def __init__(self, request: Request) -> None:
        self.value = request.headers.get_single(b"x-token").decode()


class User:
    def __init__(self, token: Token) -> None:
        self.name = f"user-{token.value}"


app.services.add_scoped(Token)
app.services.add_scoped(User)


@app.router.get("/me")
async def me(user: User) -> dict[str, str]:
    return {"name": user.name}


@app.router.get("/missing")
async def missing() -> None:
    raise NotFound("No such item")


@app.exception_handler(NotFound)
async def not_found(app: Application, request: Request, error: NotFound) -> Response:
    return json({"detail": str(error)}, 404)


@app.router.ws("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnectError:
        return
