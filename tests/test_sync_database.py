"""Sessions of SQLAlchemy, yielded by plain functions, with more requests at once than connections or worker threads."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import QueuePool, create_engine, text
from sqlalchemy.orm import Session

from turboapi import Depends, TurboAPI

REQUESTS = 200
PATIENCE = 60.0
POOL_PATIENCE = 30.0  # SQLAlchemy's own default: a deadlock ends with a TimeoutError after it


class Row(BaseModel):
    value: int


@pytest.mark.parametrize("overflow", [0, 10])
@pytest.mark.parametrize("steps", ["handler", "dependency", "async handler"])
def test_no_deadlock(steps: str, overflow: int, serve: Any, tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'db'}",
        poolclass=QueuePool,
        pool_size=5,
        max_overflow=overflow,
        pool_timeout=POOL_PATIENCE,
        connect_args={"check_same_thread": False},
    )
    app = TurboAPI()

    def get_db() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    Database = Annotated[Session, Depends(get_db)]

    def number(db: Database) -> int:
        """Takes a connection out of the pool, which the session keeps until it is closed."""
        return int(db.execute(text("select 1")).scalar_one())

    @app.get("/handler", response_model=Row)
    def by_handler(db: Database) -> Any:
        return {"value": number(db)}

    @app.get("/dependency", response_model=Row)
    def by_dependency(db: Database, found: Annotated[int, Depends(number)]) -> Any:
        return {"value": found * number(db)}

    @app.get("/async handler", response_model=Row)
    async def by_async_handler(found: Annotated[int, Depends(number)]) -> Any:
        return {"value": found}

    seen: Counter[Any] = Counter()
    limits = httpx.Limits(max_connections=REQUESTS)
    with (
        serve(app) as served,
        httpx.Client(base_url=served.url, timeout=PATIENCE, limits=limits, trust_env=False) as client,
    ):
        for _ in range(100):  # one after the other, each short: enough to prove it, if that were how it is decided
            assert client.get(steps).json() == {"value": 1}

        def request() -> None:
            response = client.get(steps)
            seen[response.status_code, response.text] += 1

        threads = [threading.Thread(target=request) for _ in range(REQUESTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    engine.dispose()
    assert seen == {(200, '{"value":1}'): REQUESTS}
