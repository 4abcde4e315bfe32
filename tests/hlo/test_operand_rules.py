"""Opcodes with rules of their own: one thing wrong with a program that is exact, and it is no more."""

from __future__ import annotations

import re

import pytest

import hlo_count as hc

SUM = "sum { a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n\n"
LESS = "less { a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT c = pred[] compare(a, b), direction=LT\n}\n\n"

NORM = "ROOT z = f32[4,6] batch-norm-inference(p0, p1, p1, p1, p1), epsilon=0.001, feature_index=1"
GRADIENT = (
    "ROOT z = (f32[4,6], f32[6], f32[6]) batch-norm-grad(p0, p1, p1, p1, p0), epsilon=0.001, feature_index=1",
    ("f32[4,6]", "f32[6]"),
)
RAGGED = (
    "ROOT z = f32[8,5] ragged-dot(p0, p1, p2), lhs_contracting_dims={1}, rhs_contracting_dims={1}, lhs_ragged_dims={0}, rhs_group_dims={0}",
    ("f32[8,6]", "f32[3,6,5]", "s32[3]"),
)
SCALED = (
    "ROOT z = f32[4,5] scaled-dot(p0, p1, p2, p3), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
    ("f8e4m3fn[4,64]", "f8e4m3fn[64,5]", "f8e8m0fnu[4,2]", "f8e8m0fnu[2,5]"),
)
PARTS = (
    "ROOT z = f32[8,6] ragged-all-to-all(p0, p0, p1, p1, p1, p1), replica_groups={{0,1,2,3}}",
    ("f32[8,6]", "s32[4]"),
)
SOLVED = (
    "ROOT z = f32[6,5] triangular-solve(p0, p1), left_side=true, lower=true, transpose_a=NO_TRANSPOSE",
    ("f32[6,6]", "f32[6,5]"),
)
BITS = ("ROOT z = (u64[2], u32[7]) rng-bit-generator(p0), algorithm=rng_default", ("u64[2]",))
CASES: list[tuple[str, tuple[str, ...], str, str, str]] = [
    (NORM, ("f32[4,6]", "f32[6]"), "feature_index=1", "feature_index=0", "for the 4 features"),
    (NORM, ("f32[4,6]", "f32[6]"), "feature_index=1", "feature_index=-1", "feature_index=-1 of"),
    (NORM, ("f32[4,6]", "f32[6]"), "p1, p1, p1, p1", "p1, p0, p1, p1", "for the 6 features"),
    (NORM, ("f32[4,6]", "f32[6]"), "epsilon=0.001", "epsilon=x.001", "expected a number"),
    (*GRADIENT, "p1, p1, p1, p0", "p0, p1, p1, p0", "for the 6 features"),
    (*GRADIENT, "p1, p0)", "p1, p1)", "the gradient"),
    (*RAGGED, "p0, p1, p2", "p0, p1, p1", "sizes of groups"),
    (*RAGGED, "lhs_ragged_dims={0}", "lhs_ragged_dims={2}", "lhs_ragged_dims"),
    (*RAGGED, "rhs_group_dims={0}", "rhs_group_dims={}", "rhs_group_dims"),
    (*SCALED, "z = f32[4,5]", "z = f32[4,6]", r"give the sizes \[4,5\]"),
    (*SCALED, "lhs_contracting_dims={1}", "lhs_contracting_dims={}", "takes one"),
    (*SCALED, "lhs_contracting_dims={1}", "lhs_contracting_dims={0}", "meets one of"),
    (*SCALED, "p0, p1, p2, p3", "p0, p1, p3, p2", "scales"),
    (*PARTS, "z = f32[8,6]", "z = f32[16,6]", "parts of"),
    (*PARTS, "p1, p1, p1, p1", "p1, p1, p0, p1", "what goes where"),
    (*PARTS, "{{0,1,2,3}}", "{{}}", "an empty group"),
    (*SOLVED, "left_side=true", "left_side=false", "right sides of 5"),
    (*SOLVED, "p0, p1", "p1, p1", "no square matrices"),
    (*BITS, "(u64[2],", "(u64[4],", "takes the state"),
    (
        "n = f32[4] negate(p0)\n  ROOT z = f32[4] copy(n)",
        ("f32[4]",),
        "n = f32[4] negate(p0)",
        "t = (f32[4]) tuple(p0)\n  o = (f32[4]) negate(t)\n  n = f32[4] get-tuple-element(o), index=0",
        "takes and gives arrays",
    ),
    ("ROOT z = bf16[4] convert(p0)", ("f32[4]",), "z = bf16[4]", "z = (bf16[4], bf16[4])", "takes and gives arrays"),
    ("ROOT z = s32[4] bitcast-convert(p0)", ("f32[4]",), "z = s32[4]", "z = (s32[4])", "takes and gives arrays"),
    ("ROOT z = f32[4] abs(p0)", ("f32[4]",), "z = f32[4]", "z = (f32[4])", "takes and gives arrays"),
    ("ROOT z = f32[3,6,6] cholesky(p0)", ("f32[3,6,6]",), "z = f32[3,6,6]", "z = (f32[3,6,6])", "but its operands give"),
    ("ROOT z = f32[4,6] rng(p0, p0), distribution=rng_uniform", ("f32[]",), "p0, p0", "p0", "1 operands and not 2"),
    ("ROOT z = s32[] get-dimension-size(p0), dimensions={1}", ("f32[4,6]",), "z = s32[]", "z = f64[]", "is stated"),
    ("ROOT z = s32[] get-dimension-size(p0), dimensions={1}", ("f32[4,6]",), "={1}", "={-1}", r"dimensions=\{-1\}"),
    ("ROOT z = s32[] get-dimension-size(p0), dimensions={1}", ("f32[4,6]",), "={1}", "={}", "takes one"),
    ("ROOT z = f32[4,<=6] set-dimension-size(p0, p1), dimensions={1}", ("f32[4,6]", "s32[]"), "p0, p1", "p0, p0", "a size is"),
    ("ROOT z = f32[4,6] reverse(p0), dimensions={1}", ("f32[4,6]",), "={1}", "={-1}", r"dimensions=\{-1\}"),
    ("ROOT z = f32[4,6] sort(p0), dimensions={0}, to_apply=less", ("f32[4,6]",), "={0}", "={0,1}", "takes one"),
    ("ROOT z = c64[4,5] fft(p0), fft_type=RFFT, fft_length={8}", ("f32[4,8]",), "z = c64", "z = f16", "is stated"),
    ("ROOT z = c64[4,8] fft(p0), fft_type=FFT, fft_length={8}", ("c64[4,8]",), "z = c64", "z = s8", "is stated"),
    ("ROOT z = f32[4] reduce-precision(p0), exponent_bits=8, mantissa_bits=7", ("f32[4]",), "bits=8", "bits=0", "0 bits of an exponent"),
    ("ROOT z = f32[<=4,<=6] dynamic-reshape(p0, p1, p1)", ("f32[24]", "s32[]"), "p1, p1", "p1, p0", "an s32"),
    ("ROOT z = f32[16,6] all-gather(p0), replica_groups={{0,1,2,3}}, dimensions={0}", ("f32[4,6]",), "dimensions={0}", "dimensions={-2}", r"dimensions=\{-2\}"),
    ("ROOT z = f32[1,6] reduce-scatter(p0), replica_groups={{0,1,2,3}}, dimensions={0}, to_apply=sum", ("f32[4,6]",), "z = f32", "z = s4", "elements of"),
    ("ROOT z = f32[1,6] reduce-scatter(p0), replica_groups={{0,1,2,3}}, dimensions={0}, to_apply=sum", ("f32[4,6]",), "z = f32[1", "z = f32[0", "no whole number of parts of 0"),
    ("ROOT z = f32[4] collective-permute(p0), source_target_pairs={{0,1}}", ("f32[4]",), "{{0,1}}", "{{0,-1}}", "below 0"),
    ("t = token[] after-all()\n  i = (f32[4], token[]) infeed(t)\n  ROOT z = f32[4] get-tuple-element(i), index=0", ("f32[4]",), "infeed(t)", "infeed(p0)", "waits for a token"),
    ("t = token[] after-all()\n  ROOT z = f32[4] add-dependency(p0, t)", ("f32[4]",), "(p0, t)", "(p0, p0)", "waits for a token"),
    ("ROOT z = f32[2,6,6] convolution(p0, p1), window={size=3}, dim_labels=b0f_0io->b0f, batch_group_count=2", ("f32[4,8,4]", "f32[3,4,6]"), "count=2", "count=0", "0 of batches"),
    ("ROOT z = f32[3,4] gather(p0, p1), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,4}", ("f32[8,4]", "s32[3,1]"), "={1,4}", "={-1,4}", "slice_sizes"),
    ("c = f32[] constant(0.5)\n  d = f32[4] broadcast(c), dimensions={}\n  ROOT z = f32[4] add(p0, d)", ("f32[4]",), "0.5", ".5", "no literal"),
    ("ROOT z = f32[8] negate(p0), sharding={devices=[2]0,1}", ("f32[8]",), "[2]0,1", "[1]0", "expected a sharding"),
    ("ROOT z = (f32[8], f32[8]) tuple(p0, p0), sharding={{replicated}, {replicated}}", ("f32[8]",), ", {replicated}", "", "of 1 arrays"),
]  # fmt: skip


def program(body: str, shapes: tuple[str, ...]) -> str:
    header = ", replica_count=4" if "replica_groups" in body or "pairs" in body else ", num_partitions=2"
    parameters = "".join(f"  p{n} = {shape} parameter({n})\n" for n, shape in enumerate(shapes))
    return f"HloModule m{header}\n\n{SUM}{LESS}ENTRY e {{\n{parameters}  {body}\n}}\n"


def refusal(text: str) -> str:
    """The error, or the unknowns that make a lower bound; "" where the text is exact."""
    try:
        report = hc.count(text)
    except hc.HloCountError as problem:
        return str(problem)
    return "; ".join(map(str, report.unknowns)) if report.status == "lower bound" else ""


@pytest.mark.parametrize(("body", "shapes", "right", "wrong", "message"), CASES, ids=[f"{c[3]}-{n}" for n, c in enumerate(CASES)])  # fmt: skip
def test_one_thing_wrong(body: str, shapes: tuple[str, ...], right: str, wrong: str, message: str) -> None:
    assert refusal(program(body, shapes)) == ""
    assert body.count(right) >= 1
    assert re.search(message, refusal(program(body.replace(right, wrong), shapes)))


@pytest.mark.parametrize("axes", ["'a'=0,'b'=4] {'b'}", "'a'=2,'b'=2] {'b':(0)2}", "'a'=2,'b'=2] {'b':(1)0}"])
def test_a_mesh_of_no_devices_is_no_mesh(axes: str) -> None:
    body = f"ROOT z = f32[4] all-reduce(p0), replica_groups=mesh[{axes}, to_apply=sum"
    assert "replica_groups" in refusal(program(body, ("f32[4]",)))


def test_what_xla_takes_is_exact() -> None:
    """One device is the same however a sharding divides it, and a dimension may be inserted and batched at once."""
    for body, shapes in (
        ("ROOT z = f32[8] negate(p0), sharding={devices=[1,1]<=[1]}", ("f32[8]",)),
        ("ROOT z = bf16[4] reduce-precision(p0), exponent_bits=8, mantissa_bits=0", ("bf16[4]",)),
        ("ROOT z = u32[] get-dimension-size(p0), dimensions={0}", ("f32[4]",)),  # as XLAs of 2019 print it
        ("ROOT z = c128[4,5] fft(p0), fft_type=RFFT, fft_length={8}", ("f64[4,8]",)),
        ("ROOT z = f32[6,5] triangular-solve(p0, p1), lower=true", ("f32[5,5]", "f32[6,5]")),  # from the right side
        (
            "ROOT z = (f32[16,6], bf16[16]) all-gather(p0, p1), replica_groups={{0,1,2,3}}, dimensions={0}",
            ("f32[4,6]", "bf16[4]"),
        ),
        ("t = token[] after-all(p0)\n  ROOT z = f32[4] add-dependency(p0, t)", ("f32[4]",)),
        (
            'b = b(f32[4]) custom-call(p0), custom_call_target="Pin", output_to_operand_aliasing={{}: (0, {})}\n  ROOT z = f32[4] custom-call(b), custom_call_target="Unpin", output_to_operand_aliasing={{}: (0, {})}',
            ("f32[4]",),
        ),
        ("ROOT z = f32[3] add(p0, p0)\n  d = f32[3] constant(-.5)", ("f32[3]",)),
    ):
        assert refusal(program(body, shapes)) == ""
