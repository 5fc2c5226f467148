"""Several workers, each test with processes of its own: signals are sent to them, and clients look on."""

import collections
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.running import PATIENCE, Running, environment

APP = """
import asyncio
import atexit
import os
import time

VERSION = "one"
PID = str(os.getpid())

def note(*words):
    os.write(1, " ".join([*words, PID]).encode() + b"\\n")

atexit.register(note, "exit")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] in ("/slow", "/stuck"):
        note("waiting")
        await asyncio.sleep(1 if scope["path"] == "/slow" else 3600)
    if scope["path"] == "/block":
        note("blocking")
        time.sleep(3600)
    if scope["path"] == "/exit":
        os._exit(3)
    body = f"{VERSION} {os.getpid()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def project(tmp_path):
    """A directory with an application."""
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture
def start(project):
    """`start(*options)`: a running server of two workers; it and its workers are killed after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options, wait=True, **given):
            given = {"WEB_CONCURRENCY": "2", "PYTHONDONTWRITEBYTECODE": "1", **given}
            server = Running("main:app", "--no-access-log", *options, cwd=project, **given)
            stack.callback(server.ended)
            stack.callback(server.kill)
            if wait:
                until(lambda: server.marks("Application startup complete") >= int(given["WEB_CONCURRENCY"]))
            return server

        yield start


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def pid_of(server):
    """The worker that answers a new connection."""
    return int(server.get().split()[1])


def workers(server):
    """The workers that have answered one of many connections."""
    return {pid_of(server) for _ in range(50)}


def is_running(pid):
    """Whether the process is there and not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Clients:
    """Threads that ask again and again within a `with` block: each on one connection, or on new ones."""

    def __init__(self, server, count=4):
        self.server = server
        self.done = threading.Event()
        self.answers = collections.Counter()
        self.failures = []
        self.threads = [threading.Thread(target=self.ask, args=(number % 2 == 0,)) for number in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join(PATIENCE)

    def ask(self, keep):
        connection = self.server.connect()
        while not self.done.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                self.answers[response.read().decode()] += 1
                if not keep or response.getheader("connection") == "close":
                    connection.close()
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(exc)
                connection.close()
        connection.close()

    def seen(self, version):
        """The workers that have answered so."""
        return {text.split()[1] for text in list(self.answers) if text.startswith(version)}


def test_all_of_them_serve_and_shut_down(start):
    server = start(WEB_CONCURRENCY="3")
    pids = workers(server)
    assert len(pids) == 3 and server.process.pid not in pids
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert sorted(server.out) == sorted(f"{word} {pid}" for pid in pids for word in ("shutdown", "exit"))
    assert server.marks("running on") == 1
    assert server.err[0] == f"INFO:     Started parent process [{server.process.pid}]"
    assert server.err[-1] == f"INFO:     Stopped parent process [{server.process.pid}]"


def test_nothing_of_the_access_log_is_lost_at_the_end(start):
    server = start("--access-log", "--access-log-format", "json")
    with contextlib.closing(server.connect()) as connection:
        for number in range(100):
            connection.request("GET", f"/{number}")
            connection.getresponse().read()
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    paths = [json.loads(line)["path"] for line in server.out if line.startswith("{")]
    assert paths == [f"/{number}" for number in range(100)]


def status_of(server, path):
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status


def test_the_health_path_says_that_all_of_them_will_stop_while_they_go_on(start):
    server = start("--health-path", "/health", "--shutdown-delay", "3600")
    victim = pid_of(server)
    assert [status_of(server, "/health") for _ in range(10)] == [200] * 10
    server.signal(signal.SIGTERM)
    server.wait_for(server.err, "Going on for 3600 seconds, as shutdown_delay says")
    until(lambda: {status_of(server, "/health") for _ in range(20)} == {503})
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(workers(server) - {victim}) == 2)
    until(lambda: {status_of(server, "/health") for _ in range(20)} == {503})
    assert server.marks("Shutting down") == 0
    server.signal(signal.SIGTERM)
    assert server.ended() == 1  # it has waited for nothing


def test_the_delay_ends(start):
    server = start("--shutdown-delay", "0.3")
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.marks("Going on for 0.3 seconds") == 1 and server.marks("Application shutdown complete") == 2


def test_a_worker_that_is_replaced_does_not_say_that_it_will_stop(start):
    server = start("--health-path", "/health", "--shutdown-delay", "3600")
    connection = server.connect()
    with contextlib.closing(connection):
        connection.request("GET", "/slow")
        server.wait_for(server.out, "waiting")
        server.signal(signal.SIGHUP)
        server.wait_for(server.err, "All workers are replaced")
        assert {status_of(server, "/health") for _ in range(20)} == {200}
        connection.getresponse().read()


@pytest.mark.parametrize("to_all", [False, True])
def test_running_requests_are_answered_before_the_end_and_nobody_else_gets_in(start, to_all):
    """Also when every process gets the signal, as with `systemctl stop`, and the supervisor passes it on."""
    server = start()
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/slow")
        server.wait_for(server.out, "waiting")
        (os.killpg if to_all else os.kill)(server.process.pid, signal.SIGTERM)
        until(lambda: server.marks("Shutting down") == 2)
        with pytest.raises(ConnectionRefusedError):
            until(lambda: server.get() is None)
        assert connection.getresponse().read().startswith(b"one ")
    assert server.ended() == 0


def test_a_second_signal_waits_for_nothing(start):
    server = start()
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/stuck")
        server.wait_for(server.out, "waiting")
        server.interrupt()
        server.wait_for(server.err, "Waiting for connections to close")
        server.interrupt()
        assert server.ended() == 1


def test_a_killed_worker_is_replaced_and_costs_no_request_but_its_own(start):
    server = start()
    pids = workers(server)
    with Clients(server) as clients:
        for _ in range(2):
            victim = pid_of(server)
            os.kill(victim, signal.SIGKILL)
            server.wait_for(server.err, rf"Worker \[{victim}\] has died \(killed by SIGKILL\); starting another one")
            before = clients.answers.total()
            until(lambda before=before: clients.answers.total() > before + 50)
        until(lambda: len(workers(server)) == 2)
    # At most the request that each client had on its way to the victim; a client that connects anew is not refused.
    assert len(clients.failures) <= 2 * len(clients.threads)
    assert not [exc for exc in clients.failures if isinstance(exc, ConnectionRefusedError)]
    assert not workers(server) & pids & {victim}


def test_who_waits_in_the_queue_of_a_killed_worker_is_answered(start):
    server = start()
    port = server.connect().port
    pids = workers(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(20)]
        for client in clients:
            client.settimeout(PATIENCE)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert {client.recv(65536).split()[1] for client in clients} == {b"200"}


def test_a_worker_that_hangs_is_helped_out_and_killed(start):
    server = start("--timeout-worker-healthcheck", "3")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/block")
        victim = server.wait_for(server.out, r"blocking (\d+)")[1]
        with Clients(server) as clients:
            server.wait_for(server.err, rf"Worker \[{victim}\] has not answered for 3 seconds; killing it")
            server.wait_for(
                server.err, rf"Worker \[{victim}\] has died \(killed by SIGKILL\); starting another one now"
            )
            until(lambda: len(clients.seen("one") - {victim}) == 2)
        assert clients.failures == [] and not clients.seen("one") & {victim}
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()


def test_the_others_listen_for_a_worker_that_hangs(start):
    """Long before it is killed."""
    server = start()
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/block")
        server.wait_for(server.out, "blocking")
        assert len(workers(server)) == 1


def test_the_workers_are_replaced_one_by_one_without_a_failed_request(start, project):
    server = start()
    with Clients(server) as clients:
        until(lambda: len(clients.seen("one")) == 2)
        (project / "main.py").write_text(APP.replace('"one"', '"two"'))
        for _ in range(2):  # the second one comes while the first is at work
            server.signal(signal.SIGHUP)
        server.wait_for(server.err, "All workers are replaced")
        until(lambda: len(clients.seen("two")) >= 2)
    assert clients.failures == []
    until(lambda: server.get().startswith("two "))  # the last of the old ones may be closing its sockets just now
    server.signal(signal.SIGTERM)
    assert server.ended() == 0


def test_workers_stay_when_their_successors_cannot_start(start, project):
    server = start()
    pids = workers(server)
    (project / "main.py").write_text("1 / 0")
    server.signal(signal.SIGHUP)
    server.wait_for(server.err, r"Worker \[\d+\] has failed to start \(exit code 1\); the others stay")
    server.wait_for(server.err, "Error: 'main' failed while it was imported: ZeroDivisionError")
    assert workers(server) == pids


def test_their_number_can_be_changed(start):
    server = start()
    first = workers(server)
    with Clients(server) as clients:
        server.signal(signal.SIGTTIN)
        until(lambda: len(clients.seen("one")) == 3)
        for left in (2, 1):
            server.signal(signal.SIGTTOU)
            server.wait_for(server.err, f"Changing to {left} workers")
        server.signal(signal.SIGTTOU)  # one stays
        until(lambda: server.marks("Finished server process") == 2)
        assert len(workers(server)) == 1
    assert clients.failures == []
    assert server.marks("Changing to") == 3
    assert len(workers(server) & first) == 1


def test_no_worker_outlives_its_supervisor(start):
    server = start()
    pids = workers(server)
    server.signal(signal.SIGKILL)
    assert server.ended() == -signal.SIGKILL  # and all who print to its pipes
    until(lambda: not any(map(is_running, pids)))  # they close their pipes a moment before
    assert server.marks("has gone; stopping") == server.marks("Application shutdown complete") == 2


def test_one_that_dies_again_and_again_is_started_less_and_less_often(start, project):
    server = start()
    (project / "main.py").write_text("import os; os._exit(9)")
    os.kill(pid_of(server), signal.SIGKILL)
    server.wait_for(
        server.err, r"has died \(exit code 9\); starting another one in 1 seconds, as it is failure 2 in a row"
    )
    server.wait_for(server.err, r"starting another one in 2 seconds, as it is failure 3 in a row")
    assert len(workers(server)) == 1
    (project / "main.py").write_text(APP)
    until(lambda: len(workers(server)) == 2)


def test_a_worker_that_is_used_up_makes_room_for_another_one(start):
    server = start("--limit-max-requests", "20", "--limit-max-requests-jitter", "10")
    first = workers(server)
    with Clients(server) as clients:
        until(lambda: len(clients.seen("one")) >= 6 and not workers(server) & first)
    assert clients.failures == []
    assert server.marks("requests, as limit_max_requests says") >= 2
    assert server.marks("has died") == 0


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("1 / 0", 1, "Error: 'main' failed while it was imported: ZeroDivisionError: division by zero"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 1, "ERROR:    Worker [{}] has ended before it was"),
        ("app = 3", 1, "Error: 'main:app' is not an application, but an int"),
    ],
)
def test_what_prevents_the_start_is_said_once(start, project, source, code, line):
    (project / "main.py").write_text(source)
    server = start(wait=False, WEB_CONCURRENCY="3")
    assert server.ended() == code
    pattern = re.escape(line).replace(r"\{\}", r"\d+")
    assert sum(re.match(pattern, text) is not None for text in server.err) == 1


def test_a_taken_port_is_noticed_before_any_worker_is_started(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "turboapi", "run", "main:app", "--workers", "2", "--port", port],
            cwd=project, env=environment(), capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, f"Error: cannot listen on 0.0.0.0:{port}: address already in use\n")


def test_a_unix_socket_is_shared_and_goes_with_the_supervisor(start, project):
    server = start("--uds", "app.sock")
    path = str(project / "app.sock")

    def pid():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.makefile().read().split()[-1]

    victim = pid()
    os.kill(int(victim), signal.SIGKILL)
    assert pid() != victim
    server.wait_for(server.err, "has died")
    server.signal(signal.SIGHUP)
    server.wait_for(server.err, "All workers are replaced")
    assert os.path.exists(path) and pid() != victim
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not os.path.exists(path)


SCRIPT = """
import atexit, os, sys
from turboapi import TurboAPI
app = TurboAPI()
atexit.register(lambda: print("script ends", flush=True))
@app.get("/")
async def root(): return f"one {os.getpid()}"
if __name__ == "__main__":
    app.run(port=0, workers=2)
    print("after run", flush=True)
"""


def test_an_application_that_is_an_object_is_served_by_copies_of_its_process(project):
    (project / "script.py").write_text(SCRIPT)
    server = Running(program=["script.py"], cwd=project)
    try:
        until(lambda: server.marks("Application startup complete") == 2)
        assert server.get().startswith('"one ')
        server.signal(signal.SIGHUP)
        server.wait_for(server.err, "All workers are replaced")
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        assert [line for line in server.out if "HTTP" not in line] == ["after run", "script ends"]
    finally:
        server.kill()


def test_a_preloaded_application_is_imported_once(start, project):
    (project / "main.py").write_text(APP + "\nnote('import')")
    server = start("--preload")
    assert len(workers(server)) == 2
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.marks("import ") == 1
