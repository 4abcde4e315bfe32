"""Plots: what is drawn, that labels keep off each other, and which files are written."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import fixture_files
import pytest
from test_bound import copy_of, roofline

import hlo_count
from hlo_count.errors import HloCountError
from hlo_count.roofline.plot import ceilings, draw, points, slopes
from hlo_count.roofline.roofline import Roofline

figure = pytest.importorskip("matplotlib.figure", reason="needs matplotlib")


def of(backend: str, name: str, on: str) -> Roofline:
    return hlo_count.count(fixture_files.text(backend, name)).roofline(on)


@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_says_the_format(tmp_path: Path, suffix: str, head: bytes) -> None:
    written = of("tpu-v5e", "mlp_grad", "v5e").plot(tmp_path / "new" / f"plot{suffix}")
    assert written.read_bytes().startswith(head)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HloCountError, match=r"\.png, \.svg, \.pdf"):
        of("tpu-v5e", "mlp_grad", "v5e").plot(tmp_path / "plot.jpeg")


def test_a_ceiling_for_each_unit_and_dtype_in_use_and_a_slope_for_each_level() -> None:
    found = of("h100", "mlp_grad", "h100-sxm")
    labels = [ceiling.label for ceiling in ceilings(found)]
    assert labels[:3] == ["matrix tf32", "vector f32 FMA", "vector f32 without FMA"]
    assert not any("bf16" in label for label in labels)
    assert [name for name, _ in slopes(found)] == ["L2", "HBM3"]


def test_the_largest_kernels_and_the_program_are_points() -> None:
    found = of("h100", "transformer_step", "h100-sxm")
    program, shown = points(found, None, 4)
    assert program is not None
    assert program.rate == pytest.approx(found.walk.total.flops / found.estimate)
    assert len(shown) == 4
    assert [p.seconds for p in shown] == sorted((p.seconds for p in shown), reverse=True)
    measured, _ = points(found, 1.0, 4)
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    page = figure.Figure(figsize=(9, 5.6), dpi=100)
    canvas = FigureCanvasAgg(page)
    axes = page.add_subplot()
    draw(axes, of(backend, name, on))
    canvas.draw()
    flat = [t for t in axes.texts if not t.get_rotation()]
    assert len(flat) >= 3
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in flat]
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :]), flat[n].get_text()


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
