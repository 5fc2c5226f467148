"""What a figure depends on: machine, kernel, versions, command lines."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "turboapi",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "msgspec",
    "pydantic",
    "pydantic-core",
    "anyio",
    "opentelemetry-api",
)

NOT_INSTALLED = "not installed"


def collect(
    settings: dict[str, Any],
    commands: dict[str, str],
    scripts: dict[str, str],
    load_average: tuple[float, ...],
    packages: Iterable[str],
) -> dict[str, Any]:
    """Return the facts of one run, JSON-ready; `packages` are distributions beside those of `PACKAGES`."""
    return {
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_average_before": load_average,
        },
        "versions": {
            "python": platform.python_version(),
            "nginx": first_line("nginx", "-v"),
            "wrk": first_line("wrk", "-v"),
            **{name: package_version(name) for name in dict.fromkeys((*PACKAGES, *packages))},
        },
        "settings": settings,
        "commands": commands,
        "wrk_scripts": scripts,
    }


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_INSTALLED


def first_line(*command: str) -> str:
    """Return the first line a tool prints of its version (nginx and wrk exit differently, wrk with 1)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        return NOT_INSTALLED
    return (done.stdout + done.stderr).partition("\n")[0]
