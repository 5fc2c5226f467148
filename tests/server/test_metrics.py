"""`--metrics-port`: what one process shows, and what several show together, also when some of them die."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import PATIENCE
from tests.running import Running, environment
from tests.server.test_supervisor import until, workers
from turboapi import TurboAPI
from turboapi.middleware import MetricsMiddleware
from turboapi.server import ServerConfig, ServerError, StartupError, metrics
from turboapi.server.supervisor import run_workers

APP = """
import os
from turboapi import TurboAPI
from turboapi.middleware import MetricsMiddleware
app = TurboAPI()
app.add_middleware(MetricsMiddleware, exclude_paths=["/"])
@app.get("/")
async def root(): return f"one {os.getpid()} "
@app.get("/items/{item_id}")
async def item(item_id: int): return item_id
"""


def scrape(port, path="/metrics"):
    """The samples by name and label values."""
    text = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=PATIENCE).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_one_process(serve):
    app = TurboAPI()
    app.add_middleware(MetricsMiddleware)
    entered, gate = threading.Event(), threading.Event()

    @app.get("/of-one-process/{name}")
    async def of_one_process(name: str):
        return name

    @app.get("/gate", sync_mode="thread")
    def wait():
        entered.set()
        assert gate.wait(PATIENCE)

    with serve(app, metrics_port=0) as served, httpx.Client(base_url=served.url, trust_env=False) as client:
        port = served.server.metrics_port
        assert port != served.port
        for number in range(3):
            client.get(f"/of-one-process/{number}")
        until(lambda: scrape(port).get(("http_requests_total", "GET", "/of-one-process/{name}", "200")) == 3)
        until(lambda: scrape(port)[("turboapi_connections",)] == 1)
        assert scrape(port)[("turboapi_worker_starts_total",)] >= 1
        assert not any("/metrics" in labels for labels in scrape(port))
        waiting = threading.Thread(target=client.get, args=("/gate",))
        waiting.start()
        assert entered.wait(PATIENCE)
        before = scrape(port)[("http_requests_in_progress",)]
        gate.set()
        waiting.join(PATIENCE)
        until(lambda: scrape(port)[("http_requests_in_progress",)] == before - 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_calls_that_wait_for_a_thread_and_functions_that_need_none(serve):
    app = TurboAPI()
    gate = threading.Event()

    @app.get("/gate", sync_mode="thread")
    def wait():
        assert gate.wait(PATIENCE)

    @app.get("/short")
    def short():
        return 1

    with serve(app, metrics_port=0) as served, httpx.Client(base_url=served.url, trust_env=False) as client:
        port = served.server.metrics_port
        threads = [
            threading.Thread(target=httpx.get, args=(served.url + "/gate",), kwargs={"trust_env": False, "timeout": 60})
            for _ in range(43)
        ]
        for thread in threads:
            thread.start()
        until(lambda: scrape(port)[("turboapi_thread_queue",)] == 3)
        gate.set()
        for thread in threads:
            thread.join(PATIENCE)
        until(lambda: scrape(port)[("turboapi_thread_queue",)] == 0)
        before = scrape(port)[("turboapi_inline_functions",)]

        def has_proved_short():
            client.get("/short")
            return metrics.count_inline() > 0

        until(has_proved_short)
        until(lambda: scrape(port)[("turboapi_inline_functions",)] == before + 1)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "main.py").write_text(APP)
    given = {"WEB_CONCURRENCY": "2", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)}
    running = Running("main:app", "--no-access-log", "--metrics-port", "0", cwd=tmp_path, **given)
    yield running
    running.kill()
    running.ended()


def metrics_port_of(server):
    return int(server.wait_for(server.err, r"Metrics on http://\S+:(\d+)/metrics")[1])


def ask(server, count):
    for number in range(count):
        connection = server.connect()
        connection.request("GET", f"/items/{number}")
        assert connection.getresponse().read() == str(number).encode()
        connection.close()


def test_several_workers_one_of_which_dies(server, tmp_path):
    port = metrics_port_of(server)
    requests = ("http_requests_total", "GET", "/items/{item_id}", "200")
    until(lambda: len(workers(server)) == 2)
    ask(server, 30)
    until(lambda: scrape(port)[requests] == 30)
    assert scrape(port)[("http_request_duration_seconds_count", "GET", "/items/{item_id}")] == 30
    held = [server.connect() for _ in range(5)]
    for connection in held:
        connection.connect()
    until(lambda: scrape(port)[("turboapi_connections",)] == 5)
    for pid in workers(server):
        os.kill(pid, signal.SIGKILL)
    until(lambda: scrape(port)[("turboapi_worker_starts_total",)] == 4 and len(workers(server)) == 2)
    until(lambda: scrape(port)[("turboapi_connections",)] == 0)  # those of the dead are gone
    ask(server, 12)
    until(lambda: scrape(port)[requests] == 42)
    for connection in held:
        connection.close()
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["main.py"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_process_that_shows_them_is_replaced_too(server):
    port = metrics_port_of(server)
    until(lambda: len(workers(server)) == 2)
    pids = [int(found[1]) for line in server.err if (found := re.search(r"server process \[(\d+)\]", line))]
    [shows] = set(pids) - workers(server)
    os.kill(shows, signal.SIGKILL)
    server.wait_for(server.err, r"The process that shows the metrics has died \(killed by SIGKILL\)")
    ask(server, 3)
    until(lambda: scrape(port)[("http_requests_total", "GET", "/items/{item_id}", "200")] == 3)


def test_nobody_outlives_the_supervisor(server):
    port = metrics_port_of(server)
    until(lambda: scrape(port))
    server.signal(signal.SIGKILL)
    assert server.ended() == -signal.SIGKILL  # and all who print to its pipes
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_that_all_processes_are_stopped_at_once_is_no_error(server):
    port = metrics_port_of(server)
    until(lambda: scrape(port))
    os.killpg(server.process.pid, signal.SIGTERM)  # as systemd does it
    assert server.ended() == 0
    assert server.marks("ERROR") == 0


def test_a_taken_port(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}"),
            serve(TurboAPI(), metrics_port=port),
        ):
            pass


@pytest.mark.parametrize("start", [metrics.bind_port, lambda config: run_workers("main:app", config)])
def test_without_the_library(monkeypatch, start):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delenv(metrics.DIRECTORY, raising=False)
    with pytest.raises(ServerError, match=r'^metrics_port needs prometheus-client: pip install "turboapi\[metrics\]"$'):
        start(ServerConfig(metrics_port=0, workers=2))
    assert metrics.DIRECTORY not in os.environ


def test_a_program_that_has_imported_the_library_too_early(tmp_path):
    (tmp_path / "script.py").write_text(
        "import prometheus_client\nfrom turboapi import TurboAPI\nTurboAPI().run(port=0, workers=2, metrics_port=0)"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: metrics_port with several workers needs PROMETHEUS_MULTIPROC_DIR, set before the program starts\n"
    )


def test_nothing_is_there_without_the_option(serve):
    with serve(TurboAPI()) as served, pytest.raises(LookupError):
        _ = served.server.metrics_port
