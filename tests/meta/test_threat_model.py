"""The tests that the threat model names exist, and so do its options, with the defaults it gives."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from turboapi.server.config import options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
OPTION = re.compile(r"`(--[\w-]+)`(?: \((\d[^\s)]*?)(?:, [^)]*)?\))?")
SECTION = re.compile(r"^### (.+)$", re.MULTILINE)


@cache
def functions(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.exists():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "name"))


def sections() -> Iterator[tuple[str, str]]:
    _, *parts = SECTION.split(PAGE)
    yield from zip(parts[::2], parts[1::2], strict=True)


def test_the_tests_exist() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 50
    missing = [f"{file}::{name}" for file, name in named if name and name not in functions(file)]
    assert missing + [file for file, _ in named if not (ROOT / file).exists()] == []


def test_what_is_stopped_is_shown_by_a_test() -> None:
    """What Python or OpenSSL does is not ours to show."""
    unproved = [title for title, text in sections() if "**Stopped by**" in text and not TEST.search(text)]
    assert unproved == ["Hash flooding"]


def test_the_options_exist_and_have_these_defaults() -> None:
    known = {option.flag: option.shown_default for option in options()}
    switches = {option.flag.replace("--", "--no-", 1) for option in options() if option.type is bool}
    for flag, default in OPTION.findall(PAGE):
        assert flag in known.keys() | switches, flag
        assert not default or default == known[flag], (flag, default)
