"""The benchmark application, written once; `apps_fastapi` and `apps_turboapi` hand in the classes to build it with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel

from .rows import HELLO, ROUTES


class Item(BaseModel):
    name: str
    price: float
    in_stock: bool = True
    tags: list[str] = []


@dataclass(frozen=True)
class Framework:
    """The four names that the application takes from its framework."""

    app: Callable[[], Any]
    depends: Callable[[Any], Any]
    header: Callable[[], Any]
    http_exception: Callable[[int, str], Exception]


def build(framework: Framework) -> Any:
    """Return the application that answers every row of `rows.ROWS`."""
    app = framework.app()
    add_plain_routes(app)
    add_item_routes(app, framework)
    add_dependency_route(app, framework)
    for number in range(ROUTES):
        app.get(f"/resource-{number}/{{key}}")(resource_handler(number))
    return app


def add_plain_routes(app: Any) -> None:
    @app.get("/hello")
    async def hello() -> Any:
        return HELLO

    @app.get("/hello-sync")
    def hello_sync() -> Any:
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


def add_dependency_route(app: Any, framework: Framework) -> None:
    async def token(x_token: Annotated[str, framework.header()]) -> str:
        return x_token

    async def user(token: Annotated[str, framework.depends(token)]) -> str:
        return f"user-{token}"

    @app.get("/me")
    async def me(user: Annotated[str, framework.depends(user)]) -> Any:
        return {"name": user}


def resource_handler(number: int) -> Callable[[str], Awaitable[Any]]:
    async def resource(key: str) -> Any:
        return {"resource": number, "key": key}

    return resource
