"""Writes the reference at the end of server.md, from the declarations in turboapi/server/config.py.

python docs/server_options.py
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from turboapi.server.config import Option, options

PAGE = Path(__file__).with_name("server.md")
MARK = "<!-- Written by server_options.py -->\n"


def reference() -> Iterator[str]:
    """The tables, one for each group of options."""
    for group, members in groupby(options(), lambda option: option.group):
        yield f"\n### {group[:1].upper()}{group[1:]}\n\n"
        yield "| flag | variable, key | default | |\n|---|---|---|---|\n"
        yield from map(_row, members)


def _row(option: Option) -> str:
    flag = f"--[no-]{option.flag[2:]}" if option.type is bool else f"{option.flag} {option.metavar}"
    help = option.help + ("; may be repeated" if option.many else "")
    default = f"`{option.shown_default}`" if option.shown_default else ""
    names = [option.env, *filter(None, [option.common_env]), option.name]
    cells = (f"`{flag}`", ", ".join(f"`{name}`" for name in names), default, help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def updated() -> str:
    """The page as it should be."""
    return PAGE.read_text().partition(MARK)[0] + MARK + "".join(reference())


if __name__ == "__main__":
    PAGE.write_text(updated())
