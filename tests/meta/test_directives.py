"""All extensions are compiled with the same Cython directives, stated on their first line."""

from pathlib import Path

import pytest

SPEEDUPS = Path(__file__).parents[2] / "turboapi" / "_speedups"
DIRECTIVES = (
    "# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True,"
    " freethreading_compatible=True"
)


@pytest.mark.parametrize("path", sorted(SPEEDUPS.glob("*.pyx")), ids=lambda path: path.stem)
def test_first_line_states_the_directives(path: Path) -> None:
    assert path.read_text().partition("\n")[0] == DIRECTIVES
