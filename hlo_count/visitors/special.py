"""Rules for opcodes with a formula of their own: fft, linear algebra, normalization, random numbers."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log2, prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.registry import Body, rule


@rule("fft")
def fft(instruction: Instruction, body: Body) -> Cost:
    """5 · n · log2(n) per complex transform of n points, half of it for real input or output.

    The count of a radix-2 transform (Cooley and Tukey 1965), customary also for other lengths (fftw.org/speed).
    """
    lengths = instruction.dims("fft_length")
    n = prod(lengths)
    shape, result = instruction.operands[0].shape, instruction.shape
    full = shape if result.size <= shape.size and instruction.attribute("fft_type") != "IRFFT" else result
    transforms = full.size // n if n else 0
    half = 2 if instruction.attribute("fft_type") in ("RFFT", "IRFFT") else 1
    per_transform = 5 * n * log2(n) / half if n > 1 else 0
    real = shape.element_type.real if shape.element_type.is_complex else shape.dtype
    return Cost.ops("flops", ceil(Fraction(per_transform) * transforms), "fft", real)


def linalg_cost(flops: int | Fraction, dtype: str) -> Cost:
    """So many real operations of linear algebra in the real type of `dtype`, on the matrix unit."""
    from hlo_count.hlo.dtypes import DTYPES

    factor = 4 if DTYPES[dtype].is_complex else 1
    return Cost.ops("flops", flops * factor, "linalg", DTYPES[dtype].real, "matrix")


@rule("cholesky")
def cholesky(instruction: Instruction, body: Body) -> Cost:
    """n³/3, times the batch (Golub and Van Loan, Matrix Computations, 4.2)."""
    shape = instruction.operands[0].shape
    n = shape.dimensions[-1]
    return linalg_cost(Fraction(n**3 * prod(shape.dimensions[:-2]), 3), shape.dtype)


@rule("triangular-solve")
def triangular_solve(instruction: Instruction, body: Body) -> Cost:
    """n² · right-hand sides, times the batch (Golub and Van Loan, 3.1)."""
    matrix, sides = instruction.operands[0].shape, instruction.operands[1].shape
    return linalg_cost(matrix.dimensions[-1] * sides.size, sides.dtype)


_NORM = {
    # mean: N adds; centre: N; square and sum: 2N; normalize: N multiplies; scale and offset: 2N
    "batch-norm-training": {"add": 4, "multiply": 3},
    # centre: N; times rsqrt: N; scale: N; offset: N
    "batch-norm-inference": {"add": 2, "multiply": 2},
    # centre N, normalize N; sum of grad N; grad · normalized and its sum 2N;
    # the input's gradient: scale · rsqrt · (grad - mean - normalized · mean): 2 subtracts, 2 multiplies
    "batch-norm-grad": {"add": 5, "multiply": 4},
}
"""Operations an element by the definition in XLA's operation semantics."""


@rule(*_NORM)
def batch_norm(instruction: Instruction, body: Body) -> Cost:
    """A few operations an element, and for each feature an rsqrt and the divisions of the means."""
    shape = instruction.operands[0].shape
    features = shape.dimensions[int(instruction.attributes["feature_index"])]
    per_element = sum(_NORM[instruction.opcode].values())
    cost = Cost.ops("flops", per_element * shape.size, "norm", shape.dtype)
    if instruction.opcode != "batch-norm-inference":
        cost += Cost.ops("flops", 2 * features, "norm", shape.dtype)
    cost += Cost.ops("flops", features, "norm", shape.dtype)  # variance + epsilon
    return cost + Cost.ops("transcendentals", features, "norm", shape.dtype, "special")


@rule("rng", "rng-bit-generator", "rng-get-and-update-state")
def rng(instruction: Instruction, body: Body) -> Cost:
    """N random numbers."""
    leaf = instruction.shape.first_leaf
    return Cost.ops("other_ops", leaf.size, "random", leaf.dtype) if leaf is not None else Cost()
