"""Fuzz one target with libFuzzer, by way of Atheris.

`python -m tests.fuzz TARGET FOLDER [libFuzzer option …]`

FOLDER keeps the inputs that have shown something new; it is filled with the target's own ones first. Ends with an
error, and the input in a file beside FOLDER, when the target raises, crashes, or takes too long. The compiled modules
guide the mutations if they were built for it, as `nox -s fuzz` does.
"""

import hashlib
import logging
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import atheris

from tests.fuzz.targets import TARGETS, Target


def write_inputs(target: Target, folder: Path) -> Path:
    """Write the target's inputs to `folder`, and its words as libFuzzer's dictionary beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in (*target.seeds, *target.further):
        folder.joinpath(hashlib.sha1(data).hexdigest()).write_bytes(data)
    words = folder.with_suffix(".dict")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    return words


def main() -> None:
    name, folder, *options = sys.argv[1:]
    target = TARGETS[name]
    logging.disable()
    warnings.simplefilter("ignore", ResourceWarning)  # of the references
    failures: list[Any] = []
    sys.unraisablehook = failures.append

    def check(data: bytes) -> None:
        target.check(data)
        if failures:
            traceback.print_exception(failures[0].exc_value)
            raise AssertionError(f"an exception that could not be raised, in {failures[0].object}")

    words = write_inputs(target, Path(folder))
    defaults = [f"-dict={words}", f"-artifact_prefix={folder}-", "-timeout=20", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *defaults, *options, folder], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
