"""The benchmark application, written once; `apps_fastapi` and `apps_turboapi` hand in the package to build it with."""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel

from .payloads import folder, page
from .rows import HELLO, ROUTES

WRITE_SIZE = 1024 * 1024


class Item(BaseModel):
    name: str
    price: float
    in_stock: bool = True
    tags: list[str] = []


class Entry(BaseModel):
    id: int
    name: str
    price: float
    tags: list[str]


class DescribedEntry(Entry):
    about: str


class Catalogue(BaseModel):
    entries: list[DescribedEntry]


class Framework:
    """The names that the application takes from its framework, which has them in modules of the same names."""

    def __init__(self, package: str, app_class: str) -> None:
        self.app = getattr(import_module(package), app_class)
        self.depends = import_module(f"{package}.param_functions").Depends
        self.header = import_module(f"{package}.param_functions").Header
        self.http_exception = import_module(f"{package}.exceptions").HTTPException
        self.request = import_module(f"{package}.requests").Request
        self.websocket = import_module(f"{package}.websockets").WebSocket
        self.websocket_disconnect = import_module(f"{package}.websockets").WebSocketDisconnect
        self.upload_file = import_module(f"{package}.datastructures").UploadFile
        self.file_response = import_module(f"{package}.responses").FileResponse
        self.bearer = import_module(f"{package}.security").OAuth2PasswordBearer
        self.cors = import_module(f"{package}.middleware.cors").CORSMiddleware
        self.gzip = import_module(f"{package}.middleware.gzip").GZipMiddleware


def build(framework: Framework) -> Any:
    """Return the application that answers every row of `rows.ROWS`, but for those of some servers only."""
    app = framework.app()
    add_plain_routes(app)
    add_item_routes(app, framework)
    add_dependency_routes(app, framework)
    add_security_route(app, framework)
    add_bulk_routes(app, framework)
    add_websocket_route(app, framework)
    add_resources(app)
    return app


def build_with_middleware(framework: Framework) -> Any:
    """Return the same application behind three middleware."""
    app = build(framework)

    @app.middleware("http")
    async def mark(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        response = await call_next(request)
        response.headers["x-mark"] = "seen"
        return response

    app.add_middleware(framework.gzip)
    app.add_middleware(framework.cors, allow_origins=["*"])
    return app


def add_resources(app: Any) -> None:
    """Add 1,000 routes with a path parameter each."""
    for number in range(ROUTES):
        app.get(f"/resource-{number}/{{key}}")(resource_handler(number))


def add_plain_routes(app: Any) -> None:
    @app.get("/hello")
    async def hello() -> Any:
        return HELLO

    @app.get("/hello-sync")
    def hello_sync() -> Any:
        return HELLO

    @app.get("/blocking")
    def blocking() -> Any:
        time.sleep(0.005)
        return HELLO


def add_item_routes(app: Any, framework: Framework) -> None:
    @app.get("/items/{item_id}")
    async def read_item(item_id: int, q: str | None = None) -> Any:
        return {"item_id": item_id, "q": q}

    @app.post("/items", response_model=Item)
    async def create_item(item: Item) -> Any:
        return item

    @app.get("/missing")
    async def missing() -> Any:
        raise framework.http_exception(404, "No such item")

    entries = [Entry(**entry) for entry in page()]

    @app.get("/rows", response_model=list[Entry])
    async def rows() -> Any:
        return entries


def add_dependency_routes(app: Any, framework: Framework) -> None:
    async def token(x_token: Annotated[str, framework.header()]) -> str:
        return x_token

    async def user(token: Annotated[str, framework.depends(token)]) -> str:
        return f"user-{token}"

    @app.get("/me")
    async def me(user: Annotated[str, framework.depends(user)]) -> Any:
        return {"name": user}

    def token_sync(x_token: Annotated[str, framework.header()]) -> str:
        return x_token

    def user_sync(token: Annotated[str, framework.depends(token_sync)]) -> str:
        return f"user-{token}"

    @app.get("/me-sync")
    def me_sync(user: Annotated[str, framework.depends(user_sync)]) -> Any:
        return {"name": user}


def add_security_route(app: Any, framework: Framework) -> None:
    scheme = framework.bearer(tokenUrl="token")

    async def session() -> AsyncIterator[dict[str, bool]]:
        state = {"open": True}
        yield state
        state["open"] = False

    @app.get("/account")
    async def account(
        token: Annotated[str, framework.depends(scheme)],
        session: Annotated[dict[str, bool], framework.depends(session)],
    ) -> Any:
        return {"owner": token, "open": session["open"]}


def add_bulk_routes(app: Any, framework: Framework) -> None:
    @app.post("/catalogue")
    async def catalogue(catalogue: Catalogue) -> Any:
        return {"entries": len(catalogue.entries)}

    @app.post("/stream")
    async def stream(request: framework.request) -> Any:  # type: ignore[name-defined]
        with scratch_file() as file:
            async for chunk in request.stream():
                file.write(chunk)
            return {"size": file.tell()}

    @app.post("/form")
    async def form(file: framework.upload_file) -> Any:  # type: ignore[name-defined]
        with scratch_file() as target:
            while chunk := await file.read(WRITE_SIZE):
                target.write(chunk)
            return {"size": target.tell()}

    @app.get("/blob")
    async def blob() -> Any:
        return framework.file_response(folder() / "blob")


def scratch_file() -> BinaryIO:
    """Return a file on disk that goes when it is closed."""
    return tempfile.TemporaryFile(dir=folder())


def add_websocket_route(app: Any, framework: Framework) -> None:
    @app.websocket("/echo")
    async def echo(websocket: framework.websocket) -> None:  # type: ignore[name-defined]
        await websocket.accept()
        try:
            while True:
                await websocket.send_bytes(await websocket.receive_bytes())
        except framework.websocket_disconnect:
            return


def resource_handler(number: int) -> Callable[[str], Awaitable[Any]]:
    async def resource(key: str) -> Any:
        return {"resource": number, "key": key}

    return resource
