"""Data flows one way: a folder imports only what stands to its left, and heavy packages only when they are used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hlo_count"
ORDER = (
    "harmless",
    "errors",
    "made_with",
    "under_way",
    "progress",
    "whole_file",
    "lowering",
    "hlo",
    "visitors",
    "layout",
    "text_page",
    "roofline",
    "report",
    "measured",
    "compare",
    "job",
    "fleet",
    "budgets",
    "sizing",
)
"""From left to right. What is not listed stands at the right end: the command line, the plugin, the demo."""
ROOMS = {"measured": ("traces", "programs", "tables", "results", "recording")}
"""Folders whose own folders stand in an order too."""
FILES_IN_THE_ORDER = {"harmless", "errors", "made_with", "under_way", "progress", "layout", "whole_file", "text_page"}
USES_JAX = {
    "command_arguments",  # shapes of --arg
    "demo",
    "report.counting",  # leaves of a pytree of parameters
    "roofline.timed_kernels",  # what calibration runs
    "roofline.routine_kernels",
    "roofline.calibration_suite",
}
"""Beside lowering: the modules whose functions import jax. None does when it is loaded."""
HEAVY = {
    "jax",
    "jaxlib",
    "networkx",
    "numpy",
    "pandas",
    "matplotlib",
    "tqdm",
    "platformdirs",
    "jinja2",
    "loky",
    "cloudpickle",
    "pyarrow",
    "fsspec",
    "rich",
    "shtab",
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def folder(module: str) -> str:
    """`hlo_count.visitors.walk` is in visitors."""
    return [*module.split("."), ""][1]


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> Iterator[tuple[str, bool, bool]]:
    """Each imported module with whether it is for type checking only, and whether a function imports it."""

    def walk(node: ast.AST, typing: bool, inside: bool) -> Iterator[tuple[str, bool, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, typing, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: imports are absolute"
                assert child.module is not None
                for named in (f"{child.module}.{alias.name}" for alias in child.names):
                    # `from hlo_count.hlo import garbage` imports a module, any other name the module that holds it.
                    yield named if is_module(named) else child.module, typing, inside
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                yield from walk(child, True, inside)
            else:
                yield from walk(child, typing, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(path.read_text()), False, False)


def test_the_order_names_every_folder() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert folders == set(ORDER) - FILES_IN_THE_ORDER


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_only_what_stands_to_the_left(path: Path) -> None:
    here = folder(name(path))
    place = ORDER.index(here) if here in ORDER else len(ORDER)
    for module, typing, _ in imports(path):
        if not module.startswith("hlo_count.") or typing:
            continue
        there = folder(module)
        allowed = ORDER.index(there) <= place if there in ORDER else place == len(ORDER)
        assert allowed, f"{name(path)} imports {module}, which stands to its right"
        alone = (*ORDER[: ORDER.index("lowering")], here)
        assert here != "lowering" or there in alone, f"{name(path)} imports {module}: jax only"
        assert here != "hlo" or there in alone, f"{name(path)} imports {module}: the language stands alone"


@pytest.mark.parametrize("house", ROOMS)
def test_rooms_import_only_what_stands_to_the_left(house: str) -> None:
    order = ROOMS[house]
    inside = [path for path in FILES if folder(name(path)) == house]
    assert {path.parent.name for path in inside} == {house, *order}
    for path in inside:
        here = path.parent.name
        for module, typing, _ in imports(path):
            if folder(module) == house and here != house and not typing:
                there = module.split(".")[2]
                assert order.index(there) <= order.index(here), f"{name(path)} imports {module}, to its right"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_lines_are_laid_out_in_one_place(path: Path) -> None:
    """What stands in cells and sentences is made harmless there, before it is measured."""
    laid_out = {module for module, _, _ in imports(path)} & {"tabulate", "textwrap"}
    assert not laid_out or folder(name(path)) == "layout", f"{name(path)} imports {laid_out}: use hlo_count.layout"


@pytest.mark.parametrize("place", ORDER[1:])
def test_imports_do_not_go_round(place: str) -> None:
    """Inside a folder too, and in functions too. Only for its types may a file name what holds what it makes: an
    instruction knows the computation that it stands in, and that its module."""
    modules = {name(path).removesuffix(".__init__"): path for path in FILES if folder(name(path)) == place}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module, path in modules.items():
        graph.add_edges_from((module, there) for there, typing, _ in imports(path) if there in modules and not typing)
    rounds = [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]
    assert not rounds
    assert not list(nx.selfloop_edges(graph))


def test_no_class_name_stands_twice() -> None:
    files: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_no_file_name_stands_twice() -> None:
    """A name says what a file is for, so two of one name say the same of different things."""
    names = [path.stem for path in FILES if path.stem not in ("__init__", "__main__")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_heavy_packages_load_when_they_are_used(path: Path) -> None:
    for module, typing, inside in imports(path):
        top = module.split(".")[0]
        if top in HEAVY and not typing:
            assert inside, f"{name(path)} imports {module} when it is loaded"
            if top in ("jax", "jaxlib") and folder(name(path)) != "lowering":
                assert name(path).removeprefix("hlo_count.") in USES_JAX, f"{name(path)} imports {module}"


@pytest.mark.parametrize("module", ["hlo_count", "hlo_count.cli", "hlo_count.hlo", "hlo_count.report.report"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_every_name_of_the_package_loads_without_jax() -> None:
    script = "import sys, hlo_count; [getattr(hlo_count, n) for n in hlo_count.__all__]; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", [path for path in FILES if folder(name(path)) != "lowering"], ids=name)
def test_caches_are_bounded(path: Path) -> None:
    """A process that counts texts without end keeps no more than at first. (Devices that were compiled for stay.)"""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.args.args:
            decorators = {ast.unparse(each) for each in node.decorator_list}
            assert not decorators & {"cache", "functools.cache", "lru_cache(maxsize=None)"}, node.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_as_long_as_a_reader_holds(path: Path) -> None:
    """One that is longer has two reasons: split it along them."""
    assert len(path.read_text().splitlines()) <= 400


def test_the_walk_through_the_house_meets_what_is_there() -> None:
    """Every function that CONTRIBUTING.md names is where it says."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:[a-z_0-9]+\.)+[A-Za-z_0-9]+)`", text)
    here = [each for each in named if (PACKAGE / each.split(".")[0]).is_dir() or is_module(f"hlo_count.{each}")]
    assert len(here) > 60
    for each in here:
        module, _, found = each.rpartition(".")
        assert is_module(f"hlo_count.{each}") or hasattr(import_module(f"hlo_count.{module}"), found), each
