import contextlib
import json
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import report
from benchmarks.load.__main__ import parse_arguments
from benchmarks.load.client import CLIENTS, SOCKETS
from benchmarks.load.client import summarise as summarise_client
from benchmarks.load.drivers import make_drivers
from benchmarks.load.payloads import BLOB_SIZE, FOLDER_VARIABLE, PAYLOADS, blob, catalogue, form
from benchmarks.load.probe import is_right, request_bytes
from benchmarks.load.report import (
    Absence,
    Cost,
    Memory,
    Sample,
    absence_list,
    cost_table,
    facts_list,
    median_known,
    memory_table,
    ratio,
    rotated,
    summarise,
    table,
)
from benchmarks.load.rows import HELLO, ROUTES, ROWS
from benchmarks.load.servers import COMMANDS, SETUPS, Server, fastapi_command, nginx_config, turboapi_command
from benchmarks.load.wrk import Load, WrkError, lua_script, lua_string, microseconds, parse_summary, wrk_command
from turboapi import TurboAPI, WebSocket, WebSocketDisconnect

CLEAN_SUMMARY = """\
Running 4s test @ http://127.0.0.1:8000/hello
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   512.33us    1.10ms  20.11ms   96.00%
    Req/Sec   106.60k     4.20k  112.00k    70.00%
  Latency Distribution
     50%  288.00us
     75%  410.00us
     90%    1.02ms
     99%    1.80ms
  426339 requests in 4.00s, 64.25MB read
Requests/sec: 106584.71
Transfer/sec:     16.06MB
"""
TROUBLED_SUMMARY = CLEAN_SUMMARY.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 426000\nRequests/sec",
)


def make_sample(**changes: object) -> Sample:
    values = {
        "round": 0,
        "row": "hello",
        "server": "turboapi",
        "cpu_us": 8.0,
        "user_us": 2.0,
        "per_second": 100_000.0,
        "p50_us": 300.0,
        "p99_us": 900.0,
        "busy": 0.99,
        "peak_mib": 70.4,
        "errors": 0,
        "connections": 64,
    }
    return Sample(**(values | changes))  # type: ignore[arg-type]


def test_summary_of_wrk_is_read() -> None:
    assert parse_summary(CLEAN_SUMMARY) == Load(426339, 4.0, 106584.71, 288.0, 1800.0, 0, 0)


def test_errors_in_the_summary_are_counted() -> None:
    load = parse_summary(TROUBLED_SUMMARY)
    assert (load.socket_errors, load.not_2xx_3xx) == (10, 426000)


def test_answers_of_another_class_than_expected_are_errors() -> None:
    load = parse_summary(TROUBLED_SUMMARY)
    assert load.errors(200) == 10 + 426000
    assert load.errors(404) == 10 + 339


def test_output_without_figures_is_refused() -> None:
    with pytest.raises(WrkError, match="unable to connect"):
        parse_summary("unable to connect to 127.0.0.1:1 Connection refused")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512.00us", 512.0), ("1.23ms", 1230.0), ("4.10s", 4.1e6), ("2.00m", 120e6), ("1.00h", 3.6e9)],
)
def test_times_become_microseconds(text: str, expected: float) -> None:
    assert microseconds(text) == pytest.approx(expected)


@given(st.text())
def test_lua_strings_denote_the_text_in_utf8(text: str) -> None:
    quoted = lua_string(text)
    plain = re.sub(rb"\\(\d{3})", lambda match: bytes([int(match[1])]), quoted[1:-1].encode("ascii"))
    assert (quoted[0], quoted[-1], plain) == ('"', '"', text.encode())


def test_script_states_method_headers_body_and_pipeline() -> None:
    assert lua_script(ROWS["hello"]) == 'wrk.method = "GET"\n'
    assert lua_script(ROWS["json"]).count("wrk.body") == 1
    assert lua_script(ROWS["headers"]).count("wrk.headers[") == 8
    assert "string.rep(wrk.format(), 16)" in lua_script(ROWS["pipeline"])


def test_wrk_runs_pinned_for_the_time_asked() -> None:
    command = " ".join(wrk_command(ROWS["path"], 8000, core=1, connections=64, seconds=4))
    assert command.startswith("taskset -c 1 wrk --threads 1 --connections 64 --duration 4s --latency")
    assert command.endswith("http://127.0.0.1:8000/items/42?q=fast")


def test_request_carries_its_body_with_its_length() -> None:
    head, _, body = request_bytes(ROWS["json"]).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["name"] == "Lamp"


def test_nginx_answers_with_constants_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "/blobs")
    config = nginx_config(ROWS.values(), 8000, tmp_path)
    constants = dict(re.findall(r"location = (\S+) (\{ return .* '[^'$]*'; \})\n", config))
    files = dict(re.findall(r"location = (\S+) \{ alias (\S+); \}\n", config))
    assert constants["/missing"] == """{ return 404 '{"detail":"No such item"}'; }"""
    assert files == {"/blob": "/blobs/blob", "/rows": str(tmp_path / "rows")}
    assert json.loads((tmp_path / "rows").read_text()) == ROWS["rows"].answer
    expected = {row.path.partition("?")[0] for row in ROWS.values() if "nginx" in row.servers}
    assert constants.keys() | files.keys() == expected


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("plain", "-m turboapi run benchmarks.load.apps_turboapi:app"),
        ("middleware", "-m turboapi run benchmarks.load.apps_turboapi:with_middleware"),
        ("asgi", "-m uvicorn benchmarks.load.apps_turboapi:app"),
    ],
)
def test_setups_decide_what_is_served_and_by_whom(setup: str, expected: str, tmp_path: Path) -> None:
    assert expected in " ".join(turboapi_command(8000, tmp_path, [], setup))
    assert "benchmarks.load.apps_fastapi:" in " ".join(fastapi_command(8000, tmp_path, [], setup))


def test_rows_name_what_there_is() -> None:
    drivers = make_drivers(core=1, connections=64)
    for name, row in ROWS.items():
        assert name == row.name
        assert row.driver in drivers
        assert row.setup in SETUPS
        assert set(row.servers) <= COMMANDS.keys()
        assert not row.payload or row.payload in PAYLOADS


def test_large_bodies_have_the_size_they_are_named_for() -> None:
    assert len(blob()) == BLOB_SIZE == 100_000_000
    assert 9_900_000 < len(catalogue()) < 10_200_000
    assert len(json.loads(catalogue())["entries"]) == ROWS["json_10mb"].answer["entries"]
    assert form().count(blob()[:1000]) == 100


def test_load_of_a_client_is_summed_up() -> None:
    load = summarise_client([0.001 * number for number in range(1, 201)], 4.0, 3)
    assert (load.requests, load.per_second, load.errors) == (200, 50.0, 3)
    assert (load.p50_us, load.p99_us) == pytest.approx((101_000, 199_000))


def test_answers_are_read_and_compared() -> None:
    def answer(text: bytes, row: str) -> bool:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return is_right(ours, ROWS[row])

    assert answer(b'{"message": "Hello, World!"}', "hello")
    assert not answer(b'{"message": "Hello"}', "hello")
    assert not answer(b"too short", "download_100mb")


def test_clients_count_what_comes_back(serve: Any) -> None:
    app = TurboAPI()

    @app.get("/hello")
    async def hello() -> Any:
        return HELLO

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.send_bytes(await socket.receive_bytes())

    with serve(app) as served:
        server = Server("turboapi", served.port, [], None, Path())  # type: ignore[arg-type]
        assert make_drivers(core=1, connections=64)["websocket"].check(ROWS["websocket"], server) == SOCKETS
        for kind, row in (("pace", "hello"), ("bulk", "hello"), ("websocket", "websocket")):
            load = CLIENTS[kind](ROWS[row], served.port, 0.1)
            assert load.requests > 0
            assert load.errors == 0
        assert CLIENTS["bulk"](replace(ROWS["hello"], answer="other"), served.port, 0).errors == 1


@pytest.mark.parametrize(
    ("arguments", "rows", "costs"),
    [
        ([], list(ROWS), True),
        (["--rows", "hello,json"], ["hello", "json"], False),
        (["--costs"], [], True),
        (["--rows", "hello", "--costs"], ["hello"], True),
        (["--memory"], [], False),
    ],
)
def test_what_is_measured_is_what_was_asked_for(arguments: list[str], rows: list[str], costs: bool) -> None:
    options = parse_arguments(arguments)
    assert (options.rows, options.costs) == (rows, costs)


def test_charts_need_rows() -> None:
    assert parse_arguments(["--chart", "x.svg"]).rows == list(ROWS)
    with pytest.raises(SystemExit):
        parse_arguments(["--chart", "x.svg", "--costs"])


def test_the_last_route_is_the_last() -> None:
    assert ROWS["routes_last"].path.startswith(f"/resource-{ROUTES - 1}/")


def test_every_server_runs_first_in_turn() -> None:
    assert [rotated(["a", "b", "c"], turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_ratio_pairs_measurements_of_the_same_round() -> None:
    own = [make_sample(round=turn, cpu_us=cpu) for turn, cpu in enumerate([10.0, 30.0, 20.0])]
    others = [make_sample(round=turn, cpu_us=cpu) for turn, cpu in enumerate([5.0, 10.0, 20.0])]
    assert ratio(own, others) == 2.0


def test_ratio_without_a_shared_round_is_unknown() -> None:
    assert ratio([make_sample(round=0)], [make_sample(round=1)]) is None
    assert ratio([make_sample()], []) is None


def test_median_leaves_out_what_is_not_known() -> None:
    assert median_known([None, 3.0, 1.0]) == 2.0
    assert median_known([None]) is None


def test_summaries_hold_medians_spread_and_ratios() -> None:
    own = [make_sample(round=turn, cpu_us=cpu, errors=turn) for turn, cpu in enumerate([9.0, 7.0, 8.0])]
    nginx = [make_sample(round=turn, server="nginx", cpu_us=4.0, connections=64 - turn) for turn in range(3)]
    first, second = summarise(own + nginx)
    assert (first.server, first.connections, first.to_nginx) == ("nginx", 62, 1.0)
    assert (second.cpu_us, second.cpu_us_min, second.cpu_us_max, second.errors) == (8.0, 7.0, 9.0, 3)
    assert (second.to_nginx, second.fastapi_to) == (2.0, None)


def test_table_has_one_line_per_row_and_server() -> None:
    samples = [make_sample(), make_sample(server="fastapi", cpu_us=80.0), make_sample(row="pipeline", p50_us=None)]
    header, rule, *lines = table(summarise(samples)).splitlines()
    assert header.startswith("| row | server | CPU µs/request |")
    assert rule.startswith("| :-- | :-- | --: |")
    assert lines == [
        "| hello | turboapi | 8.00 | 8.00–8.00 | 2.00 |  | 10.00 | 100,000 | 300 | 900 | 99% | 70 | 0 | 64 |",
        "| hello | fastapi | 80.00 | 80.00–80.00 | 2.00 |  | 1.00 | 100,000 | 300 | 900 | 99% | 70 | 0 | 64 |",
        "| pipeline | turboapi | 8.00 | 8.00–8.00 | 2.00 |  |  | 100,000 |  | 900 | 99% | 70 | 0 | 64 |",
    ]


def test_memory_table_shows_the_growth_under_load() -> None:
    memory = Memory("turboapi", 30 * 1024, 10_000, 31 * 1024, 1_000_000, 33 * 1024)
    assert memory_table([memory]).splitlines()[-1] == (
        "| hello | turboapi | 30.0 | 10,000 | 31.0 | 1,000,000 | 33.0 | +2.0 |"
    )


def test_costs_have_a_column_for_each_server() -> None:
    costs = [
        Cost("import", "ms", "fastapi", 500.0),
        Cost("import", "ms", "turboapi", 400.04),
        Cost("x", "KiB", "nginx", 1),
    ]
    assert cost_table(costs).splitlines() == [
        "| cost | unit | fastapi | turboapi | nginx |",
        "| :-- | :-- | --: | --: | --: |",
        "| import | ms | 500.0 | 400.0 |  |",
        "| x | KiB |  |  | 1.0 |",
    ]


def test_absences_are_listed_with_their_reasons() -> None:
    listed = absence_list([Absence("falcon", "deps", "it has none"), Absence("robyn", "", "not installed")])
    assert listed.splitlines() == ["* falcon, deps: it has none", "* robyn: not installed"]


def test_facts_are_listed() -> None:
    facts = {"machine": {"cores": 2}, "versions": {"python": "3.11.7"}, "commands": {"wrk": "wrk -t 1"}}
    assert facts_list(facts).splitlines() == ["* cores: 2", "* python: 3.11.7", "* wrk: `wrk -t 1`"]


def test_document_is_json_with_facts_medians_and_samples() -> None:
    document = json.loads(
        json.dumps(
            report.document(
                {"settings": {}},
                [make_sample()],
                [Cost("x", "KiB", "nginx", 1.0)],
                [],
                [Absence("falcon", "deps", "why")],
            )
        )
    )
    assert document.keys() == {"settings", "summary", "costs", "memory", "samples", "absent"}
    assert document["absent"] == [{"server": "falcon", "row": "deps", "reason": "why"}]
    assert document["summary"][0]["cpu_us"] == document["samples"][0]["cpu_us"] == 8.0
