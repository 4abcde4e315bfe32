"""Memory traffic of kernels written out: (instructions, bytes read, bytes written), arithmetic on the shapes."""

from __future__ import annotations

import pytest

import hlo_count as hc
from hlo_count.visitors.compulsory import certain_bytes

ADD = "add { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = f32[] add(a, b) }\n"
S32 = 4

CASES = {
    "each operand once, however often it is used": (
        "p = f32[100] parameter(0) ROOT r = f32[100] add(p, p)", "", 400, 400,
    ),
    "names for values move nothing": (
        "p = f32[10,10] parameter(0) b = f32[100] bitcast(p) t = (f32[100]) tuple(b) "
        "ROOT r = f32[100] get-tuple-element(t), index=0", "", 0, 0,
    ),
    "a slice reads the slice": (
        "p = f32[1000] parameter(0) ROOT r = f32[10] slice(p), slice={[0:10]}", "", 40, 40,
    ),
    "a dynamic-slice reads the slice and its index": (
        "p = f32[1000] parameter(0) i = s32[] parameter(1) "
        "ROOT r = f32[10] dynamic-slice(p, i), dynamic_slice_sizes={10}", "", 40 + S32, 40,
    ),
    "a gather of 32 rows out of 100,000": (
        "t = f32[100000,64] parameter(0) i = s32[32,1] parameter(1) ROOT r = f32[32,64] gather(t, i), "
        "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,64}",
        "", 32 * 64 * 4 + 32 * S32, 32 * 64 * 4,
    ),
    "a dynamic-update-slice touches its update": (
        "p = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = f32[1000] dynamic-update-slice(p, u, i)", "", 40 + S32, 40,
    ),
    "a scatter touches its rows": (
        "p = f32[1000,3] parameter(0) i = s32[4,1] parameter(1) u = f32[4,3] parameter(2) "
        "ROOT r = f32[1000,3] scatter(p, i, u), update_window_dims={1}, inserted_window_dims={0}, "
        "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add",
        ADD, 4 * S32 + 48 + 48, 48,
    ),
    "a fusion moves data at its boundary": (
        "p = f32[100] parameter(0) q = f32[100] parameter(1) ROOT r = f32[100] fusion(p, q), kind=kLoop, calls=f",
        "f { a = f32[100] parameter(0) b = f32[100] parameter(1) k = f32[] constant(2) c = f32[100] broadcast(k), "
        "dimensions={} d = f32[100] multiply(a, c) e = f32[100] tanh(d) ROOT g = f32[100] add(e, b) }\n",
        800, 400,
    ),
    "a parameter that nothing uses is not read": (
        "p = f32[100] parameter(0) q = f32[100] parameter(1) ROOT r = f32[100] fusion(p, q), kind=kLoop, calls=f",
        "f { a = f32[100] parameter(0) b = f32[100] parameter(1) ROOT g = f32[100] tanh(a) }\n",
        400, 400,
    ),
    "a slice inside a fusion, through an elementwise operation and a bitcast": (
        "p = f32[10,100] parameter(0) ROOT r = f32[50] fusion(p), kind=kLoop, calls=f",
        "f { a = f32[10,100] parameter(0) b = f32[1000] bitcast(a) c = f32[1000] tanh(b) "
        "ROOT d = f32[50] slice(c), slice={[0:50]} }\n",
        200, 200,
    ),
    "two slices are read, at most the whole": (
        "p = f32[100] parameter(0) ROOT r = f32[80] fusion(p), kind=kLoop, calls=f",
        "f { a = f32[100] parameter(0) b = f32[80] slice(a), slice={[0:80]} c = f32[80] slice(a), slice={[20:100]} "
        "ROOT d = f32[80] add(b, c) }\n",
        400, 320,
    ),
    "a slice and a whole use read the whole": (
        "p = f32[100] parameter(0) ROOT r = (f32[10], f32[100]) fusion(p), kind=kLoop, calls=f",
        "f { a = f32[100] parameter(0) b = f32[10] slice(a), slice={[0:10]} c = f32[100] tanh(a) "
        "ROOT d = (f32[10], f32[100]) tuple(b, c) }\n",
        400, 440,
    ),
    "a slice in a nested fusion": (
        "p = f32[100] parameter(0) ROOT r = f32[10] fusion(p), kind=kLoop, calls=f",
        "g { x = f32[100] parameter(0) ROOT y = f32[10] slice(x), slice={[0:10]} }\n"
        "f { a = f32[100] parameter(0) ROOT b = f32[10] fusion(a), kind=kLoop, calls=g }\n",
        40, 40,
    ),
    "an update in place, as the root of a fusion": (
        "p = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = f32[1000] fusion(p, u, i), kind=kLoop, calls=f",
        "f { a = f32[1000] parameter(0) b = f32[10] parameter(1) i = s32[] parameter(2) c = f32[10] tanh(b) "
        "ROOT d = f32[1000] dynamic-update-slice(a, c, i) }\n",
        40 + S32, 40,
    ),
    "an update in place beside another output": (
        "p = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = (f32[1000], f32[10]) fusion(p, u, i), kind=kLoop, calls=f",
        "f { a = f32[1000] parameter(0) b = f32[10] parameter(1) i = s32[] parameter(2) c = f32[10] tanh(b) "
        "d = f32[1000] dynamic-update-slice(a, c, i) ROOT t = (f32[1000], f32[10]) tuple(d, c) }\n",
        40 + S32, 40 + 40,
    ),
    "an update of what was computed copies the whole buffer": (
        "p = bf16[1000] parameter(0) u = bf16[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = bf16[1000] fusion(p, u, i), kind=kLoop, calls=f",
        "f { a = bf16[1000] parameter(0) b = bf16[10] parameter(1) i = s32[] parameter(2) c = f32[1000] convert(a) "
        "d = f32[10] convert(b) e = f32[1000] dynamic-update-slice(c, d, i) ROOT g = bf16[1000] convert(e) }\n",
        2000 + 20 + S32, 2000,
    ),
    "applied computations move nothing": (
        "p = f32[100] parameter(0) z = f32[] constant(0) ROOT r = f32[] reduce(p, z), dimensions={0}, to_apply=add",
        ADD, 400 + 4, 4,
    ),
    "an iota is written": ("ROOT r = s32[100] iota(), iota_dimension=0", "", 0, 400),
    "sub-byte elements are packed only where the layout says so": (
        "p = s4[100]{0:E(4)} parameter(0) ROOT r = s4[100]{0} copy(p)", "", 50, 100,
    ),
    "a start writes what its done gives": (
        "p = f32[100] parameter(0) s = (f32[100], f32[100], u32[]) copy-start(p) ROOT r = f32[100] copy-done(s)",
        "", 400, 400,
    ),
    "an all-reduce-start whose tuple holds its operands too writes what its done gives": (
        "p = f32[100] parameter(0) s = ((f32[100]), f32[100]) all-reduce-start(p), replica_groups={}, to_apply=add "
        "ROOT r = f32[100] all-reduce-done(s)", ADD, 400, 400,
    ),
    "a part of packed elements that are widened on the way": (
        "p = s4[1000,64]{1,0:E(4)} parameter(0) i = s32[] parameter(1) ROOT r = s8[16,64] fusion(p, i), kind=kLoop, calls=f",
        "f { p = s4[1000,64]{1,0:E(4)} parameter(0) i = s32[] parameter(1) z = s32[] constant(0) "
        "c = s8[1000,64] convert(p) ROOT d = s8[16,64] dynamic-slice(c, i, z), dynamic_slice_sizes={16,64} }\n",
        16 * 64 // 2 + S32, 16 * 64,
    ),
    "a sugared slice-start reads the slice": (
        "p = f32[100] parameter(0) s = ((f32[100]), f32[10], s32[]) slice-start(p), slice={[0:10]} "
        "ROOT r = f32[10] slice-done(s)",
        "", 40, 40,
    ),
    "inside a fusion a copy in place is another name": (
        "c = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = f32[1000] fusion(c, u, i), kind=kLoop, calls=f",
        "tile { a = f32[1000] parameter(0) ROOT b = f32[1000] copy(a) }\n"
        "f { c = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "t = f32[1000] fusion(c), kind=kLoop, output_to_operand_aliasing={{}: (0, {})}, calls=tile "
        "ROOT d = f32[1000] dynamic-update-slice(t, u, i) }\n",
        40 + S32, 40,
    ),
    "a slice of such a name is read in part": (
        "c = f32[1000] parameter(0) i = s32[] parameter(1) ROOT r = f32[10] fusion(c, i), kind=kLoop, calls=f",
        "tile { a = f32[1000] parameter(0) ROOT b = f32[1000] copy(a) }\n"
        "f { c = f32[1000] parameter(0) i = s32[] parameter(1) "
        "t = f32[1000] fusion(c), kind=kLoop, output_to_operand_aliasing={{}: (0, {})}, calls=tile "
        "ROOT d = f32[10] dynamic-slice(t, i), dynamic_slice_sizes={10} }\n",
        40 + S32, 40,
    ),
    "a copy inside a fusion that is not in place is none": (
        "c = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = f32[1000] fusion(c, u, i), kind=kLoop, calls=f",
        "f { c = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) t = f32[1000] copy(c) "
        "ROOT d = f32[1000] dynamic-update-slice(t, u, i) }\n",
        4000 + 40 + S32, 4000,
    ),
    "a call is what it calls": (
        "p = f32[100] parameter(0) ROOT r = f32[100] call(p), to_apply=f",
        "f { a = f32[100] parameter(0) ROOT b = f32[100] tanh(a) }\n", 400, 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_traffic(name):
    entry, computations, read, written = CASES[name]
    report = hc.count(f"HloModule m\n{computations}ENTRY e {{\n{entry}\n}}\n")
    assert (report.bytes_read, report.bytes_written) == (read, written)
    assert report.status == ("exact" if "nothing uses" not in name else "lower bound")  # which XLA's verifier refuses


def test_on_chip_memory_is_no_main_memory_on_tpu():
    text = """HloModule m
ENTRY e {
  p = f32[1024]{0:T(1024)} parameter(0)
  v = f32[1024]{0:T(1024)S(1)} copy(p)
  w = f32[1024]{0:T(1024)S(1)} tanh(v)
  ROOT r = f32[1024]{0:T(1024)} copy(w)
}"""
    report = hc.count(text)
    assert report.backend == "tpu"
    assert (report.bytes_read, report.bytes_written) == (4096, 4096)
    spaces = report.by("memory_space")
    assert spaces["HBM"].bytes == 2 * 4096
    assert spaces["VMEM/on-chip"].bytes == 4 * 4096


def test_the_common_memory_of_a_v4_is_on_the_chip():
    text = "HloModule m\nENTRY e { p = f32[1024]{0:T(1024)S(3)} parameter(0) ROOT r = f32[1024]{0:T(1024)} tanh(p) }"
    report = hc.count(text)
    assert (report.bytes_read, report.bytes_written, report.status) == (0, 4096, "exact")


def test_a_space_that_nobody_knows_is_an_unknown():
    text = "HloModule m\nENTRY e { p = f32[1024]{0:T(1024)S(9)} parameter(0) ROOT r = f32[1024]{0:T(1024)} tanh(p) }"
    report = hc.count(text)
    assert report.status == "lower bound"
    assert "S(9)" in report.unknowns[0].reason


COMPULSORY = {
    "arguments read and outputs written, temporaries not": (
        "p = f32[100] parameter(0) a = f32[100] tanh(p) b = f32[100] add(a, p) ROOT r = f32[100] multiply(b, a)",
        "", 400 + 400,
    ),
    "a gather does not read its table": (
        "t = f32[100000,64] parameter(0) i = s32[32,1] parameter(1) ROOT r = f32[32,64] gather(t, i), "
        "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,64}",
        "", 32 * 64 * 4 * 2 + 32 * S32,
    ),
    "nor does one from a copy of its table": (
        "t = f32[100000,64]{1,0:T(8,128)} parameter(0) i = s32[32,1]{1,0:T(8,128)} parameter(1) "
        "s = (f32[100000,64]{1,0:T(8,128)S(1)}, f32[100000,64]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(t) "
        "d = f32[100000,64]{1,0:T(8,128)S(1)} copy-done(s) ROOT r = f32[32,64]{1,0} gather(d, i), "
        "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,64}",
        # the indices in tiles of 8 times 128, the rows as they are in an array without tiles
        "", 32 * 64 * 4 * 2 + 32 * 128 * 4,
    ),
    "a copy that is an output is read whole": (
        "p = f32[100] parameter(0) c = f32[100] copy(p) s = f32[10] slice(c), slice={[0:10]} "
        "ROOT r = (f32[100], f32[10]) tuple(c, s)", "", 400 + 400 + 40,
    ),
    "an asynchronous call reads what it calls": (
        "p = f32[100] parameter(0) s = ((f32[100]), f32[10], u32[]) call-start(p), to_apply=f "
        "ROOT r = f32[10] call-done(s)",
        "f { a = f32[100] parameter(0) ROOT b = f32[10] slice(a), slice={[0:10]} }\n", 40 + 40,
    ),
    "windows with strides leave holes": (
        "x = f32[1,64,64,8] parameter(0) k = f32[1,1,8,4] parameter(1) ROOT r = f32[1,16,16,4] convolution(x, k), "
        "window={size=1x1 stride=4x4}, dim_labels=b01f_01io->b01f",
        "", 4 * (16 * 16 * 8 + 8 * 4 + 16 * 16 * 4),
    ),
    "in a pooling too, also inside a fusion": (
        "x = f32[100] parameter(0) z = f32[] parameter(1) ROOT r = f32[25] fusion(x, z), kind=kLoop, calls=f",
        ADD + "f { x = f32[100] parameter(0) z = f32[] parameter(1) "
        "ROOT w = f32[25] reduce-window(x, z), window={size=2 stride=4}, to_apply=add }\n",
        4 * (25 * 2 + 1 + 25),
    ),
    "taps that meet padding alone are not read": (
        "x = f32[1,1,1] parameter(0) k = f32[5,1,1] parameter(1) ROOT r = f32[1,1,1] convolution(x, k), "
        "window={size=5 pad=2_2}, dim_labels=b0f_0io->b0f",
        "", 4 * (1 + 1 + 1),
    ),
    "an argument that nothing uses is not read": (
        "p = f32[100] parameter(0) q = f32[9] parameter(1) ROOT r = f32[9] tanh(q)", "", 36 + 36,
    ),
    "an argument handed through is neither read nor written": (
        "p = f32[100] parameter(0) q = f32[9] parameter(1) s = f32[9] tanh(q) ROOT r = (f32[100], f32[9]) tuple(p, s)",
        "", 36 + 36,
    ),
    "an update in place": (
        "p = f32[1000] parameter(0) u = f32[10] parameter(1) i = s32[] parameter(2) "
        "ROOT r = f32[1000] dynamic-update-slice(p, u, i)", "", 40 + S32 + 40,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPULSORY)
def test_compulsory_bytes(name):
    entry, computations, expected = COMPULSORY[name]
    assert hc.count(f"HloModule m\n{computations}ENTRY e {{\n{entry}\n}}\n").compulsory_bytes == expected


LOOP = """HloModule m
body {
  s = (s32[], f32[10,100], f32[100]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  xs = f32[10,100] get-tuple-element(s), index=1
  c = f32[100] get-tuple-element(s), index=2
  one = s32[] constant(1)
  zero = s32[] constant(0)
  n = s32[] add(i, one)
  x = f32[1,100] dynamic-slice(xs, i, zero), dynamic_slice_sizes={1,100}
  y = f32[100] bitcast(x)
  d = f32[100] add(c, y)
  ROOT t = (s32[], f32[10,100], f32[100]) tuple(n, xs, d)
}
cond {
  s = (s32[], f32[10,100], f32[100]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  ten = s32[] constant(%d)
  ROOT p = pred[] compare(i, ten), direction=LT
}
ENTRY e {
  xs = f32[10,100] parameter(0)
  c = f32[100] parameter(1)
  z = s32[] constant(0)
  t = (s32[], f32[10,100], f32[100]) tuple(z, xs, c)
  w = (s32[], f32[10,100], f32[100]) while(t), condition=cond, body=body
  ROOT r = f32[100] get-tuple-element(w), index=2
}
"""


@pytest.mark.parametrize(("trips", "expected"), [(10, 4000 + 400 + 400), (4, 1600 + 400 + 400), (0, 0)])
def test_a_loop_reads_its_parts_of_an_argument(trips, expected):
    report = hc.count(LOOP % trips)
    assert report.flops == trips * 100
    assert report.compulsory_bytes == expected


SAME_PLACE = LOOP.replace("dynamic-slice(xs, i, zero)", "dynamic-slice(xs, zero, zero)")
FROM_THE_END = LOOP.replace(
    "  x = f32[1,100] dynamic-slice(xs, i, zero)",
    "  nine = s32[] constant(9)\n  j = s32[] subtract(nine, i)\n  x = f32[1,100] dynamic-slice(xs, j, zero)",
)
OVERLAPPING = LOOP.replace(
    "  x = f32[1,100] dynamic-slice(xs, i, zero), dynamic_slice_sizes={1,100}\n  y = f32[100] bitcast(x)",
    "  s4 = f32[4,100] dynamic-slice(xs, i, zero), dynamic_slice_sizes={4,100}\n"
    "  zf = f32[] constant(0)\n  y = f32[100] reduce(s4, zf), dimensions={0}, to_apply=add",
).replace("body {", ADD + "body {", 1)
BY_DATA = LOOP.replace(
    "  x = f32[1,100] dynamic-slice(xs, i, zero)",
    "  at = s32[] partition-id()\n  x = f32[1,100] dynamic-slice(xs, at, zero)",
)
INSIDE_A_FUSION = LOOP.replace(
    "  x = f32[1,100] dynamic-slice(xs, i, zero), dynamic_slice_sizes={1,100}\n  y = f32[100] bitcast(x)",
    "  y = f32[100] fusion(xs, i), kind=kLoop, calls=f",
).replace(
    "body {",
    "f {\n  q = f32[10,100] parameter(0)\n  k = s32[] parameter(1)\n  o = s32[] constant(0)\n"
    "  x = f32[1,100] dynamic-slice(q, k, o), dynamic_slice_sizes={1,100}\n  ROOT y = f32[100] bitcast(x)\n}\nbody {",
    1,
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (SAME_PLACE, 1),
        (FROM_THE_END, 4),
        (OVERLAPPING, 4 + 3),  # 0 to 3, 1 to 4, 2 to 5, 3 to 6
        (BY_DATA, 1),  # it may be the same row each time
        (INSIDE_A_FUSION, 4),
    ],
    ids=["same place", "from the end", "overlapping", "by data", "inside a fusion"],
)
def test_a_loop_reads_the_parts_that_are_certain_to_differ(text, rows):
    assert hc.count(text % 4).compulsory_bytes == 400 * rows + 400 + 400


UPDATES = """HloModule m, input_output_alias={{ {{}}: (0, {{}}, may-alias) }}
body {{
  s = (s32[], f32[10,100]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  b = f32[10,100] get-tuple-element(s), index=1
  one = s32[] constant(1)
  zero = s32[] constant(0)
  n = s32[] add(i, one)
  f = f32[] convert(i)
  u = f32[1,100] broadcast(f), dimensions={{}}
  d = f32[10,100] dynamic-update-slice(b, u, {at}, zero)
  ROOT t = (s32[], f32[10,100]) tuple(n, d)
}}
cond {{
  s = (s32[], f32[10,100]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  four = s32[] constant(4)
  ROOT p = pred[] compare(i, four), direction=LT
}}
ENTRY e {{
  b = f32[10,100] parameter(0)
  z = s32[] constant(0)
  t = (s32[], f32[10,100]) tuple(z, b)
  w = (s32[], f32[10,100]) while(t), condition=cond, body=body
  ROOT r = f32[10,100] get-tuple-element(w), index=1
}}
"""


@pytest.mark.parametrize(("at", "rows"), [("i", 4), ("zero", 1)])
def test_a_loop_writes_the_parts_that_are_certain_to_differ(at, rows):
    assert hc.count(UPDATES.format(at=at)).compulsory_bytes == 400 * rows


CERTAIN = {
    "a select may take one side": (
        "p = pred[100] parameter(0) a = f32[100] parameter(1) b = f32[100] parameter(2) "
        "ROOT r = f32[100] select(p, a, b)", 100 + 400,
    ),
    "all rows of a gather may be one": (
        "t = f32[1000,64] parameter(0) i = s32[32,1] parameter(1) ROOT r = f32[32,64] gather(t, i), "
        "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,64}",
        64 * 4 + 32 * S32 + 32 * 64 * 4,
    ),
    "one triangle": ("a = f32[10,10] parameter(0) ROOT r = f32[10,10] cholesky(a), lower=true", 200 + 400),
}  # fmt: skip


@pytest.mark.parametrize("name", CERTAIN)
def test_certain_bytes(name):
    entry, expected = CERTAIN[name]
    report = hc.count(f"HloModule m\nENTRY e {{\n{entry}\n}}\n")
    assert certain_bytes(report.walk) == expected < report.compulsory_bytes


def test_a_dimension_of_any_size_is_an_unknown():
    text = """HloModule m
ENTRY e {
  p = f32[?,784] parameter(0)
  q = f32[8,784] parameter(1)
  a = f32[?,784] add(p, p)
  r = f32[8,784] tanh(q)
  ROOT t = (f32[?,784], f32[8,784]) tuple(a, r)
}"""
    report = hc.count(text)
    assert report.status == "lower bound"
    assert [u.instruction for u in report.unknowns] == ["a"]
    assert (report.flops, report.transcendentals) == (0, 8 * 784)
    assert report.bytes == report.compulsory_bytes == report.peak_bytes == 2 * 4 * 8 * 784


def test_an_operation_on_buffers_is_one_on_their_arrays():
    text = """HloModule m
ENTRY e {
  p = f32[32] parameter(0)
  a = b(f32[32]) custom-call(p), custom_call_target="Pin"
  b = b(f32[32]) add(a, a)
  ROOT c = f32[32] custom-call(b), custom_call_target="Unpin"
}"""
    report = hc.count(text)
    assert (report.flops, report.status) == (32, "exact")


@pytest.mark.parametrize("comment", ["// {mark}\n", "/* {mark} */\n"])
def test_a_comment_does_not_tell_the_backend(comment):
    program = "HloModule m\nENTRY e { p = f32[8] parameter(0) ROOT a = f32[8] add(p, p) }"
    mark = 'custom_call_target="__cublas$gemm"'
    assert hc.count(comment.format(mark=mark) + program).backend == "unknown"
    called = program.replace("add(p, p)", f"custom-call(p), {mark}")
    assert hc.count(comment.format(mark=mark) + called).backend == "gpu"


@pytest.mark.parametrize(("kind", "source", "result"), [
    ("FFT", "c64[8,1024]", "c64[8,1024]"), ("IFFT", "c64[8,1024]", "c64[8,1024]"),
    ("RFFT", "f32[8,1024]", "c64[8,513]"), ("IRFFT", "c64[8,513]", "f32[8,1024]"),
])  # fmt: skip
def test_an_inverse_transform_on_gpu_is_scaled_in_a_pass_of_its_own(kind, source, result):
    text = (
        'HloModule m, frontend_attributes={fingerprint_before_lhs="0"}\n'
        f"ENTRY e {{\np = {source} parameter(0) ROOT r = {result} fft(p), fft_type={kind}, fft_length={{1024}} }}\n"
    )
    gpu, other = hc.count(text), hc.count(text.replace("fingerprint_before_lhs", "x"))
    assert (gpu.backend, other.backend) == ("gpu", "unknown")
    size = {"c64[8,1024]": 8 * 8 * 1024, "c64[8,513]": 8 * 8 * 513, "f32[8,1024]": 4 * 8 * 1024}[result]
    again = size if kind.startswith("I") else 0
    assert (gpu.bytes_read - other.bytes_read, gpu.bytes_written - other.bytes_written) == (again, again)
    assert gpu.flops == other.flops
