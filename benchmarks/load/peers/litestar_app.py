"""The shared rows on Litestar, which has models of Pydantic and structs of msgspec."""

from typing import Annotated, Any

from litestar import Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.di import Provide
from litestar.exceptions import NotFoundException, WebSocketDisconnect
from litestar.params import Parameter
from msgspec import Struct

from ..apps import Item
from ..rows import HELLO


class ItemStruct(Struct):
    name: str
    price: float
    in_stock: bool = True
    tags: list[str] = []


@get("/hello")
async def hello() -> dict[str, str]:
    return HELLO


@get("/items/{item_id:int}")
async def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    return {"item_id": item_id, "q": q}


@post("/items", status_code=200)
async def create_item(data: Item) -> Item:
    return data


@post("/structs", status_code=200)
async def create_struct(data: ItemStruct) -> ItemStruct:
    return data


async def provide_token(x_token: Annotated[str, Parameter(header="X-Token")]) -> str:
    return x_token


async def provide_user(token: str) -> str:
    return f"user-{token}"


@get("/me", dependencies={"token": Provide(provide_token), "user": Provide(provide_user)})
async def me(user: str) -> dict[str, str]:
    return {"name": user}


@get("/missing")
async def missing() -> None:
    raise NotFoundException("No such item")


def not_found(request: Request[Any, Any, Any], error: NotFoundException) -> Response[dict[str, str]]:
    return Response({"detail": error.detail}, status_code=404)


@websocket("/echo")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        return


app = Litestar(
    [hello, read_item, create_item, create_struct, me, missing, echo],
    exception_handlers={NotFoundException: not_found},
)
