"""The speed benchmark: its text is what it says, what repeats in it is read once, and the page shows what was measured."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from xla_reference import AVAILABLE, reference

import hlo_count as hc
from hlo_count.hlo.printed import Reader

ROOT = Path(__file__).parent.parent


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("speed")


@pytest.fixture
def fresh_process(speed: ModuleType) -> ModuleType:
    return importlib.import_module("fresh_process")


def test_the_text_that_grows_is_a_chain_of_matmuls_and_fusions(fresh_process: ModuleType) -> None:
    layers = 6  # of which each bends its values in another way, by tanh, exp, neg, cos, sin or abs
    text = fresh_process.grown(10 * layers)
    assert not AVAILABLE or reference(text).refused is None
    report = hc.count(text)
    values = 64 * 128
    # A matmul of 64 x 128 by 128 x 128; a product, a sum and a maximum of each value.
    assert report.flops == layers * (2 * values * 128 + 3 * values)
    assert (report.transcendentals, report.other_ops) == (4 * values, 2 * values)
    assert report.status == "exact"


def test_a_table_makes_no_instruction_of_a_body_that_repeats(fresh_process: ModuleType) -> None:
    """They are what a text of millions would not fit into memory with."""
    report = hc.count(fresh_process.grown(1000))
    assert "matmul" in str(report)
    repeated = [c for c in report.module.computations.values() if c.twin is not c]
    assert len(repeated) > 80
    assert not [c.name for c in repeated if "instructions" in vars(c)]


def test_a_diff_makes_no_instruction_of_what_stands_in_both(fresh_process: ModuleType) -> None:
    """Of bodies that say the same those of one are made, whose neighbourhoods and classes all others share."""
    text = fresh_process.grown(1000)
    one, other = hc.count(text), hc.count(text)
    difference = hc.diff(one, other)
    assert not difference.rows and difference.by("scope") and difference.by("class")
    for report in (one, other):
        made = [c for c in report.module.computations.values() if "instructions" in vars(c) and not c.is_entry]
        assert len(made) <= 7  # kinds of bodies, of a hundred bodies


def test_bodies_that_repeat_are_read_once(fresh_process: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[int] = set()
    lines = Reader.lines

    def counted(self: Reader, start: int, stop: int) -> list[tuple[str, str, str, str, str]]:
        read.add(start)
        return lines(self, start, stop)

    monkeypatch.setattr(Reader, "lines", counted)
    assert hc.parse(fresh_process.grown(4000)).num_instructions == 4003
    assert len(read) == 7 + 1  # seven kinds of bodies among four hundred, and the entry


def test_exponents_are_those_of_the_times(fresh_process: ModuleType) -> None:
    figures = {str(n): {"count": 1e-6 * n, "print": 1e-9 * n**2} for n in (10, 100, 1000)}
    found = fresh_process.exponents(figures)
    assert found["count"] == pytest.approx(1.0)
    # From 100 to 1000 instructions 100 + 10 becomes 1000 + 1000 millionths: a factor of 18.2, 10 to the power of 1.26.
    assert found["count + print"] == pytest.approx(1.2596, abs=1e-4)


def test_the_page_and_the_readme_show_what_was_measured(speed: ModuleType) -> None:
    results = json.loads(speed.RESULTS.read_text())
    page = speed.PAGE.read_text()
    assert speed.filled_page(results, page) == page
    cpu = results["ratios"]["cpu"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"takes {cpu['count']:.1f} times as long as XLA's" in readme
    assert f"on {cpu['instructions']:,} instructions" in readme
    assert (
        f"with its table {cpu['count + print']:.1f}, a roofline beside it {cpu['count'] + cpu['roofline']:.1f}"
        in readme
    )


def test_a_program_is_compared_with_its_own_xla_and_its_own_compile(speed: ModuleType, tmp_path: Path) -> None:
    real_programs = importlib.import_module("real_programs")
    file = tmp_path / "models.jsonl.gz"
    texts = ["ENTRY e {\n  ROOT x = f32[2] parameter(0)\n}", "HloModule short\n", "no HLO"]
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps({"name": text[:6], "hlo": text}) + "\n" for text in texts)

    def xla(text: str) -> None:
        if not text.startswith("ENTRY"):
            raise ValueError("refused")

    took = iter([2.0, 3.0, 7.0])  # XLA, count, count and print
    figures = real_programs.models(file, 1, lambda run, *arguments: next(took), xla)
    assert (figures["programs"], figures["refused"], figures["instructions"]) == (1, 2, [1, 1])
    assert figures["count"] == {"median": 1.5, "worst": 1.5}
    assert figures["count + print"] == {"median": 3.5, "worst": 3.5}
    assert "2 more are refused" in speed.models_table(figures)
    table = speed.functions_table({"step": {"instructions": 2000, "compiling": 4.0, "counting": 0.1}})
    assert "2.5 %" in table
