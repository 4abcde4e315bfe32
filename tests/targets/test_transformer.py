"""One transformer step for every target in one table, and sharded over eight devices."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jax
import pytest
from environment import WITH_GPU, WITH_TPU, compiled_for

import hlo_count as hc
from fixtures.arithmetic import ring
from fixtures.programs import transformer as step
from fixtures.registry import programs
from hlo_count.report.across_targets import contractions, differences, targets_dict, targets_table

TARGETS = ("cpu", "tpu:v5e", "tpu:v5p", "tpu:v6e", "tpu:v7", "a100-sxm-80gb", "h100-sxm", "b200")
EIGHT = {"tpu:v5e:2x4": "tpu:v5e", "h100-sxm:8": "h100-sxm"}
SHARDED = {"transformer_step_fsdp": ("data",), "transformer_step_tensor": ("data", "model")}


@cache
def on_one(target: str) -> hc.Report:
    return hc.count(step.step, step.parameters(), step.tokens(), target=target)


@cache
def on_eight(name: str, target: str) -> hc.Report:
    (program,) = programs([name])
    fn, args = program.build()
    return hc.count(fn, *args, target=target, mesh=program.mesh, in_specs=program.in_specs())


def products(report: hc.Report) -> int:
    """FLOP of matmuls, those included that TPU prints as convolutions."""
    return sum(each.flops for each in contractions(report))


@pytest.mark.parametrize("target", compiled_for(*TARGETS))
def test_products_agree_to_the_operation_or_the_table_names_the_one_that_does_not(target):
    report = on_one(target)
    assert (report.status, report.num_devices, report.target) == ("exact", 1, target)
    more = products(report) - step.STEP
    # libtpu makes the logits again, rather than keep them, for generations with a stronger matrix unit.
    assert more in ((0, step.LOGITS) if target in ("tpu:v6e", "tpu:v7") else (0,))
    text = differences({"cpu": on_one("cpu"), target: report})
    if more:
        assert text.splitlines() == [
            f"{target}: {step.LOGITS:,} more matmul FLOP than cpu:",
            f"  step/dot_general  +{step.LOGITS:,}  f32[{step.BATCH},{step.TIME},{step.VOCAB}] again",
        ]
    else:
        assert text == "matmul FLOP agree to the operation"


@WITH_TPU
@WITH_GPU
def test_the_table_has_a_row_for_each_target():
    reports = {target: on_one(target) for target in TARGETS}
    lines = targets_table(reports).splitlines()
    assert lines[0] == "jit_step: counts are for one device"
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines[3 : 3 + len(TARGETS)]]
    assert [(row[0], row[1]) for row in rows] == [(t, f"{products(r):,}") for t, r in reports.items()]
    document = targets_dict(reports)
    assert {target: entry["bytes"] for target, entry in document.items()} == {t: r.bytes for t, r in reports.items()}
    # The matmuls are the same, what a compiler fuses and keeps on the chip is not.
    assert len({report.bytes for report in reports.values()}) == len(TARGETS)


@pytest.mark.parametrize("target", compiled_for("tpu:v5e:2x4", "h100-sxm:8"))
@pytest.mark.parametrize("name", SHARDED)
def test_eight_devices_share_the_products_of_one(name, target):
    report = on_eight(name, target)
    assert (report.num_devices, report.status) == (8, "exact")
    # The partitioner makes nothing twice in these two: every product is split along a mesh axis.
    assert products(report) * 8 == step.STEP == products(on_one(EIGHT[target]))
    assert report.devices.total == report.total * 8
    axes = {axis for row in report.collectives for axis in row.axes or ()}
    assert axes == set(SHARDED[name])


FULL = step.VOCAB * step.WIDTH  # elements of one of the two tables
MATRICES = step.LAYERS * (4 * step.WIDTH**2 + 2 * step.WIDTH * step.HIDDEN)
FSDP = {
    "h100-sxm:8": {
        "all-gather f32 over 8 (data)": 4 * (2 * FULL + MATRICES),
        "reduce-scatter f32 over 8 (data)": 4 * (2 * FULL + MATRICES),
    },
    # Products take bf16 there, so that is what is gathered for them; embedding rows are looked up in f32, and
    # their gradient, a scatter, is all-reduced instead.
    "tpu:v5e:2x4": {
        "all-gather f32 over 8 (data)": 4 * FULL,
        "all-gather bf16 over 8 (data)": 2 * (FULL + MATRICES),
        "reduce-scatter f32 over 8 (data)": 4 * (FULL + MATRICES),
    },
}


@pytest.mark.parametrize("target", compiled_for(*FSDP))
def test_gathers_and_scatters_send_the_size_of_the_parameters(target):
    report = on_eight("transformer_step_fsdp", target)
    sent = {name: cost.network_bytes for name, cost in report.by("collective").items()}
    sent = {name: size for name, size in sent.items() if not name.startswith("all-reduce")}
    assert sent == {name: ring(size, 8) for name, size in FSDP[target].items()}
    runs = {row.kind: row.runs for row in report.collectives}
    assert runs["reduce-scatter"] == 1 + step.LAYERS, "a table, and the matrices of each layer"


@WITH_TPU
@WITH_GPU
def test_targets_of_other_numbers_of_devices_are_not_compared():
    reports = {"cpu": on_one("cpu"), "h100-sxm:8": on_eight("transformer_step_fsdp", "h100-sxm:8")}
    lines = targets_table(reports).splitlines()
    assert lines[2].split()[:2] == ["target", "devices"]
    assert lines[-1] == "h100-sxm:8: not compared with cpu, which runs on another number of devices"
    assert max(map(len, lines)) <= 100


GUIDE = Path(__file__).parent.parent.parent / "docs" / "targets.md"


@WITH_TPU
@WITH_GPU
@pytest.mark.skipif(
    jax.__version__ != "0.10.2", reason="the guide shows what jax 0.10.2 compiles; others fuse otherwise"
)
@pytest.mark.parametrize("name", ["eight targets", "eight devices", "two slices"])
def test_the_guide_shows_what_is_printed(name, capsys):
    guide = GUIDE.read_text()
    shown = re.search(rf"<!-- {name} -->\n```text\n(.*?)\n```", guide, re.S)[1]
    if name == "eight targets":
        printed = targets_table({target: on_one(target) for target in TARGETS})
    else:
        command = re.findall(r"```python\n(.*?)```", guide.partition(f"<!-- {name} -->")[0], re.S)[-1]
        exec(command, {"hc": hc})
        printed = capsys.readouterr().out.rstrip("\n")
    assert shown == printed
