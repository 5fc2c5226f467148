"""An application of functions, as a deployment on two nodes, and the same with replicas that come and go."""

import asyncio
import os

import ray
from pydantic import BaseModel
from ray import serve

from turboapi import APIRouter, TurboAPI, WebSocket


class Item(BaseModel):
    name: str
    price: float


router = APIRouter()


@router.get("/where")
async def where() -> list[str]:
    await asyncio.sleep(0.2)  # so that others go elsewhere
    return [ray.get_runtime_context().get_node_id(), str(os.getpid())]


@router.post("/items/{number}")
def save(number: int, item: Item) -> Item:
    return item


@router.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


def make_app() -> TurboAPI:
    app = TurboAPI()
    app.include_router(router)
    return app


served = serve.ingress(make_app())()
spread = serve.deployment(served, name="spread", num_replicas=2, max_replicas_per_node=1, max_ongoing_requests=1).bind()
scaled = serve.deployment(
    serve.ingress(make_app)(),  # by its function: made in each replica
    name="scaled",
    autoscaling_config={
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 1,
        "upscale_delay_s": 0.1,
        "metrics_interval_s": 0.2,
        "look_back_period_s": 1,
    },
).bind()
