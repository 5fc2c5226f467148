"""Nanoseconds per call of the query, path and cookie scanners beside the standard library's and Starlette's."""

from timeit import repeat
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import cookie_parser

from turboapi._speedups.query import parse_cookies, parse_query, query_get, unquote_path

CALLS = 50_000

QUERIES = [b"", b"a=1&b=two", b"limit=10&offset=20&q=hello+world%21", b"x=" + b"%C3%A9" * 200]
PATHS = [b"/items/42", b"/files/a%20b"]
COOKIES = [b"session=0123456789abcdef", b'a=1; b="x\\054y"; c=3']


def show(label: str, ours: Any, argument: Any, reference: Any, reference_code: str, raw: Any) -> None:
    """Time `ours(argument)` and `reference_code` (in terms of `reference` and `raw`) and print one line."""
    names = {"ours": ours, "argument": argument, "reference": reference, "raw": raw}
    codes = ("ours(argument)", reference_code)
    timings = [min(repeat(code, number=CALLS, repeat=5, globals=names)) / CALLS * 1e9 for code in codes]
    print(f"{label:<52} {timings[0]:>8.0f} ns   reference {timings[1]:>8.0f} ns")


def main() -> None:
    """Print one line per case."""
    for raw in QUERIES:
        code = "reference(raw.decode('latin-1'), keep_blank_values=True)"
        show(f"parse_query {raw[:36]!r}", parse_query, raw, parse_qsl, code, raw)
    for raw in PATHS:
        show(f"unquote_path {raw!r}", unquote_path, raw, unquote, "reference(raw.decode('ascii'))", raw)
    for raw in COOKIES:
        show(f"parse_cookies {raw!r}", parse_cookies, [raw], cookie_parser, "reference(raw.decode('latin-1'))", raw)
    pairs = parse_query(b"a=1&b=two&c=3")
    show("query_get, beside dict.get", lambda key: query_get(pairs, key), "b", dict(pairs).get, "reference(raw)", "b")


if __name__ == "__main__":
    main()
