"""Imports go down, or sideways without a circle; Numba comes in by two doors. Read from the sources, not from a run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import onlogit

ROOT = Path(onlogit.__file__).parent
FLOORS = {
    "errors": 0, "config": 0, "fixed": 0, "heap": 0, "patience": 0, "json_lines": 0, "printable": 0, "states": 0, "turn": 1,
    "kernels": 1,
    "schema": 2, "terms": 2, "encoding": 2, "streams": 2, "storage": 2,
    "learners": 3, "monitor": 3, "decisions": 3, "arena": 2, "memory": 3,
    "labels": 3, "label_times": 3, "label_delays": 3, "weight_paths": 3, "steps": 3, "tapes": 3,
    "model": 4, "merging": 4, "pipeline": 4, "explain": 4,
    "records": 5, "relay": 5, "runner": 5, "report": 5,
    "engines": 6, "adapters": 6, "daemon": 6,
    "cli": 7, "demo": 7,
    "__init__": 8, "__main__": 8,  # the public names, and the command
}  # fmt: skip
DOORS = ("onlogit.kernels.jit", "onlogit.kernels.lanes")


def sources() -> dict[str, str]:
    """The text of every module, by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def imports(module: str, text: str, modules: set[str]) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it: of a submodule rather than of its package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                home = onlogit._HOME.get(alias.name) if node.module == "onlogit" else None
                yield f"onlogit.{home}" if home else full if full in modules else str(node.module)


def floor(module: str) -> int | None:
    """The floor of a module of onlogit."""
    parts = module.split(".")
    return FLOORS.get(parts[1] if len(parts) > 1 else "__init__")


def faults(texts: dict[str, str]) -> list[str]:
    """What goes up, goes in a circle, or brings Numba in elsewhere."""
    modules = set(texts)
    edges: dict[str, set[str]] = {}
    found = []
    for module, text in texts.items():
        edges[module] = set()
        if floor(module) is None:
            found.append(f"{module} is on no floor: give it one, in the design and here")
        for name in imports(module, text, modules):
            if name.split(".")[0] in ("numba", "llvmlite") and module not in DOORS:
                found.append(f"{module} imports {name}")
            if name == "onlogit" or name.split(".")[0] != "onlogit":
                continue  # `from onlogit import __version__` is a constant
            edges[module].add(name)
            above, own = floor(name), floor(module)
            if above is not None and own is not None and above > own:
                found.append(f"{module} (floor {own}) imports {name} (floor {above})")
    return found + [" -> ".join(circle) for circle in circles(edges)]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each edge that closes one, by depth-first search. The lazy names of `onlogit` are not edges."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for name in sorted(edges.get(module, ())):
                visit(name, [*path, module])
            done.add(module)

    for module in sorted(edges):
        if module != "onlogit":
            visit(module, [])
    return found


def test_every_import_goes_down_or_sideways() -> None:
    texts = sources()
    assert len(texts) > 30
    assert faults(texts) == []


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        ("onlogit.streams.bad", "from onlogit.model import load", "imports onlogit.model (floor 4)"),
        (
            "onlogit.kernels.bad",
            "def f():\n    import onlogit.encoding.rows",
            "imports onlogit.encoding.rows (floor 2)",
        ),
        ("onlogit.labels", "from onlogit import Step", "onlogit.labels (floor 3) imports onlogit.pipeline (floor 4)"),
        ("onlogit.storage.bad", "from onlogit import runner", "imports onlogit.runner (floor 5)"),
        ("onlogit.learners.bad", "import numba", "onlogit.learners.bad imports numba"),
        ("onlogit.kernels.link", "if 1:\n    from numba.core import types", "onlogit.kernels.link imports numba.core"),
        ("onlogit.errors", "from onlogit.config import Config", "onlogit.errors -> onlogit.config -> onlogit.errors"),
    ],
)
def test_a_planted_fault_is_found(module: str, text: str, fault: str) -> None:
    found = faults({**sources(), module: text})
    assert any(fault in each for each in found), found


def test_a_module_without_a_floor_is_found() -> None:
    assert faults({"onlogit.helpers": "import onlogit.errors"}) == [
        "onlogit.helpers is on no floor: give it one, in the design and here"
    ]
