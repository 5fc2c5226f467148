"""Path operations that are methods of the deployment's class: code for FastAPI, on TurboAPI by the alias."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

app = FastAPI()


@serve.deployment
class Adder:
    def add(self, left: int, right: int) -> int:
        return left + right


@serve.deployment(name="counter")
@serve.ingress(app)
class Counter:
    def __init__(self, adder: DeploymentHandle) -> None:
        self.adder = adder
        self.count = 0
        self.gate = asyncio.Event()

    @app.post("/count/{by}")
    async def add(self, by: int) -> dict[str, int]:
        self.count = await self.adder.add.remote(self.count, by)
        return {"count": self.count}

    @app.get("/count")
    def read(self, times: int = 1) -> dict[str, int]:
        return {"count": self.count * times}

    @app.get("/class")
    def kind(self) -> list[str]:
        return [f"{kind.__module__}.{kind.__name__}" for kind in type(app).__mro__[:2]]

    @app.get("/stream")
    async def stream(self) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "first\n"
            await self.gate.wait()
            yield "second\n"

        return StreamingResponse(lines())

    @app.post("/open")
    async def open(self) -> None:
        self.gate.set()


counter = Counter.bind(Adder.bind())
