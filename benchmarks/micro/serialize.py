"""Nanoseconds per encoded result beside FastAPI's jsonable_encoder + json.dumps and bare msgspec."""

import json
from timeit import repeat
from typing import Any

import msgspec
from fastapi.encoders import jsonable_encoder

from turboapi._speedups.serialize import plain_json

CASES: dict[str, tuple[Any, int]] = {
    "message": ({"message": "Hello World"}, 20_000),
    "nested": ({"a": [1, 2, {"b": None, "c": 1.5}], "d": "é"}, 10_000),
    "100 rows": ([{"id": i, "name": "row", "ok": True, "price": i / 4} for i in range(100)], 100),
    "not plain": ({"a": [1, 2, {3}]}, 10_000),
}
CONTENDERS = {
    "plain_json": "plain_json(obj)",
    "msgspec": "encode(obj)",
    "reference": "dumps(jsonable(obj), ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode()",
}


def main() -> None:
    """Print one line per case, the best of five runs of each contender."""
    names = {
        "plain_json": plain_json,
        "encode": msgspec.json.Encoder().encode,
        "dumps": json.dumps,
        "jsonable": jsonable_encoder,
    }
    for label, (obj, calls) in CASES.items():
        cells = [f"{label:<10}"]
        for name, code in CONTENDERS.items():
            best = min(repeat(code, number=calls, repeat=5, globals=names | {"obj": obj}))
            cells.append(f"{name} {best / calls * 1e9:>9.0f} ns")
        print("   ".join(cells))


if __name__ == "__main__":
    main()
