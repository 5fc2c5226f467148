"""Links between the pages of the documentation lead somewhere, and the options they show exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from turboapi.server.config import options

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"\bturboapi run\b[^\n`#]*")


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get: lower case, spaces as hyphens, punctuation dropped."""
    headings = HEADING.findall(CODE.sub(lambda code: code[0].strip("`").partition("\n")[0], page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in LINK.finditer(CODE.sub("", page.read_text())):
        target = page.parent / link["file"] if link["file"] else page
        if not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target)):
            yield link[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_shown_exist(page: Path) -> None:
    known = {"--help", "--alias"}
    for option in options():
        known |= {option.flag, option.flag.replace("--", "--no-", 1)} if option.type is bool else {option.flag}
    shown = {flag for command in COMMAND.findall(page.read_text()) for flag in re.findall(r"--[\w-]+", command)}
    assert sorted(shown - known) == []
