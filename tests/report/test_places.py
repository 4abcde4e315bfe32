"""Which line is behind what the compiler made itself."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp

import hlo_count as hc
from hlo_count.visitors.cost import Cost

TEXT = """HloModule m

%inside (p: f32[8]) -> f32[8] {
  %p = f32[8] parameter(0)
  %sine.1 = f32[8] sine(%p), metadata={op_name="jit(f)/sin" source_file="m.py" source_line=1}
  ROOT %negate.1 = f32[8] negate(%sine.1), metadata={op_name="jit(f)/neg" source_file="m.py" source_line=2}
}

%rootless (p.1: f32[8]) -> bf16[8] {
  %p.1 = f32[8] parameter(0)
  %sine.2 = f32[8] sine(%p.1), metadata={op_name="jit(f)/sin" source_file="m.py" source_line=3}
  %small = bf16[8] convert(%sine.2), metadata={op_name="jit(f)/cast" source_file="m.py" source_line=4}
  ROOT %bitcast.1 = bf16[8] bitcast(%small)
}

%wrapped (p.2: bf16[8]) -> f32[8] {
  %p.2 = bf16[8] parameter(0)
  ROOT %convert.1 = f32[8] convert(%p.2)
}

ENTRY %main (x: f32[8], y: bf16[8]) -> (f32[8], f32[8], f32[8]) {
  %x = f32[8] parameter(0), metadata={op_name="x"}
  %y = bf16[8] parameter(1), metadata={op_name="y"}
  %by_root = f32[8] fusion(%x), kind=kLoop, calls=%inside
  %by_largest = bf16[8] fusion(%x), kind=kLoop, calls=%rootless
  %by_maker = f32[8] fusion(%by_largest), kind=kLoop, calls=%wrapped
  %by_user = f32[8] convert(%y)
  %used = f32[8] add(%by_user, %by_user), metadata={op_name="jit(f)/add" source_file="m.py" source_line=5}
  ROOT %out = (f32[8], f32[8], f32[8]) tuple(%by_root, %by_maker, %used)
}
"""


def test_what_has_no_place_has_that_of_what_it_holds_is_made_from_or_is_for():
    report = hc.count(TEXT)
    places = {i.name: report.places.of(i) for i in report.module.instructions()}
    assert {name: place for name, place in places.items() if name.startswith("by_")} == {
        "by_root": "m.py:2",
        "by_largest": "m.py:3",  # the sine, in f32, is the largest value
        "by_maker": "m.py:3",
        "by_user": "m.py:5",
    }
    assert places["convert.1"] == "m.py:3"  # that of the fusion around it
    assert places["x"] == places["y"] == ""
    assert Cost.sum(report.by("source").values()) == report.total
    assert "(no source)" not in report.by("source")


def test_the_bytes_of_attention_have_a_line():
    def attention(q, k, v):
        return jax.nn.softmax(q @ k.T) @ v

    q = jax.ShapeDtypeStruct((64, 16), jnp.bfloat16)
    report = hc.count(attention, q, q, q)
    found = report.by("source")
    assert Cost.sum(found.values()) == report.total
    assert "test_places.py" in next(iter(found))
    assert sum(cost.bytes for place, cost in found.items() if "test_places.py" in place) > 0.9 * report.bytes


def test_a_text_without_places_has_none():
    bare = "\n".join(line.partition(", metadata")[0] for line in TEXT.splitlines())
    assert list(hc.count(bare).by("source")) == ["(no source)"]


def test_a_library_function_has_the_line_that_counts_it():
    shape = jax.ShapeDtypeStruct((23, 23), "float32")  # of this test alone: JAX keeps who traced a function first
    report = hc.count(jnp.matmul, shape, shape)  # this line
    (line,) = [n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# this line")]
    assert list(report.by("source")) == [f"{__file__}:{line}"]
