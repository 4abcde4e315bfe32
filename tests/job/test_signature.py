"""What changed between two compiles of one name."""

from __future__ import annotations

import pytest
from job_texts import step

import hlo_count as hc
from hlo_count.job.signature import causes_of, signature_of

CASES = {
    "the same": (step(), step(), [("nothing", "the same program was compiled again")]),
    "other lines of source": (step(), step().replace("source_line=7", "source_line=9"), [("nothing", "the same")]),
    "a batch of another size": (
        step(rows=8),
        step(rows=4),
        [("shapes", "batch f32[8,4] -> f32[4,4]"), ("results", "f32[8,2] -> f32[4,2]")],
    ),
    "a constant": (step(rate="0.5"), step(rate="0.25"), [("constants", "f32[] 0.5 -> f32[] 0.25")]),
    "a sharding": (
        step(sharding="{devices=[2,1]<=[2]}"),
        step(sharding="{replicated}"),
        [("shardings", "batch {devices=[2,1]<=[2]} -> {replicated}")],
    ),
    "a sharding where there was none": (step(), step(sharding="{replicated}"), [("shardings", "batch none -> {rep")]),
    "devices": (
        step(),
        step().replace("is_scheduled", "num_partitions=4, is_scheduled"),
        [("devices", "1 partitions x 1 replicas -> 4 partitions x 1 replicas")],
    ),
    "a donated argument": (
        step().replace("is_scheduled", "input_output_alias={ {}: (1, {}, may-alias) }, is_scheduled"),
        step(),
        [("donation", "{ {}: (1, {}, may-alias) } -> none")],
    ),
    "an operation": (step(), step().replace("multiply(", "add("), [("operations", "+1 add, -1 multiply")]),
    "operands": (step(), step().replace("multiply(%y, %b)", "multiply(%b, %y)"), [("operations", "as many of each")]),
    "a large constant that is left out": (
        step(rate="{...}"),
        step(rate="{...}"),
        [("nothing", "unless one of 1 constants is another, which XLA left out")],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), CASES.values(), ids=CASES)
def test_what_changed(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    found = causes_of(*(signature_of(hc.parse(text)) for text in (before, after)))
    assert [change.kind for change in found] == [kind for kind, _ in expected]
    assert all(text in change.what for change, (_, text) in zip(found, expected, strict=True))


def test_another_argument() -> None:
    text = """HloModule f
ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0), metadata={op_name="a"}
  ROOT %n = f32[2]{0} negate(%a)
}
"""
    more = text.replace("  ROOT", '  %b = f32[2]{0} parameter(1), metadata={op_name="b"}\n  ROOT').replace(
        "(a: f32[2])", "(a: f32[2], b: f32[2])"
    )
    found = causes_of(signature_of(hc.parse(text)), signature_of(hc.parse(more)))
    assert (found[0].kind, found[0].what) == ("arguments", "1 -> 2: with b")
