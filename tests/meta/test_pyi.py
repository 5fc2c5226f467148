"""Each extension is described by a .pyi file that names all it offers, and nothing else."""

import ast
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPEEDUPS = Path(__file__).parents[2] / "turboapi" / "_speedups"
EXTENSIONS = sorted(path.stem for path in SPEEDUPS.glob("*.pyx"))

Names = dict[str, set[str]]
"""Public names of a module; classes with the public names in their body, other things with none."""


def public(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def is_defined_in(module: ModuleType, value: Any) -> bool:
    return not isinstance(value, ModuleType) and getattr(value, "__module__", module.__name__) == module.__name__


def compiled_names(module: ModuleType) -> Names:
    return {
        name: public(vars(value)) if isinstance(value, type) else set()
        for name, value in vars(module).items()
        if not name.startswith("_") and is_defined_in(module, value)
    }


def declared(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, set[str]]]:
    for statement in statements:
        match statement:
            case ast.ClassDef(name=name, body=body):
                yield name, public(member for member, _ in declared(body))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, set()
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name, set()


def stub_names(name: str) -> Names:
    tree = ast.parse((SPEEDUPS / f"{name}.pyi").read_text())
    return {name: members for name, members in declared(tree.body) if not name.startswith("_")}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_stub_names_what_the_extension_offers(name: str) -> None:
    module = importlib.import_module(f"turboapi._speedups.{name}")
    assert stub_names(name) == compiled_names(module)
