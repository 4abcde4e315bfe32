"""Plots: what is drawn, that labels keep off each other, and which files are written."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import fixture_files
import pytest
from test_bound import copy_of, entry, roofline

import hlo_count
from hlo_count.errors import HloCountError
from hlo_count.roofline.plane import Point
from hlo_count.roofline.plot import BESIDE, _Labels, draw
from hlo_count.roofline.roofline import Roofline

figure = pytest.importorskip("matplotlib.figure", reason="needs matplotlib")
Text = pytest.importorskip("matplotlib.text").Text


def of(backend: str, name: str, on: str) -> Roofline:
    return hlo_count.count(fixture_files.text(backend, name)).roofline(on)


def page() -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    found = figure.Figure(figsize=(9, 5.6), dpi=100)
    FigureCanvasAgg(found)
    return found


@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_says_the_format(tmp_path: Path, suffix: str, head: bytes) -> None:
    written = of("tpu-v5e", "mlp_grad", "v5e").plot(tmp_path / "new" / f"plot{suffix}")
    assert written.read_bytes().startswith(head)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HloCountError, match=r"\.png, \.svg, \.pdf"):
        of("tpu-v5e", "mlp_grad", "v5e").plot(tmp_path / "plot.jpeg")


def test_a_ceiling_for_each_unit_and_dtype_in_use_and_a_slope_for_each_level() -> None:
    found = of("h100", "mlp_grad", "h100-sxm")
    labels = [ceiling.label for ceiling in found.plane().ceilings]
    assert labels[:3] == ["matrix tf32", "vector f32 FMA", "vector f32 without FMA"]
    assert not any("bf16" in label for label in labels)
    assert [name for name, _ in found.plane().slopes] == ["L2", "HBM3"]


def test_the_largest_kernels_and_the_program_are_points() -> None:
    found = of("h100", "transformer_step", "h100-sxm")
    plane = found.plane(kernels=4)
    program, shown = plane.program, plane.kernels
    assert program is not None
    assert program.rate == pytest.approx(found.walk.total.flops / found.estimate)
    assert len(shown) == 4
    assert [p.seconds for p in shown] == sorted((p.seconds for p in shown), reverse=True)
    measured = found.plane(seconds=1.0).program
    assert measured is not None
    assert measured.rate == found.walk.total.flops
    assert measured.label.endswith("measured")


@pytest.mark.parametrize(
    ("backend", "name", "on"),
    [
        ("tpu-v5e", "transformer_step", "v5e"),
        ("h100", "transformer_step", "h100-sxm"),
        ("cpu", "transformer_step", "cpu-avx512"),
        ("h100", "softmax", "a100"),
    ],
)
def test_labels_do_not_overlap(backend: str, name: str, on: str) -> None:
    axes = page().add_subplot()
    draw(axes, of(backend, name, on).plane())
    canvas = axes.figure.canvas
    canvas.draw()
    flat = [t for t in axes.texts if not t.get_rotation()]
    assert len(flat) >= 3
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in flat]
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :]), flat[n].get_text()


def test_a_measured_time_below_the_bound_is_drawn_above_the_ceilings() -> None:
    found = of("h100", "mlp_grad", "h100-sxm")
    axes = page().add_subplot()
    draw(axes, found.plane(seconds=found.bound / 50))
    program = found.plane(seconds=found.bound / 50).program
    assert program is not None
    assert program.rate > max(ceiling.rate for ceiling in found.plane().ceilings)
    assert axes.get_ylim()[0] < program.rate < axes.get_ylim()[1]
    assert any(text.get_text() == program.label for text in axes.texts)


def test_special_functions_alone_are_drawn_as_evaluations() -> None:
    n = 2**20
    text = entry(f"  x = f32[{n}] parameter(0)\n  ROOT r = f32[{n}] tanh(x)", f"f32[{n}]")
    found = roofline(text)
    plane = found.plane(seconds=1.0)
    program, (kernel,) = plane.program, plane.kernels
    assert program is not None
    assert (program.intensity, program.rate) == (1 / 8, n)
    assert kernel.intensity == 1 / 8
    axes = page().add_subplot()
    draw(axes, found.plane())
    assert "evaluations" in axes.get_xlabel()
    assert "evaluations" in axes.get_ylabel()


def test_a_label_away_from_its_mark_is_joined_to_it() -> None:
    """A label that is not just beside a mark starts where a line from a mark ends, and no line crosses a label."""
    on = page()
    axes = on.add_subplot()
    found = of("h100", "transformer_step", "h100-sxm")
    draw(axes, found.plane(kernels=25))
    plane = found.plane(kernels=25)
    program, shown = plane.program, plane.kernels
    marks = {p.label: axes.transData.transform((p.intensity, p.rate)) for p in (*shown, program) if p is not None}
    leaders = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_zorder() == 2.5]
    assert leaders
    labels = [text for text in axes.texts if text.get_text() in marks]
    assert len(labels) >= 15
    boxes = {}
    for text in labels:
        box = Text.get_window_extent(text, on.canvas.get_renderer())
        boxes[text] = box
        x, y = marks[text.get_text()]
        nearest = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
        away = math.dist(nearest, (x, y)) * 72 / on.dpi
        joined = any(math.dist(line[0], (x, y)) < 2 and math.dist(line[1], nearest) < 2 for line in leaders)
        assert joined == (away > BESIDE), text.get_text()
    for line in leaders:
        inner = [line[0] + (line[1] - line[0]) * part / 50 for part in range(49)]
        assert not any(box.shrunk(0.9, 0.9).contains(x, y) for box in boxes.values() for x, y in inner)


def test_where_no_gap_between_the_lines_holds_a_label_it_stands_over_one() -> None:
    axes = page().add_subplot()
    labels = _Labels(axes)
    for n in range(100):
        labels.cross(0, n / 100, 1, n / 100)
    labels.beside(Point("name", 0.5, 0.5, 1.0), "black")
    assert [text.get_text() for text in axes.texts] == ["name"]


def test_a_program_without_flop_is_a_sentence(tmp_path: Path) -> None:
    assert b"nothing to draw" in roofline(copy_of(8)).plot(tmp_path / "plot.svg").read_bytes().replace(b"<!-- ", b"")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HloCountError, match=r"hlo-count\[plot\]"):
        roofline(copy_of(8)).plot(tmp_path / "plot.png")
