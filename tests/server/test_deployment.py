"""The files for deployments in examples/deployment: what reads them accepts them, and their times fit the server's.

nginx runs with its file in test_proxies.py.
"""

import contextlib
import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.running import PATIENCE, ROOT, Running
from turboapi.server.config import ServerConfig, options
from turboapi.server.worker import ABORT_GRACE

FILES = Path(ROOT) / "examples" / "deployment"
UNITS = ("shop.service", "shop.socket")
APP = """
import os
from turboapi import TurboAPI
app = TurboAPI()
@app.get("/")
def root(): return os.getpid()
"""


def lines_of(unit, key):
    return re.findall(rf"^{key}=(.*)$", (FILES / unit).read_text(), re.MULTILINE)


def seconds_after_sigterm():
    """The time a server may take to stop, but for the application's own shutdown."""
    return ServerConfig().timeout_graceful_shutdown + ABORT_GRACE


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_units(tmp_path):
    for name in UNITS:
        text = (FILES / name).read_text().replace("/srv/shop/.venv/bin/turboapi", f"{sys.executable} -m turboapi")
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_have_options_that_exist():
    [command] = lines_of("shop.service", "ExecStart")
    [container] = re.findall(r"^CMD (.*)$", (FILES / "Dockerfile").read_text(), re.MULTILINE)
    for arguments in (shlex.split(command), json.loads(container)):
        assert arguments[0].endswith("turboapi") and arguments[1] == "run"
        given = {argument for argument in arguments if argument.startswith("--")}
        assert given <= {option.flag for option in options()}


def test_systemd_waits_for_the_server_to_stop():
    [seconds] = lines_of("shop.service", "TimeoutStopSec")
    assert int(seconds) > seconds_after_sigterm()


@pytest.fixture
def manifests():
    """The manifests by their kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())}


@pytest.fixture
def container(manifests):
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture
def configuration(container):
    environ = {variable["name"]: variable["value"] for variable in container["env"]}
    assert environ.keys() <= {option.env for option in options()}
    return ServerConfig.load(environ)


def test_kubernetes_waits_for_the_server_to_stop(manifests, configuration):
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    needed = configuration.shutdown_delay + configuration.timeout_graceful_shutdown + ABORT_GRACE
    assert pod["terminationGracePeriodSeconds"] > needed


def test_kubernetes_notices_the_stop_before_connections_are_refused(container, configuration):
    probe = container["readinessProbe"]
    assert probe["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == configuration.health_path
    assert probe["periodSeconds"] * probe["failureThreshold"] <= configuration.shutdown_delay
    alive = container["livenessProbe"]
    stopping = configuration.shutdown_delay + configuration.timeout_graceful_shutdown
    assert alive["httpGet"]["path"] == configuration.health_path
    assert alive["periodSeconds"] * alive["failureThreshold"] > stopping


def test_kubernetes_selects_the_pods(manifests):
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


ACTIVATE = "systemd-socket-activate"


@pytest.mark.skipif(shutil.which(ACTIVATE) is None, reason=f"needs {ACTIVATE}")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_client_starts_the_server(tmp_path, workers):
    """The real systemd-socket-activate: it listens, and becomes the server when somebody connects."""
    (tmp_path / "main.py").write_text(APP)
    path = str(tmp_path / "app.sock")
    server = [sys.executable, "-m", "turboapi", "run", "--workers", workers, "main:app"]
    becoming = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    program = ["-c", becoming, ACTIVATE, "-l", path, "-E", f"PYTHONPATH={ROOT}", *server]
    running = Running(cwd=tmp_path, program=program)
    try:
        running.wait_for(running.err, "Listening on")
        with contextlib.closing(http.client.HTTPConnection("shop", timeout=PATIENCE)) as client:
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.settimeout(PATIENCE)
            client.sock.connect(path)
            client.request("GET", "/")
            answering = int(client.getresponse().read())
            assert (answering == running.process.pid) is (workers == "1")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    finally:
        running.process.kill()
