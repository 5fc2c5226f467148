import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.load.chart import chart, main

SVG = "{http://www.w3.org/2000/svg}"
LINES = [
    {"row": "hello", "server": "turboapi", "cpu_us": 5.0},
    {"row": "hello", "server": "fastapi", "cpu_us": 50.0},
    {"row": "hello", "server": "nginx", "cpu_us": 4.0},
    {"row": "rows", "server": "turboapi", "cpu_us": 200.0},
    {"row": "json", "server": "turboapi", "cpu_us": 10.0},
    {"row": "json", "server": "a<b&c", "cpu_us": 40.0},
]


def draw(rows: list[str]) -> Any:
    return ElementTree.fromstring(chart(LINES, rows))


def bars(picture: Any) -> list[tuple[str, float]]:
    return [(bar.get("class"), float(bar.get("width"))) for bar in picture.iter(f"{SVG}rect")]


def texts(picture: Any) -> list[str]:
    return [text.text for text in picture.iter(f"{SVG}text")]


def test_bars_are_as_long_as_the_time_and_the_shortest_comes_first() -> None:
    (nginx, shortest), (turboapi, short), (fastapi, longest) = bars(draw(["hello"]))
    assert (nginx, turboapi, fastapi) == ("nginx", "turboapi", "fastapi")
    assert (shortest, short) == pytest.approx((longest * 4 / 50, longest / 10), abs=0.1)


def test_every_row_has_a_scale_of_its_own() -> None:
    widths = dict(bars(draw(["hello", "json"])))
    assert widths["a<b&c"] == widths["fastapi"]


def test_names_and_figures_are_written() -> None:
    written = texts(draw(["json"]))
    assert written[1].startswith("json: JSON body to model to JSON")
    assert written[2:] == ["TurboAPI", "10.0", "a<b&c", "40.0"]


def test_chosen_rows_are_drawn_in_their_order_and_else_those_of_choice() -> None:
    def titles(rows: list[str]) -> list[str]:
        return [text.partition(":")[0] for text in texts(draw(rows)) if ": " in text]

    assert titles(["rows", "hello"]) == ["rows", "hello"]
    assert titles([]) == ["hello", "json"]


def test_all_rows_are_drawn_where_none_of_choice_was_measured() -> None:
    assert chart(LINES[3:4]) == chart(LINES, ["rows"])


def test_everything_lies_within_the_picture() -> None:
    picture = draw(["hello", "json", "rows"])
    _, _, width, height = map(float, picture.get("viewBox").split())
    for bar in picture.iter(f"{SVG}rect"):
        assert float(bar.get("x")) + float(bar.get("width")) < width
        assert float(bar.get("y")) + float(bar.get("height")) < height


def test_colours_follow_light_and_dark_mode() -> None:
    assert "@media (prefers-color-scheme: dark)" in chart(LINES)


@pytest.mark.parametrize(
    ("lines", "rows", "message"), [(LINES, ["hello", "deps"], "not measured: deps"), ([], [], "any row")]
)
def test_what_was_not_measured_is_not_drawn(lines: list[dict[str, Any]], rows: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chart(lines, rows)


def test_chart_of_a_file_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"summary": LINES}))
    main([str(run), "--rows", "hello,rows"])
    assert capsys.readouterr().out == chart(LINES, ["hello", "rows"])
    with pytest.raises(SystemExit):
        main([str(run), "--rows", "path"])
    assert "not measured: path" in capsys.readouterr().err
