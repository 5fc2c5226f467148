"""The benchmark application on FastAPI."""

from .apps import Framework, build, build_with_middleware

FASTAPI = Framework("fastapi", "FastAPI")

app = build(FASTAPI)


def with_middleware() -> object:
    """Return the application behind middleware."""
    return build_with_middleware(FASTAPI)
