"""Linear algebra that TPU compilers keep as custom calls, and the halves of 64-bit types."""

from __future__ import annotations

from fractions import Fraction

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas import linalg
from hlo_count.visitors.formulas.linalg import batch_of, symmetric_eigenvalues
from hlo_count.visitors.formulas.reading import matrices
from hlo_count.visitors.registry import custom_call
from hlo_count.visitors.special import linalg_cost

custom_call("Cholesky")(linalg.cholesky)
custom_call("LuDecomposition", "LuDecompositionBlock")(linalg.lu)
custom_call("Qr", "QrDecompositionBlock")(linalg.qr)
custom_call("ProductOfElementaryHouseholderReflectors")(linalg.householder_product)


@custom_call("CompactWyHelper", "InvertDiagBlocksLowerTriangular", "InvertDiagBlocksUpperTriangular")
def triangular_inverse(instruction: Instruction) -> Cost:
    """n³/3 for each block, a triangular inverse (LAWN 41, xTRTRI).

    The T of a compact WY form I - V·T·Vᵀ is one too, of the upper half of Vᵀ·V (Puglisi 1992); the compiler
    makes Vᵀ·V, and applies the inverses, by products of its own.
    """
    (a,) = matrices(instruction)
    return linalg_cost(Fraction(a.dimensions[-1] ** 3 * batch_of(a), 3), a.dtype)


@custom_call("Eigh")
def eigh(instruction: Instruction) -> Cost:
    """9n³ with eigenvectors (GVL 8.3.5): an estimate."""
    (a,) = matrices(instruction)
    return symmetric_eigenvalues(a.dimensions[-1], batch_of(a), a.dtype)


@custom_call("EighTpu")
def eigh_of_quarters(instruction: Instruction) -> Cost:
    """9n³ with eigenvectors: an estimate. The operands are the four quarters of the matrix, n/2 × n/2."""
    (quarter,) = matrices(instruction)
    return symmetric_eigenvalues(2 * quarter.dimensions[-1], batch_of(quarter), quarter.dtype)


@custom_call("X64SplitLow", "X64SplitHigh", "X64Combine")
def halves(instruction: Instruction) -> Cost:
    """Bytes only: a 64-bit or complex array as two of half the size, and back."""
    return Cost()
