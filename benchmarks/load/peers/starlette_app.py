"""The shared rows on Starlette, with orjson for JSON."""

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..apps import Item
from ..rows import HELLO


class OrjsonResponse(JSONResponse):
    def render(self, content: Any) -> bytes:
        written: bytes = orjson.dumps(content)
        return written


async def hello(request: Request) -> Response:
    return OrjsonResponse(HELLO)


async def read_item(request: Request) -> Response:
    return OrjsonResponse({"item_id": request.path_params["item_id"], "q": request.query_params.get("q")})


async def create_item(request: Request) -> Response:
    item = Item.model_validate_json(await request.body())
    return Response(item.model_dump_json(), media_type="application/json")


async def missing(request: Request) -> Response:
    raise HTTPException(404, "No such item")


async def not_found(request: Request, error: Any) -> Response:
    return OrjsonResponse({"detail": error.detail}, status_code=404)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())
    except WebSocketDisconnect:
        return


app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/items/{item_id:int}", read_item),
        Route("/items", create_item, methods=["POST"]),
        Route("/missing", missing),
        WebSocketRoute("/echo", echo),
    ],
    exception_handlers={404: not_found},
)
