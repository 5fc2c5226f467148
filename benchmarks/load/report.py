"""From samples to a report; nothing here measures, reads files or prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

COLUMNS = (
    "row",
    "server",
    "CPU µs/request",
    "min–max",
    "user µs",
    "÷ nginx",
    "FastAPI ÷",
    "requests/s",
    "p50 µs",
    "p99 µs",
    "core busy",
    "peak MiB",
    "errors",
    "connections",
)


@dataclass(frozen=True)
class Sample:
    """One measurement: a row on a server in a round.

    `busy` is the share of wall time that the server was on its core, `peak_mib` its largest resident memory meanwhile.
    Latencies are None where wrk cannot tell them.
    """

    round: int
    row: str
    server: str
    cpu_us: float
    user_us: float
    per_second: float
    p50_us: float | None
    p99_us: float | None
    busy: float
    peak_mib: float
    errors: int
    connections: int


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds of one row on one server.

    Errors are added up, connections are the fewest served, memory is the most.

    `to_nginx` is its CPU time per request divided by nginx's, `fastapi_to` FastAPI's divided by its; None if not run.
    """

    row: str
    server: str
    cpu_us: float
    cpu_us_min: float
    cpu_us_max: float
    user_us: float
    per_second: float
    p50_us: float | None
    p99_us: float | None
    busy: float
    peak_mib: float
    errors: int
    connections: int
    to_nginx: float | None
    fastapi_to: float | None


@dataclass(frozen=True)
class Cost:
    """One thing that a server costs beside requests: what it is, in which unit, and how much."""

    what: str
    unit: str
    server: str
    value: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of a server at rest, after some requests and after many."""

    server: str
    start_kib: int
    few: int
    few_kib: int
    many: int
    many_kib: int


@dataclass(frozen=True)
class Absence:
    """A row that a server was not measured with, or all of them if `row` is empty, and why."""

    server: str
    row: str
    reason: str


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return `names` starting with another one each turn, so that none always runs first."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def ratio(samples: Iterable[Sample], others: Iterable[Sample]) -> float | None:
    """Return the median over rounds of CPU per request divided by the other's of that round; None if none is shared."""
    base = {sample.round: sample.cpu_us for sample in others}
    pairs = [sample.cpu_us / base[sample.round] for sample in samples if sample.round in base]
    return median(pairs) if pairs else None


def summarise(samples: Sequence[Sample]) -> list[Summary]:
    """Return one summary per row and server, in the order in which rows first appear, servers by CPU time."""
    groups: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        groups.setdefault(sample.row, {}).setdefault(sample.server, []).append(sample)
    return [
        summary
        for servers in groups.values()
        for summary in sorted((summarise_one(own, servers) for own in servers.values()), key=lambda s: s.cpu_us)
    ]


def summarise_one(own: list[Sample], servers: dict[str, list[Sample]]) -> Summary:
    cpu = [sample.cpu_us for sample in own]
    return Summary(
        row=own[0].row,
        server=own[0].server,
        cpu_us=median(cpu),
        cpu_us_min=min(cpu),
        cpu_us_max=max(cpu),
        user_us=median(sample.user_us for sample in own),
        per_second=median(sample.per_second for sample in own),
        p50_us=median_known(sample.p50_us for sample in own),
        p99_us=median_known(sample.p99_us for sample in own),
        busy=median(sample.busy for sample in own),
        peak_mib=max(sample.peak_mib for sample in own),
        errors=sum(sample.errors for sample in own),
        connections=min(sample.connections for sample in own),
        to_nginx=ratio(own, servers.get("nginx", [])),
        fastapi_to=ratio(servers.get("fastapi", []), own),
    )


def median_known(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are known, None if none is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a markdown table; every column but the first two is aligned to the right."""
    rule = [":--" if column < 2 else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def table(summaries: Iterable[Summary]) -> str:
    """Return the summaries as a markdown table."""
    return markdown(COLUMNS, (table_line(summary) for summary in summaries))


def table_line(summary: Summary) -> list[str]:
    return [
        summary.row,
        summary.server,
        f"{summary.cpu_us:.2f}",
        f"{summary.cpu_us_min:.2f}–{summary.cpu_us_max:.2f}",
        f"{summary.user_us:.2f}",
        cell(summary.to_nginx, ".2f"),
        cell(summary.fastapi_to, ".2f"),
        f"{summary.per_second:,.0f}",
        cell(summary.p50_us, ",.0f"),
        cell(summary.p99_us, ",.0f"),
        f"{summary.busy:.0%}",
        f"{summary.peak_mib:.0f}",
        str(summary.errors),
        str(summary.connections),
    ]


def cell(value: float | None, style: str) -> str:
    return "" if value is None else format(value, style)


def memory_table(memories: Iterable[Memory]) -> str:
    """Return resident memory in MiB as a markdown table, with the growth from few requests to many."""
    header = ("memory", "server", "start", "requests", "MiB", "requests", "MiB", "growth")
    return markdown(header, (memory_line(memory) for memory in memories))


def memory_line(memory: Memory) -> list[str]:
    growth = memory.many_kib - memory.few_kib
    return [
        "hello",
        memory.server,
        f"{memory.start_kib / 1024:.1f}",
        f"{memory.few:,}",
        f"{memory.few_kib / 1024:.1f}",
        f"{memory.many:,}",
        f"{memory.many_kib / 1024:.1f}",
        f"{growth / 1024:+.1f}",
    ]


def cost_table(costs: Sequence[Cost]) -> str:
    """Return what servers cost beside requests as a markdown table: a line for each thing, a column for each server."""
    servers = list(dict.fromkeys(cost.server for cost in costs))
    lines: dict[tuple[str, str], dict[str, float]] = {}
    for cost in costs:
        lines.setdefault((cost.what, cost.unit), {})[cost.server] = cost.value
    return markdown(
        ("cost", "unit", *servers),
        (
            [what, unit, *(cell(values.get(server), ",.1f") for server in servers)]
            for (what, unit), values in lines.items()
        ),
    )


def absence_list(absences: Iterable[Absence]) -> str:
    """Return what was not measured as a markdown list, with the reasons."""
    return "\n".join(f"* {absent.server}{f', {absent.row}' * bool(absent.row)}: {absent.reason}" for absent in absences)


def facts_list(facts: dict[str, Any]) -> str:
    """Return machine, versions and commands of a run as a markdown list."""
    parts = [(name, value) for part in ("machine", "versions") for name, value in facts[part].items()]
    commands = [(name, f"`{command}`") for name, command in facts["commands"].items()]
    return "\n".join(f"* {name}: {value}" for name, value in parts + commands)


def document(
    facts: dict[str, Any],
    samples: Sequence[Sample],
    costs: Sequence[Cost],
    memories: Sequence[Memory],
    absences: Sequence[Absence],
) -> dict[str, Any]:
    """Return everything as one JSON-ready object: facts of the run, medians, memory and the raw samples."""
    return {
        **facts,
        "absent": [asdict(absent) for absent in absences],
        "summary": [asdict(summary) for summary in summarise(samples)],
        "costs": [asdict(cost) for cost in costs],
        "memory": [asdict(memory) for memory in memories],
        "samples": [asdict(sample) for sample in samples],
    }
