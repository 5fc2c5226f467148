"""The version is stated once in pyproject.toml, and the changelog and the package agree with it."""

import re
import tomllib
from pathlib import Path

import turboapi

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_newest_changelog_heading_is_the_version() -> None:
    headings = re.findall(r"^## \[?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION


def test_package_states_the_version() -> None:
    assert turboapi.__version__ == VERSION
