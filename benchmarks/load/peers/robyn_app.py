"""The shared rows on Robyn: `python -m benchmarks.load.peers.robyn_app --port PORT`."""

from typing import Any

from robyn import Headers, Response, Robyn, WebSocketDisconnect, jsonify
from robyn.exceptions import HTTPException

from ..apps import Item
from ..rows import HELLO, HOST
from . import port_argument

app = Robyn(__file__)


@app.exception  # before the routes, which take it from there
def not_found(error: HTTPException) -> Response:
    return Response(error.status_code, Headers({"Content-Type": "application/json"}), jsonify({"detail": error.detail}))


@app.get("/hello")
async def hello() -> dict[str, str]:
    return HELLO


@app.get("/items/:item_id")
async def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    return {"item_id": item_id, "q": q}


@app.post("/items")
async def create_item(item: Item) -> Item:
    return item


@app.get("/missing")
async def missing() -> None:
    raise HTTPException(404, "No such item")


@app.websocket("/echo")
async def echo(websocket: Any) -> None:
    try:
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())
    except WebSocketDisconnect:
        return


if __name__ == "__main__":
    app.start(host=HOST, port=port_argument())
