"""What a terminal shows: tables of its width that lose nothing, colours that say something, a line while it lasts."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import fixture_files
import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count import layout, terminal
from hlo_count.cli import main
from hlo_count.errors import BudgetExceeded
from hlo_count.report.across_targets import targets_table
from hlo_count.sizing.size_rows import size_row
from hlo_count.under_way import under_way

WIDTHS = (60, 80, 100, 140)
PROGRAMS = [
    ("cpu", "transformer_step"),
    ("cpu", "transformer_step_tensor"),
    ("cpu", "while_dynamic"),
    ("h100", "conv_grad"),
    ("h100", "attention_cudnn"),
    ("tpu-v5e", "mlp_grad"),
]
DEVICES = {"cpu": "h100-sxm", "h100": "h100-sxm", "tpu-v5e": "tpu-v5e"}


def figures(text: str) -> set[str]:
    """The numbers that stand alone between blanks: what cells hold."""
    return set(re.findall(r"(?<=\s)[<+-]?\d[\d.,]*(?=\s)", text))


def at_widths(show: Callable[[], object]) -> None:
    """Whether what is shown keeps to each width, and a narrow one tells every figure that a wide one does."""
    texts = {}
    for width in WIDTHS:
        with layout.columns(width):
            texts[width] = str(show())
    for width, text in texts.items():
        assert max(map(len, text.splitlines())) <= width, f"{width}:\n{text}"
        assert figures(texts[140]) <= figures(text), f"{width}:\n{text}"


KEYS = ("opcode", "class", "dtype", "source", "function", "stack", "instruction", "memory_space", "collective")


def over_a_budget(report: hc.Report) -> str:
    with pytest.raises(BudgetExceeded) as exceeded:
        report.check(flops=report.flops - report.flops // 9, peak_bytes=report.peak_bytes - 100, allow_lower_bound=True)
    return str(exceeded.value)


@pytest.mark.parametrize(("backend", "name"), PROGRAMS)
def test_tables_keep_to_the_width_and_lose_no_figure(backend: str, name: str) -> None:
    report = hc.count(fixture_files.text(backend, name))
    roofline = report.roofline(DEVICES[backend])
    for key in (*KEYS, ("scope", "class")):
        at_widths(partial(report.table, by=key))
    at_widths(lambda: report)
    at_widths(lambda: roofline)
    at_widths(lambda: hc.what_if(report, ["h100-sxm", "a100-sxm-80gb", "v100-sxm2"]))
    at_widths(report.reconcile)
    at_widths(lambda: report.explain(roofline.rows[0].name, DEVICES[backend]))
    at_widths(partial(over_a_budget, report))


def test_tables_of_many_programs_keep_to_the_width(tmp_path: Path) -> None:
    reports = {name: hc.count(fixture_files.text("cpu", name)) for name in ("mlp_grad", "transformer_step_tensor")}
    comparison = hc.diff(*reports.values())
    for key in (None, "opcode", "source"):
        at_widths(partial(comparison.table, by=key))
    at_widths(lambda: targets_table(reports))
    at_widths(lambda: hc.Size([size_row("h100-sxm", report) for report in reports.values()]))
    for name in reports:
        (tmp_path / f"module_0001.{name}.cpu_after_optimizations.txt").write_text(fixture_files.text("cpu", name))
    at_widths(lambda: hc.read_job(tmp_path))
    at_widths(hc.devices)


def test_tables_of_runs_and_passes_keep_to_the_width(tmp_path: Path) -> None:
    def step_with_a_name_that_is_rather_long(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda y, _: (jnp.tanh(y @ x), None), x, length=3)[0]

    passes = hc.passes(step_with_a_name_that_is_rather_long, jnp.ones((8, 8)))
    at_widths(lambda: passes)
    reports = []
    for run, program in (("before", "mlp_grad"), ("after", "transformer_step")):
        (tmp_path / run).mkdir()
        file = tmp_path / run / "module_0001.jit_step_with_a_name_that_is_long.cpu_after_optimizations.txt"
        file.write_text(fixture_files.text("cpu", program))
        reports.append(hc.read_job(tmp_path / run))
    at_widths(lambda: reports[0].diff(reports[1]))


def test_a_command_has_the_width_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dump.txt"
    file.write_text(fixture_files.text("cpu", "transformer_step"))
    wide = {}
    for width in WIDTHS:
        assert main(["--width", str(width), "count", str(file)]) == 0
        wide[width] = max(map(len, capsys.readouterr().out.splitlines()))
        assert wide[width] <= width
    assert wide[60] < wide[140]


def test_names_of_ten_thousand_characters_keep_to_the_width() -> None:
    name = "n" * 10_000
    text = f"HloModule {name}\n\nENTRY e {{ {name} = f32[8] parameter(0) ROOT r{name} = f32[8] add({name}, {name}) }}"
    report = hc.count(text)
    at_widths(lambda: report)
    at_widths(partial(report.table, by="instruction"))
    at_widths(lambda: report.roofline("h100-sxm"))
    at_widths(lambda: hc.diff(report, hc.count("HloModule m\n\nENTRY e { ROOT p = f32[8] parameter(0) }")))


def test_a_program_that_does_nothing_is_told() -> None:
    at_widths(lambda: hc.count("HloModule m\n\nENTRY e { ROOT p = f32[8] parameter(0) }"))


# Colours


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


PLAIN = (
    "jit_step · CPU · 1 device\n\nFLOP  1.0 G  exact\nbytes  2.0 GB  lower bound\n\n1 unknown:\n  while.9 is exact  "
)


@pytest.mark.usefixtures("colours")
def test_colours_tell_what_is_certain_and_change_no_sign() -> None:
    shown = terminal.painted(PLAIN, Terminal())
    assert "\x1b[32mexact\x1b[0m" in shown  # green
    assert "\x1b[1;31mlower bound\x1b[0m" in shown  # red
    assert "\x1b[1;31munknown\x1b[0m" in shown
    assert shown.count("exact\x1b") == 1  # what the program's own text says is no status
    assert re.sub(r"\x1b\[[\d;]*m", "", shown) == PLAIN


@pytest.mark.usefixtures("colours")
def test_no_colours_in_a_pipe_or_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.painted(PLAIN, io.StringIO()) == PLAIN
    assert terminal.painted('{"status": "exact"}', Terminal()) == '{"status": "exact"}'
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.painted(PLAIN, Terminal()) == PLAIN
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.painted(PLAIN, Terminal()) == PLAIN


def test_without_rich_the_text_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert terminal.painted(PLAIN, Terminal()) == PLAIN


# What takes long


def test_a_line_tells_what_takes_long_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "_AFTER", 0.02)
    monkeypatch.setattr(terminal, "_AGAIN", 0.02)
    with terminal.told_while_it_lasts():
        under_way("compiling for tpu:v5e")
        for _ in range(500):
            if "compiling for tpu:v5e · 00:" in stream.getvalue():
                break
            time.sleep(0.01)
    text = stream.getvalue()
    assert "compiling for tpu:v5e · 00:" in text
    assert not text.rstrip("\r").rpartition("\r")[2].strip()  # wiped out


def test_what_is_quick_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with terminal.told_while_it_lasts():
        under_way("compiling")
    assert "compiling" not in stream.getvalue()
