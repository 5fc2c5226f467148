"""Imports inside the package point down the levels, never in a circle, and stand at the top of their module.

Imports under `if TYPE_CHECKING:` do not happen at run time and are not looked at.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "turboapi"
SOURCES = sorted(path for suffix in ("py", "pyx", "pxd") for path in PACKAGE.rglob(f"*.{suffix}"))

LEVELS = (
    "exceptions types status logger config _lazy _utils _files _scope compat",
    "_speedups",
    "datastructures formparsers convertors requests responses websockets params param_functions background concurrency"
    " encoders sse openapi.models security.models telemetry._api",
    "_foreign _body_limit _plan security middleware staticfiles templating authentication endpoints exception_handlers"
    " _exception_handler telemetry utils",
    "routing _routes _api_routes _frontend _included _foreign_routes",
    "openapi schemas server middleware.opentelemetry",
    "applications _application",
    "__init__ testclient compat.fastapi compat.starlette compat.pytest compat.__main__ compat._view",
    "_inspect cli __main__",
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names.split()}
COMPILED_MAY_IMPORT = {*sys.stdlib_module_names, "httptools", "msgspec", "cython", "cpython", "libc"}

CYTHON_IMPORT = re.compile(
    r"^(?P<indent>[ \t]*)(?:from[ \t]+(?P<origin>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    r"|c?import[ \t]+(?P<modules>[\w., \t]+))",
    re.MULTILINE,
)


class Import(NamedTuple):
    """An imported module by its full name, and whether the import stands inside a function."""

    module: str
    nested: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in SOURCES}


def resolve(importer: Path, origin: str, names: list[str]) -> Iterator[str]:
    """Yield the modules meant by `from origin import names`: submodules by name, anything else its origin."""
    dots = len(origin) - len(origin.lstrip("."))
    base = importer.relative_to(ROOT).parts[:-dots] if dots else ()
    origin = ".".join([*base, *([origin[dots:]] if origin[dots:] else [])])
    for name in names:
        yield f"{origin}.{name}" if f"{origin}.{name}" in MODULES else origin


def python_imports(path: Path) -> Iterator[Import]:
    yield from walk_imports(path, ast.parse(path.read_text()), nested=False)


def walk_imports(path: Path, node: ast.AST, nested: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            yield from (Import(alias.name, nested) for alias in node.names)
        case ast.ImportFrom():
            origin = "." * node.level + (node.module or "")
            yield from (Import(name, nested) for name in resolve(path, origin, [alias.name for alias in node.names]))
        case ast.If(test=ast.Name("TYPE_CHECKING")):
            for child in node.orelse:
                yield from walk_imports(path, child, nested)
        case _:
            nested = nested or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk_imports(path, child, nested)


def cython_imports(path: Path) -> Iterator[Import]:
    for match in CYTHON_IMPORT.finditer(path.read_text()):
        nested = bool(match["indent"])
        if match["origin"]:
            names = [name.split(" as ")[0].strip(" \\()\n") for name in match["names"].split(",")]
            yield from (Import(name, nested) for name in resolve(path, match["origin"], names))
        else:
            yield from (Import(name.split(" as ")[0].strip(), nested) for name in match["modules"].split(","))


def imports_of(path: Path) -> list[Import]:
    return list(python_imports(path) if path.suffix == ".py" else cython_imports(path))


IMPORTS = {path: imports_of(path) for path in SOURCES}


def is_own(module: str) -> bool:
    return module.split(".")[0] == "turboapi"


def level(module: str) -> int:
    """Return the level of a module of the package; its longest listed prefix decides, 0 if none is listed."""
    parts = module.split(".")[1:] or ["__init__"]
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((LEVEL_OF[prefix] for prefix in prefixes if prefix in LEVEL_OF), 0)


def imports_where(condition: Callable[[Path, Import], bool]) -> list[str]:
    """Return the imports in the package for which `condition` holds, readably."""
    return sorted(
        {
            f"{module_name(path)} -> {imported.module}"
            for path, imports in IMPORTS.items()
            for imported in imports
            if condition(path, imported)
        }
    )


def test_every_module_has_a_level() -> None:
    listed = {module.split(".")[1] for module in MODULES if "." in module}
    assert sorted(listed - LEVEL_OF.keys()) == [], "add these to LEVELS"


def test_imports_point_down() -> None:
    def points_up(path: Path, imported: Import) -> bool:
        return is_own(imported.module) and level(imported.module) > level(module_name(path))

    assert imports_where(points_up) == []


def test_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for path, imports in IMPORTS.items():
        own = module_name(path)
        graph[own] |= {imported.module for imported in imports if imported.module in MODULES - {own}}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


def test_no_import_of_the_package_inside_a_function() -> None:
    assert imports_where(lambda path, imported: imported.nested and is_own(imported.module)) == []


def test_the_oracles_are_never_imported() -> None:
    assert imports_where(lambda path, imported: imported.module.split(".")[0] in {"fastapi", "starlette"}) == []


def test_compiled_modules_import_little() -> None:
    def is_beyond(path: Path, imported: Import) -> bool:
        allowed = imported.module.split(".")[0] in COMPILED_MAY_IMPORT
        allowed = allowed or imported.module.startswith(("turboapi._speedups", "turboapi.exceptions"))
        return path.suffix != ".py" and not allowed

    assert imports_where(is_beyond) == []
