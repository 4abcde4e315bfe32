"""Linear algebra of LAPACK, cuSOLVER, hipSOLVER and cuBLAS, under all the names that JAX and XLA give it.

Counts are the leading terms for real matrices; complex ones take four times as many. LAWN 41 is LAPACK
Working Note 41 (Blackford and Dongarra, operation counts), GVL is Golub and Van Loan, Matrix Computations,
4th edition. Iterative methods end when they converge: their textbook counts are estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.contractions import contraction_cost
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import (
    ffi_attributes,
    matrices,
    missing,
    operand,
    result,
    traffic_without_scratch,
)
from hlo_count.visitors.registry import Estimate, Formula, custom_call
from hlo_count.visitors.special import linalg_cost

_COMPLEX_NAMES = {"syevd": "heevd", "sytrd": "hetrd", "orgqr": "ungqr", "ormqr": "unmqr"}
_GPU_NAMES = {
    "syevd": ("syevd", "syevj"),
    "gesvd": ("gesvd", "gesvdj", "gesvdp", "gesdd"),
    "geqrf": ("geqrf",),
}
_BATCHED = ("getrf", "geqrf")
"""What JAX of before 0.5 has from cuBLAS for batches."""


def targets(family: str) -> list[str]:
    """Every name of a LAPACK routine: real and complex, on CPU and GPUs, typed FFI calls and older ones."""
    complex_family = _COMPLEX_NAMES.get(family, family)
    cpu = [f"lapack_{prefix}{family}" for prefix in "sd"] + [f"lapack_{prefix}{complex_family}" for prefix in "cz"]
    gpu = [f"{vendor}solver_{name}" for vendor in ("cu", "hip") for name in _GPU_NAMES.get(family, (family,))]
    if family in _BATCHED:
        gpu += [f"{vendor}blas_{family}_batched" for vendor in ("cu", "hip")]
    return [f"{name}{suffix}" for name in (*cpu, *gpu) for suffix in ("", "_ffi")]


def routine(family: str, *others: str) -> Callable[[Formula], Formula]:
    """Register a formula for all the names of a LAPACK routine, and for others."""
    return custom_call(*targets(family), *others)


def batch_of(matrix: Shape) -> int:
    """How many matrices a batch holds."""
    return prod(matrix.dimensions[:-2])


# Closed forms, for one real matrix


def lu_flops(m: int, n: int) -> Fraction:
    """2mnk - (m + n)k² + 2k³/3 with k = min(m, n): 2n³/3 of a square matrix (LAWN 41, xGETRF)."""
    k = min(m, n)
    return 2 * m * n * k - (m + n) * k**2 + Fraction(2 * k**3, 3)


def householder_flops(m: int, n: int, k: int) -> Fraction:
    """4mnk - 2(m + n)k² + 4k³/3, of k reflectors on m × n: 4n³/3 if square (LAWN 41, xGEQRF and xORGQR)."""
    return 4 * m * n * k - 2 * (m + n) * k**2 + Fraction(4 * k**3, 3)


def eigh_flops(n: int, vectors: bool = True) -> Fraction:
    """9n³ with eigenvectors, 4n³/3 without: tridiagonalization and symmetric QR (GVL 8.3.5)."""
    return Fraction(9 * n**3) if vectors else Fraction(4 * n**3, 3)


def svd_flops(m: int, n: int, *, vectors: bool = True, full: bool = False) -> Fraction:
    """Golub-Reinsch, for m >= n (GVL figure 8.6.1).

    14mn² + 8n³; with all of U 4m²n + 8mn² + 9n³; values only 4mn² - 4n³/3.
    """
    m, n = max(m, n), min(m, n)
    if not vectors:
        return 4 * m * n**2 - Fraction(4 * n**3, 3)
    return Fraction(4 * m**2 * n + 8 * m * n**2 + 9 * n**3 if full else 14 * m * n**2 + 8 * n**3)


def _wants(instruction: Instruction, *names: str, older: tuple[int, ...] = ()) -> bool:
    """Whether any of some flags is set: `true`, or LAPACK's letter (86 is V, 78 N); also without any.

    JAX 0.4.30 passes them as constants, the operands `older`.
    """
    attributes = ffi_attributes(instruction)
    given = [attributes[name] for name in names if name in attributes]
    if not given:
        operands = [instruction.operands[n] for n in older if n < len(instruction.operands)]
        given = [each.operand_text for each in operands if each.opcode == "constant"]
    return not given or any(value not in ("false", "0", str(ord("N"))) for value in given)


# Factorizations and solves: exact


@routine("potrf")
def cholesky(instruction: Instruction) -> Cost:
    """n³/3 (GVL 4.2.5)."""
    (a,) = matrices(instruction)
    return linalg_cost(Fraction(a.dimensions[-1] ** 3 * batch_of(a), 3), a.dtype)


@routine("getrf")
def lu(instruction: Instruction) -> Cost:
    """2mnk - (m + n)k² + 2k³/3 (LAWN 41)."""
    (a,) = matrices(instruction)
    return linalg_cost(lu_flops(*a.dimensions[-2:]) * batch_of(a), a.dtype)


@routine("geqrf", *targets("geqp3"), "cuhybrid_geqp3", "hiphybrid_geqp3")
def qr(instruction: Instruction) -> Cost:
    """4mnk - 2(m + n)k² + 4k³/3, k = min(m, n) (LAWN 41); pivoting adds terms of lower order (GVL 5.4.2)."""
    (a,) = matrices(instruction)
    m, n = a.dimensions[-2:]
    return linalg_cost(householder_flops(m, n, min(m, n)) * batch_of(a), a.dtype)


def _reflectors(instruction: Instruction, after: Shape) -> int:
    """How many reflectors there are: the length of the scales, which follow the matrix."""
    shapes = [each.shape for each in instruction.operands]
    scales = shapes[shapes.index(after) + 1 :]
    if not scales or scales[0].rank < 1:
        raise missing(instruction, "without the scales of its reflectors")
    return scales[0].dimensions[-1]


@routine("orgqr")
def householder_product(instruction: Instruction) -> Cost:
    """4mnk - 2(m + n)k² + 4k³/3 for the first n columns of k reflectors (LAWN 41, xORGQR)."""
    (a,) = matrices(instruction)
    m, n = a.dimensions[-2:]
    return linalg_cost(householder_flops(m, n, _reflectors(instruction, a)) * batch_of(a), a.dtype)


@routine("ormqr")
def householder_multiply(instruction: Instruction) -> Cost:
    """4mnk - 2nk² from the left, 4mnk - 2mk² from the right, of k reflectors on m × n (LAWN 41, xORMQR).

    The order of Q, m or n, is the number of rows of the reflectors.
    """
    a, c = matrices(instruction)[0], result(instruction)
    k, order = _reflectors(instruction, a), a.dimensions[-2]
    if c.rank < 2 or order not in c.dimensions[-2:]:
        raise missing(instruction, f"whose reflectors do not fit {c}")
    return linalg_cost(4 * c.size * k - 2 * c.size // max(order, 1) * k**2, a.dtype)


@routine("trsm", *(f"blas_{prefix}trsm" for prefix in "sdcz"), "cublas_trsm_batched", "hipblas_trsm_batched")
def triangular_solve(instruction: Instruction) -> Cost:
    """n² · right-hand sides (GVL 3.1)."""
    a, b = matrices(instruction, 2)
    return linalg_cost(a.dimensions[-1] * b.size, b.dtype)


@custom_call("__cublas$triangularSolve")
def cublas_triangular_solve(instruction: Instruction) -> Cost:
    """n² · right-hand sides (GVL 3.1)."""
    return triangular_solve(instruction) + traffic_without_scratch(instruction)


@routine("syrk")
def symmetric_product(instruction: Instruction) -> Cost:
    """k · n · (n + 1) of A · Aᵀ, A n × k: half of a product (LAWN 41, xSYRK); class matmul."""
    a, c = matrices(instruction)[0], result(instruction)
    n = c.dimensions[-1] if c.rank >= 2 else 0
    k = a.size // max(batch_of(a) * n, 1)
    return contraction_cost(batch_of(a) * k * n * (n + 1) // 2, a.dtype)


@routine("gehrd")
def hessenberg(instruction: Instruction) -> Cost:
    """10n³/3 (GVL 7.4.3; LAWN 41, xGEHRD)."""
    (a,) = matrices(instruction)
    return linalg_cost(Fraction(10 * a.dimensions[-1] ** 3 * batch_of(a), 3), a.dtype)


@routine("sytrd")
def tridiagonal(instruction: Instruction) -> Cost:
    """4n³/3 (GVL 8.3.1; LAWN 41, xSYTRD)."""
    (a,) = matrices(instruction)
    return linalg_cost(Fraction(4 * a.dimensions[-1] ** 3 * batch_of(a), 3), a.dtype)


@routine(
    "gtsv",
    *(f"{vendor}sparse_gtsv2{suffix}" for vendor in ("cu", "hip") for suffix in ("_ffi", "_f32", "_f64")),
    *("tridiagonal_solve_perturbed_ffi", "cu_tridiagonal_solve_perturbed", "hip_tridiagonal_solve_perturbed"),
)
def tridiagonal_solve(instruction: Instruction) -> Cost:
    """3n for the factors, 5n for each right-hand side: elimination without interchanges (GVL 4.3.6)."""
    diagonal, sides = operand(instruction, 1, rank=1), operand(instruction, 3, rank=1)
    return linalg_cost(3 * diagonal.size + 5 * sides.size, sides.dtype)


@custom_call(
    *(f"{vendor}_cholesky_update{suffix}" for vendor in ("cu", "hip") for suffix in ("", "_ffi")),
)
def cholesky_update(instruction: Instruction) -> Cost:
    """3n²: n rotations, each 6 operations on the n - i pairs of a row and the vector (GVL 5.1.9, 6.5.4)."""
    (a,) = matrices(instruction)
    return linalg_cost(3 * a.dimensions[-1] ** 2 * batch_of(a), a.dtype)


@custom_call("cu_lu_pivots_to_permutation", "hip_lu_pivots_to_permutation")
def pivots_to_permutation(instruction: Instruction) -> Cost:
    """Bytes only: swaps of indices."""
    return Cost()


# Iterative methods: estimates


@routine("syevd")
def eigh(instruction: Instruction) -> Cost:
    """9n³ with eigenvectors, 4n³/3 without (GVL 8.3.5); `mode` says which."""
    (a,) = matrices(instruction)
    vectors = _wants(instruction, "mode")
    return symmetric_eigenvalues(a.dimensions[-1], batch_of(a), a.dtype, vectors)


def symmetric_eigenvalues(n: int, batch: int, dtype: str, vectors: bool = True) -> Cost:
    """An estimate by `eigh_flops`."""
    choice = f"is iterative: counted as symmetric QR, {'9n³ with' if vectors else '4n³/3 without'} eigenvectors"
    return Estimate(linalg_cost(eigh_flops(n, vectors) * batch, dtype), choice)


@routine("gesvd", *(name for name in targets("gesdd") if name.startswith("lapack")))
def svd(instruction: Instruction) -> Cost:
    """Golub-Reinsch (GVL figure 8.6.1); with all of U where one result is a square of the longer side."""
    (a,) = matrices(instruction)
    m, n = a.dimensions[-2:]
    square = (max(m, n),) * 2
    full = m != n and any(leaf.dimensions[-2:] == square for leaf in instruction.shape.leaves)
    vectors = _wants(instruction, "mode", "compute_uv", older=(1,))
    count = "4mn² - 4n³/3, values alone" if not vectors else "4m²n + 8mn² + 9n³" if full else "14mn² + 8n³"
    choice = f"is iterative: counted as the Golub-Reinsch SVD, {count}"
    flops = svd_flops(m, n, vectors=vectors, full=full)
    return Estimate(linalg_cost(flops * batch_of(a), a.dtype), choice)


@routine("geev", "cuhybrid_eig_real", "cuhybrid_eig_comp", "hiphybrid_eig_real", "hiphybrid_eig_comp")
def eig(instruction: Instruction) -> Cost:
    """25n³ with eigenvectors, 10n³ without: Hessenberg reduction and QR iteration (GVL 7.5.6)."""
    (a,) = matrices(instruction)
    wanted = _wants(instruction, "compute_left", "compute_right", "left", "right", older=(2, 3))
    return _by_qr_iteration(a, wanted, "eigenvectors")


@routine("gees")
def schur(instruction: Instruction) -> Cost:
    """25n³ with the Schur vectors, 10n³ without (GVL 7.5.6)."""
    (a,) = matrices(instruction)
    return _by_qr_iteration(a, _wants(instruction, "mode", older=(2,)), "Schur vectors")


def _by_qr_iteration(a: Shape, wanted: bool, vectors: str) -> Cost:
    each = 25 if wanted else 10
    choice = f"is iterative: counted as Hessenberg QR, {each}n³ {'with' if wanted else 'without'} {vectors}"
    return Estimate(linalg_cost(each * a.dimensions[-1] ** 3 * batch_of(a), a.dtype), choice)
