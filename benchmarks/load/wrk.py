"""Drive wrk: one Lua script per row, and its printed summary as numbers."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .rows import HOST, Row

SCRIPT = "request.lua"
GRACE = 30  # seconds that wrk may take beyond its duration
TO_MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}


class WrkError(Exception):
    """wrk failed, or printed something that is not its summary."""


@dataclass(frozen=True)
class Load:
    """What one wrk run saw."""

    requests: int
    seconds: float
    per_second: float
    p50_us: float
    p99_us: float
    socket_errors: int
    not_2xx_3xx: int

    def errors(self, status: int) -> int:
        """Count socket errors and, as far as wrk tells statuses apart, answers of another class than `status`."""
        wrong = self.not_2xx_3xx if status < 400 else self.requests - self.not_2xx_3xx
        return self.socket_errors + wrong


def lua_string(text: str) -> str:
    """Quote `text` as a Lua string, byte by byte where it is not plain ASCII."""
    return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\{b:03}" for c in text for b in c.encode()) + '"'


def lua_script(row: Row) -> str:
    """Return the wrk script that sends `row`'s request, `row.pipeline` of them at a time."""
    lines = [f"wrk.method = {lua_string(row.method)}"]
    lines += [f"wrk.headers[{lua_string(name)}] = {lua_string(value)}" for name, value in row.headers]
    if row.body:
        lines.append(f"wrk.body = {lua_string(row.body)}")
    if row.pipeline > 1:
        lines += [
            "local batch",
            f"init = function() batch = string.rep(wrk.format(), {row.pipeline}) end",
            "request = function() return batch end",
        ]
    return "\n".join(lines) + "\n"


def wrk_command(row: Row, port: int, core: int, connections: int, seconds: int) -> list[str]:
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
    return ["taskset", "-c", str(core), "wrk", *options, "--script", SCRIPT, f"http://{HOST}:{port}{row.path}"]


def run_wrk(command: list[str], row: Row, seconds: int) -> Load:
    """Run `command` where its script is the one for `row`; raise `WrkError` if wrk fails."""
    with tempfile.TemporaryDirectory(prefix="load-wrk-") as folder:
        Path(folder, SCRIPT).write_text(lua_script(row))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds + GRACE)
    if done.returncode:
        raise WrkError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return parse_summary(done.stdout)


def parse_summary(text: str) -> Load:
    """Read the summary that `wrk --latency` prints; raise `WrkError` where a figure is missing."""
    requests, seconds = search(r"(\d+) requests in ([\d.]+\w+),", text)
    return Load(
        requests=int(requests),
        seconds=microseconds(seconds) / 1e6,
        per_second=float(search(r"Requests/sec:\s+([\d.]+)", text)[0]),
        p50_us=microseconds(search(r"\s50%\s+([\d.]+\w+)", text)[0]),
        p99_us=microseconds(search(r"\s99%\s+([\d.]+\w+)", text)[0]),
        socket_errors=total(r"Socket errors: .+", text),
        not_2xx_3xx=total(r"responses: \d+", text),
    )


def search(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise WrkError(f"no {pattern!r} in wrk's output:\n{text}")
    return tuple(map(str, found.groups()))


def total(pattern: str, text: str) -> int:
    """Add up the numbers of the line that matches; wrk prints none when there is nothing to report."""
    return sum(int(number) for line in re.findall(pattern, text) for number in re.findall(r"\d+", line))


def microseconds(text: str) -> float:
    """Read a time as wrk prints it, such as `512.00us`, `1.23ms` or `4.10s`."""
    number, unit = search(r"^([\d.]+)([a-z]+)$", text)
    return float(number) * TO_MICROSECONDS[unit]
