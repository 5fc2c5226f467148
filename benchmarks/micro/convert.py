"""Nanoseconds per converted text beside pydantic's lax validation of the same text."""

from timeit import repeat
from typing import Any

from pydantic import TypeAdapter

from turboapi._speedups.convert import KIND_BOOL, KIND_FLOAT, KIND_INT, KIND_STR, convert

CALLS = 100_000

CASES: list[tuple[int, type, str]] = [
    (KIND_STR, str, "hello"),
    (KIND_INT, int, "42"),
    (KIND_INT, int, "-123456789012345678"),
    (KIND_INT, int, "refused"),
    (KIND_FLOAT, float, "2.5"),
    (KIND_FLOAT, float, "-12345.678901"),
    (KIND_BOOL, bool, "true"),
    (KIND_BOOL, bool, "off"),
]


def nanoseconds(code: str, names: dict[str, Any]) -> float:
    """Best of five, per call."""
    return min(repeat(code, number=CALLS, repeat=5, globals=names)) / CALLS * 1e9


def main() -> None:
    """Print one line per case; a refused text has no counterpart."""
    for kind, type_, text in CASES:
        names = {"convert": convert, "validate": TypeAdapter(type_).validate_python, "kind": kind, "text": text}
        line = f"{type_.__name__:<6} {text:<22} {nanoseconds('convert(kind, text)', names):>6.0f} ns"
        if text != "refused":
            line += f"   pydantic {nanoseconds('validate(text)', names):>6.0f} ns"
        print(line)


if __name__ == "__main__":
    main()
