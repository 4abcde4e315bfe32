"""Costs that a user gives for custom calls: in Python, on the command line, and in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hlo_count as hc
from hlo_count.cli import main

TEXT = """HloModule m, is_scheduled=true

ENTRY e {
  x = bf16[64,32] parameter(0)
  splash_mha_fwd.1 = bf16[64,32] custom-call(x), custom_call_target="k", metadata={op_name="jit(f)/attend/pallas_call"}
  splash_mha_fwd.2 = bf16[64,32] custom-call(splash_mha_fwd.1), custom_call_target="k", \
metadata={op_name="jit(f)/attend/pallas_call"}
  ROOT gmm.1 = bf16[64,32] custom-call(splash_mha_fwd.2), custom_call_target="k", \
metadata={op_name="jit(f)/experts/pallas_call"}
}
"""
ARRAY = 2 * 64 * 32


@pytest.mark.parametrize(
    ("costs", "flops"),
    [
        ({"splash_mha*": 34.4e9, "gmm.1": "2 GFLOP"}, 2 * 34_400_000_000 + 2 * 10**9),
        ({"*/attend/*": 5, "*/experts/*": 7}, 2 * 5 + 7),
        ({"*": 5, "gmm.1": 7}, 2 * 5 + 7),  # a name goes before a pattern
        ({"jit(f)/attend/pallas_call": 5, "gmm*": {"flops": 7}}, 2 * 5 + 7),
        ({"splash*": 0, "gmm*": hc.Cost.ops("flops", 7, "matmul", "bf16", "matrix")}, 7),
    ],
)
def test_costs_by_name_or_op_name(costs: Any, flops: int) -> None:
    report = hc.count(TEXT, costs=costs, strict=True)
    assert (report.flops, report.status) == (flops, "exact")
    assert report.bytes == 3 * 2 * ARRAY  # each reads an array and writes one


def test_some_kernels_alone_can_be_settled() -> None:
    report = hc.count(TEXT, costs={"splash*": 5})
    assert (report.flops, report.status) == (10, "lower bound")
    assert [unknown.instruction for unknown in report.unknowns] == ["gmm.1"]


def test_bytes_that_are_given_replace_those_that_are_counted() -> None:
    moved = {"flops": 5, "bytes_read": 100, "bytes_written": 50}
    report = hc.count(TEXT, costs={"splash*": moved, "gmm*": 7})
    assert (report.bytes_read, report.bytes_written) == (2 * 100 + ARRAY, 2 * 50 + ARRAY)


def test_no_bound_rests_on_bytes_of_which_nobody_said_which_they_are() -> None:
    report = hc.count(TEXT, costs={"*": {"flops": 0, "bytes_read": 100, "bytes_written": 50}})
    assert report.compulsory_bytes <= 150  # the argument is read by one that reads 100 bytes of it
    assert report.roofline("h100-sxm").bound == 0


def test_a_cost_with_a_status_keeps_it() -> None:
    guess = hc.Cost.ops("flops", 7, "custom", "f32", status="estimate")
    report = hc.count(TEXT, costs={"*": guess})
    assert (report.flops, report.status) == (21, "estimate")
    assert {unknown.reason.partition(":")[0] for unknown in report.unknowns} == {"costs what you say"}


FILES = {
    "costs.toml": '"splash_mha*" = "5 kFLOP"\n["gmm*"]\nflops = 7\nbytes_read = 100\nbytes_written = 50\n',
    "costs.json": '{"splash_mha*": 5000, "gmm*": {"flops": 7, "bytes_read": "100 B", "bytes_written": 50}}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_costs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, dump = tmp_path / name, tmp_path / "m.txt"
    file.write_text(FILES[name])
    dump.write_text(TEXT)
    report = hc.count(TEXT, costs=file)
    assert (report.flops, report.bytes) == (10_007, 2 * 2 * ARRAY + 150)
    for command in (["count", str(dump)], ["roofline", str(dump), "--device", "tpu-v5e"], ["diff", *[str(dump)] * 2]):
        assert main([*command, "--costs", str(file), "--strict", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert command[0] != "count" or shown["flops"] == 10_007
    # what the command line says goes before the file
    assert main(["count", str(dump), "--costs", str(file), "--cost", "gmm*=1 MFLOP", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == 1_010_000


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (
            {"splash_mha_fw": 1},
            "costs: 'splash_mha_fw' matches no custom-call of this program; did you mean splash_mha",
        ),
        (
            {"nothing": 1},
            "it has: splash_mha_fwd.1, splash_mha_fwd.2, gmm.1; the op_name of splash_mha_fwd.1 is 'jit(f)",
        ),
        ({"splash*": 1, "*/attend/*": 2}, "costs: 'splash*' and '*/attend/*' both match splash_mha_fwd.1: narrow one"),
        ({"splash_mha_fwd.1": 1, "splash_mha_fwd.2": 2, "splash*": 3}, "'splash*' settles nothing"),
        ({"gmm*": "many"}, "costs: 'gmm*': flops='many' is no quantity: give an amount of FLOP, such as"),
        ({"gmm*": "2 GB"}, "costs: 'gmm*': flops='2 GB': GB is no unit of it"),
        ({"gmm*": "2 TFLOP/s"}, "a rate, and this limit is an amount"),
        ({"gmm*": "1e999999999"}, "is more than there can be"),
        ({"gmm*": -1}, "is no quantity"),
        ({"gmm*": float("nan")}, "is no quantity"),
        ({"gmm*": True}, "is no quantity"),
        ({"gmm*": None}, "is no quantity"),
        ({"gmm*": {"flop": 1}}, "costs: 'gmm*': 'flop' is no counter: use flops, transcendentals,"),
        ({"gmm*": {}}, "costs: 'gmm*' holds nothing"),
        ("costs.toml", 'costs: give FLOP by kernel, {"splash_mha*": 34.4e9}, or a pathlib.Path'),
        (Path("is/not/there.toml"), "is/not/there.toml: cannot be read: No such file or directory"),
    ],
)
def test_costs_that_are_none(costs: Any, said: str) -> None:
    with pytest.raises(hc.HloCountError) as problem:
        hc.count(TEXT, costs=costs)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.toml", b'"splash*" = ', "c.toml: is no TOML (Invalid value (at end of document)): write a line such as"),
        ("c.toml", b"splash* = 1\n", "c.toml: is no TOML"),
        ("c.toml", b'"a" = 1\n"a" = 2\n', "c.toml: is no TOML (Cannot overwrite a value"),
        ("c.toml", b"gmm.1 = 5\n", "c.toml: 'gmm': '1' is no counter"),
        ("c.toml", b'"gmm*" = [1]\n', "c.toml: 'gmm*': flops=[1] is no quantity"),
        ("c.toml", b"\xff\xfe\x00", "c.toml: is no TOML ('utf-8' codec"),
        ("c.json", b'{"gmm*": ', "c.json: is no JSON (Expecting value: line 1 column 10"),
        ("c.json", b'{"gmm*": 1, "gmm*": 2}', "c.json: is no JSON ('gmm*' stands twice)"),
        ("c.json", b"[1]", "c.json: give FLOP by kernel"),
        ("c.json", b"[" * 100_000, "c.json: is no JSON"),
    ],
)
def test_a_file_of_costs_that_is_damaged(
    name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, dump = tmp_path / name, tmp_path / "m.txt"
    file.write_bytes(content)
    dump.write_text(TEXT)
    assert main(["count", str(dump), "--costs", str(file)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert (shown.out, len(shown.err.strip().splitlines())) == ("", 1)


def test_bodies_that_differ_in_names_alone_may_differ_in_cost() -> None:
    body = 'f{n} {{\n  p = f32[8] parameter(0)\n  ROOT kernel.{n} = f32[8] custom-call(p), custom_call_target="k"\n}}\n'
    text = body.format(n=1) + body.format(n=2)
    text += """ENTRY e {
  x = f32[8] parameter(0)
  y = f32[8] fusion(x), kind=kCustom, calls=f1
  ROOT z = f32[8] fusion(y), kind=kCustom, calls=f2
}
"""
    report = hc.count(text, costs={"kernel.1": 10, "kernel.2": 300})
    assert (report.flops, report.status) == (310, "exact")
