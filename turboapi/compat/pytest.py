"""Runs a test suite that imports `fastapi` or `starlette` on TurboAPI: `pytest -p turboapi.compat.pytest`."""

from turboapi.compat import install

install()
