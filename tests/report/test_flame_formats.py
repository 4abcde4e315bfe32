"""Reports for speedscope and for flame graphs: their weights add up, their stacks are the program's."""

from __future__ import annotations

import json
from pathlib import Path

import fixture_files
import pytest
from hostile import hostile_text, offences

import hlo_count as hc
from hlo_count.report.flame_formats import folded, speedscope
from hlo_count.report.weights import Weights


@pytest.fixture(scope="module")
def report() -> hc.Report:
    return hc.count(fixture_files.text("h100", "transformer_step"))


def test_speedscope_has_a_profile_for_each_measure(report: hc.Report) -> None:
    roofline = report.roofline("h100-sxm")
    document = json.loads(speedscope(Weights(report, roofline)))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    sums = {profile["name"]: sum(profile["weights"]) for profile in document["profiles"]}
    assert sums == {
        "FLOP": report.flops,
        "bytes moved": report.bytes,
        "estimated time": pytest.approx(sum(row.estimate for row in roofline.rows)),
        "peak memory": report.peak_bytes,
    }
    units = {profile["name"]: profile["unit"] for profile in document["profiles"]}
    assert units == {"FLOP": "none", "bytes moved": "bytes", "estimated time": "seconds", "peak memory": "bytes"}
    frames = document["shared"]["frames"]
    for profile in document["profiles"]:
        assert profile["endValue"] == pytest.approx(sum(profile["weights"]))
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample)
    assert document["profiles"][document["activeProfileIndex"]]["name"] == "FLOP"


def test_collapsed_stacks_add_up_and_are_paths_of_calls(report: hc.Report) -> None:
    lines = folded(Weights(report, None)).splitlines()
    found = {path: int(weight) for path, _, weight in (line.rpartition(" ") for line in lines)}
    assert sum(found.values()) == report.flops
    calls = report.by("stack", depth=100)
    assert found == {name.replace("/", ";"): cost.flops for name, cost in calls.items() if cost.flops}


def test_without_calls_they_are_scopes() -> None:
    text = 'ENTRY e { x = f32[8] parameter(0) ROOT y = f32[8] add(x, x), metadata={op_name="jit(f)/a;b/mlp/add"} }'
    assert folded(Weights(hc.count(text), None)) == "f;a,b;mlp 64\n"  # bytes: fewer operations than those


def test_they_are_harmless() -> None:
    weights = Weights(hc.count(hostile_text()), None)
    assert offences(speedscope(weights)) == []
    assert offences(folded(weights)) == []


@pytest.mark.parametrize("name", ["x.speedscope.json", "x.folded"])
def test_a_file_s_name_says_the_format(name: str, report: hc.Report, tmp_path: Path) -> None:
    text = report.save(tmp_path / name).read_text()
    assert text.startswith("{") == name.endswith("json")
    assert text.endswith("\n") != name.endswith("json")
