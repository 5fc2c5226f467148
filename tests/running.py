"""The `turboapi` command in a process of its own: its lines as they come, and requests to it."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import turboapi

PATIENCE = 30.0
ROOT = str(Path(turboapi.__file__).parent.parent)


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURBOAPI_") and name != "PORT"}
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "80", "NO_COLOR": "1", **variables}


class Running:
    """A server process: its lines as they come, and requests to it."""

    def __init__(self, *arguments, cwd, command="run", program=(), pass_fds=(), preexec_fn=None, **variables):
        program = program or ["-m", "turboapi", command, *arguments, "--port", "0"]
        self.process = process = subprocess.Popen(
            [sys.executable, *program],
            cwd=cwd,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=preexec_fn,
        )
        self.out, self.err = [], []
        self.news = threading.Condition()
        pairs = [(process.stdout, self.out), (process.stderr, self.err)]
        self.readers = [threading.Thread(target=self.read, args=pair) for pair in pairs]
        for reader in self.readers:
            reader.start()

    def read(self, stream, lines):
        with stream:
            for line in stream:
                with self.news:
                    lines.append(line.rstrip("\n"))
                    self.news.notify_all()

    def wait_for(self, lines, pattern):
        """The match of `pattern` in one of `lines`, now or later."""

        def found():
            return next(filter(None, (re.search(pattern, line) for line in lines)), None)

        with self.news:
            assert self.news.wait_for(found, PATIENCE), (pattern, self.out, self.err)
        return found()

    def connect(self):
        port = int(self.wait_for(self.err, r"running on http://\S+:(\d+) ")[1])
        return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def get(self, path="/"):
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def signal(self, number):
        self.process.send_signal(number)

    def interrupt(self):
        """What Ctrl-C does: every process of the terminal gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self):
        """Kill every process of the server that is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def marks(self, text):
        """How often a line with this text has been printed so far."""
        return sum(text in line for line in (*self.out, *self.err))

    def wait_for_another(self, text, before):
        """Returns once there are more such lines than `before`."""
        with self.news:
            assert self.news.wait_for(lambda: self.marks(text) > before, PATIENCE), (text, self.out, self.err)

    def ended(self):
        """The exit code, when there is one."""
        code = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        return code
