import os
import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.load import measure, servers
from benchmarks.load.__main__ import parse_arguments
from benchmarks.load.drivers import make_drivers
from benchmarks.load.measure import Bench, missing_packages, own_servers
from benchmarks.load.peers import PEERS, SHARED_ROWS, Peer
from benchmarks.load.report import Absence
from benchmarks.load.rows import ROWS
from benchmarks.load.servers import ALL_SERVERS, COMMANDS, has_row, run_server, server_command

CORE = min(os.sched_getaffinity(0))
needs_taskset = pytest.mark.skipif(shutil.which("taskset") is None, reason="servers are pinned by taskset")


def make_bench(monkeypatch: pytest.MonkeyPatch, peer: Peer, rows: Sequence[str]) -> Bench:
    for module in (measure, servers):
        monkeypatch.setattr(module, "PEERS", {peer.name: peer})
    return Bench(Namespace(servers=[peer.name], rows=rows, server_core=CORE, client_core=CORE, connections=4))


def test_peers_are_measured_when_asked_for() -> None:
    assert parse_arguments([]).servers == list(COMMANDS)
    assert parse_arguments(["--peers"]).servers == parse_arguments(["--servers", "all"]).servers == list(ALL_SERVERS)
    assert parse_arguments(["--servers", "robyn,turboapi"]).servers == ["robyn", "turboapi"]
    assert parse_arguments(["--servers", "robyn", "--peers"]).servers == ["robyn", *(p for p in PEERS if p != "robyn")]
    assert own_servers(ALL_SERVERS) == list(COMMANDS)


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_peers_name_what_there_is(peer: Peer) -> None:
    assert peer.name not in COMMANDS
    assert set(peer.rows) <= ROWS.keys()
    assert peer.lacks.keys() <= set(SHARED_ROWS)
    assert all(ROWS[row].setup == "plain" for row in peer.rows)


def test_rows_of_peers_are_their_own_and_other_servers_keep_theirs() -> None:
    assert has_row("litestar", ROWS["struct"])
    assert not has_row("falcon", ROWS["deps"])
    assert not has_row("granian", ROWS["middleware"])
    assert not has_row("fastapi", ROWS["struct"])
    assert has_row("nginx", ROWS["deps"])


def test_peers_are_started_on_the_port(tmp_path: Path) -> None:
    for name, peer in PEERS.items():
        command = server_command(name, 8000, tmp_path, [], "plain")
        assert command[1:] == ["-m", *peer.command, "--port", "8000"]


def test_peers_that_are_not_installed_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer("ghost", "Ghost", ("no-such-package", "pytest"), ("no_such_module",), {"deps": "it has none"})
    bench = make_bench(monkeypatch, peer, ["hello", "deps"])
    bench.try_peers()
    assert bench.absences == [Absence("ghost", "", "not installed: no-such-package")]
    assert not bench.is_measured("ghost", ROWS["hello"])


@needs_taskset
def test_peers_that_do_not_start_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(monkeypatch, Peer("ghost", "Ghost", ("pytest",), ("no_such_module",)), ["hello"])
    bench.try_peers()
    (absence,) = bench.absences
    assert (absence.server, absence.row) == ("ghost", "")
    assert absence.reason.endswith("No module named no_such_module")


@needs_taskset
def test_rows_that_a_peer_lacks_or_answers_wrongly_are_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ("uvicorn", "benchmarks.load.apps_fastapi:app", "--log-level", "warning")
    peer = Peer("other", "Other", ("fastapi",), command, {"path": "it has no path"}, more=("struct",))
    bench = make_bench(monkeypatch, peer, ["hello", "path", "json", "struct"])
    bench.try_peers()
    lacked, wrong = bench.absences
    assert lacked == Absence("other", "path", "it has no path")
    assert (wrong.server, wrong.row) == ("other", "struct")
    assert "got (404, {'detail': 'Not Found'})" in wrong.reason
    assert [name for name in ("hello", "path", "json", "struct") if bench.is_measured("other", ROWS[name])] == [
        "hello",
        "json",
    ]


@needs_taskset
@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_peers_answer_their_rows(peer: Peer) -> None:
    if missing := missing_packages(peer.packages):
        pytest.skip(f"not installed: {', '.join(missing)}")
    drivers = make_drivers(CORE, connections=4)
    with run_server(peer.name, [], CORE) as server:
        for row in map(ROWS.__getitem__, peer.rows):
            assert drivers[row.driver].check(row, server) >= 4
