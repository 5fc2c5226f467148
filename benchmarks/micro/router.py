"""Nanoseconds per route lookup in a table of 1,000 routes, next to Starlette's linear scan over the same routes.

Run: python -m benchmarks.micro.router

Each lookup gets a path object of its own, as a server makes it: nothing has hashed it before. The loop around the call
is subtracted, the call itself (about 25 ns from Python) is not.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from timeit import timeit
from typing import Any

from starlette.routing import Match, Route

from turboapi._speedups.router import Entry, Router

ROUTES = 1_000


async def endpoint(request: Any) -> None:
    """Never called: only the lookup is measured."""


def build_router(routes: list[Route]) -> Router:
    return Router([Entry(r, r.path_regex, r.param_convertors, r.path, r.methods) for r in routes])


def scan(routes: list[Route], path: str) -> Route | None:
    """The loop of Starlette's router, for a table in which every method matches."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
    for route in routes:
        found, _ = route.matches(scope)
        if found is Match.FULL:
            return route
    return None


def fastest(action: Callable[[list[str]], None], path: str, count: int, rounds: int = 7) -> float:
    """Nanoseconds per path of the best round, each round with new path objects."""
    best = float("inf")
    for _ in range(rounds):
        paths = ["".join((path[0], path[1:])) for _ in range(count)]
        started = perf_counter_ns()
        action(paths)
        best = min(best, perf_counter_ns() - started)
    return best / count


def idle(paths: list[str]) -> None:
    for _ in paths:
        pass


def table_cost(router: Router, path: str, count: int) -> float:
    def look_up(paths: list[str]) -> None:
        match = router.match
        for item in paths:
            match("GET", item, None)

    return fastest(look_up, path, count) - fastest(idle, path, count)


def scan_cost(routes: list[Route], path: str, count: int) -> float:
    def look_up(paths: list[str]) -> None:
        for item in paths:
            scan(routes, item)

    return fastest(look_up, path, count) - fastest(idle, path, count)


def measure(title: str, template: str, example: str) -> None:
    """A table of one shape: %d in the template and in the path is the number of the route."""
    routes = [Route(template % i, endpoint) for i in range(ROUTES)]
    router = build_router(routes)
    built = timeit(lambda: build_router(routes), number=5) / 5 * 1e3
    for name, number in (("first", 0), ("last", ROUTES - 1)):
        path = example % number
        found = router.match("GET", path, None)
        assert found is not None and found.entry.target is scan(routes, path) is routes[number]
        table = table_cost(router, path, 20_000)
        linear = scan_cost(routes, path, 20 if number else 2_000)
        print(f"{title:<24} {name:<6} {table:>8.0f} ns {linear:>12,.0f} ns {linear / table:>8,.0f}x {built:>7.1f} ms")


def main() -> None:
    print(f"{'route':<24} {'of ' + str(ROUTES):<6} {'table':>9} {'linear scan':>16} {'':>8} {'build':>8}")
    measure("static", "/api/items%d", "/api/items%d")
    measure("{x}", "/api/items%d/{x}", "/api/items%d/abc")
    measure("{x:int}", "/api/items%d/{x:int}", "/api/items%d/42")
    measure("{x}/y/{z:int}", "/api/items%d/{x}/y/{z:int}", "/api/items%d/abc/y/42")
    measure("{x:uuid}", "/api/items%d/{x:uuid}", "/api/items%d/12345678-1234-5678-1234-567812345678")
    measure("{x:path}", "/api/items%d/{x:path}", "/api/items%d/a/b/c")
    measure("{x}.{y} (regex)", "/api/items%d/{x}.{y}", "/api/items%d/a.txt")


if __name__ == "__main__":
    main()
