"""Large bodies: what they consist of, and the files in which the servers and the clients find them."""

from __future__ import annotations

import json
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "LOAD_FOLDER"
"""Environment variable that names the folder, for the applications."""

READABLE = 0o755
BLOB_SIZE = 100_000_000
CATALOGUE_SIZE = 80_000
PAGE_SIZE = 1_000
BOUNDARY = "load-boundary"


def folder() -> Path:
    """Return the folder of the files; KeyError if nobody has made one."""
    return Path(os.environ[FOLDER_VARIABLE])


def entry(number: int) -> dict[str, Any]:
    """Return one of the entries of which large JSON consists."""
    return {"id": number, "name": f"Item {number}", "price": number + 0.25, "tags": ["home", "light"]}


def page() -> list[dict[str, Any]]:
    """Return 1,000 entries, about 70 KB of JSON."""
    return [entry(number + 10_000) for number in range(PAGE_SIZE)]


@cache
def blob() -> bytes:
    """Return 100 MB that no algorithm makes smaller and that are the same each time."""
    piece = random.Random(1).randbytes(1_000_000)
    return piece * (BLOB_SIZE // len(piece))


@cache
def catalogue() -> bytes:
    """Return a JSON document of about 10 MB."""
    entries = [{**entry(number), "about": "x" * 30} for number in range(CATALOGUE_SIZE)]
    return json.dumps({"entries": entries}).encode()


@cache
def form() -> bytes:
    """Return the blob as a file in a multipart form."""
    disposition = 'form-data; name="file"; filename="blob"'
    head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
    return head.encode() + blob() + f"\r\n--{BOUNDARY}--\r\n".encode()


PAYLOADS = {"blob": blob, "catalogue": catalogue, "form": form}


def write_files(target: Path) -> None:
    """Write what the servers send to a folder, where workers of nginx can read it if root has started it."""
    target.chmod(READABLE)
    (target / "blob").write_bytes(blob())
