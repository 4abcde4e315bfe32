"""Taps that fall on padding: all taps of all outputs, less those that land on real input."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc

SIZE, IN, OUT, BATCH = 14, 8, 16, 2
X = jax.ShapeDtypeStruct((BATCH, SIZE, SIZE, IN), jnp.float32)


def convolution(kernel: int, stride: int, padding: str):
    weights = jax.ShapeDtypeStruct((kernel, kernel, IN, OUT), jnp.float32)
    names = ("NHWC", "HWIO", "NHWC")
    return hc.count(
        lambda x, w: jax.lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=names), X, weights
    )


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 2), (5, 1)])
def test_with_the_padding_every_output_has_every_tap(kernel: int, stride: int) -> None:
    report = convolution(kernel, stride, "SAME")
    outputs = BATCH * (SIZE // stride) ** 2 * OUT
    assert report.flops + report.padding_flops == 2 * outputs * kernel**2 * IN
    assert report.padding_flops > 0
    assert "with taps that fall on padding" in str(report)
    assert report.to_dict()["padding_flops"] == report.padding_flops


@pytest.mark.parametrize(("kernel", "padding"), [(3, "VALID"), (1, "SAME")])
def test_without_padding_there_is_nothing_to_tell(kernel: int, padding: str) -> None:
    report = convolution(kernel, 1, padding)
    assert report.padding_flops == 0
    assert "with taps" not in str(report)


def test_it_is_that_of_all_runs() -> None:
    weights = jax.ShapeDtypeStruct((3, 3, IN, IN), jnp.float32)

    def layers(x, w):
        def layer(x, _):
            names = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=names), None

        return jax.lax.scan(layer, x, length=5)[0]

    report = hc.count(layers, X, weights)
    pairs = 3 * SIZE - 2  # over one dimension: at an edge two of three taps meet real input
    assert report.padding_flops == 5 * 2 * BATCH * IN * IN * ((3 * SIZE) ** 2 - pairs**2)


def test_a_product_that_a_tpu_prints_as_a_convolution_has_none() -> None:
    text = """HloModule m

ENTRY %e (a: f32[8,16], b: f32[16,4]) -> f32[8,4] {
  %a = f32[8,16]{1,0} parameter(0)
  %b = f32[16,4]{1,0} parameter(1)
  ROOT %c = f32[8,4]{1,0} convolution(%a, %b), dim_labels=bf_io->bf
}
"""
    report = hc.count(text)
    assert (report.flops, report.padding_flops) == (2 * 8 * 16 * 4, 0)


@pytest.mark.parametrize("costs", [{}, {"c": "1 GFLOP"}])
def test_a_convolution_without_its_kernel_is_not_known_to_pad(costs: dict[str, str]) -> None:
    call = 'custom-call(x), window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f, custom_call_target="__cudnn$convForward"'
    lines = f"  x = f32[8,100,32] parameter(0)\n  ROOT c = (f32[8,100,64], u8[0]) {call}"
    report = hc.count(f"HloModule m\n\nENTRY e {{\n{lines}\n}}\n", costs=costs)
    assert "m" in str(report)
    assert report.padding_flops == 0
