"""What prints as text is shown in notebooks and kept as one file of HTML that needs no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fixture_files
import pytest

import hlo_count as hc

pytest.importorskip("jinja2")
HOSTILE = "</pre><script>alert(1)</script>"


def made(name: str) -> Any:
    report = hc.count(fixture_files.text("h100", "matmul_bf16"))
    if name == "roofline":
        return report.roofline("h100-sxm")
    if name == "what_if":
        return hc.what_if(report, ["h100-sxm", "h200"])
    if name == "diff":
        return hc.diff(report, hc.count(fixture_files.text("h100", "mlp_grad")))
    if name == "reconciliation":
        return report.reconcile()
    from hlo_count.sizing.size_rows import size_row

    return hc.Size([size_row("h100-sxm", report)])


RESULTS = ["roofline", "what_if", "diff", "reconciliation", "size"]


class Text(HTMLParser):
    """What a reader sees of the page's `pre`, and what the page would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.loads, self._inside = "", [], False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or tag == "pre"
        self.loads += [v for n, v in attributes if n in ("src", "href", "xlink:href") and v and not v.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        self.text += data if self._inside else ""


@pytest.mark.parametrize("name", RESULTS)
def test_the_page_says_what_is_printed_and_loads_nothing(name: str, tmp_path: Path) -> None:
    result = made(name)
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    read = Text(page)
    assert read.text == str(result)
    assert read.loads == []
    assert Text(result._repr_html_()).text == str(result)


def test_runs_and_scans_are_pages_too(tmp_path: Path) -> None:
    for run, program in (("before", "matmul_bf16"), ("after", "matmul_batched")):
        (tmp_path / run).mkdir()
        file = tmp_path / run / "module_0001.jit_f.gpu_after_optimizations.txt"
        file.write_text(fixture_files.text("h100", program))
    job_diff = hc.read_job(tmp_path / "before").diff(hc.read_job(tmp_path / "after"))
    scan = hc.scan([str(tmp_path / "before")], tmp_path / "counts.sqlite", workers=1)
    for result in (job_diff, scan, scan.query("dearest_modules")):
        assert Text(result._repr_html_()).text == str(result)
    assert Text(job_diff.save(tmp_path / "page.html").read_text(encoding="utf-8")).text == str(job_diff)
    assert scan.save(tmp_path / "scan.html").exists()


@pytest.mark.parametrize("name", ["roofline", "size"])
def test_what_can_be_drawn_is_drawn_in_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = made(name).save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1 and "<?xml" not in page


def test_names_of_a_program_mean_nothing_in_it(tmp_path: Path) -> None:
    text = (
        'HloModule m\n\nENTRY e { p = f32[8] parameter(0) ROOT a = f32[8] add(p, p), metadata={op_name="'
        + HOSTILE
        + '"} }'
    )
    page = hc.count(text).roofline("h100-sxm").save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|alert\(1\)</", page)
    diff = hc.diff(hc.count(text), hc.count(text.replace("add(p, p)", "multiply(p, p)")))
    page = diff.save(tmp_path / "diff.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and HOSTILE not in page


def test_a_place_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    result = made("roofline")
    result.save(tmp_path / "page.html")
    for path, message in (
        (tmp_path / "page.html", "exists: force=True, or --force, replaces it"),
        (tmp_path / "page.txt", "it is saved as .html, .htm"),
        (tmp_path / "none" / "page.html", "there is no folder"),
    ):
        with pytest.raises(hc.HloCountError, match=message):
            result.save(path)
    assert result.save(tmp_path / "page.html", force=True).exists()
