"""The benchmark application on TurboAPI."""

from msgspec import Struct

from .apps import Framework, build, build_with_middleware

TURBOAPI = Framework("turboapi", "TurboAPI")

app = build(TURBOAPI)


class ItemStruct(Struct):
    """The item of `apps`, as FastAPI has none."""

    name: str
    price: float
    in_stock: bool = True
    tags: list[str] = []


@app.post("/structs")
async def create_struct(item: ItemStruct) -> ItemStruct:
    return item


def with_middleware() -> object:
    """Return the application behind middleware."""
    return build_with_middleware(TURBOAPI)
