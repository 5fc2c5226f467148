"""`python -m benchmarks.load.chart RUN.json [--rows LIST] > CHART.svg`: CPU time per request as bars.

The picture adapts to light and dark mode, and needs nothing else: no font, no script, no library.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .peers import PEERS
from .rows import ROWS

CHOSEN = ("hello", "path", "json", "deps")
"""Rows of a chart for which none are asked for, as far as they were measured."""

WIDTH = 720
LABEL = 150  # width of the names
VALUE = 70  # width of the figures
BAR, STEP = 14, 20  # height of a bar, and of a bar with its gap
TITLE, GAP = 30, 16  # height of the title of a row, and of the gap after its bars
HEAD = 44
HEADLINE = "CPU µs per request (less is better)"
LABELS = {"fastapi": "FastAPI, uvicorn", "turboapi": "TurboAPI", **{peer.name: peer.title for peer in PEERS.values()}}
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.head { font-size: 16px; font-weight: 600; }
.value { font-variant-numeric: tabular-nums; }
rect { fill: #8c959f; }
.turboapi { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  rect { fill: #6e7681; }
  .turboapi { fill: #58a6ff; }
}"""


def chart(summary: Sequence[dict[str, Any]], rows: Sequence[str] = ()) -> str:
    """Return an SVG with a group of bars for each row, the shortest first; each group has a scale of its own.

    Args:
        summary: the `summary` of the JSON of a run.
        rows: names of rows; without them, those of `CHOSEN`, or all if none of these was measured.

    Raises ValueError if there is nothing to draw.
    """
    measured = list(dict.fromkeys(line["row"] for line in summary))
    rows = rows or [name for name in CHOSEN if name in measured] or measured
    groups = {name: [line for line in summary if line["row"] == name] for name in rows}
    if not groups or not all(groups.values()):
        raise ValueError(f"not measured: {', '.join(name for name, lines in groups.items() if not lines) or 'any row'}")
    parts, top = [f'<text class="head" x="0" y="18">{HEADLINE}</text>'], HEAD
    for name, lines in groups.items():
        parts += draw_group(name, sorted(lines, key=lambda line: line["cpu_us"]), top)
        top += TITLE + STEP * len(lines) + GAP
    size = f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{HEADLINE}</title>'
    return "\n".join([head, f"<style>\n{STYLE}\n</style>", *parts, "</svg>\n"])


def draw_group(row: str, lines: Sequence[dict[str, Any]], top: int) -> list[str]:
    """Return the elements of the title and the bars of a row, from `top` down."""
    title = f"{row}: {ROWS[row].about.replace('`', '')}"
    longest = max(line["cpu_us"] for line in lines)
    parts = [f'<text class="title" x="0" y="{top + BAR}">{escape(title)}</text>']
    for index, line in enumerate(lines):
        parts += draw_bar(line["server"], line["cpu_us"], longest, top + TITLE + STEP * index)
    return parts


def draw_bar(server: str, value: float, longest: float, top: int) -> list[str]:
    """Return the elements of a server's name, bar and figure."""
    width = (WIDTH - LABEL - VALUE) * value / longest
    baseline = top + BAR - 2
    return [
        f'<text x="0" y="{baseline}">{escape(LABELS.get(server, server))}</text>',
        f'<rect class={quoteattr(server)} x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>',
        f'<text class="value" x="{LABEL + width + 6:.1f}" y="{baseline}">{value:.1f}</text>',
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser("python -m benchmarks.load.chart", description=__doc__)
    parser.add_argument("run", type=Path, help="JSON of a run")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=[], metavar="LIST")
    options = parser.parse_args(arguments)
    try:
        print(chart(json.loads(options.run.read_text())["summary"], options.rows), end="")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
