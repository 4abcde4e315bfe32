"""The page of a report: what it holds, how it is written, and how it works in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fixture_files
import pytest
from hostile import hostile_text, offences

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.report.page_data import page_data
from hlo_count.report.page_file import render_page
from hlo_count.report.weights import Weights

pytest.importorskip("jinja2", reason="a page is made with Jinja2, the extra `html`")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LARGEST = 5_000_000
STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))
LINE = 'metadata={op_name="jit(f)/mlp/dot" source_file="m.py" source_line=7}'
TEXT = f"""HloModule step, is_scheduled=true

ENTRY %main (x: f32[64,64], w: f32[64,64]) -> f32[64,64] {{
  %x = f32[64,64]{{1,0}} parameter(0), metadata={{op_name="x"}}
  %w = f32[64,64]{{1,0}} parameter(1), metadata={{op_name="w"}}
  %dot.1 = f32[64,64]{{1,0}} dot(%x, %w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, {LINE}
  ROOT %tanh.1 = f32[64,64]{{1,0}} tanh(%dot.1), metadata={{op_name="jit(f)/out/tanh" source_file="m.py" source_line=9}}
}}
"""


def embedded(html: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(found)


# What it holds


@pytest.mark.parametrize("path", STORED[::6], ids=lambda path: "/".join(path.relative_to(fixture_files.FIXTURES).parts))
def test_trees_and_kernels_add_up(path: Path) -> None:
    report = hc.count(path)
    roofline = report.roofline("h100-sxm") if "h100" in path.parts else None
    data = page_data(Weights(report, roofline))
    wanted = {"flops": report.flops, "bytes": report.bytes, "peak": report.peak_bytes}
    for tree in data["trees"].values():
        assert all(parent < child for child, parent in enumerate(tree["parent"]))
        for measure, values in zip(data["measures"], tree["values"], strict=True):
            if measure["key"] in wanted:
                assert sum(values) == wanted[measure["key"]]
    kernels = data["kernels"]
    for counter in ("flops", "bytes"):
        assert sum(kernels[counter]) + kernels["rest"][counter] == wanted[counter]
    memory = data["memory"]
    assert memory["always"] + max(memory["temporaries"]) == memory["peak"] == report.peak_bytes
    if roofline is not None:
        sums = [
            sum(tree["values"][data["measures"].index(m)])
            for tree in data["trees"].values()
            for m in data["measures"]
            if m["key"] == "estimate"
        ]
        assert sums == pytest.approx([sum(row.estimate for row in roofline.rows)] * 3, rel=1e-4)  # five digits each


def test_it_is_small_however_large_the_program(tmp_path: Path) -> None:
    """8,000 kernels in 8,000 scopes: the lightest nodes count with their parents, the lightest kernels as one."""
    lines = [
        f'  %i.{n} = f32[{n % 97 + 1}] broadcast(%c), dimensions={{}}, metadata={{op_name="jit(f)/{"s" * 60}{n}x/b" source_file="{n}.py" source_line=1}}'
        for n in range(8_000)
    ]
    text = "HloModule m, is_scheduled=true\n\nENTRY %main () -> f32[] {\n  %c0 = f32[] constant(1)\n  %c = f32[] negate(%c0)\n"
    report = hc.count(text + "\n".join(lines) + "\n  ROOT %r = f32[] negate(%c)\n}\n")
    file = report.save(tmp_path / "x.html")
    assert file.stat().st_size < LARGEST / 2
    data = embedded(file.read_text())
    assert sum(data["trees"]["scope"]["values"][1]) == report.bytes
    assert sum(data["kernels"]["bytes"]) + data["kernels"]["rest"]["bytes"] == report.bytes
    assert data["kernels"]["rest"]["number"] > 4_000


def test_it_asks_no_network_and_holds_its_data_once() -> None:
    report = hc.count(TEXT)
    html = render_page(Weights(report, report.roofline("h100-sxm")))
    assert "default-src 'none'" in html
    outside = html.replace("http://www.w3.org/", "").replace("https://d3js.org v7", "")
    assert not re.search(
        r"(?:src|href)\s*=\s*[\"']|@import|url\(|fetch\(|XMLHttpRequest\(", outside.partition("<script>")[0]
    )
    assert html.count("dot(%x, %w)") == 1
    assert len(html) < LARGEST


def test_it_is_harmless() -> None:
    report = hc.count(hostile_text())
    html = render_page(Weights(report, report.roofline("h100-sxm")))
    head, _, rest = html.partition('<script type="application/json" id="data">')
    data, _, scripts = rest.partition("</script>")
    assert offences(head) == []
    assert not set("<>&") & set(data)
    assert [offence for each in json.loads(data)["strings"] for offence in offences(each)] == []
    assert scripts.count("<script>") == 2


def test_markup_in_names_is_text() -> None:
    report = hc.count(hostile_text(hostile="</script><script>alert(1)</script>"))
    html = render_page(Weights(report, report.roofline("h100-sxm")))
    assert "<script>alert" not in html
    assert any("</script><script>alert(1)</script>" in each for each in embedded(html)["strings"])


# How it is written


def test_a_file_that_is_there_stays_unless_told(tmp_path: Path) -> None:
    file = tmp_path / "x.html"
    report = hc.count(TEXT)
    assert report.save(file) == file
    first = file.read_text()
    with pytest.raises(hc.HloCountError, match=r"x.html exists: force=True, or --force, replaces it"):
        report.save(file, device="h100-sxm")
    assert file.read_text() == first
    report.save(str(file), device="h100-sxm", force=True)
    assert embedded(file.read_text())["device"] == "h100-sxm"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.pdf", "saved as .html, .speedscope.json, .trace.json, .folded, .md, .csv, .hlo.txt"),
        ("no/such/x.html", "there is no folder"),
        ("folder.html", "is a folder"),
        ("y" * 300 + ".html", "File name too long"),
        ("x\0.html", "null"),
    ],
)
def test_a_bad_place_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(hc.HloCountError, match=said) as problem:
        hc.count(TEXT).save(tmp_path / name)
    assert "\n" not in str(problem.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(hc.HloCountError, match="Permission denied"):
        hc.count(TEXT).save(tmp_path / "x.html")


def test_what_is_asked_too_much_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(hc.HloCountError, match="give the path of a file"):
        hc.count(TEXT).save(None)  # type: ignore[arg-type]
    with pytest.raises(hc.HloCountError, match=r"use reconcile\(\)"):
        hc.count(TEXT, convention="xla").save(tmp_path / "x.html")
    with pytest.raises(hc.HloCountError, match="h100"):
        hc.count(TEXT).save(tmp_path / "x.html", device="h101")
    dump = tmp_path / "dump.txt"
    dump.write_text(TEXT)
    assert main(["report", str(dump), "-o", str(tmp_path / "y.html"), "--device", "h100-sxm"]) == 0
    assert capsys.readouterr().err.endswith("y.html\n")
    assert main(["report", str(dump), "-o", str(tmp_path / "y.html")]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "e { ROOT p = f32[4] parameter(0) }",
        "e { ROOT c = s32[] constant(1) }",
        "e { x = s32[64] parameter(0) ROOT y = s32[64] add(x, x) }",
    ],
    ids=["nothing to do", "nothing at all", "no FLOP"],
)
def test_programs_of_little(text: str, tmp_path: Path, page: Page) -> None:
    page.open(hc.count(text).save(tmp_path / "x.html", device="h100-sxm"))
    assert page.problems == []


# In a browser


class Page:
    """A page in Chromium, with what it complained of and what it asked the network for."""

    def __init__(self, page: Any) -> None:
        self.it = page
        self.problems: list[str] = []
        page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith("file:") else self.problems.append(r.url))

    def open(self, file: Path) -> None:
        self.it.goto(file.as_uri())
        self.it.wait_for_selector("#icicle .node")

    def texts(self, selector: str) -> list[str]:
        return [each.text_content() for each in self.it.query_selector_all(selector)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium is installed here (Debian: apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="a browser is driven by Playwright")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    context = browser.new_context()
    yield Page(context.new_page())
    context.close()


def test_it_works_in_a_browser(page: Page, tmp_path: Path) -> None:
    report = hc.count(fixture_files.text("h100", "transformer_step"))
    roofline = report.roofline("h100-sxm")
    page.open(report.save(tmp_path / "x.html", device="h100-sxm"))
    page.it.select_option("#measure", label="estimated time")
    rows = page.texts("#kernel-table tbody tr td.name")
    assert rows[:5] == [row.name for row in roofline.rows[:5]]  # ranked by the measure
    # A point of the roofline leads to its kernel, the kernel to its makers.
    point = page.it.query_selector(".point")
    name = point.get_attribute("aria-label")
    point.dispatch_event("click")
    assert page.texts("#detail h3") == [name]
    assert page.texts("tr.chosen td.name") == [name]
    assert name in page.texts("#detail pre")[0]
    maker = page.it.query_selector("#detail p button")
    wanted = maker.text_content()
    maker.click()
    assert page.texts("#detail h3") == [wanted]
    # A row of the table marks its point.
    with_point = page.it.query_selector_all(".point")[-1].get_attribute("aria-label")
    page.it.fill("#search", with_point)
    page.it.wait_for_function(
        "name => document.querySelector('#kernel-table tbody td.name').textContent === name", arg=with_point
    )
    page.it.click("#kernel-table tbody tr")
    assert page.it.query_selector(".point.chosen").get_attribute("aria-label") == with_point
    assert page.problems == []


def test_two_programs_stand_in_one_icicle(page: Page, tmp_path: Path) -> None:
    after = (
        TEXT.replace("64,64", "32,32")
        .replace("f)/mlp", "f)/block")
        .replace("tanh.1 = f32[32,32]{1,0} tanh", "tanh.1 = f32[32,32]{1,0} negate")
    )
    comparison = hc.diff(hc.count(TEXT), hc.count(after))
    page.open(comparison.save(tmp_path / "x.html", device="h100-sxm"))
    told = page.texts("#icicle-at")[0]
    assert told == "step: 524.3 k → 65.54 k (−87.5 %), FLOP"  # 2·64³ and 2·32³
    labels = [each.get_attribute("aria-label") for each in page.it.query_selector_all("#icicle .node")]
    assert "f / mlp, 524.3 k → 0 (−100.0 %), FLOP" in labels
    assert "f / block, 0 → 65.54 k (new), FLOP" in labels
    assert "jit" not in page.it.title() and "All else is of the second program" in page.it.text_content("#summary")
    with pytest.raises(hc.HloCountError, match="exists"):
        comparison.save(tmp_path / "x.html")
    assert page.problems == []


def test_measured_times_are_a_measure(page: Page, tmp_path: Path) -> None:
    report = hc.count(TEXT)
    file = tmp_path / "x.html"
    file.write_text(render_page(Weights(report, None, {"dot.1": 3e-6, "tanh.1": 1e-6, "not there": 1.0})))
    page.open(file)
    page.it.select_option("#measure", label="measured time")
    assert page.it.text_content("#icicle-at") == "step: 4 µs, 100.0 % of measured time"
    assert page.texts("#kernel-table tbody tr td:nth-child(5)") == ["3 µs", "1 µs"]
    assert page.problems == []


def test_what_is_sent_is_a_measure_of_programs_that_send() -> None:
    assert "network_bytes" not in Weights(hc.count(TEXT)).measures
    report = hc.count(fixture_files.text("cpu", "psum"))
    data = page_data(Weights(report))
    at = [each["key"] for each in data["measures"]].index("network_bytes")
    assert all(sum(tree["values"][at]) == report.network_bytes > 0 for tree in data["trees"].values())


def test_search_and_keys(page: Page, tmp_path: Path) -> None:
    page.open(hc.count(TEXT).save(tmp_path / "x.html", device="h100-sxm"))
    page.it.keyboard.press("/")
    page.it.keyboard.type("tanh")
    page.it.wait_for_function("() => document.querySelectorAll('#kernel-table tbody tr').length === 1")
    page.it.keyboard.press("Escape")
    page.it.wait_for_function("() => document.querySelectorAll('#kernel-table tbody tr').length === 2")
    # The icicle by keys: down into the program, along to a sibling, and out again.
    page.it.focus("#icicle .node")
    for _ in range(3):
        page.it.keyboard.press("ArrowDown")
    page.it.keyboard.press("Enter")
    assert "f / mlp: 524.3 k" in page.it.text_content("#icicle-at")  # 2 · 64³
    page.it.keyboard.press("Escape")
    assert page.it.text_content("#icicle-at").startswith("step: ")
    page.it.click("#trees button:nth-of-type(3)")
    labels = [each.get_attribute("aria-label") for each in page.it.query_selector_all("#icicle .node")]
    assert any(label.startswith("m.py / line 7") for label in labels)
    assert page.problems == []


def test_source_stands_with_its_heat_where_it_may_be_read(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "m.py").write_text("".join(f"line_{n} = {n}\n" for n in range(1, 12)))
    monkeypatch.chdir(project)
    page.open(hc.count(TEXT.replace('"m.py"', f'"{project}/m.py"')).save(tmp_path / "x.html"))
    assert page.texts("#lines tr[data-line='7'] td") == ["524.3 k 100.0 %", "7", "line_7 = 7"]
    assert page.texts("#lines tr[data-line='8'] td") == ["", "8", "line_8 = 8"]
    page.open(hc.count(TEXT.replace('"m.py"', '"/etc/passwd"')).save(tmp_path / "y.html"))
    assert "may not be read" in page.it.text_content("#lines")
    assert "root:" not in page.it.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_schemes(scheme: str, browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page = Page(context.new_page())
    page.open(hc.count(fixture_files.text("cpu", "transformer_step")).save(tmp_path / "x.html", device="h100-sxm"))
    assert page.it.evaluate("document.documentElement.scrollWidth") <= 390
    red = page.it.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert red > 200 if scheme == "light" else red < 60
    page.it.emulate_media(media="print")
    assert not page.it.is_visible("#more") and not page.it.is_visible("#search")
    assert page.problems == []
    context.close()


def test_names_of_ten_thousand_characters_fit_a_phone(page: Page, tmp_path: Path) -> None:
    name = "n" * 10_000
    long = TEXT.replace("jit(f)/mlp", f"jit(f)/{name}").replace("m.py", f"{name}.py").replace("tanh.1", name)
    page.it.set_viewport_size({"width": 390, "height": 844})
    page.open(hc.count(long).save(tmp_path / "x.html", device="h100-sxm"))
    assert page.it.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.problems == []


def test_a_hostile_page_runs_nothing(page: Page, tmp_path: Path) -> None:
    page.it.on("dialog", lambda dialog: page.problems.append(dialog.message))
    page.open(hc.count(hostile_text()).save(tmp_path / "x.html", device="h100-sxm"))
    page.it.click("#kernel-table tbody tr")
    assert page.it.query_selector_all("img") == []
    assert page.problems == []
