import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from examples import shop

STAFF = {"X-API-Key": "demo-key"}
NEW_PRODUCT = {
    "sku": "CUP-0100",
    "name": "Glass mug, 300 ml",
    "category": "cups",
    "price": "9.90",
    "purchase_price": "4.10",
    "stock": 12,
}
SHOWN = {name: value for name, value in NEW_PRODUCT.items() if name != "purchase_price"}


def names(value: Any) -> Iterator[str]:
    """Every key in a JSON value, at any depth."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield key
        yield from names(item)


def stock_of(client: Any, product_id: int) -> int:
    return client.get(f"/products/{product_id}").json()["stock"]


def test_health(shop_client):
    response = shop_client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "products": 60})


def test_first_page(shop_client):
    page = shop_client.get("/products").json()
    assert {key: page[key] for key in ("total", "page", "pages")} == {"total": 60, "page": 1, "pages": 3}
    assert len(page["items"]) == 20
    listed = [product["name"] for product in page["items"]]
    assert listed == sorted(listed)


def test_pages_cover_the_catalogue_once(shop_client):
    seen = []
    for number in range(1, 6):
        page = shop_client.get("/products", params={"page": number, "page_size": 17}).json()
        assert page["pages"] == 4
        seen += [product["id"] for product in page["items"]]
    assert sorted(seen) == list(range(1, 61))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"search": "geisha"}, ["COF-0010"]),
        ({"search": "cof-0010"}, ["COF-0010"]),
        ({"search": "50%"}, []),
        ({"search": "matcha"}, ["BRW-0010", "CUP-0007", "TEA-0006"]),
        ({"search": "matcha", "in_stock": "yes"}, ["CUP-0007", "TEA-0006"]),
        ({"search": "matcha", "max_price": "23.90", "sort": "-price"}, ["TEA-0006", "BRW-0010"]),
        ({"category": "sweets", "max_price": "5", "sort": "price"}, ["SWE-0009", "SWE-0001", "SWE-0002"]),
        ({"sort": "newest", "page_size": 2}, ["BOK-0010", "BOK-0009"]),
        ({"sort": "-price", "page_size": 1, "page": 2}, ["BRW-0006"]),
    ],
)
def test_search(shop_client, params, expected):
    response = shop_client.get("/products", params=params)
    assert [product["sku"] for product in response.json()["items"]] == expected


@pytest.mark.parametrize(
    ("params", "type_", "loc"),
    [
        ({"search": "a"}, "string_too_short", "search"),
        ({"category": "cars"}, "enum", "category"),
        ({"sort": "id"}, "enum", "sort"),
        ({"page": "0"}, "greater_than_equal", "page"),
        ({"page_size": "101"}, "less_than_equal", "page_size"),
        ({"max_price": "1.234"}, "decimal_max_places", "max_price"),
        ({"in_stock": "perhaps"}, "bool_parsing", "in_stock"),
    ],
)
def test_invalid_query(shop_client, params, type_, loc):
    response = shop_client.get("/products", params=params)
    assert response.status_code == 422
    assert [(error["type"], error["loc"]) for error in response.json()["detail"]] == [(type_, ["query", loc])]


def test_product(shop_client):
    response = shop_client.get("/products/1")
    assert response.json() == {
        "id": 1,
        "sku": "COF-0001",
        "name": "Ethiopia Yirgacheffe, washed, 250 g",
        "category": "coffee",
        "price": "12.90",
        "stock": 80,
    }


@pytest.mark.parametrize(("product_id", "status"), [("61", 404), ("0", 422), ("one", 422), (str(2**63), 422)])
def test_no_such_product(shop_client, product_id, status):
    assert shop_client.get(f"/products/{product_id}").status_code == status


def test_created_product_can_be_read(shop_client):
    response = shop_client.post("/products", json=NEW_PRODUCT, headers=STAFF)
    assert (response.status_code, response.json()) == (201, SHOWN | {"id": 61})
    assert response.headers["location"].endswith("/products/61")
    assert shop_client.get(response.headers["location"]).json() == response.json()


def test_updated_product_can_be_read(shop_client):
    response = shop_client.put("/products/60", json=NEW_PRODUCT, headers=STAFF)
    assert (response.status_code, response.json()) == (200, SHOWN | {"id": 60})
    assert shop_client.get("/products/60").json() == response.json()


def test_update_of_a_missing_product(shop_client):
    assert shop_client.put("/products/61", json=NEW_PRODUCT, headers=STAFF).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/products"), ("PUT", "/products/2")])
def test_sku_is_unique(shop_client, method, path):
    response = shop_client.request(method, path, json=NEW_PRODUCT | {"sku": "COF-0001"}, headers=STAFF)
    assert (response.status_code, response.json()) == (409, {"detail": "SKU COF-0001 is taken"})
    assert shop_client.get("/health").json()["products"] == 60


def test_product_keeps_its_own_sku(shop_client):
    response = shop_client.put("/products/1", json=NEW_PRODUCT | {"sku": "COF-0001"}, headers=STAFF)
    assert response.status_code == 200


def test_all_mistakes_in_a_product_are_named(shop_client):
    mistakes = {"sku": "cup-1", "name": "x", "category": "cars", "price": "-1", "purchase_price": "1.234"}
    response = shop_client.post("/products", json=mistakes, headers=STAFF)
    assert response.status_code == 422
    assert {tuple(error["loc"]) for error in response.json()["detail"]} == {("body", name) for name in mistakes}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/products"), ("PUT", "/products/1"), ("POST", "/orders"), ("GET", "/orders/1")]
)
def test_staff_only(shop_client, method, path):
    anonymous = shop_client.request(method, path)
    assert (anonymous.status_code, anonymous.json()) == (401, {"detail": "Not authenticated"})
    assert anonymous.headers["www-authenticate"] == "APIKey"
    stranger = shop_client.request(method, path, headers={"X-API-Key": "guess"})
    assert (stranger.status_code, stranger.json()) == (403, {"detail": "Unknown API key"})


def test_key_comes_from_the_environment(shop_client, monkeypatch):
    monkeypatch.setenv("TURBOAPI_SHOP_KEY", "another")
    assert shop_client.get("/orders/1", headers=STAFF).status_code == 403
    assert shop_client.get("/orders/1", headers={"X-API-Key": "another"}).status_code == 200


def test_seeded_order(shop_client):
    assert shop_client.get("/orders/1", headers=STAFF).json() == {
        "id": 1,
        "customer": {"id": 1, "name": "Amara Okafor"},
        "created_at": "2025-03-03T09:12:00Z",
        "lines": [
            {"sku": "BRW-0002", "name": "Paper filters, size 2, 100 pieces"}
            | {"quantity": 1, "unit_price": "4.90", "total": "4.90"},
            {"sku": "COF-0001", "name": "Ethiopia Yirgacheffe, washed, 250 g"}
            | {"quantity": 2, "unit_price": "12.90", "total": "25.80"},
        ],
        "total": "30.70",
    }


def test_order_takes_goods_from_stock(shop_client):
    lines = [{"sku": "COF-0001", "quantity": 3}, {"sku": "COF-0010", "quantity": 6}]
    response = shop_client.post("/orders", json={"customer_id": 2, "lines": lines}, headers=STAFF)
    assert response.status_code == 201
    order = response.json()
    assert (order["id"], order["total"], order["customer"]["name"]) == (6, "248.10", "Jonas Lindqvist")
    assert (stock_of(shop_client, 1), stock_of(shop_client, 10)) == (77, 0)
    assert shop_client.get("/orders/6", headers=STAFF).json() == order


def test_order_keeps_the_price_of_its_day(shop_client):
    shop_client.put("/products/1", json=NEW_PRODUCT | {"sku": "COF-0001"}, headers=STAFF)
    assert shop_client.get("/orders/1", headers=STAFF).json()["total"] == "30.70"


def test_order_out_of_stock_changes_nothing(shop_client):
    lines = [{"sku": sku, "quantity": 7} for sku in ("COF-0001", "COF-0010", "BRW-0010")]
    response = shop_client.post("/orders", json={"customer_id": 2, "lines": lines}, headers=STAFF)
    assert response.status_code == 409
    assert response.json()["detail"] == {
        "message": "Not enough in stock",
        "lines": [
            {"sku": "COF-0010", "requested": 7, "available": 6},
            {"sku": "BRW-0010", "requested": 7, "available": 0},
        ],
    }
    assert (stock_of(shop_client, 1), stock_of(shop_client, 10)) == (80, 6)
    assert shop_client.get("/orders/6", headers=STAFF).status_code == 404


@pytest.mark.parametrize(("customer_id", "sku"), [(99, "COF-0001"), (1, "COF-9999")])
def test_order_of_or_for_nobody_knows_what(shop_client, customer_id, sku):
    order = {"customer_id": customer_id, "lines": [{"sku": "COF-0002", "quantity": 1}, {"sku": sku, "quantity": 1}]}
    assert shop_client.post("/orders", json=order, headers=STAFF).status_code == 404
    assert stock_of(shop_client, 2) == 54


@pytest.mark.parametrize(
    ("order", "locations"),
    [
        ({}, [["body", "customer_id"], ["body", "lines"]]),
        ({"customer_id": 0, "lines": []}, [["body", "customer_id"], ["body", "lines"]]),
        ({"customer_id": 1, "lines": [{"sku": "COF-0001", "quantity": 0}]}, [["body", "lines", 0, "quantity"]]),
        ({"customer_id": 1, "lines": [{"sku": "COF-0001", "quantity": 1}] * 2}, [["body", "lines"]]),
    ],
)
def test_invalid_order(shop_client, order, locations):
    response = shop_client.post("/orders", json=order, headers=STAFF)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["detail"]] == locations


def test_internal_columns_never_leave(shop_client):
    responses = [
        shop_client.get("/products", params={"page_size": 100}),
        shop_client.get("/products/1"),
        shop_client.post("/products", json=NEW_PRODUCT, headers=STAFF),
        shop_client.put("/products/1", json=NEW_PRODUCT | {"sku": "COF-0001"}, headers=STAFF),
        shop_client.get("/orders/1", headers=STAFF),
    ]
    for response in responses:
        assert response.is_success
        assert {"purchase_price", "email"}.isdisjoint(names(response.json()))


def test_second_start_keeps_the_data(shop_client):
    shop_client.post("/products", json=NEW_PRODUCT, headers=STAFF)
    with closing(shop.connect()) as db:
        shop.prepare_database(db)
    assert shop_client.get("/health").json()["products"] == 61


def test_connection_is_closed_and_rolled_back_after_an_error(shop_client):
    dependency = shop.get_db()
    db = next(dependency)
    db.execute("DELETE FROM order_lines")
    with pytest.raises(RuntimeError, match="handler failed"):
        dependency.throw(RuntimeError("handler failed"))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")
    assert shop_client.get("/orders/1", headers=STAFF).json()["total"] == "30.70"
