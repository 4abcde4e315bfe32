"""What stands around an instruction, as a graph: its nodes, its edges, and how far it goes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hlo_count as hc
from hlo_count.cli import main

CHAIN = """HloModule chain

ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  %a = f32[8,8]{1,0} negate(%x)
  %b = f32[8,8]{1,0} dot(%a, %a), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %c = f32[8,8]{1,0} exponential(%b), control-predecessors={%x}
  ROOT %d = f32[8,8]{1,0} add(%c, %x)
}
"""


def edges(text: str) -> set[tuple[str, str, bool]]:
    return {(one, user, "dashed" in more) for one, user, more in re.findall(r'"(.*?)" -> "(.*?)"(.*);', text)}


def test_it_goes_as_far_as_it_is_told() -> None:
    report = hc.count(CHAIN)
    assert edges(report.dot("b", 0)) == set()
    assert edges(report.dot("b", 1)) == {("a", "b", False), ("b", "c", False)}
    assert edges(report.dot("b", 2)) == {
        ("x", "a", False), ("a", "b", False), ("b", "c", False), ("x", "c", True), ("c", "d", False), ("x", "d", False)
    }  # fmt: skip
    with pytest.raises(hc.HloCountError, match="hops=-1"):
        report.dot("b", -1)


def test_a_node_says_what_it_costs() -> None:
    (node,) = re.findall(r'"b" \[label="(.*?)"', hc.count(CHAIN).dot("b", 1))
    assert node == "b\\ndot f32[8,8]\\n1.024 k FLOP, 512 B"  # 2 · 8³; 4 · 64 bytes in and out


def test_a_value_of_many_users_shows_the_nearest() -> None:
    users = "".join(f"  %u.{n} = f32[8] negate(%x)\n" for n in range(500))
    text = f"HloModule m\n\nENTRY %main (x: f32[8]) -> f32[8] {{\n  %x = f32[8] parameter(0)\n{users}"
    shown = hc.count(text + "  ROOT %r = f32[8] add(%u.499, %x)\n}\n").dot("x")
    assert shown.count("[label=") == 200
    assert "302 more are left out" in shown  # of x, 500 users and the root


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / "dump.txt"
    dump.write_text(CHAIN)
    assert main(["explain", str(dump), "b", "--dot", "--hops", "1"]) == 0
    assert capsys.readouterr().out == hc.count(CHAIN).dot("b", 1)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed (Debian: apt-get install graphviz)")
def test_graphviz_reads_it() -> None:
    done = subprocess.run(["dot", "-Tsvg"], input=hc.count(CHAIN).dot("b"), capture_output=True, text=True, check=True)
    assert done.stdout.count('<g id="node') == 5


def test_a_computation_is_drawn_whole() -> None:
    report = hc.count(CHAIN)
    assert edges(report.dot("main")) == edges(report.dot("b", 9))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_it_is_drawn_as_svg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / "dump.txt"
    dump.write_text(CHAIN)
    assert main(["explain", str(dump), "b", "--svg", "--hops", "1"]) == 0
    out = capsys.readouterr().out
    assert out.rstrip().endswith("</svg>") and out.count('class="node"') == 3 and out.count('class="edge"') == 2
    assert hc.count(CHAIN).svg("main").count('class="node"') == 5


def test_without_graphviz_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(hc.HloCountError, match="Graphviz, whose `dot` is not installed"):
        hc.count(CHAIN).svg("b")
