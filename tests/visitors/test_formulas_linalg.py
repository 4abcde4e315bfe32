"""Linear algebra under every name: leading terms of the textbooks, times the batch, four times for complex numbers."""

from __future__ import annotations

from math import ceil

import pytest
from fixture_files import text
from visitors.formula_cases import cost, counted, parts

from hlo_count.hlo.parser import parse
from hlo_count.visitors.formulas.linalg import (
    eigh_flops,
    householder_flops,
    lu_flops,
    svd_flops,
    targets,
)
from hlo_count.visitors.registry import FORMULAS
from hlo_count.visitors.walk import Walk

N = 12


@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 5), (9, 4), (4, 9), (40, 40)])
def test_lu_is_the_sum_of_its_steps(m, n):
    # Step i divides a column, and takes a product off the rest: (m - i) + 2 (m - i)(n - i).
    steps = sum((m - i) + 2 * (m - i) * (n - i) for i in range(1, min(m, n) + 1) if i < m)
    assert steps - lu_flops(m, n) <= 3 * max(m, n) ** 2  # what is left is of lower order


@pytest.mark.parametrize(("m", "n", "k"), [(6, 6, 6), (30, 20, 20), (20, 20, 8), (40, 40, 40)])
def test_householder_is_the_sum_of_its_reflections(m, n, k):
    # Reflector i of length m - i is applied to n - i columns: a product with it, and one off them, 4 each.
    steps = sum(4 * (m - i) * (n - i) for i in range(k))
    assert 0 <= steps - householder_flops(m, n, k) <= 4 * max(m, n) ** 2


def test_square_matrices_cost_what_the_textbooks_say():
    assert lu_flops(N, N) * 3 == 2 * N**3
    assert householder_flops(N, N, N) * 3 == 4 * N**3
    assert (eigh_flops(N), eigh_flops(N, vectors=False) * 3) == (9 * N**3, 4 * N**3)
    assert svd_flops(N, N) == 22 * N**3
    assert svd_flops(N, N, full=True) == 21 * N**3  # two variants of one table, and not its best entries
    assert svd_flops(N, N, vectors=False) * 3 == 8 * N**3
    assert svd_flops(8, 20) == svd_flops(20, 8)


# (family, operands, result, config, flops of one real problem, status)
M = 20
SQUARE, TALL, WIDE = "[12,12]", "[20,12]", "[12,20]"
CASES = [
    ("potrf", [SQUARE], SQUARE, None, N**3 / 3, "exact"),
    ("getrf", [SQUARE], SQUARE, None, 2 * N**3 / 3, "exact"),
    ("getrf", [TALL], TALL, None, M * N**2 - N**3 / 3, "exact"),
    ("getrf", [WIDE], WIDE, None, M * N**2 - N**3 / 3, "exact"),
    ("geqrf", [TALL], TALL, None, 2 * M * N**2 - 2 * N**3 / 3, "exact"),
    ("geqp3", [TALL, "[12]"], TALL, None, 2 * M * N**2 - 2 * N**3 / 3, "exact"),
    ("orgqr", [TALL, "[12]"], TALL, None, 2 * M * N**2 - 2 * N**3 / 3, "exact"),
    ("orgqr", [TALL, "[7]"], TALL, None, 4 * M * N * 7 - 2 * (M + N) * 49 + 4 * 343 / 3, "exact"),
    ("ormqr", [TALL, "[12]", "[20,8]"], "[20,8]", None, 4 * M * 8 * N - 2 * 8 * N**2, "exact"),
    ("ormqr", [TALL, "[12]", "[8,20]"], "[8,20]", None, 4 * 8 * M * N - 2 * 8 * N**2, "exact"),
    ("trsm", [SQUARE, "[12,5]"], "[12,5]", None, N**2 * 5, "exact"),
    ("trsm", [SQUARE, "[5,12]"], "[5,12]", None, N**2 * 5, "exact"),
    ("syrk", [TALL, "[20,20]"], "[20,20]", None, N * M * (M + 1), "exact"),
    ("gehrd", [SQUARE], SQUARE, "{low = 1 : i32, high = 12 : i32}", 10 * N**3 / 3, "exact"),
    ("sytrd", [SQUARE], SQUARE, None, 4 * N**3 / 3, "exact"),
    ("gtsv", ["[12]", "[12]", "[12]", "[12,3]"], "[12,3]", None, 3 * N + 5 * N * 3, "exact"),
    ("syevd", [SQUARE], SQUARE, "{mode = 86 : ui8, uplo = 76 : ui8}", 9 * N**3, "estimate"),
    ("syevd", [SQUARE], SQUARE, "{mode = 78 : ui8, uplo = 76 : ui8}", 4 * N**3 / 3, "estimate"),
    ("gesvd", [TALL], TALL, "{mode = 83 : ui8}", 14 * M * N**2 + 8 * N**3, "estimate"),
    ("gesvd", [TALL], "[20,20]", "{mode = 65 : ui8}", 4 * M**2 * N + 8 * M * N**2 + 9 * N**3, "estimate"),
    ("gesvd", [WIDE], WIDE, "{compute_uv = true}", 14 * M * N**2 + 8 * N**3, "estimate"),
    ("gesvd", [TALL], TALL, "{compute_uv = false}", 4 * M * N**2 - 4 * N**3 / 3, "estimate"),
    ("geev", [SQUARE], SQUARE, "{compute_left = 78 : ui8, compute_right = 86 : ui8}", 25 * N**3, "estimate"),
    ("geev", [SQUARE], SQUARE, "{compute_left = 78 : ui8, compute_right = 78 : ui8}", 10 * N**3, "estimate"),
    ("geev", [SQUARE], SQUARE, "{left = false, right = false}", 10 * N**3, "estimate"),
    ("gees", [SQUARE], SQUARE, "{mode = 86 : ui8, sort = 78 : ui8}", 25 * N**3, "estimate"),
    ("gees", [SQUARE], SQUARE, "{mode = 78 : ui8, sort = 78 : ui8}", 10 * N**3, "estimate"),
]


def test_every_family_is_here():
    written = {family for family, *_ in CASES} | {"gesdd"}
    named = {target for family in written for target in targets(family)}
    assert [t for t in FORMULAS if t.startswith("lapack_") and t not in named] == []


@pytest.mark.parametrize(("family", "operands", "result", "config", "flops", "status"), CASES)
def test_every_name_of_a_routine_costs_its_leading_term(family, operands, result, config, flops, status):
    for target in targets(family):
        if target not in FORMULAS:  # pivoted QR has no cuSOLVER routine of this name
            continue
        for dtype, factor in (("f32", 1), ("f64", 1), ("c64", 4), ("c128", 4)):
            found = cost(target, [dtype + o for o in operands], f"({dtype}{result}, s32[])", config)
            assert found.flops == ceil(flops) * factor or found.flops == ceil(flops * factor), (target, dtype)
            assert found.status == status
            assert {key[3] for key in found.amounts if key[0] == "flops"} == {"matrix"}


@pytest.mark.parametrize(("family", "operands", "result", "config", "flops", "status"), CASES)
def test_a_batch_costs_as_many_times(family, operands, result, config, flops, status):
    batched = ["f32[2,3," + operand[1:] for operand in operands]
    found = cost(targets(family)[0] + "_ffi", batched, f"f32[2,3,{result[1:]}", config, backend="cpu")
    assert found.flops == pytest.approx(6 * flops, abs=1)  # rounded up once


def test_complex_counts_are_of_the_real_type():
    found = cost("cusolver_getrf_ffi", ["c64[12,12]"], "c64[12,12]")
    assert [key[1:] for key in found.amounts if key[0] == "flops"] == [("linalg", "f32", "matrix")]


@pytest.mark.parametrize(
    ("target", "operands", "flops"),
    [
        # scalars come before the matrix; wanted vectors are constants among them
        ("lapack_sgetrf", ["s32[] 1", "s32[] 12", "s32[] 12", "f32[12,12]"], 2 * N**3 // 3),
        ("lapack_sorgqr", ["s32[] 1"] * 5 + ["f32[20,12]", "f32[12]"], 2 * M * N**2 - 2 * N**3 // 3),
        ("blas_strsm", ["s32[] 1"] * 7 + ["f32[]", "f32[12,12]", "f32[12,5]"], N**2 * 5),
        ("lapack_sgesdd", ["s32[] 1", "s32[] 1"] + ["s32[] 4"] * 4 + ["f32[12,12]"], 22 * N**3),
        ("lapack_sgesdd", ["s32[] 1", "s32[] 0"] + ["s32[] 4"] * 4 + ["f32[12,12]"], 8 * N**3 // 3),
        ("lapack_sgeev", ["s32[] 1", "s32[] 12", "u8[] 78", "u8[] 86", "f32[12,12]"], 25 * N**3),
        ("lapack_sgeev", ["s32[] 1", "s32[] 12", "u8[] 78", "u8[] 78", "f32[12,12]"], 10 * N**3),
        ("lapack_sgees", ["s32[] 1", "s32[] 12", "u8[] 78", "u8[] 78", "f32[12,12]"], 10 * N**3),
    ],
)
def test_the_calls_of_jax_0_4_30(target, operands, flops):
    assert cost(target, operands, f"({operands[-1]}, s32[])", backend="cpu").flops == flops


@pytest.mark.parametrize(
    ("target", "operands", "result", "flops", "status"),
    [
        ("Cholesky", ["f32[2,12,12]"], "f32[2,12,12]", 2 * N**3 // 3, "exact"),
        ("LuDecomposition", ["f32[12,12]"], "(f32[12,12], s32[12], s32[12])", 2 * N**3 // 3, "exact"),
        ("LuDecompositionBlock", ["f32[12,12]"], "(f32[12,12], s32[12], s32[12])", 2 * N**3 // 3, "exact"),
        ("Qr", ["f32[12,12]"], "(f32[12,12], f32[12])", 4 * N**3 // 3, "exact"),
        ("QrDecompositionBlock", ["f32[12,12]"], "(f32[12,12], f32[12])", 4 * N**3 // 3, "exact"),
        (
            "ProductOfElementaryHouseholderReflectors",
            ["f32[12,12]", "f32[12]"],
            "f32[12,12]",
            4 * N**3 // 3,
            "exact",
        ),
        ("CompactWyHelper", ["f32[12,12]"], "f32[12,12]", N**3 // 3, "exact"),
        ("InvertDiagBlocksLowerTriangular", ["f32[3,12,12]"], "f32[3,12,12]", 3 * N**3 // 3, "exact"),
        ("InvertDiagBlocksUpperTriangular", ["f32[3,12,12]"], "f32[3,12,12]", 3 * N**3 // 3, "exact"),
        ("Eigh", ["f32[12,12]"], "(f32[12,12], f32[12])", 9 * N**3, "estimate"),
        ("EighTpu", ["f32[6,6]"] * 4, "(f32[6], f32[6])", 9 * N**3, "estimate"),
    ],
)
def test_tpu_linear_algebra(target, operands, result, flops, status):
    found = cost(target, operands, result, backend="tpu")
    assert (parts(found), found.status) == ({"linalg.flops": flops}, status)


@pytest.mark.parametrize(
    ("target", "operands", "result", "flops"),
    [
        ("__cublas$triangularSolve", ["f32[12,12]", "f32[12,5]"], "(f32[12,5], s8[999])", N**2 * 5),
        ("cublas_getrf_batched", ["f32[7,12,12]"], "(f32[7,12,12], s32[7,12])", 7 * 2 * N**3 // 3),
        ("cusolver_gesvdj_ffi", ["f32[12,12]"], "f32[12,12]", 22 * N**3),
        ("hipsolver_syevj", ["f32[12,12]"], "f32[12,12]", 9 * N**3),
        ("cusparse_gtsv2_ffi", ["f32[12]"] * 3 + ["f32[12,3]"], "f32[12,3]", 3 * N + 5 * N * 3),
        ("tridiagonal_solve_perturbed_ffi", ["f32[12]"] * 3 + ["f32[12,3]"], "f32[12,3]", 3 * N + 5 * N * 3),
        ("cuhybrid_eig_real", ["f32[12,12]"], "f32[12,12]", 25 * N**3),
        ("cuhybrid_geqp3", ["f32[12,12]", "s32[12]"], "f32[12,12]", 4 * N**3 // 3),
        ("cu_cholesky_update_ffi", ["f32[12,12]", "f32[12]"], "(f32[12,12], f32[12])", 3 * N**2),
    ],
)
def test_names_of_gpu_libraries(target, operands, result, flops):
    assert cost(target, operands, result).flops == flops


@pytest.mark.parametrize(
    ("target", "operands", "result", "config", "words"),
    [
        ("lapack_ssyevd_ffi", ["f32[12,12]"], "f32[12,12]", "{mode = 86 : ui8}", "symmetric QR, 9n³ with eigenvectors"),
        ("lapack_ssyevd_ffi", ["f32[12,12]"], "f32[12,12]", "{mode = 78 : ui8}", "4n³/3 without eigenvectors"),
        ("lapack_sgesdd_ffi", ["f32[20,12]"], "f32[20,12]", "{mode = 83 : ui8}", "Golub-Reinsch SVD, 14mn² + 8n³"),
        ("cusolver_gesvd_ffi", ["f32[20,12]"], "f32[20,20]", "{mode = 65 : ui8}", "4m²n + 8mn² + 9n³"),
        ("lapack_sgesdd_ffi", ["f32[20,12]"], "f32[12]", "{mode = 78 : ui8}", "4mn² - 4n³/3, values alone"),
        (
            "lapack_sgees_ffi",
            ["f32[12,12]"],
            "f32[12,12]",
            "{mode = 86 : ui8}",
            "Hessenberg QR, 25n³ with Schur vectors",
        ),
        ("lapack_sgeev_ffi", ["f32[12,12]"], "f32[12,12]", "{left = false}", "10n³ without eigenvectors"),
        ("Eigh", ["f32[12,12]"], "(f32[12,12], f32[12])", None, "symmetric QR, 9n³ with eigenvectors"),
    ],
)
def test_an_estimate_says_which_count_it_is(target, operands, result, config, words):
    _, (unknown,) = counted(target, operands, result, config)
    assert unknown.status == "estimate"
    assert unknown.reason.startswith("is iterative: counted as ")
    assert words in unknown.reason
    assert unknown.remedy == 'count(…, costs={"call": FLOP})'


def test_scratch_of_a_triangular_solve_is_no_traffic():
    found = cost("__cublas$triangularSolve", ["f32[12,12]", "f32[12,5]"], "(f32[12,5], s8[999])")
    assert (found.bytes_read, found.bytes_written) == (4 * (144 + 60), 4 * 60)


# Sparse

ENTRIES = ["f32[50]", "s32[50]", "s32[50]"]


@pytest.mark.parametrize("vendor", ["cu", "hip"])
@pytest.mark.parametrize("layout", ["csr", "coo"])
def test_sparse_products_cost_their_entries(vendor, layout):
    vector = cost(f"{vendor}sparse_{layout}_matvec_ffi", [*ENTRIES, "f32[9]"], "f32[7]")
    assert vector.flops == 2 * 50
    matrix = cost(f"{vendor}sparse_{layout}_matmat", [*ENTRIES, "f32[9,4]"], "(f32[7,4], f32[100])")
    assert matrix.flops == 2 * 50 * 4
    assert parts(cost(f"{vendor}sparse_{layout}_todense_ffi", ENTRIES, "f32[7,9]")) == {}


def test_a_sparse_solve_is_unknown():
    _, (unknown,) = counted("cusolver_csrlsvqr_ffi", [*ENTRIES, "f32[9]"], "f32[9]")
    assert "fill-in" in unknown.reason


# What a compiler makes of it

FACTORIZATIONS = {"cholesky": 96**3 // 3, "lu": 2 * 96**3 // 3}


@pytest.mark.parametrize("backend", ["cpu", "h100", "tpu-v5e"])
@pytest.mark.parametrize("name", sorted(FACTORIZATIONS))
def test_three_compilers_do_the_same_factorization(backend, name):
    kind = {"h100": "gpu", "tpu-v5e": "tpu"}.get(backend, backend)
    total = Walk(parse(text(backend, name)), kind).total
    assert parts(total)["linalg.flops"] == FACTORIZATIONS[name]


@pytest.mark.parametrize(
    ("program", "shapes", "dtype", "flops", "status"),
    [
        ("lambda a: L.lu(a)", [(3, 20, 12)], "float32", 3 * (M * N**2 - N**3 // 3), "exact"),
        ("lambda a: L.cholesky(a)", [(N, N)], "complex64", 4 * N**3 // 3, "exact"),
        ("lambda a: jnp.linalg.qr(a)", [(M, N)], "float32", 2 * (2 * M * N**2 - 2 * N**3 // 3), "exact"),
        ("lambda a: jnp.linalg.svd(a, full_matrices=False)", [(M, N)], "float32", 14 * M * N**2 + 8 * N**3, None),
        ("lambda a: jnp.linalg.svd(a, compute_uv=False)", [(M, N)], "float32", 4 * M * N**2 - 4 * N**3 // 3, None),
        ("lambda a: L.eigh(a)", [(N, N)], "complex64", 4 * 9 * N**3, None),
        ("lambda a: L.eig(a)", [(N, N)], "float32", 25 * N**3, None),
        ("lambda a: jnp.linalg.eigvals(a)", [(N, N)], "float32", 10 * N**3, None),
        ("lambda a: L.schur(a)", [(N, N)], "float32", 25 * N**3, None),
        ("lambda a: L.hessenberg(a)[0]", [(N, N)], "float32", 10 * N**3 // 3, "exact"),
        ("lambda a: L.tridiagonal(a)", [(N, N)], "float32", 4 * N**3 // 3, "exact"),
        (
            "lambda a, b: L.triangular_solve(a, b, left_side=True, lower=True)",
            [(2, N, N), (2, N, 5)],
            "float32",
            2 * N**2 * 5,
            "exact",
        ),
    ],
)
def test_what_the_installed_jax_compiles_for_cpu(program, shapes, dtype, flops, status):
    import jax
    import jax.numpy as jnp

    function = eval(program, {"L": jax.lax.linalg, "jnp": jnp})
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        compiled = jax.jit(function).lower(*arguments).compile().as_text()
    if "custom-call" not in compiled:
        pytest.skip("this JAX has no library call for it")
    total = Walk(parse(compiled), "cpu").total
    assert parts(total)["linalg.flops"] == flops
    assert total.status == (status or "estimate")
