"""TurboAPI as the application of Ray Serve, on a real cluster of two nodes: `nox -s ray`."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs ray[serve]")

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def deploy():
    """`deploy("module:name")`: its URL, when it is served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of the nodes, and so of the replicas
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 4, "object_store_memory": 100_000_000}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)

            def deploy(target):
                command = [sys.executable, "-m", "tests.ray.deploy", cluster.address, str(port), target]
                done = subprocess.run(command, cwd=ROOT, timeout=PATIENCE, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                return f"http://127.0.0.1:{port}/{target.partition(':')[2]}"

            yield deploy
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def spread(deploy):
    return deploy("tests.ray.functions:spread")


@pytest.fixture(scope="module")
def counter(deploy):
    return deploy("tests.ray.methods:counter")


def client(url):
    return httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)


async def ask_often(url, times):
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as asking:
        answers = await asyncio.gather(*(asking.get(f"{url}/where") for _ in range(times)))
    return {tuple(answer.json()) for answer in answers}


def test_two_nodes_answer(spread):
    answering = asyncio.run(ask_often(spread, 8))
    assert len({node for node, _ in answering}) == 2


def test_requests_are_validated(spread):
    with client(spread) as asking:
        assert asking.post("/items/3", json={"name": "tea", "price": 1}).json() == {"name": "tea", "price": 1.0}
        wrong = asking.post("/items/three", json={"name": "tea"})
    assert wrong.status_code == 422
    assert [mistake["loc"] for mistake in wrong.json()["detail"]] == [["path", "number"], ["body", "price"]]


def test_the_document_knows_the_prefix(spread):
    with client(spread) as asking:
        document = asking.get("/openapi.json").json()
        assert "/spread/openapi.json" in asking.get("/docs").text
    assert document["servers"] == [{"url": "/spread"}]
    assert "/items/{number}" in document["paths"]


def test_websockets(spread):
    with websockets.sync.client.connect(spread.replace("http", "ws", 1) + "/ws") as websocket:
        for text in ("a", "b" * 100_000):
            websocket.send(text)
            assert websocket.recv() == text.upper()


def test_replicas_come_when_they_are_needed(deploy):
    url = deploy("tests.ray.functions:scaled")
    first = asyncio.run(ask_often(url, 1))
    assert len(first) == 1
    deadline = time.monotonic() + PATIENCE
    while len(asyncio.run(ask_often(url, 16))) == 1:
        assert time.monotonic() < deadline


def test_methods_of_the_deployment(counter):
    with client(counter) as asking:
        kinds = ["turboapi.compat.fastapi.applications.FastAPI", "turboapi.applications.TurboAPI"]
        assert asking.get("/class").json() == kinds
        before = asking.get("/count").json()["count"]
        assert asking.post("/count/5").json() == {"count": before + 5}  # added by another deployment
        assert asking.get("/count", params={"times": 2}).json() == {"count": 2 * (before + 5)}
        assert asking.post("/count/five").status_code == 422


def test_streams_arrive_part_by_part(counter):
    with client(counter) as asking, asking.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        assert httpx.post(f"{counter}/open", trust_env=False).status_code == 200
        assert list(lines) == ["second"]
