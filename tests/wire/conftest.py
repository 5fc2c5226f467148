"""`wire(app, **settings)`: a Wire that is checked for leftovers when the test ends."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wire.harness import Wire


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(app: Any, state: Any = None, **settings: Any) -> Wire:
        made.append(Wire(app, state, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
