"""The application that every server runs, written once for both frameworks: `FRAMEWORK` in the environment says which.

It runs under asyncio and trio. The same routes answer at the root, with nothing around them, and below `/wrapped`,
inside of middleware. `GET /log` tells what has happened behind the answers, and the lifespan's end goes to a file.
"""

import contextlib
import gc
import importlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
from pydantic import BaseModel

PACKAGE = os.environ["FRAMEWORK"]
MARK = Path(os.environ["MARK"])


def part(module: str, *names: str) -> Any:
    """Return the named attributes of a module of the framework."""
    home = importlib.import_module(f"{PACKAGE}.{module}" if module else PACKAGE)
    return [getattr(home, name) for name in names]


# FastAPI answers 405 to HEAD.
App = partial(*part("", "TurboAPI"), auto_head=False) if PACKAGE == "turboapi" else part("", "FastAPI")[0]
APIRouter, BackgroundTasks, Depends, File, Form = part("", "APIRouter", "BackgroundTasks", "Depends", "File", "Form")
HTTPException, Request, Response, UploadFile = part("", "HTTPException", "Request", "Response", "UploadFile")
WebSocket, WebSocketDisconnect = part("", "WebSocket", "WebSocketDisconnect")
FileResponse, StreamingResponse = part("responses", "FileResponse", "StreamingResponse")
EventSourceResponse, ServerSentEvent = part("sse", "EventSourceResponse", "ServerSentEvent")
CORSMiddleware, GZipMiddleware = *part("middleware.cors", "CORSMiddleware"), *part("middleware.gzip", "GZipMiddleware")

log: list[str] = []
router = APIRouter()


class Item(BaseModel):
    name: str
    price: float = 1.5
    tags: list[str] = []


async def session() -> AsyncIterator[str]:
    log.append("session opens")
    try:
        yield "session"
    except HTTPException:
        log.append("session sees an error")
        raise
    finally:
        log.append("session closes")


def user(name: str = "ada"):
    log.append("user enters")
    yield name
    log.append("user leaves")


@router.get("/log")
async def read_log():
    gc.collect()  # a stream that is cancelled between two parts is closed when it is collected
    return log


@router.post("/items", status_code=201)
async def create_item(item: Item, session: Annotated[str, Depends(session)]) -> Item:
    return item


@router.get("/users/{number}")
def read_user(number: int, user: Annotated[str, Depends(user)], session: Annotated[str, Depends(session)]):
    if number == 0:
        raise HTTPException(404, "no such user", headers={"x-reason": "zero"})
    return {"number": number, "user": user, "session": session}


@router.get("/state")
async def read_state(request: Request):
    return {"greeting": request.state.greeting}


@router.get("/scope/{rest:path}")
async def read_scope(request: Request, rest: str):
    names = ("type", "scheme", "path", "raw_path", "query_string", "root_path", "http_version", "method")
    return {"rest": rest, "url": str(request.url.path), **{name: str(request.scope.get(name)) for name in names}}


@router.get("/headers")
async def read_headers(request: Request, response: Response):
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    response.status_code = 202
    return request.headers.getlist("x-many")


@router.get("/empty", status_code=204)
async def empty() -> None:
    pass


@router.get("/breaks")
async def breaks():
    raise RuntimeError("broken")


@router.get("/breaks-late")
async def breaks_late():
    async def parts() -> AsyncIterator[str]:
        yield "one"
        raise RuntimeError("broken")

    return StreamingResponse(parts())


@router.get("/background")
async def background(tasks: BackgroundTasks, session: Annotated[str, Depends(session)]):
    async def later(text: str) -> None:
        await anyio.sleep(0.01)
        log.append(text)

    tasks.add_task(later, "task one")
    tasks.add_task(log.append, "task two")
    return "answered"


@router.get("/stream")
async def stream():
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"part {number}\n"
            await anyio.sleep(0)

    return StreamingResponse(parts(), media_type="text/plain")


@router.get("/stream-def")
def stream_def():
    return StreamingResponse((b"x" * 1000 for _ in range(3)), headers={"content-length": "3000"})


@router.get("/lines")
async def lines() -> AsyncIterator[Item]:
    for number in range(2):
        yield Item(name=str(number))


@router.get("/events", response_class=EventSourceResponse)
async def events(session: Annotated[str, Depends(session)]):
    for number in range(2):
        yield ServerSentEvent(data={"number": number}, event="tick", id=str(number))


@router.get("/endless")
async def endless():
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await anyio.sleep(0.01)
        finally:
            log.append("stream closed")

    return StreamingResponse(parts())


@router.get("/waits")
async def waits(request: Request):
    try:
        while not await request.is_disconnected():
            await anyio.sleep(0.01)
    finally:  # some servers cancel it
        log.append("waits no longer")


@router.get("/file")
async def file():
    return FileResponse(__file__, filename="application.txt", media_type="text/plain")


@router.post("/upload")
async def upload(title: Annotated[str, Form()], files: Annotated[list[UploadFile], File()]):
    sizes = [len(await file.read()) for file in files]
    return {"title": title, "files": [(file.filename, file.content_type) for file in files], "sizes": sizes}


@router.post("/count")
async def count(request: Request):
    return {"received": sum([len(chunk) async for chunk in request.stream()])}


@router.websocket("/ws/{room}")
async def chat(websocket: WebSocket, room: int, session: Annotated[str, Depends(session)], name: str = "nobody"):
    if room == 0:
        return
    await websocket.accept("chat" if "chat" in websocket["subprotocols"] else None, headers=[(b"x-room", b"%d" % room)])
    await websocket.send_json({"room": room, "name": name, "state": websocket.state.greeting})
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            if message.get("text") == "bye":
                return await websocket.close(4000, "so long")
            if message.get("text") == "break":
                raise RuntimeError("broken")
            if message.get("text") is not None:
                await websocket.send_text(message["text"].upper())
            else:
                await websocket.send_bytes(message["bytes"][::-1])
    except WebSocketDisconnect as exc:
        log.append(f"client left: {exc.code}")


@router.websocket("/refused")
async def refuse(websocket: WebSocket):
    await websocket.close(4001)


class Stamp:
    """A middleware that knows ASGI only."""

    def __init__(self, app: Any, name: bytes) -> None:
        self.app, self.name = app, name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message = {**message, "headers": [*message.get("headers", ()), (self.name, b"yes")]}
            await send(message)

        await self.app(scope, receive, stamped)


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    log.append("starts")
    gc.freeze()  # `read_log` is fast then
    async with anyio.create_task_group() as group:
        yield {"greeting": "hello"}
        group.cancel_scope.cancel()
    MARK.write_text("stopped")


wrapped = App()
wrapped.include_router(router)
wrapped.add_middleware(Stamp, name=b"x-inner")
wrapped.add_middleware(GZipMiddleware, minimum_size=500)


@wrapped.middleware("http")
async def add_header(request: Any, call_next: Any) -> Any:
    response = await call_next(request)
    response.headers["x-path"] = request.url.path
    return response


wrapped.add_middleware(CORSMiddleware, allow_origins=["https://example.com"])
wrapped.add_middleware(Stamp, name=b"x-outer")

app = App(lifespan=lifespan)
app.include_router(router)
app.mount("/wrapped", wrapped)
