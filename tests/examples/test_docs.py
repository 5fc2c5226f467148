"""Runs the Python in the documentation, and the requests that its comments show:

    # METHOD target [Header: value] body -> status expected

`body` is JSON or a urlencoded form; `expected` is JSON, and a plain string where the answer is not JSON.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
ELSEWHERE = {"deployment: Ray Serve"}  # runs on a cluster: tests/ray
SHOWN = re.compile(r"^# ([A-Z]+) (/\S*)(?: \[(\S+): (.+?)\])?(?: (\S.*?))? -> (\d{3})(?: (.+))?$", re.MULTILINE)


class Section(NamedTuple):
    """What stands under one heading: its code, and the matches of `SHOWN`."""

    name: str
    code: str
    requests: list[tuple[str, ...]]


def sections() -> list[Section]:
    """Return the sections that contain Python; the blocks of one section are one module."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        for text in re.split(r"^## ", page.read_text(), flags=re.MULTILINE):
            name = f"{page.stem}: {text.splitlines()[0]}"
            if name not in ELSEWHERE and (code := "\n".join(BLOCK.findall(text))):
                found.append(Section(name, code, SHOWN.findall(code)))
    return found


def body_options(body: str) -> dict[str, Any]:
    if not body:
        return {}
    return {"json": json.loads(body)} if body.startswith("{") else {"data": dict(parse_qsl(body))}


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.name)
def test_documentation_is_true(section, client_for):
    namespace: dict[str, Any] = {"__name__": "main"}
    exec(compile(section.code, section.name, "exec"), namespace)
    for name in [name for name in namespace if name.startswith("test_")]:
        namespace[name]()
    if not section.requests:
        return
    client = client_for(namespace["app"])
    for method, target, header, value, body, status, expected in section.requests:
        headers = {header: value} if header else {}
        response = client.request(method, target, headers=headers, follow_redirects=False, **body_options(body))
        assert response.status_code == int(status), f"{method} {target}: {response.text}"
        if expected:
            is_json = response.headers["content-type"] == "application/json"
            assert (response.json() if is_json else response.text) == json.loads(expected), f"{method} {target}"
