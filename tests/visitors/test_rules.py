"""A case for each rule: (instructions, expected split), the expectation arithmetic on the shapes in it."""

from __future__ import annotations

import subprocess
import sys
from math import ceil, log2

import pytest

import hlo_count as hc
from hlo_count.hlo.opcodes import OPCODES, RUNNING
from hlo_count.visitors.cost import OP_COUNTERS
from hlo_count.visitors.registry import BACKEND_RULES, RULES

ADD = "add { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = f32[] add(a, b) }\n"
MAX = "max { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = f32[] maximum(a, b) }\n"
SADD = "sadd { a = s32[] parameter(0) b = s32[] parameter(1) ROOT c = s32[] add(a, b) }\n"
GE = "ge { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = pred[] compare(a, b), direction=GE }\n"
LESS = "less { a = f32[] parameter(0) b = f32[] parameter(1) ROOT c = pred[] compare(a, b), direction=LT }\n"


def split(entry: str, computations: str = "") -> dict[str, int]:
    """`class.counter.dtype.unit` of each amount of a module whose entry has these instructions."""
    report = hc.count(f"HloModule m, replica_count=8\n{computations}ENTRY e {{\n{entry}\n}}\n")
    assert report.unknowns == []
    return {f"{k[1]}.{k[0]}.{k[2]}.{k[3]}": n for k, n in report.total.amounts.items() if k[0] in OP_COUNTERS}


N = 6 * 7
ELEMENTWISE = [
    ("f32", "add", 2, {"add.flops.f32.vector": N}),
    ("f32", "subtract", 2, {"add.flops.f32.vector": N}),
    ("bf16", "multiply", 2, {"multiply.flops.bf16.vector": N}),
    ("f32", "divide", 2, {"divide.flops.f32.vector": N}),
    ("f32", "remainder", 2, {"divide.flops.f32.vector": N}),
    ("f64", "maximum", 2, {"minmax.flops.f64.vector": N}),
    ("f32", "clamp", 3, {"minmax.flops.f32.vector": 2 * N}),
    ("f32", "exponential", 1, {"transcendental.transcendentals.f32.special": N}),
    ("f32", "power", 2, {"transcendental.transcendentals.f32.special": N}),
    ("f32", "rsqrt", 1, {"transcendental.transcendentals.f32.special": N}),
    ("f32", "logistic", 1, {"transcendental.transcendentals.f32.special": N}),
    ("f32", "negate", 1, {"sign.other_ops.f32.vector": N}),
    ("f32", "round-nearest-even", 1, {"sign.other_ops.f32.vector": N}),
    ("s32", "add", 2, {"integer.int_ops.s32.vector": N}),
    ("u8", "shift-left", 2, {"integer.int_ops.u8.vector": N}),
    ("s32", "and", 2, {"integer.int_ops.s32.vector": N}),
    ("s32", "popcnt", 1, {"integer.int_ops.s32.vector": N}),
    ("s32", "abs", 1, {"sign.other_ops.s32.vector": N}),
    ("pred", "and", 2, {"compare.other_ops.pred.vector": N}),
    ("pred", "not", 1, {"compare.other_ops.pred.vector": N}),
    ("c64", "add", 2, {"add.flops.c64.vector": 2 * N}),
    ("c64", "multiply", 2, {"multiply.flops.c64.vector": 6 * N}),
    ("c128", "divide", 2, {"divide.flops.c128.vector": 11 * N}),
    ("f32", "copy", 1, {}),
    ("f32", "bitcast", 1, {}),
]


@pytest.mark.parametrize(("dtype", "opcode", "operands", "expected"), ELEMENTWISE)
def test_elementwise(dtype, opcode, operands, expected):
    lines = [f"p{n} = {dtype}[6,7] parameter({n})" for n in range(operands)]
    names = ", ".join(f"p{n}" for n in range(operands))
    assert split("\n".join([*lines, f"ROOT r = {dtype}[6,7] {opcode}({names})"])) == expected


CASES = {
    "compare": (
        "p = f32[9] parameter(0) ROOT r = pred[9] compare(p, p), direction=EQ",
        "",
        {"compare.other_ops.pred.vector": 9},
    ),
    "convert": ("p = f32[9] parameter(0) ROOT r = bf16[9] convert(p)", "", {"convert.other_ops.bf16.vector": 9}),
    "bitcast-convert between sizes": (
        "p = f32[9] parameter(0) ROOT r = u16[9,2] bitcast-convert(p)",
        "",
        {"convert.other_ops.u16.vector": 18},
    ),
    "bitcast-convert of one size": ("p = f32[9] parameter(0) ROOT r = u32[9] bitcast-convert(p)", "", {}),
    "dot": (
        "a = f32[5,3] parameter(0) b = f32[3,4] parameter(1) "
        "ROOT r = f32[5,4] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
        "",
        {"matmul.flops.f32.matrix": 2 * 5 * 3 * 4},
    ),
    "a batched dot of the wider operand's type": (
        "a = bf16[2,5,3] parameter(0) b = f32[2,3,4] parameter(1) "
        "ROOT r = f32[2,5,4] dot(a, b), lhs_batch_dims={0}, rhs_batch_dims={0}, "
        "lhs_contracting_dims={2}, rhs_contracting_dims={1}",
        "",
        {"matmul.flops.f32.matrix": 2 * 2 * 5 * 3 * 4},
    ),
    "an algorithm says what a dot runs as": (
        "a = f32[5,3] parameter(0) b = f32[3,4] parameter(1) "
        "ROOT r = f32[5,4] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}, algorithm=dot_bf16_bf16_f32",
        "",
        {"matmul.flops.bf16.matrix": 2 * 5 * 3 * 4},
    ),
    "an int8 dot": (
        "a = s8[5,3] parameter(0) b = s8[3,4] parameter(1) "
        "ROOT r = s32[5,4] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
        "",
        {"matmul.int_ops.s8.matrix": 2 * 5 * 3 * 4},
    ),
    "a complex dot": (
        "a = c64[5,3] parameter(0) b = c64[3,4] parameter(1) "
        "ROOT r = c64[5,4] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
        "",
        {"matmul.flops.c64.matrix": 4 * 2 * 5 * 3 * 4},
    ),
    "ragged-dot": (
        "a = f32[11,5] parameter(0) b = f32[3,5,7] parameter(1) c = s32[3] parameter(2) "
        "ROOT r = f32[11,7] ragged-dot(a, b, c), lhs_contracting_dims={1}, rhs_contracting_dims={1}, "
        "lhs_ragged_dims={0}, rhs_group_dims={0}",
        "",
        {"matmul.flops.f32.matrix": 2 * 11 * 5 * 7},
    ),
    # 8x8 input, 3x3 kernel, padding 1: each dimension has 8 + 7 + 7 valid pairs of tap and output
    "a padded convolution counts no padding": (
        "a = f32[2,8,8,3] parameter(0) b = f32[3,3,3,5] parameter(1) "
        "ROOT r = f32[2,8,8,5] convolution(a, b), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f",
        "",
        {"convolution.flops.f32.matrix": 2 * 3 * 5 * 2 * (8 + 7 + 7) ** 2},
    ),
    "a grouped convolution": (
        "a = f32[2,8,12] parameter(0) b = f32[3,4,6] parameter(1) "
        "ROOT r = f32[2,6,6] convolution(a, b), window={size=3}, dim_labels=b0f_0io->b0f, feature_group_count=3",
        "",
        {"convolution.flops.f32.matrix": 2 * 4 * 6 * 2 * (3 * 6)},
    ),
    # transposed: holes between the 4 inputs; output n of 7 meets the inputs at even positions under its 3 taps
    "holes of dilation count nothing": (
        "a = f32[1,4,1] parameter(0) b = f32[3,1,1] parameter(1) "
        "ROOT r = f32[1,7,1] convolution(a, b), window={size=3 pad=1_1 lhs_dilate=2}, dim_labels=b0f_0io->b0f",
        "",
        {"convolution.flops.f32.matrix": 2 * sum(sum((n + t - 1) in (0, 2, 4, 6) for t in range(3)) for n in range(7))},
    ),
    "a dot as TPU prints it": (
        "a = f32[5,3] parameter(0) b = f32[3,4] parameter(1) ROOT r = f32[5,4] convolution(a, b), dim_labels=bf_io->bf",
        "",
        {"matmul.flops.f32.matrix": 2 * 5 * 3 * 4},
    ),
    "a batched dot as TPU prints it": (
        "a = f32[8,5,3] parameter(0) b = f32[8,3,4] parameter(1) ROOT r = f32[8,5,4] convolution(a, b), "
        "window={size=8 stride=7 lhs_dilate=8}, dim_labels=0bf_0io->0bf",
        "",
        {"matmul.flops.f32.matrix": 2 * 8 * 5 * 3 * 4},
    ),
    "reduce": (
        "p = f32[6,7] parameter(0) z = f32[] constant(0) ROOT r = f32[7] reduce(p, z), dimensions={0}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 6 * 7 - 7},
    ),
    "a reduce of nothing": (
        "p = f32[0] parameter(0) z = f32[] constant(0) ROOT r = f32[] reduce(p, z), dimensions={0}, to_apply=add",
        ADD,
        {},
    ),
    "reduce-window without padding": (
        "p = f32[8] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[6] reduce-window(p, z), window={size=3}, to_apply=max",
        MAX,
        {"minmax.flops.f32.vector": 6 * (3 - 1)},
    ),
    # a running sum: output n adds n elements to its own
    "reduce-window counts no padding": (
        "p = f32[8] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[8] reduce-window(p, z), window={size=8 pad=7_0}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": sum(range(8))},
    ),
    "a window over the whole row is a reduction": (
        "p = f32[8,2048,2048] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[8,2048,2048] reduce-window(p, z), window={size=1x1x4095 pad=0_0x0_0x2047_2047}, to_apply=max",
        MAX,
        {"minmax.flops.f32.vector": 8 * 2048 * 2047},
    ),
    "over two whole dimensions too": (
        "p = f32[3,5,7] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[3,5,7] reduce-window(p, z), window={size=5x1x13 pad=2_2x0_0x6_6}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 5 * (3 * 7 - 1)},
    ),
    # five reductions of 3, then windows of 3 over the five values: 4 of them hold 2 or 3 neighbours
    "reductions first, then the windows over their values": (
        "p = f32[3,5] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[3,5] reduce-window(p, z), window={size=5x3 pad=2_2x1_1}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 5 * (3 - 1) + (1 + 2 + 2 + 2 + 1)},
    ),
    # a window with strides takes elements 0 and 4 of the row; only their columns are reduced
    "what no window takes is not reduced": (
        "p = f32[3,8] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[3,2] reduce-window(p, z), window={size=5x1 stride=1x4 pad=2_2x0_0}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 2 * (3 - 1)},
    ),
    # holes between the 3 elements: 5 places, all of them under a window of 9
    "with holes in it": (
        "p = f32[3] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[5] reduce-window(p, z), window={size=9 pad=4_4 lhs_dilate=2}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 3 - 1},
    ),
    "of several arrays: the body once for each application": (
        "p = f32[4] parameter(0) q = f32[4] parameter(1) z = f32[] constant(0) "
        "ROOT r = (f32[4], f32[4]) reduce-window(p, q, z, z), window={size=7 pad=3_3}, to_apply=both",
        "both { a = f32[] parameter(0) b = f32[] parameter(1) c = f32[] parameter(2) d = f32[] parameter(3) "
        "s = f32[] add(a, c) m = f32[] maximum(b, d) ROOT t = (f32[], f32[]) tuple(s, m) }\n",
        {"add.flops.f32.vector": 3, "minmax.flops.f32.vector": 3},
    ),
    "a window in the padding applies nothing": (
        "p = f32[2] parameter(0) z = f32[] constant(0) "
        "ROOT r = f32[6] reduce-window(p, z), window={size=1 pad=2_2}, to_apply=add",
        ADD,
        {},
    ),
    "select-and-scatter": (
        "p = f32[8] parameter(0) s = f32[4] parameter(1) z = f32[] constant(0) "
        "ROOT r = f32[8] select-and-scatter(p, s, z), window={size=2 stride=2}, select=ge, scatter=add",
        GE + ADD,
        {"compare.other_ops.pred.vector": 4 * (2 - 1), "add.flops.f32.vector": 4},
    ),
    "scatter": (
        "p = f32[10,3] parameter(0) i = s32[4,1] parameter(1) u = f32[4,3] parameter(2) "
        "ROOT r = f32[10,3] scatter(p, i, u), update_window_dims={1}, inserted_window_dims={0}, "
        "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 4 * 3},
    ),
    "map": (
        "p = f32[9] parameter(0) ROOT r = f32[9] map(p, p), dimensions={0}, to_apply=add",
        ADD,
        {"add.flops.f32.vector": 9},
    ),
    "sort": (
        "p = f32[4,100] parameter(0) ROOT r = f32[4,100] sort(p), dimensions={1}, to_apply=less",
        LESS,
        {"sort.other_ops.f32.vector": 400 * ceil(log2(100))},
    ),
    "topk": (
        "p = f32[4,100] parameter(0) ROOT r = (f32[4,5], s32[4,5]) topk(p), k=5, largest=true",
        "",
        {"sort.other_ops.f32.vector": 400},
    ),
    "a complex fft": (
        "p = c64[3,16] parameter(0) ROOT r = c64[3,16] fft(p), fft_type=FFT, fft_length={16}",
        "",
        {"fft.flops.f32.vector": 3 * 5 * 16 * 4},
    ),
    "a real fft is half": (
        "p = f32[3,16] parameter(0) ROOT r = c64[3,9] fft(p), fft_type=RFFT, fft_length={16}",
        "",
        {"fft.flops.f32.vector": 3 * 5 * 16 * 4 // 2},
    ),
    "an inverse real fft is half": (
        "p = c128[3,9] parameter(0) ROOT r = f64[3,16] fft(p), fft_type=IRFFT, fft_length={16}",
        "",
        {"fft.flops.f64.vector": 3 * 5 * 16 * 4 // 2},
    ),
    "cholesky": (
        "p = f32[2,9,9] parameter(0) ROOT r = f32[2,9,9] cholesky(p), lower=true",
        "",
        {"linalg.flops.f32.matrix": 2 * 9**3 // 3},
    ),
    "triangular-solve": (
        "a = f32[2,9,9] parameter(0) b = f32[2,9,4] parameter(1) "
        "ROOT r = f32[2,9,4] triangular-solve(a, b), left_side=true, lower=true, transpose_a=NO_TRANSPOSE",
        "",
        {"linalg.flops.f32.matrix": 2 * 9**2 * 4},
    ),
    "rng": (
        "a = f32[] constant(0) b = f32[] constant(1) ROOT r = f32[50] rng(a, b), distribution=rng_uniform",
        "",
        {"random.other_ops.f32.vector": 50},
    ),
    # four devices in a ring: each adds three quarters of the operand
    "all-reduce": (
        "p = f32[100] parameter(0) ROOT r = f32[100] all-reduce(p), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=add",
        ADD,
        {"collective.flops.f32.vector": 75},
    ),
    "an integer all-reduce": (
        "p = s32[100] parameter(0) ROOT r = s32[100] all-reduce(p), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=sadd",
        SADD,
        {"collective.int_ops.s32.vector": 75},
    ),
    "a fusion is its computation": (
        "p = f32[9] parameter(0) ROOT r = f32[9] fusion(p), kind=kLoop, calls=f",
        "f { a = f32[9] parameter(0) b = f32[9] tanh(a) ROOT c = f32[9] multiply(b, a) }\n",
        {"transcendental.transcendentals.f32.special": 9, "multiply.flops.f32.vector": 9},
    ),
    "a sugared async call counts at its start": (
        "p = f32[9] parameter(0) s = ((f32[9]), f32[9], u32[]) fusion-start(p), kind=kLoop, calls=f "
        "ROOT r = f32[9] fusion-done(s)",
        "f { a = f32[9] parameter(0) ROOT c = f32[9] multiply(a, a) }\n",
        {"multiply.flops.f32.vector": 9},
    ),
    "movement does nothing": (
        "p = f32[4,6] parameter(0) q = f32[6,4] transpose(p), dimensions={1,0} r = f32[24] reshape(q) "
        "s = f32[2,24] broadcast(r), dimensions={1} ROOT t = f32[2,24] reverse(s), dimensions={0}",
        "",
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    entry, computations, expected = CASES[name]
    assert split(entry, computations) == expected


def test_every_opcode_has_a_rule():
    assert OPCODES.keys() - set(RULES) - RUNNING - {"custom-call"} == set()


def test_every_opcode_that_the_installed_jaxlib_knows_has_a_rule():
    hlo = pytest.importorskip("jaxlib._hlo", reason="this jaxlib does not list its opcodes")
    if not hasattr(hlo, "HloOpcode"):
        pytest.skip("this jaxlib does not list its opcodes")
    spelled = {
        "Abs": "abs", "Clz": "count-leading-zeros", "Cos": "cosine", "Sin": "sine", "Exp": "exponential",
        "Expm1": "exponential-minus-one", "Log1p": "log-plus-one", "OptimizationBarrier": "opt-barrier",
        "PopulationCount": "popcnt", "TopK": "topk", "Atan2": "atan2",
    }  # fmt: skip
    names = {o.name.removeprefix("k") for o in hlo.HloOpcode}
    opcodes = {spelled.get(n) or "".join("-" + c.lower() if c.isupper() else c for c in n).lstrip("-") for n in names}
    assert opcodes - set(RULES) - RUNNING - {"custom-call"} == set()


def test_an_opcode_without_a_rule_is_an_unknown():
    report = hc.count("HloModule m\nENTRY e { p = f32[9] parameter(0) ROOT r = f32[9] frobnicate(p) }")
    assert report.status == "lower bound"
    assert "frobnicate" in str(report.unknowns[0])
    assert report.bytes == 2 * 9 * 4  # what it reads and writes is known


def test_registering_twice_needs_override():
    @hc.custom_call("a_kernel_of_this_test")
    def formula(instruction):
        return hc.Cost.ops("flops", 7 * instruction.shape.size, "matmul", "f32", "matrix")

    with pytest.raises(hc.HloCountError, match="override=True"):
        hc.custom_call("a_kernel_of_this_test")(formula)
    text = 'HloModule m\nENTRY e { p = f32[9] parameter(0) ROOT r = f32[9] custom-call(p), custom_call_target="%s" }'
    report = hc.count(text % "a_kernel_of_this_test")
    assert (report.flops, report.bytes, report.status) == (63, 72, "exact")
    unknown = hc.count(text % "nobody_knows")
    assert unknown.status == "lower bound"
    assert "nobody_knows" in unknown.unknowns[0].reason
    assert unknown.bytes == 72


PREFIXES = {
    # 127 additions a row: each output goes on from the one before it
    "prefix": ("f32[16,128]", "f32[16,128]", "size=1x128 pad=0_0x127_0", 16 * 127),
    "prefix that begins empty": ("f32[16,8]", "f32[16,9]", "size=1x8 pad=0_0x8_0", 16 * 7),
    # a suffix begins anew for each output
    "suffix": ("f32[16,128]", "f32[16,128]", "size=1x128 pad=0_0x0_127", 16 * 127 * 128 // 2),
    # the first row runs on; each other one adds to every output the 1 .. 8 elements of its own row
    "prefix of two dimensions": ("f32[8,8]", "f32[8,8]", "size=8x8 pad=7_0x7_0", 7 + 7 * 36),
    "whole row": ("f32[16,128]", "f32[16,128]", "size=1x255 pad=0_0x127_127", 16 * 127),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_prefix_windows_run_on_tpu(name):
    source, result, window, applications = PREFIXES[name]
    text = (
        f"HloModule m\n{ADD}ENTRY e {{\np = {source}{{1,0:T(8,128)}} parameter(0) z = f32[] constant(0) "
        f"ROOT r = {result}{{1,0:T(8,128)}} reduce-window(p, z), window={{{window}}}, to_apply=add }}\n"
    )
    report = hc.count(text)
    assert (report.backend, report.flops) == ("tpu", applications)
    row = {row.cause: row.flops for row in report.reconcile().rows}
    assert sum(row.values()) + report.flops == report.reconcile().xla.flops
    if "prefix" in name:  # no other backend runs on: each output walks its window
        assert hc.count(text.replace(":T(8,128)", "")).flops > applications


def test_a_rule_of_ones_own_holds_for_what_is_usually_taken_together():
    """An elementwise opcode in the entry and in a fusion, and an opcode that costs nothing."""
    before = dict(RULES)
    text = """HloModule m
    f { p = f32[8] parameter(0)  ROOT s = f32[8] add(p, p) }
    ENTRY e { p = f32[8] parameter(0)  a = f32[8] add(p, p)  c = f32[8] copy(a)
      ROOT r = f32[8] fusion(c), kind=kLoop, calls=f }"""
    try:
        for opcode, flops in (("add", 2 * 100), ("copy", 2 * 8 + 100)):
            hc.rule(opcode, override=True)(lambda i, body: hc.Cost.ops("flops", 100, "add", "f32", "vector"))
            report = hc.count(text)
            assert report.flops == flops
            assert report.roofline("a100").rows  # its works are those of the rule too
            RULES.update(before)
    finally:
        RULES.update(before)


def test_what_is_shipped_is_registered_before_what_is_ones_own():
    """In a new process, whose first word to the package is its rule."""
    said = "opcode 'add' has a rule already"
    text = "HloModule m\nENTRY e { x = f32[8] parameter(0)  ROOT y = f32[8] add(x, x) }"
    script = f"""import hlo_count as hc
try: hc.rule('add')(print)
except hc.HloCountError as problem: assert {said!r} in str(problem), problem
else: raise SystemExit(1)
hc.rule('add', override=True)(lambda i, body: hc.Cost())
print(hc.count({text!r}).flops)"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_a_rule_of_ones_own_holds_for_every_backend():
    before, by_backend = dict(RULES), dict(BACKEND_RULES)
    try:
        hc.rule("reduce-window", override=True)(lambda instruction, body: hc.Cost.ops("flops", 1, "minmax", "f32"))
        for layout in ("{0:T(128)}", ""):
            entry = f"p = f32[8]{layout} parameter(0) z = f32[] constant(0)"
            entry += f" ROOT r = f32[8]{layout} reduce-window(p, z), window={{size=8 pad=7_0}}, to_apply=add"
            assert split(entry, ADD) == {"minmax.flops.f32.vector": 1}
    finally:
        RULES.update(before)
        BACKEND_RULES.update(by_backend)
