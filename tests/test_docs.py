"""What the documents say is so: their examples run, their output is what the commands print."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import jax
import pytest
from targets.environment import compiled_for

import hlo_count
from hlo_count.command_options import command_parser

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
AT_ONCE = [name for name in DOCUMENTS if name.count("/") < 2]
"""Whose examples run here; .ci/run runs every block of all, with the libraries and compilers that they are about."""
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_examples_run(name):
    if name == "docs/diff.md" and tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5):
        pytest.skip("the CPU compiler of jax 0.4.30 dumps few of its passes, the one that fuses not among them")
    failed, _ = doctest.testfile(str(ROOT / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.skipif(jax.__version__ != "0.10.2", reason="README shows what jax 0.10.2 compiles; others fuse otherwise")
def test_readme_shows_what_the_demo_prints():
    regenerate = script("regenerate")
    assert regenerate.demo_output() == regenerate.shown_output()


@pytest.mark.skipif(jax.__version__ != "0.10.2", reason="docs/kernels.md shows the kernels of jax 0.10.2")
@pytest.mark.parametrize("target", compiled_for("tpu:v6e"))
def test_the_table_of_kernels_is_what_its_script_makes(target):
    """One row of it: all take a minute."""
    kernels_table = script("kernels_table")
    number = next(n for n, kernel in enumerate(kernels_table.KERNELS) if kernel.name == "emit_pipeline")
    pipeline = kernels_table.KERNELS[number]
    shown = (ROOT / "docs" / "kernels.md").read_text().splitlines()
    (line,) = (line for line in shown if line.startswith(pipeline.name) and target in line)
    cells = [*kernels_table.counted(number, target)[:3]]
    assert re.split(r"\s{2,}", line) == [pipeline.name, target, cells[0], f"{pipeline.flops:,}", "2·m·n·k", *cells[1:]]


def test_the_table_of_versions_is_that_of_its_figures():
    versions_table = script("versions_table")
    found = json.loads(versions_table.FIGURES.read_text())
    assert f"```text\n{versions_table.table(found)}\n```" in versions_table.PAGE.read_text()
    wanted = {"0.4.30", "0.5", "0.6", "0.7", "0.8", "0.9", "0.10", "0.12"}
    assert {next(each for each in wanted if version.startswith(each)) for version in found} == wanted
    for rows in found.values():
        for programs in rows.values():
            matmul, psum = programs["matmul"], programs["psum"]
            assert "refused" in matmul or matmul["flops"] == 2 * 512 * 1024 * 2048
            # each of eight devices passes 7/8 of 4096 sums round a ring twice
            assert "refused" in psum or psum["network_bytes"] == 2 * 7 * 4096 * 4 // 8


def script(name):
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_point_at_files(name):
    """Of the README those too that are whole addresses, which PyPI needs."""
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert name != "README.md", (
            f"README.md points at {target}, which PyPI has not: write {SOURCE}/blob/main/{target}"
        )
        if not target.startswith("gallery/"):  # what docs/gallery.py makes before the site is built
            assert ((ROOT / name).parent / target).exists(), f"{name} points at {target}, which is not there"
    for target in re.findall(rf"\]\({SOURCE}/blob/main/([^)#]+)", text):
        assert (ROOT / target).exists(), f"{name} points at {target}, which is not there"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_known(name):
    """What a block of shell types of ours is a command with its options, and each block is of a language that is run."""
    run_blocks = script("run_blocks")
    for block in run_blocks.blocks(name):
        assert hasattr(run_blocks.Reader, f"_{block.language or 'text'}"), f"{name}:{block.line}: {block.language}"
        if block.language in ("sh", "console"):
            joined = block.text.replace("\\\n", " ")
            for line in re.findall(r"^(?:\$ )?hlo-count (.*)", joined, re.M):
                words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
                command_parser().parse_args(words)  # SystemExit where it is none


def test_every_public_name_has_an_example():
    """In the reference: its entry, and doctests before the next."""
    shown = {}
    for path in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for entry in re.split(r"^::: ", path.read_text(), flags=re.M)[1:]:
            identifier, _, rest = entry.partition("\n")
            shown[identifier.rpartition(".")[2]] = ">>> " in rest
    assert {name for name, has_example in shown.items() if has_example} == set(hlo_count.__all__)


def test_every_document_is_in_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert {f"docs/{name}" for name in re.findall(r": (\S+\.md)", navigation)} == {*DOCUMENTS} - {"README.md"}


def test_every_function_that_contributing_walks_through_is_there() -> None:
    """`folder.module.name` in CONTRIBUTING.md names something that exists."""
    walked = re.findall(
        r"`((?:lowering|hlo|visitors|roofline|report|measured|compare)\.[\w.]+)`",
        (ROOT / "CONTRIBUTING.md").read_text(),
    )
    assert len(walked) > 40
    for path in walked:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(f"hlo_count.{module}"), name), path
