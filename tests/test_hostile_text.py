"""Every output of a module that attacks its readers: what gets out is harmless, and data are as they were."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE, hostile_text, offences

import hlo_count as hc
from hlo_count.budgets.snapshot import write_whole
from hlo_count.cli import main
from hlo_count.harmless import json_text
from hlo_count.report.breakdown import KEYS
from hlo_count.roofline.plot import plot

ROOT = Path(__file__).resolve().parent.parent
FILE_NAME = "\x1b[31m\u202e\n::error::$x^2$`|<b>" + "y" * 40
"""As of `HOSTILE` what the name of a file can hold."""
DUMPED = FILE_NAME.replace("\n", "\r")
"""What XLA's own names of files can hold."""


@pytest.fixture(scope="module")
def report() -> hc.Report:
    return hc.count(hostile_text())


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What XLA would dump of a hostile module that a pass makes larger, and a file that cannot be read."""
    folder = tmp_path_factory.mktemp("dumps")
    start = folder / f"module_0001.{DUMPED}"
    Path(f"{start}.before_optimizations.txt").write_text(hostile_text())
    for number in range(2):
        Path(f"{start}.{number:04}.{DUMPED[:20]}.after_{DUMPED}.txt").write_text(hostile_text(128 << number))
    Path(f"{start}.0002.p.after_{DUMPED}.txt").write_text(HOSTILE.replace("\0", ""))
    return folder


def message(raises: Callable[[], object]) -> str:
    with pytest.raises(hc.HloCountError) as caught:
        raises()
    return str(caught.value)


def diff(report: hc.Report) -> hc.Diff:
    return hc.diff(report, hc.count(hostile_text(128)))


TEXTS: dict[str, Callable[[hc.Report], object]] = {
    "report": str,
    "its repr": repr,
    **{f"by {key}": lambda report, key=key: report.table(by=key, rows=100) for key in KEYS},
    "json": lambda report: report.to_json(),
    "module": lambda report: repr(report.module),
    "computation": lambda report: repr(report.module.entry),
    "instructions": lambda report: "\n".join(map(repr, report.module.instructions())),
    "unknowns": lambda report: "\n".join(map(str, report.unknowns)),
    "settlements": lambda report: "\n".join(map(str, report.settlements)),
    "reconciliation": lambda report: report.reconcile(),
    "diff": diff,
    "its repr ": lambda report: repr(diff(report)),
    **{f"diff by {key}": lambda report, key=key: diff(report).table(by=key) for key in KEYS},
    "markdown": lambda report: diff(report).markdown(),
    "roofline": lambda report: report.roofline("h100-sxm"),
    "its repr  ": lambda report: repr(report.roofline("h100-sxm")),
    "what if": hc.what_if,
    "explanations": lambda report: "\n".join(
        str(report.explain(f"{i.computation.name}/{i.name}", "h100-sxm")) for i in report.module.instructions()
    ),
    "graph": lambda report: report.dot("z", 9),
    "no such instruction": lambda report: message(lambda: report.explain(HOSTILE)),
    "strict": lambda report: message(lambda: hc.count(report.module, strict=True)),
    "no such loop": lambda report: message(lambda: hc.count(report.module, trip_counts={HOSTILE: 1})),
    "budget": lambda report: message(
        lambda: report.check(
            **dict.fromkeys(("flops", "bytes", "peak_bytes", "output_bytes", "compulsory_bytes"), 1),
            max_ops={"custom-call:*": 0, "while": 0, "parameter": 0, "all-reduce": 0},
            forbid=["custom-call:*ta*", "f32"],
            bound="1 ns",
            device="h100-sxm",
        )
    ),
    "no HLO": lambda _: message(lambda: hc.parse(HOSTILE.replace("\0", ""))),
    "a bad line": lambda _: message(lambda: hc.parse(hostile_text().replace("dot(%x, %x)", f'dot(%x, "{HOSTILE[9:]}'))),
    "no such file": lambda _: message(lambda: hc.count(Path(HOSTILE.replace("\0", "")))),
    "no such device": lambda _: message(lambda: hc.device(HOSTILE)),
    "no such target": lambda _: message(lambda: hc.count(len, target=HOSTILE)),
    "no such key": lambda report: message(lambda: report.by(HOSTILE)),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, report: hc.Report) -> None:
    text = str(TEXTS[name](report))
    assert len(text) > 20
    assert offences(text) == []
    assert len(text) < 40_000


def test_the_module_has_what_attacks(report: hc.Report) -> None:
    """Else nothing would be tested above: what comes from the text comes whole, and offends."""
    (target,) = (u.what for u in report.unknowns if u.what.startswith("custom-call"))
    assert target == f"custom-call {HOSTILE}"
    assert len(offences(target)) > 10
    assert offences(report.unknowns[0].source)


def test_json_loses_nothing(report: hc.Report) -> None:
    for data in (
        report.to_dict(),
        diff(report).to_dict(),
        report.roofline("h100-sxm").to_dict(),
        report.explain("z").to_dict(),
    ):
        text = json_text(data)
        assert offences(text) == []
        assert json.loads(text) == json.loads(json.dumps(data))
    assert HOSTILE in json.loads(report.to_json())["unknowns"][0]["source"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html(report: hc.Report) -> None:
    html = report._repr_html_()
    assert offences(html) == []
    page = _Tags()
    page.feed(html)
    assert page.tags <= {"div", "p", "b", "pre", "table", "thead", "tbody", "tr", "th", "td"}
    assert "<script>alert(1)</script>" in page.text
    assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">')  # MathJax reads no formula there


@pytest.mark.parametrize("key", KEYS)
def test_tables_for_spreadsheets(key: str, report: hc.Report) -> None:
    pytest.importorskip("pandas")
    text = report.to_pandas(key).to_csv()
    assert offences(text) == []
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(tuple("=+-@"))]
    assert key not in ("scope", "source") or any(cell.startswith("'=HYPERLINK") for cell in cells)


def test_markdown_is_code_or_words(report: hc.Report) -> None:
    """Outside of code no sign that GitHub reads more into."""
    lines = [line for line in diff(report).markdown().splitlines() if "script" in line]
    assert lines
    for line in lines:
        assert line.count("|") == line.count(" |") + 1  # those of the table alone
        plain, fence = "", ""
        for piece in filter(None, re.split("(`+)", line)):
            fence = "" if piece == fence else piece if not fence and piece[0] == "`" else fence
            plain += piece if not fence and piece[0] != "`" else ""
        assert not {*plain} & set("<>@#$*_[]~"), plain


def test_passes(dumps: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = hc.read_dumps(dumps)
    assert [offences(str(one.message)) for one in said] == [[]]
    assert len(found.rows) == 2
    assert found.skipped
    for text in (str(found), repr(found), message(lambda: found.at(DUMPED + "z"))):
        assert "\\x1b[31m" in text
        assert offences(text) == []


def test_plots(report: hc.Report, dumps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import rc_context
    from matplotlib.cbook import is_math_text
    from matplotlib.text import Text

    figures: list[Any] = []
    monkeypatch.setattr("hlo_count.roofline.plot.save", lambda figure, path, **_: figures.append(figure))
    plane = report.roofline("h100-sxm").plane()
    kernels = [replace(kernel, label=DUMPED) for kernel in plane.kernels]
    with rc_context({"text.usetex": True}), warnings.catch_warnings():  # which needs LaTeX, and obeys what it is given
        warnings.simplefilter("ignore")
        plot(replace(plane, title=f"{HOSTILE} $x^2$", kernels=kernels), Path("roofline.png"))
        figures.append(hc.read_dumps(dumps).plot())
    texts = [text for figure in figures for text in figure.findobj(Text)]
    ours = [text.get_text() for text in texts if "x^2" in text.get_text()]
    assert len(ours) >= 4
    assert [text for text in ours if offences(text) or is_math_text(text)] == []
    assert not any(text.get_usetex() for text in texts)


# From the command line


COMMANDS = {
    "count": (["count", "TEXT"], 0),
    "count --json": (["count", "TEXT", "--json"], 0),
    "count over a limit": (["count", "TEXT", "--max-flops", "1"], 1),
    "count --strict": (["count", "TEXT", "--strict"], 3),
    "diff": (["diff", "TEXT", "OTHER", "--fail-above", "1%"], 1),
    "diff --markdown": (["diff", "TEXT", "OTHER", "--markdown"], 0),
    "roofline": (["roofline", "TEXT", "--device", "h100-sxm"], 0),
    "roofline --json": (["roofline", "TEXT", "--device", "h100-sxm", "--json"], 0),
    "passes": (["passes", "DUMPS"], 0),
    "passes --json": (["passes", "DUMPS", "--json"], 0),
    "no such file": (["count", f"{FILE_NAME}.txt"], 2),
    "no HLO": (["count", "BAD"], 2),
    "no such option": (["count", "TEXT", f"--{FILE_NAME}"], 2),
    "no such command": ([FILE_NAME], 2),
    "no such device": (["roofline", "TEXT", "--device", FILE_NAME], 2),
    "no such function": (["count", f"PROGRAM:{FILE_NAME}"], 2),
    "what a function raises": (["count", "PROGRAM:raises", "--arg", "f32[8]"], 2),
    "what cannot be shown": (["count", "PROGRAM:raises_itself", "--arg", "f32[8]"], 2),
    "what is no Exception": (["count", "PROGRAM:stops", "--arg", "f32[8]"], 2),
    "what warns": (["count", "PROGRAM:warns", "--arg", "f32[8]"], 0),
    "what exits": (["count", "PROGRAM:leaves", "--arg", "f32[8]"], 2),
}
PROGRAM = f"""
import sys, warnings
HOSTILE = {HOSTILE!r}

class Unspeakable(Exception):
    def __str__(self):
        raise self

class Stop(BaseException):
    pass

def raises(x):
    raise RuntimeError(HOSTILE)

def raises_itself(x):
    raise type(HOSTILE, (Unspeakable,), {{}})()

def stops(x):
    raise Stop(HOSTILE)

def warns(x):
    warnings.warn(HOSTILE)
    return x

def leaves(x):
    sys.exit(HOSTILE)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str, dumps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = {word: tmp_path / f"{word} {FILE_NAME.replace(':', ';')}.txt" for word in ("TEXT", "OTHER", "BAD")}
    places["TEXT"].write_text(hostile_text())
    places["OTHER"].write_text(hostile_text(128))
    places["BAD"].write_text(HOSTILE.replace("\0", ""))
    places |= {"DUMPS": dumps, "PROGRAM": tmp_path / "hostile_program.py"}
    places["PROGRAM"].write_text(PROGRAM)
    arguments, code = COMMANDS[name]
    for word, place in places.items():
        arguments = [
            str(place) + argument.removeprefix(word) if argument.startswith(word) else argument
            for argument in arguments
        ]
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out or err
    assert offences(out) == []
    assert offences(err) == []
    assert "Traceback" not in err


def test_pytest(tmp_path: Path) -> None:
    (tmp_path / "step.txt").write_text(hostile_text())
    (tmp_path / "grown.txt").write_text(hostile_text(128))
    (tmp_path / "test_step.py").write_text("""
from pathlib import Path
import os, pytest

STEP = Path(__file__).with_name(os.environ.get("STEP", "step.txt"))

def test_budget(flop_budget):
    flop_budget(STEP, flops=1, bytes=1, peak_bytes=1)

def test_forbidden(flop_budget):
    flop_budget(STEP, forbid="custom-call:*", allow_lower_bound=True)

def test_holds(flop_budget):
    flop_budget(STEP, flops="1 GFLOP", max_ops={"custom-call:*": 2}, allow_lower_bound=True)

def test_snapshot(flop_snapshot):
    flop_snapshot(STEP)
""")
    plugin = (
        []
        if any(e.value == "hlo_count.pytest_plugin" for e in entry_points(group="pytest11"))
        else ["-p", "hlo_count.pytest_plugin"]
    )

    def run(*options: str, **environment: str) -> str:
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *plugin, *options]
        paths = {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **paths, **environment}
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout + done.stderr

    for text in (run("--flop-update", "--flop-report", "report.json"), run(STEP="grown.txt")):
        assert "BudgetExceeded" in text
        assert "\\x1b[2J" in text
        assert offences(text) == []
    stored = (tmp_path / "__flops__" / "test_step.json").read_text()
    assert json.loads(stored)["snapshots"]["test_snapshot"]["sources"]


def test_half_a_surrogate_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A str can hold one, UTF-8 cannot: it stands as an escape in what is shown and in files, in JSON too."""
    report = hc.count(hostile_text(hostile="a\ud800b"))
    for text in (str(report), report._repr_html_(), report.to_json(), repr(report), diff(report).markdown()):
        text.encode()
    assert "a\\ud800b" in str(report)
    file = tmp_path / "snapshot.json"
    write_whole(file, {"of": report.to_dict()})
    assert json.loads(file.read_text())["of"]["unknowns"] == report.to_dict()["unknowns"]
