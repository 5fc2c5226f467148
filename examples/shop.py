"""A small shop on SQLite: a catalogue to browse and search, staff who maintain it, and orders.

    turboapi run examples.shop:app

The database is the file `shop.db`, or the one that TURBOAPI_SHOP_DB names; it is created and filled on first start.
Staff send the key of TURBOAPI_SHOP_KEY (default `demo-key`) in the header `X-API-Key`.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from secrets import compare_digest
from typing import Annotated, Any

from pydantic import BaseModel, Field, computed_field, field_validator

from examples.shop_data import CUSTOMERS, ORDERS, PRODUCTS
from turboapi import APIRouter, Depends, HTTPException, Query, Request, Response, Security
from turboapi import TurboAPI as FastAPI
from turboapi.security import APIKeyHeader

SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price INTEGER NOT NULL,           -- all amounts are in cents
    purchase_price INTEGER NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE INDEX products_by_category ON products (category, name);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers,
    created_at TEXT NOT NULL
);
CREATE TABLE order_lines (
    order_id INTEGER NOT NULL REFERENCES orders,
    product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL,
    unit_price INTEGER NOT NULL,      -- what the product cost on that day
    PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
"""


# --- Database -------------------------------------------------------------------------------------------------------


def connect() -> sqlite3.Connection:
    """Open the database. Handlers may run in different threads, but each request has a connection of its own."""
    path = os.environ.get("TURBOAPI_SHOP_DB", "shop.db")
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def prepare_database(db: sqlite3.Connection) -> None:
    """Create and fill the database unless that has happened; several workers may start at the same moment."""
    db.execute("PRAGMA journal_mode = WAL")
    with db:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            fill(db)
            db.execute("PRAGMA user_version = 1")


def fill(db: sqlite3.Connection) -> None:
    """Insert the first customers, products and orders."""
    db.executemany("INSERT INTO customers (name, email) VALUES (?, ?)", CUSTOMERS)
    db.executemany(
        "INSERT INTO products (category, sku, name, price, purchase_price, stock) VALUES (?, ?, ?, ?, ?, ?)",
        [(category, *product) for category, products in PRODUCTS.items() for product in products],
    )
    for customer_id, created_at, lines in ORDERS:
        insert_order(db, customer_id, created_at, lines)


def get_db() -> Iterator[sqlite3.Connection]:
    """A connection in a transaction: committed when the handler returns, rolled back when it raises."""
    with closing(connect()) as db, db:
        yield db


# The scope ends the transaction before the response leaves: what a client has been told is in the database.
Database = Annotated[sqlite3.Connection, Depends(get_db, scope="function")]


def to_cents(amount: Decimal) -> int:
    return int(amount * 100)


def from_cents(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


# --- Models ---------------------------------------------------------------------------------------------------------

RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]  # what fits an INTEGER PRIMARY KEY
Sku = Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$", examples=["COF-0001"])]
Amount = Annotated[Decimal, Field(gt=0, max_digits=9, decimal_places=2, examples=["12.90"])]


class Category(StrEnum):
    COFFEE = "coffee"
    TEA = "tea"
    BREWING = "brewing"
    CUPS = "cups"
    SWEETS = "sweets"
    BOOKS = "books"


class ProductSort(StrEnum):
    NAME = "name"
    CHEAPEST = "price"
    DEAREST = "-price"
    NEWEST = "newest"


class ProductBase(BaseModel):
    sku: Sku
    name: Annotated[str, Field(min_length=3, max_length=100)]
    category: Category
    price: Amount
    stock: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class ProductIn(ProductBase):
    """What staff send."""

    purchase_price: Amount

    def columns(self) -> dict[str, Any]:
        amounts = {"price": to_cents(self.price), "purchase_price": to_cents(self.purchase_price)}
        return self.model_dump() | amounts


class ProductOut(ProductBase):
    """What everybody may see."""

    id: int


class Product(ProductOut):
    """What the database knows. Never declared as a response, so the purchase price stays inside."""

    purchase_price: Decimal

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> "Product":
        amounts = {name: from_cents(row[name]) for name in ("price", "purchase_price")}
        return cls.model_validate(dict(row) | amounts)


class ProductPage(BaseModel):
    items: list[ProductOut]
    total: int
    page: int
    pages: int


class CustomerOut(BaseModel):
    id: int
    name: str


class OrderLineIn(BaseModel):
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1000)]


class OrderIn(BaseModel):
    customer_id: RowId
    lines: Annotated[list[OrderLineIn], Field(min_length=1, max_length=50)]

    @field_validator("lines")
    @classmethod
    def products_are_distinct(cls, lines: list[OrderLineIn]) -> list[OrderLineIn]:
        if len({line.sku for line in lines}) < len(lines):
            raise ValueError("each product may appear only once")
        return lines


class OrderLineOut(BaseModel):
    sku: str
    name: str
    quantity: int
    unit_price: Decimal

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal:
        return self.quantity * self.unit_price


class OrderOut(BaseModel):
    id: int
    customer: CustomerOut
    created_at: datetime
    lines: list[OrderLineOut]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal:
        return sum((line.total for line in self.lines), Decimal(0))


# --- Staff ----------------------------------------------------------------------------------------------------------


def require_staff(key: Annotated[str, Security(APIKeyHeader(name="X-API-Key"))]) -> None:
    """Let staff pass. No key: 401, from the scheme; a wrong one: 403."""
    expected = os.environ.get("TURBOAPI_SHOP_KEY", "demo-key")
    if not compare_digest(key.encode(), expected.encode()):
        raise HTTPException(403, "Unknown API key")


# --- Products -------------------------------------------------------------------------------------------------------

products = APIRouter(prefix="/products", tags=["products"])

ORDER_BY = {
    ProductSort.NAME: "name, id",
    ProductSort.CHEAPEST: "price, id",
    ProductSort.DEAREST: "price DESC, id",
    ProductSort.NEWEST: "id DESC",
}

MATCHING = """
FROM products
WHERE (:search IS NULL OR instr(lower(name || ' ' || sku), lower(:search)))
  AND (:category IS NULL OR category = :category)
  AND (:max_price IS NULL OR price <= :max_price)
  AND (NOT :in_stock OR stock > 0)
"""


class Paging:
    """The part of a list to show; a dependency."""

    def __init__(
        self,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> None:
        self.page = page
        self.limit = page_size
        self.offset = (page - 1) * page_size

    def pages(self, total: int) -> int:
        return -(-total // self.limit)


@products.get("")
def list_products(
    db: Database,
    paging: Annotated[Paging, Depends()],
    search: Annotated[str | None, Query(min_length=2, max_length=50)] = None,
    category: Category | None = None,
    max_price: Annotated[Decimal | None, Query(gt=0, max_digits=9, decimal_places=2)] = None,
    in_stock: bool = False,
    sort: ProductSort = ProductSort.NAME,
) -> ProductPage:
    """Search the catalogue."""
    filters = {
        "search": search,
        "category": category,
        "max_price": None if max_price is None else to_cents(max_price),
        "in_stock": in_stock,
    }
    total = db.execute(f"SELECT count(*) {MATCHING}", filters).fetchone()[0]
    rows = db.execute(
        f"SELECT * {MATCHING} ORDER BY {ORDER_BY[sort]} LIMIT :limit OFFSET :offset",
        filters | {"limit": paging.limit, "offset": paging.offset},
    )
    items: list[ProductOut] = [Product.from_row(row) for row in rows]
    return ProductPage(items=items, total=total, page=paging.page, pages=paging.pages(total))


@products.get("/{product_id}", responses={404: {"description": "No such product"}})
def read_product(product_id: RowId, db: Database) -> ProductOut:
    row = db.execute("SELECT * FROM products WHERE id = ?", [product_id]).fetchone()
    if row is None:
        raise HTTPException(404, "No such product")
    return Product.from_row(row)


@products.post("", status_code=201, dependencies=[Depends(require_staff)])
def create_product(product: ProductIn, db: Database, request: Request, response: Response) -> ProductOut:
    product_id = save_product(
        db,
        "INSERT INTO products (sku, name, category, price, purchase_price, stock)"
        " VALUES (:sku, :name, :category, :price, :purchase_price, :stock)",
        product.columns(),
    ).lastrowid
    response.headers["Location"] = str(request.url_for("read_product", product_id=product_id))
    return read_product(product_id or 0, db)


@products.put("/{product_id}", dependencies=[Depends(require_staff)])
def update_product(product_id: RowId, product: ProductIn, db: Database) -> ProductOut:
    save_product(
        db,
        "UPDATE products SET sku = :sku, name = :name, category = :category, price = :price,"
        " purchase_price = :purchase_price, stock = :stock WHERE id = :id",
        product.columns() | {"id": product_id},
    )
    return read_product(product_id, db)


def save_product(db: sqlite3.Connection, statement: str, columns: dict[str, Any]) -> sqlite3.Cursor:
    try:
        return db.execute(statement, columns)
    except sqlite3.IntegrityError as error:
        raise HTTPException(409, f"SKU {columns['sku']} is taken") from error


# --- Orders ---------------------------------------------------------------------------------------------------------

orders = APIRouter(prefix="/orders", tags=["orders"], dependencies=[Depends(require_staff)])


@orders.post("", status_code=201)
def create_order(order: OrderIn, db: Database) -> OrderOut:
    """Take goods from stock for a customer: all of the lines, or none."""
    if db.execute("SELECT 1 FROM customers WHERE id = ?", [order.customer_id]).fetchone() is None:
        raise HTTPException(404, "No such customer")
    shortages = [shortage for line in order.lines if (shortage := take_from_stock(db, line))]
    if shortages:
        raise HTTPException(409, {"message": "Not enough in stock", "lines": shortages})
    lines = [(line.sku, line.quantity) for line in order.lines]
    order_id = insert_order(db, order.customer_id, datetime.now(UTC).isoformat(timespec="seconds"), lines)
    return read_order(order_id, db)


@orders.get("/{order_id}", responses={404: {"description": "No such order"}})
def read_order(order_id: RowId, db: Database) -> OrderOut:
    row = db.execute(
        "SELECT orders.id, created_at, customer_id, customers.name AS customer_name"
        " FROM orders JOIN customers ON customers.id = customer_id WHERE orders.id = ?",
        [order_id],
    ).fetchone()
    if row is None:
        raise HTTPException(404, "No such order")
    customer = {"id": row["customer_id"], "name": row["customer_name"]}
    return OrderOut.model_validate(dict(row) | {"customer": customer, "lines": read_lines(db, order_id)})


def take_from_stock(db: sqlite3.Connection, line: OrderLineIn) -> dict[str, Any] | None:
    """Take the goods of one line; if there are too few, return what is missing and leave the stock as it is."""
    taken = db.execute(
        "UPDATE products SET stock = stock - :quantity WHERE sku = :sku AND stock >= :quantity", line.model_dump()
    )
    if taken.rowcount:
        return None
    row = db.execute("SELECT stock FROM products WHERE sku = ?", [line.sku]).fetchone()
    if row is None:
        raise HTTPException(404, f"No product with SKU {line.sku}")
    return {"sku": line.sku, "requested": line.quantity, "available": row["stock"]}


def insert_order(db: sqlite3.Connection, customer_id: int, created_at: str, lines: list[tuple[str, int]]) -> int:
    """Record an order at today's prices and return its number."""
    cursor = db.execute("INSERT INTO orders (customer_id, created_at) VALUES (?, ?)", [customer_id, created_at])
    order_id = cursor.lastrowid or 0
    db.executemany(
        "INSERT INTO order_lines (order_id, product_id, quantity, unit_price)"
        " SELECT ?, id, ?, price FROM products WHERE sku = ?",
        [(order_id, quantity, sku) for sku, quantity in lines],
    )
    return order_id


def read_lines(db: sqlite3.Connection, order_id: int) -> list[OrderLineOut]:
    rows = db.execute(
        "SELECT sku, name, quantity, unit_price FROM order_lines JOIN products ON products.id = product_id"
        " WHERE order_id = ? ORDER BY sku",
        [order_id],
    )
    return [OrderLineOut.model_validate(dict(row) | {"unit_price": from_cents(row["unit_price"])}) for row in rows]


# --- Application ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Prepare the database. One connection stays open, else SQLite would wind up its log after every request."""
    with closing(connect()) as db:
        prepare_database(db)
        yield


app = FastAPI(title="Shop", version="1.0.0", lifespan=lifespan)
app.include_router(products)
app.include_router(orders)


@app.get("/health", tags=["operation"])
def health(db: Database) -> dict[str, str | int]:
    """Say whether the database answers; for load balancers."""
    return {"status": "ok", "products": db.execute("SELECT count(*) FROM products").fetchone()[0]}
