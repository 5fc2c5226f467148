"""Count the instructions that the server takes for a request of each kind, and compare with the counts kept.

`python -m benchmarks.instructions [--update] [ROW …]`. Exit code 1: a row takes more than `TOLERANCE` above its count
in `benchmarks/results/instructions.json`. `--update` writes that file instead; the commit says why it had to be.

Counts of one Python version say nothing about another, nor does one kind of processor about another: they are kept
for each by itself, and where none are kept, none are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .replay import COUNTED, rows

TOLERANCE = 0.05
KEPT = Path(__file__).parents[1] / "results" / "instructions.json"


def count(names: list[str], folder: str) -> dict[str, int]:
    """Return the instructions per request of each row."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit("valgrind is needed to count instructions (Debian package `valgrind`).")
    command = [valgrind, "--tool=callgrind", "--dump-before=getloadavg", f"--callgrind-out-file={folder}/count"]
    replay = [sys.executable, "-m", "benchmarks.instructions.replay", *names]
    # Without randomness: hashes decide how dicts are laid out.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([*command, *replay], check=True, env=environment, stderr=subprocess.DEVNULL)
    # count.1 is what came before the first row, count.2 the first row, count.3 what came between, …
    return {name: total(Path(folder, f"count.{2 * index + 2}")) // COUNTED for index, name in enumerate(names)}


def total(dump: Path) -> int:
    """Return the sum of a callgrind dump."""
    found = re.search(r"^(?:summary|totals): (\d+)$", dump.read_text(), re.MULTILINE)
    assert found is not None, dump
    return int(found[1])


def report(counts: dict[str, int], kept: dict[str, int]) -> list[str]:
    """Print the counts beside those that are kept; return the names of the rows that have grown too much."""
    grown = []
    print(f"{'row':28} {'instructions':>12} {'kept':>8} {'change':>8}")
    for name, now in counts.items():
        before = kept.get(name)
        change = "" if before is None else f"{now / before - 1:+.1%}"
        if before is not None and now > before * (1 + TOLERANCE):
            grown.append(name)
        print(f"{name:28} {now:12,} {'' if before is None else f'{before:,}':>8} {change:>8}")
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Instructions per request.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all without any")
    parser.add_argument("--update", action="store_true", help="keep these counts")
    options = parser.parse_args()
    known = list(rows())
    if unknown := [name for name in options.rows if name not in known]:
        parser.error(f"unknown row: {', '.join(unknown)}; known are: {', '.join(known)}")
    major, minor, _ = platform.python_version_tuple()
    environment = f"{platform.python_implementation()} {major}.{minor} {platform.machine()}"
    everything: dict[str, dict[str, int]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        counts = count([name for name in known if not options.rows or name in options.rows], folder)
    kept = everything.get(environment, {})
    grown = report(counts, kept)
    if options.update:
        everything[environment] = {**kept, **counts}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(everything, indent=2) + "\n")
    elif not kept:
        print(f"No counts are kept for {environment}: nothing was compared.")
    elif grown:
        sys.exit(f"More than {TOLERANCE:.0%} above what is kept: {', '.join(grown)}")


if __name__ == "__main__":
    main()
