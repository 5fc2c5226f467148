"""`python -m benchmarks.load.startup fastapi|turboapi`: CPU seconds of the steps of a start, as JSON."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from .apps import Framework, add_resources

FRAMEWORKS = {"fastapi": "FastAPI", "turboapi": "TurboAPI"}


def timed(step: Callable[[], Any]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def main(package: str) -> None:
    app = Framework(package, FRAMEWORKS[package]).app()

    def register() -> None:
        add_resources(app)
        if package == "turboapi":
            app.freeze()

    print(json.dumps({"register": timed(register), "openapi": timed(app.openapi)}))


if __name__ == "__main__":
    main(sys.argv[1])
