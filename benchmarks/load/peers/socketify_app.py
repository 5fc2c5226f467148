"""The shared rows on socketify, with orjson for JSON: `python -m benchmarks.load.peers.socketify_app --port PORT`.

Its handlers are functions that the event loop calls; only those that read a body are coroutines.
"""

from typing import Any

import orjson
from socketify import App, AppListenOptions, OpCode

from ..apps import Item
from ..rows import HELLO, HOST
from . import port_argument

JSON = b"application/json"


def hello(response: Any, request: Any) -> None:
    response.send(orjson.dumps(HELLO), content_type=JSON)


def read_item(response: Any, request: Any) -> None:
    answer = {"item_id": int(request.get_parameter(0)), "q": request.get_query("q")}
    response.send(orjson.dumps(answer), content_type=JSON)


async def create_item(response: Any, request: Any) -> None:
    item = Item.model_validate_json((await response.get_data()).getvalue())
    response.cork_send(item.model_dump_json(), content_type=JSON)


def missing(response: Any, request: Any) -> None:
    response.send(orjson.dumps({"detail": "No such item"}), content_type=JSON, status=404)


def echo(socket: Any, message: bytes | str, opcode: OpCode) -> None:
    socket.send(message, opcode)


if __name__ == "__main__":
    app = App(request_response_factory_max_items=200_000, websocket_factory_max_items=1_000)
    app.get("/hello", hello)
    app.get("/items/:item_id", read_item)
    app.post("/items", create_item)
    app.get("/missing", missing)
    app.ws("/echo", {"message": echo})
    app.listen(AppListenOptions(port=port_argument(), host=HOST))
    app.run()
