"""What the server serves while it is soaked: `benchmarks.micro.soak`'s application, and what that has no need of."""

import asyncio
import os
from collections.abc import AsyncIterator

from benchmarks.micro.soak import plain
from turboapi import Request
from turboapi.responses import StreamingResponse

DOWNLOAD_SIZE = 20_000_000
PART = bytes(50_000)

app = plain()


@app.get("/state")
async def state() -> dict[str, int]:
    """Which worker this is, and how many tasks it has besides this one."""
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks()) - 1}


@app.post("/sink")
async def sink(request: Request) -> int:
    return sum([len(part) async for part in request.stream()])


@app.get("/download")
async def download() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(DOWNLOAD_SIZE // len(PART)):
            yield PART

    return StreamingResponse(parts(), headers={"content-length": str(DOWNLOAD_SIZE)})
