"""`python -m benchmarks.load`: measure, print a markdown table, and write everything to a JSON file if asked."""

from __future__ import annotations

import json
import os
import shutil
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .chart import chart
from .measure import FEW, MANY, Bench
from .peers import PEERS
from .report import absence_list, cost_table, facts_list, memory_table, summarise, table
from .rows import ROWS
from .servers import ALL_SERVERS, COMMANDS


def some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return an argparse type: a comma-separated list of some of `known`."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return parse


def servers(text: str) -> list[str]:
    """Read the names of servers, or `all` of them."""
    return list(ALL_SERVERS) if text == "all" else some_of(ALL_SERVERS)(text)


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be at least 1")
    return number


def parse_arguments(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser("python -m benchmarks.load", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=at_least_one, default=3)
    add("--duration", type=at_least_one, default=4, metavar="SECONDS", help="of each measurement")
    add("--warmup", type=at_least_one, default=1, metavar="SECONDS", help="of load before each measurement")
    add("--connections", type=at_least_one, default=64, help="keep-alive connections")
    add("--rows", type=some_of(ROWS), metavar="LIST", help="of " + ",".join(ROWS))
    add("--servers", type=servers, default=list(COMMANDS), metavar="LIST", help="all, or of " + ",".join(ALL_SERVERS))
    add("--peers", action="store_true", help="measure other frameworks, too: " + ",".join(PEERS))
    add("--server-core", type=int, default=0, metavar="CORE")
    add("--client-core", type=int, default=1, metavar="CORE")
    add(
        "--costs",
        action="store_true",
        help="measure memory, connections and start: alone, or with --rows as well",
    )
    add("--memory", action="store_true", help=f"read resident memory after {FEW:,} and {MANY:,} hellos instead")
    add("--json", type=Path, metavar="FILE", help="write facts, medians and samples there")
    add("--chart", type=Path, metavar="FILE", help="draw CPU time per request there, as SVG")
    options = parser.parse_args(arguments)
    if options.peers:
        options.servers = list(dict.fromkeys([*options.servers, *PEERS]))
    if options.rows is None:
        only_some = options.costs or options.memory
        options.rows = [] if only_some else list(ROWS)
        options.costs = options.costs or not only_some
    if options.chart and not options.rows:
        parser.error("--chart draws rows: name some with --rows")
    return options


def require_tools(servers: Sequence[str]) -> None:
    tools = ["taskset", "wrk", *(["nginx"] if "nginx" in servers else [])]
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}")


def require_cores(*cores: int) -> None:
    if missing := set(cores) - os.sched_getaffinity(0):
        raise SystemExit(f"this process may not run on core {', '.join(map(str, sorted(missing)))}")


def run(bench: Bench, options: Namespace) -> None:
    """Measure what was asked for, and print a table of each kind."""
    if options.memory:
        bench.run_memory()
        print(memory_table(bench.memories))
        return
    if options.rows:
        bench.run_rounds()
        print(table(summarise(bench.samples)))
    if options.costs:
        bench.run_costs()
        print(cost_table(bench.costs))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    require_tools(options.servers)
    require_cores(options.server_core, options.client_core)
    with Bench(options) as bench:
        run(bench, options)
    document = bench.document()
    print(facts_list(document))
    if bench.absences:
        print(f"Not measured:\n{absence_list(bench.absences)}")
    if options.json:
        write(options.json, json.dumps(document, indent=2) + "\n")
    if options.chart:
        write(options.chart, chart(document["summary"]))


def write(file: Path, text: str) -> None:
    """Write a file, in a folder that is made if there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


if __name__ == "__main__":
    main()
