import pytest

from examples import shop


@pytest.fixture
def shop_client(client_for, tmp_path, monkeypatch):
    """A client of the shop, which starts with a fresh database."""
    monkeypatch.setenv("TURBOAPI_SHOP_DB", str(tmp_path / "shop.db"))
    monkeypatch.delenv("TURBOAPI_SHOP_KEY", raising=False)
    return client_for(shop.app)
