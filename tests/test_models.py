"""Published networks, built with flax, cost what tables of their layers say."""

from __future__ import annotations

import jax
import pytest

import hlo_count

pytest.importorskip("flax")

from fixtures import models


def contractions(report: hlo_count.Report) -> int:
    by_class = report.by("class")
    return (
        by_class["matmul"].flops + by_class["convolution"].flops
        if "convolution" in by_class
        else by_class["matmul"].flops
    )


def test_resnet50_counts_the_taps_that_land_on_the_image():
    fn, args = models.resnet50()
    assert models.resnet50_flops() == 7_896_503_808
    assert contractions(hlo_count.count(fn, *args)) == models.resnet50_flops()


def test_resnet50_with_its_padding_written_out_is_the_published_figure():
    """Before optimization: XLA folds the written padding into the convolutions again."""
    fn, args = models.resnet50(padded=True)
    published = 4.09e9  # multiply-accumulates, of 3 digits
    assert models.resnet50_flops(padded=True) / 2 == pytest.approx(published, rel=0.005 / 4.09)
    before = jax.jit(fn).lower(*args).as_text("hlo")
    assert contractions(hlo_count.count(before)) == models.resnet50_flops(padded=True)


def test_vit_b16_is_the_published_figure():
    fn, args = models.vit_b16()
    flops = contractions(hlo_count.count(fn, *args))
    assert flops == 2 * models.vit_b16_macs()
    assert flops / 2 == pytest.approx(17.56e9, rel=0.005)  # published with four digits, and without the softmax


@pytest.mark.parametrize("time", [128, 256])
def test_gpt2_small_is_its_closed_form(time):
    fn, args = models.gpt2_small(time)
    assert contractions(hlo_count.count(fn, *args)) == models.gpt2_small_flops(time)
