"""A report as Markdown and as CSV: rows add up, and names mean nothing there."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import fixture_files
from hostile import hostile_text

import hlo_count as hc


def test_csv_has_a_row_an_instruction_and_adds_up(tmp_path: Path) -> None:
    report = hc.count(fixture_files.text("h100", "transformer_step"))
    file = report.save(tmp_path / "x.csv", device="h100-sxm")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    for counter in ("flops", "bytes", "int_ops", "network_bytes"):
        assert sum(int(row[counter]) for row in rows) == getattr(report, counter)
    assert len(rows) == len(report.entries)
    seconds = {row["instruction"]: float(row["estimate_s"]) for row in rows if row["estimate_s"]}
    heaviest = report.roofline("h100-sxm").rows[0]
    assert seconds[heaviest.name] == heaviest.estimate


def test_markdown_has_the_totals_and_the_contributors(tmp_path: Path) -> None:
    report = hc.count(fixture_files.text("cpu", "mlp_grad"))
    text = report.save(tmp_path / "x.md").read_text(encoding="utf-8")
    *_, heads = [line for line in text.splitlines() if line.startswith("| ") and "FLOP/B" in line and "bytes" in line]
    (shown,) = [line for line in str(report).splitlines() if "FLOP/B" in line.split() and "bytes" in line.split()]
    assert heads.replace("|", " ").split() == shown.split()  # the columns that the terminal has, and no empty ones
    assert text.startswith("**jit") and text.count("|--") == len(shown.split()) + 4
    assert "| FLOP " in text and "matmul" in text


def test_what_a_program_is_called_means_nothing(tmp_path: Path) -> None:
    report = hc.count(hostile_text(hostile="=1+1|<b>@all"))
    text = report.save(tmp_path / "x.md").read_text(encoding="utf-8")
    assert "<b>" in text and "@all" in text
    outside = re.sub(r"(`+).*?\1", "", text)  # as code they are what they are
    assert not re.search(r"(?<!\\)<b>|@all", outside)
    with (report.save(tmp_path / "x.csv")).open(encoding="utf-8") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "@"))]
