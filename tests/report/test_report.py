"""The report: breakdowns that sum to the total, tables within 100 columns, exports, ways in, and errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import fixture_files
import pytest
from hypothesis import HealthCheck, given, settings
from random_hlo import modules

import hlo_count as hc
from hlo_count.report.breakdown import KEYS
from hlo_count.visitors.cost import OP_COUNTERS, Cost

STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))
SUMMING = [key for key in KEYS if key not in ("collective", "memory_space")]
LINEAR = """HloModule linear

ENTRY %main (x: f32[8,4], w: f32[4,2]) -> f32[8,2] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[4,2]{1,0} parameter(1)
  %y = f32[8,2]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, METADATA
  ROOT %z = f32[8,2]{1,0} maximum(%y, %y), metadata={op_name="jit(f)/relu/max" source_file="m.py" source_line=9}
}
""".replace("METADATA", 'metadata={op_name="jit(f)/linear/dot" source_file="m.py" source_line=7}')
MYSTERY = LINEAR.replace("maximum(%y, %y)", 'custom-call(%y), custom_call_target="mystery"')


def read(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def assert_breakdowns_sum(report: hc.Report) -> None:
    for key in SUMMING:
        found = Cost.sum(report.by(key).values())
        assert found.amounts == report.total.amounts, key
        # What contradicts itself may stand in no row, as what is fused and used by nothing.
        assert found.status == report.status or report.module.contradictions, key
    spaces = report.by("memory_space").values()
    assert sum(c.network_bytes for c in report.by("collective").values()) == report.network_bytes
    assert all(c.amounts.keys() <= {("bytes_read", "main"), ("bytes_written", "main")} for c in spaces)


def assert_valid_json(report: hc.Report) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    assert json.loads(report.to_json(), parse_constant=refuse) == json.loads(json.dumps(report.to_dict()))


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.relative_to(fixture_files.FIXTURES).parts))
def test_stored_programs(path: Path) -> None:
    report = hc.count(read(path))
    assert_breakdowns_sum(report)
    assert_valid_json(report)
    shown = [str(report), *(report.table(by=key, rows=6) for key in ("source", "opcode", "instruction"))]
    assert max(len(line) for text in shown for line in text.splitlines()) <= 100


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(modules())
def test_breakdowns_of_random_programs_sum(text: str) -> None:
    report = hc.count(text)
    assert_breakdowns_sum(report)
    assert_valid_json(report)
    assert max(map(len, str(report).splitlines())) <= 100


def test_totals() -> None:
    report = hc.count(LINEAR)
    assert report.flops == 2 * 8 * 4 * 2 + 8 * 2
    assert report.bytes_read == 4 * (8 * 4 + 4 * 2) + 4 * 8 * 2  # the dot's operands, then its result
    assert report.bytes_written == 2 * 4 * 8 * 2
    assert report.bytes == report.bytes_read + report.bytes_written
    assert report.intensity == report.flops / report.bytes
    assert (report.transcendentals, report.int_ops, report.other_ops, report.network_bytes) == (0, 0, 0, 0)
    assert (report.parameters, report.argument_bytes, report.output_bytes) == (40, 160, 64)
    assert report.compulsory_bytes == 160 + 64
    assert (report.status, report.unknowns) == ("exact", [])


def test_by() -> None:
    report = hc.count(LINEAR)
    assert {name: cost.flops for name, cost in report.by("opcode").items()} == {"dot": 128, "maximum": 16}
    assert list(report.by("class")) == ["matmul", "minmax"]
    assert list(report.by("source")) == ["m.py:7", "m.py:9"]
    assert list(report.by("scope")) == ["f/linear", "f/relu"]
    assert list(report.by("scope", depth=1)) == ["f"]
    assert list(report.by("instruction")) == ["y", "z"]
    assert list(report.by("computation")) == ["main"]
    assert list(report.by("unit")) == ["memory", "matrix", "vector"]  # fewer operations than bytes
    assert list(report.by("dtype")) == ["f32"]
    with pytest.raises(hc.HloCountError, match="did you mean 'opcode'"):
        report.by("opcodes")
    with pytest.raises(hc.HloCountError, match="depth=0"):
        report.by("scope", depth=0)


def test_header() -> None:
    first = str(hc.count(LINEAR)).splitlines()[0]
    assert first == "linear · backend not known · 1 device · before optimization · from text · 1 FMA = 2 FLOP"
    two = LINEAR.replace("HloModule linear", "HloModule linear, num_partitions=4, replica_count=2")
    assert "8 devices, counts are for one" in str(hc.count(two)).splitlines()[0]
    assert "convention of XLA" in str(hc.count(LINEAR, convention="xla")).splitlines()[0]


def test_header_of_a_compiled_function() -> None:
    import jax
    import jax.numpy as jnp

    first = str(hc.count(lambda x: x + 1, jnp.ones(4), target="cpu")).splitlines()[0]
    assert all(part in first for part in ("CPU", "1 device", f"jax {jax.__version__}", "1 FMA = 2 FLOP"))


def test_unknowns_stand_with_their_remedy() -> None:
    report = hc.count(MYSTERY)
    assert report.status == "lower bound"
    (unknown,) = report.unknowns
    assert (unknown.instruction, "mystery" in unknown.what) == ("z", True)
    text = str(report)
    assert "1 unknown:" in text
    assert "lower bound" in text
    joined = " ".join(text.split())
    assert 'count(…, costs={"z": FLOP})' in joined
    assert "m.py:9" in joined
    assert "mystery" in report._repr_html_()
    with pytest.raises(hc.UnknownCostError, match="mystery"):
        hc.count(MYSTERY, strict=True)
    assert hc.count(LINEAR, strict=True).status == "exact"


def test_an_unknown_loop_is_settled_as_the_report_says() -> None:
    text = """body {
  s = (s32[], f32[4]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[4] get-tuple-element(s), index=1
  y = f32[4] add(x, x)
  ROOT t = (s32[], f32[4]) tuple(i, y)
}
condition {
  s = (s32[], f32[4]) parameter(0)
  x = f32[4] get-tuple-element(s), index=1
  ROOT c = pred[] custom-call(x), custom_call_target="again"
}
ENTRY main {
  a = (s32[], f32[4]) parameter(0)
  ROOT w = (s32[], f32[4]) while(a), condition=condition, body=body
}
"""
    report = hc.count(text)
    assert report.flops == 4
    remedy = next(u.remedy for u in report.unknowns if u.instruction == "w")
    assert 'trip_counts={"w": n}' in remedy
    assert hc.count(text, trip_counts={"w": 7}).flops == 7 * 4
    with pytest.raises(hc.HloCountError, match="matches no while"):
        hc.count(text, trip_counts={"v": 7})


def test_html_has_the_totals_of_the_table() -> None:
    text = "HloModule m, num_partitions=8\n\nENTRY e { x = f32[8] parameter(0) ROOT y = f32[8] add(x, x) }"
    html = hc.count(text)._repr_html_()
    for part in ("intensity", "peak memory", "all devices", "64 FLOP", "every device has an equal share"):
        assert part in html


def test_html_is_escaped() -> None:
    evil = LINEAR.replace("HloModule linear", "HloModule linear").replace("linear/dot", "<script>alert(1)</script>/dot")
    evil = evil.replace('source_file="m.py"', 'source_file="<img src=x>.py"')
    html = hc.count(evil)._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    unknown = hc.count(MYSTERY.replace('"mystery"', '"<b>bold</b>"'))._repr_html_()
    assert "<b>bold" not in unknown


def test_no_nan_in_json() -> None:
    nothing = hc.count("e { ROOT p = f32[4] parameter(0) }")
    assert nothing.bytes == nothing.flops == 0
    assert nothing.intensity != nothing.intensity
    assert_valid_json(nothing)
    assert nothing.to_dict()["intensity"] is None
    assert "nothing to count" in str(nothing)


def test_dict_and_pandas() -> None:
    report = hc.count(LINEAR)
    data = report.to_dict()
    assert data["flops"] == report.flops
    assert data["by"]["opcode"]["dot"]["flops"] == 128
    assert sum(row["amount"] for row in data["operations"] if row["counter"] == "flops") == report.flops
    frame = report.to_pandas("opcode")
    assert frame.loc["dot", "flops"] == 128
    assert frame["bytes"].sum() == report.bytes
    assert set(OP_COUNTERS) <= set(frame.columns)


def test_the_convention_of_xla() -> None:
    report = hc.count(LINEAR, convention="xla")
    assert report.flops == 128 + 16
    assert report.bytes == 160 + 64 + 64 * 2 + 64  # maximum(y, y): XLA counts an operand as often as it stands there
    assert "FLOP" in str(report)
    assert_valid_json(report)
    with pytest.raises(hc.HloCountError, match="reconcile"):
        report.by("opcode")
    with pytest.raises(hc.HloCountError, match="use 'default' or 'xla'"):
        hc.count(LINEAR, convention="XLA")


def test_ways_in(tmp_path: Path) -> None:
    expected = hc.count(LINEAR).total
    plain, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_text(LINEAR)
    packed.write_bytes(gzip.compress(LINEAR.encode()))
    for program in (LINEAR, hc.parse(LINEAR), plain, packed):
        assert hc.count(program).total == expected


def test_ways_in_through_jax() -> None:
    import jax
    import jax.numpy as jnp

    def f(x):
        return jnp.maximum(x @ x, 0.0)

    x = jnp.ones((8, 8))
    expected = hc.count(f, x).total
    assert expected.flops == 2 * 8**3 + 64
    lowered = jax.jit(f).lower(x)
    shapes = (jax.ShapeDtypeStruct((8, 8), jnp.float32),)
    for fn, args in ((jax.jit(f), (x,)), (f, shapes), (lowered, ()), (lowered.compile(), ())):
        assert hc.count(fn, *args).total == expected


@pytest.mark.parametrize(
    ("program", "args", "keywords", "message"),
    [
        (3, (), {}, "cannot count 3"),
        (None, (), {}, "cannot count None"),
        (LINEAR, (1,), {}, "arguments: a compiled program takes none"),
        (LINEAR, (), {"target": "cpu"}, "target: a compiled program takes none"),
        (LINEAR, (), {"x": 1}, "arguments: a compiled program takes none"),
        (LINEAR, (), {"compiler_options": {"a": 1}}, "compiler_options: a compiled program takes none"),
        (Path("missing.txt"), (), {}, "missing.txt: No such file"),
        (Path(), (), {}, "holds no HLO, but"),
        (LINEAR, (), {"trip_counts": {"w": -1}}, "pass a whole number"),
    ],
)
def test_errors(program, args, keywords, message) -> None:
    with pytest.raises(hc.HloCountError, match=message):
        hc.count(program, *args, **keywords)


# A gzip header holds the time of packing: left to itself it would differ from one collection to the next.
PACKED = gzip.compress(LINEAR.encode(), mtime=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\x00binary", "binary data"),
        (b"", "the text is empty"),
        (b"\x1f\x8b damaged", "gzip file is damaged"),
        (PACKED[:-20], "gzip file is damaged"),
        (PACKED[:30] + b"\x00" * 40, "gzip file is damaged"),
        (PACKED[:20] + b"\x55" * 200, "gzip file is damaged"),
        (LINEAR.encode()[:300], "truncated"),
    ],
    ids=["binary", "empty", "no gzip", "gzip cut", "gzip body zeroed", "gzip body garbled", "text cut"],
)
def test_files_that_are_no_hlo(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "dump.txt"
    path.write_bytes(data)
    with pytest.raises(hc.HloCountError, match=message) as raised:
        hc.count(path)
    assert str(path) in str(raised.value)


def test_a_table_has_rows_and_scopes_have_levels() -> None:
    for options in ({"depth": 0}, {"rows": 0}):
        with pytest.raises(hc.HloCountError, match="a table has at least one row, a scope one level"):
            hc.count(LINEAR).table(**options)


def test_count_parameters() -> None:
    import jax
    import jax.numpy as jnp

    assert (
        hc.count_parameters({"w": jnp.ones((3, 4)), "b": [jax.ShapeDtypeStruct((5,), jnp.float32), 2.0]}) == 12 + 5 + 1
    )
    assert hc.count_parameters({}) == 0
