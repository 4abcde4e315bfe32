"""The probabilities of a conditional's branches, from Python and from the command line."""

from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path

import pytest

import hlo_count as hc
from hlo_count.cli import main

N = 64
TEXT = f"""HloModule m

product {{
  x = f32[{N},{N}] parameter(0)
  ROOT d = f32[{N},{N}] dot(x, x), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
}}

same {{
  ROOT x = f32[{N},{N}] parameter(0)
}}

ENTRY e {{
  i = s32[] parameter(0)
  x = f32[{N},{N}] parameter(1)
  ROOT c = f32[{N},{N}] conditional(i, x, x), branch_computations={{product, same}}
}}
"""


@pytest.mark.parametrize(
    ("given", "flops"), [("0.25,0.75", N**3 // 2), ("1", 0), ("0", 2 * N**3)], ids=["often", "never", "always"]
)
def test_on_the_command_line(given: str, flops: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.hlo"
    path.write_text(TEXT)
    assert main(["count", str(path), "--branch", f"c={given}", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["flops"], data["status"]) == (flops, "exact")


@pytest.mark.parametrize(
    "given",
    [[0.5, 0.4], [1.5, -0.5], [1.0], [nan, 1], [inf, 1], [nan, 0.5, 0.5]],
    ids=["too little", "negative", "too few", "nan", "inf", "nan and two"],
)
def test_what_are_none(given: list[float]) -> None:
    with pytest.raises(hc.HloCountError, match="c has 2 branches; pass an index, or 2 probabilities that add up to 1"):
        hc.count(TEXT, branches={"c": given})
