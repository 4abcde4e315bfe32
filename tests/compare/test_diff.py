"""What became of every operation and byte between two programs. Expectations are arithmetic on shapes."""

from __future__ import annotations

import functools
import json

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import hlo_count as hc
from hlo_count.compare.diff import Diff
from hlo_count.compare.differences import cast
from hlo_count.errors import HloCountError
from hlo_count.lowering import tpu
from hlo_count.visitors.cost import Cost

N = 64
A = jax.ShapeDtypeStruct((N,), jnp.float32)


needs_unfused_scalars = pytest.mark.skipif(
    tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5),
    reason="the CPU compiler of jax 0.4.30 puts the unrolled additions into a fusion: another reason beside these",
)


def reasons(diff):
    return {row.name: row.change for row in diff.by("reason")}


def adds_up(diff):
    """Every set of rows gives the difference of the totals, and each breakdown the totals themselves."""
    total = diff.change.amounts
    assert (Cost.sum(r.after for r in diff.rows) - Cost.sum(r.before for r in diff.rows)).amounts == total
    for key in ("reason", "scope", "source", "opcode", "class", "dtype", "collective"):
        rows = diff.by(key)
        assert Cost.sum(r.before for r in rows).amounts == diff.before.total.amounts, key
        assert Cost.sum(r.after for r in rows).amounts == diff.after.total.amounts, key
    return True


def looped(a):
    return lax.fori_loop(0, 100, lambda i, c: c + a, jnp.zeros_like(a))


def unrolled(a):
    return lax.fori_loop(0, 100, lambda i, c: c + a, jnp.zeros_like(a), unroll=True)


@needs_unfused_scalars
def test_the_first_add_of_an_unrolled_loop_is_folded():
    diff = hc.diff(unrolled, A)
    if diff.before.flops == 99 * N:
        pytest.skip("this jax folds the addition of zero while it lowers")
    assert (diff.before.flops, diff.after.flops) == (100 * N, 99 * N)
    found = reasons(diff)
    assert found["folded"].flops == -N
    assert found["fused"].flops == 0
    # 99 kernels of 2 reads and 1 write become one that reads a and writes the sum.
    assert found["fused"].bytes == 4 * N * (2 - 99 * 3)
    (row,) = [row for row in diff.rows if row.reason == "folded (0 + a)"]
    assert row.opcode == "add"
    assert row.before.flops == N
    assert adds_up(diff)


@needs_unfused_scalars
def test_a_loop_against_its_unrolled_version():
    diff = hc.diff(looped, unrolled, A)
    assert (diff.before.flops, diff.after.flops) == (100 * N, 99 * N)
    assert reasons(diff)["folded"].flops == -N
    assert reasons(diff)["unrolled"].other_ops == -101  # the comparisons of the counter, one more than trips
    assert {row.reason for row in diff.rows if row.opcode == "add" and row.op_class == "add"} == {
        "unrolled",
        "folded (0 + a)",
    }
    assert adds_up(diff)


LAYERS, ROWS, WIDTH = 6, 32, 64
WEIGHTS = jax.ShapeDtypeStruct((LAYERS, 3, WIDTH, WIDTH), jnp.float32)
X = jax.ShapeDtypeStruct((ROWS, WIDTH), jnp.float32)


def gradient(transform):
    def block(x, w):
        with jax.named_scope("block"):
            x = x + jnp.tanh(x @ w[0])
            return jnp.tanh(jnp.tanh(x @ w[1]) @ w[2]), None

    def loss(w, x):
        return (lax.scan(transform(block), x, w)[0] ** 2).sum()

    return jax.jit(jax.grad(loss))


@pytest.mark.parametrize("target", ["cpu", "tpu:v5e"])
def test_rematerialized_matmuls_are_recomputed(target):
    if target != "cpu" and not tpu.installed():
        pytest.skip(f"libtpu is not installed: {tpu.REMEDY}")
    diff = hc.diff(gradient(lambda f: f), gradient(jax.checkpoint), WEIGHTS, X, target=target)
    forward = LAYERS * 3 * 2 * ROWS * WIDTH * WIDTH
    recomputed = [row for row in diff.rows if row.reason == "recomputed"]
    assert sum(row.change.flops for row in recomputed if row.op_class == "matmul") == forward
    assert sum(row.change.flops for row in diff.rows if row.op_class == "matmul") == forward
    if target == "cpu":  # TPU's fusions evaluate tanh where they use it
        assert reasons(diff)["recomputed"].transcendentals == LAYERS * 3 * ROWS * WIDTH
    assert reasons(-diff)["eliminated (common)"].flops == -reasons(diff)["recomputed"].flops
    assert adds_up(diff)


@pytest.mark.parametrize("other", ["f32", "s8", "c64"])
def test_truths_are_no_upcast_and_no_downcast_of_numbers(other):
    assert cast("pred", other) == cast(other, "pred") == "dtype changed"


def test_upcasts_and_the_bytes_they_cost():
    m = jax.ShapeDtypeStruct((256, 256), jnp.bfloat16)
    diff = hc.diff(lambda x, w: x @ w, m, m)
    opcodes = {i.opcode for i in diff.after.module.instructions()}
    if not opcodes >= {"convert", "dot"}:
        pytest.skip("this CPU multiplies bf16 as it is, or has a library multiply")
    assert set(reasons(diff)) - {"unchanged"} == {"upcast"}
    # bf16: 2 reads and 1 write of 2 bytes. f32: each operand and the result converted, the matmul on 4 bytes.
    assert reasons(diff)["upcast"].bytes == diff.change.bytes
    assert {row.reason for row in diff.rows} == {"upcast (bf16 to f32)"}
    assert diff.after.flops == diff.before.flops
    assert adds_up(diff)


def test_a_training_step_before_and_after_fusion():
    from hlo_count.demo import training_step

    step, arguments = training_step()
    diff = hc.diff(step, *arguments)
    found = reasons(diff)
    assert found["fused"].bytes == min(change.bytes for change in found.values())
    assert diff.after.bytes < diff.before.bytes
    # Whatever fusion does, the matmuls stay what they were.
    matmul = {row.name: row for row in diff.by("class")}["matmul"]
    assert matmul.change.flops == 0
    assert "not told apart" not in found
    assert adds_up(diff)
    assert all(len(line) <= 100 for line in str(diff).splitlines())


def module(body, name="m"):
    return f"HloModule {name}\n\nENTRY main {{\n{body}\n}}\n"


def test_dead_code_and_common_subexpressions_are_eliminated():
    before = module(
        "  a = f32[64]{0} parameter(0)\n"
        '  s = f32[64]{0} sine(a), metadata={op_name="f/sin"}\n'
        '  t = f32[64]{0} sine(a), metadata={op_name="f/sin"}\n'
        '  d = f32[64]{0} tanh(a), metadata={op_name="f/tanh"}\n'
        '  ROOT m = f32[64]{0} multiply(s, t), metadata={op_name="f/mul"}'
    )
    after = module(
        "  a = f32[64]{0} parameter(0)\n"
        '  s = f32[64]{0} sine(a), metadata={op_name="f/sin"}\n'
        '  ROOT m = f32[64]{0} multiply(s, s), metadata={op_name="f/mul"}'
    )
    diff = hc.diff(before, after)
    found = reasons(diff)
    assert found["eliminated (dead)"].transcendentals == -64
    assert found["eliminated (common)"].transcendentals == -64
    assert found["operands changed"].bytes == -256  # one operand read once


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("f32[64,8]{0,1} copy(a)", "layout copy inserted (copy)"),
        ("f32[64,8]{1,0} copy(a)", "copy inserted"),
        ("f32[8,64]{1,0} transpose(a), dimensions={1,0}", "layout copy inserted (transpose)"),
        ("f32[64,8]{1,0} all-reduce(a), replica_groups={{0,1}}, to_apply=add", "collective inserted (all-reduce)"),
        ("f64[64,8]{1,0} convert(a)", "upcast (f32 to f64)"),
        ("bf16[64,8]{1,0} convert(a)", "downcast (f32 to bf16)"),
        ("f32[64,8]{1,0} cosine(a)", "only after"),
    ],
)
def test_what_came(line, reason):
    adder = "HloModule m\n\nadd {\n  x = f32[] parameter(0)\n  y = f32[] parameter(1)\n  ROOT s = f32[] add(x, y)\n}\n"
    head = f"{adder}\nENTRY main {{\n  a = f32[64,8]{{1,0}} parameter(0)\n  s = f32[64,8]{{1,0}} sine(a)\n"
    before = f"{head}  ROOT t = (f32[64,8]) tuple(s)\n}}\n"
    after = f"{head}  new = {line}\n  ROOT t = (f32[64,8], {line.split(' ')[0]}) tuple(s, new)\n}}\n"
    diff = hc.diff(before, after)
    assert [row.reason for row in diff.rows] == [reason]
    assert [row.before for row in diff.rows] == [Cost()]
    (turned,) = (-diff).rows
    assert turned.after == Cost()
    assert turned.reason != reason
    assert [row.reason for row in hc.diff(after, before).rows] == [turned.reason]


def test_a_dot_becomes_a_library_call():
    named = 'metadata={op_name="jit(f)/dot_general"}'
    before = module(
        "  a = f32[64,32]{1,0} parameter(0)\n  b = f32[32,16]{1,0} parameter(1)\n"
        "  ROOT d = f32[64,16]{1,0} dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}, " + named
    )
    after = module(
        "  a = f32[64,32]{1,0} parameter(0)\n  b = f32[32,16]{1,0} parameter(1)\n"
        '  ROOT d = f32[64,16]{1,0} custom-call(a, b), custom_call_target="__cublas$gemm", '
        + named
        + ', backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],'
        '"rhs_contracting_dimensions":["0"],"lhs_batch_dimensions":[],"rhs_batch_dimensions":[]}}}'
    )
    diff = hc.diff(before, after)
    assert {row.reason for row in diff.rows} == {"rewritten (dot to __cublas$gemm)"}
    assert diff.change.flops == 0


def test_functions_texts_files_and_reports_mix(tmp_path):
    report = hc.count(looped, A)
    path = tmp_path / "program.txt"
    path.write_text(report.module.text)
    for other in (report, report.module, report.module.text, path, jax.jit(looped), jax.jit(looped).lower(A)):
        assert hc.diff(report, other, A).change == Cost()
        assert hc.diff(looped, other, A).change == Cost()
    assert hc.diff(functools.partial(lax.dynamic_slice_in_dim, slice_size=8), A, 0).optimization


def test_a_callable_pytree_is_an_argument():
    @jax.tree_util.register_pytree_node_class
    class Model:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return self.w * x

        def tree_flatten(self):
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, _, leaves):
            return cls(*leaves)

    assert hc.diff(lambda model, x: model(x) + 1, Model(A), A).optimization


def test_nothing_in_common_is_said():
    diff = hc.diff(lambda a: jnp.sin(a), lambda a: jnp.cumsum(jnp.sort(a)), A)
    assert diff.matched == (0, 0)
    assert "nothing in common" in str(diff)


def test_unmatched_parts_are_said():
    diff = hc.diff(lambda a: jnp.sin(a) + a, lambda a: jnp.sort(jnp.sin(a) + a), A)
    assert 0 < diff.matched[1] < 1
    assert "was found in the other program" in str(diff)
    assert diff.unmatched[1].other_ops > 0


def test_limits():
    diff = hc.diff(looped, unrolled, A)
    assert diff.exceeds({"*": 0.0}) == []
    found = (-diff).exceeds({"*": 10.0, "flops": 0.01})
    assert found[0].startswith("flops: 6,336 -> 6,400 (+1.01 %), more than 1 %")
    assert any("from 0" in line for line in found)
    assert (-diff).exceeds({"flops": 0.02}) == []
    with pytest.raises(HloCountError, match="no counter is called 'flop'"):
        diff.exceeds({"flop": 0.1})


def test_json_and_markdown():
    diff = hc.diff(looped, unrolled, A)
    data = json.loads(json.dumps(diff.to_dict()))
    assert data["change"]["flops"] == -N == sum(r["after"]["flops"] - r["before"]["flops"] for r in data["rows"])
    assert data["differs"]
    assert "| fused" in diff.markdown()
    assert "Nothing differs." in hc.diff(diff.before, diff.before).markdown()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: hc.diff("HloModule m"), "pass two"),
        (lambda: hc.diff("/a.txt", "/b.txt"), r"'/a.txt' is no HLO text; pass a file as pathlib.Path\('/a.txt'\)"),
        (lambda: hc.diff(module("  ROOT a = f32[8] parameter(0)"), "/b.txt"), r"pathlib.Path\('/b.txt'\)"),
        (lambda: hc.diff(looped, looped, A).table(by="zzz"), "no such key"),
        (lambda: hc.diff(looped, looped, A).exceeds({"bytes": float("nan")}), "a limit is a part of what it was"),
        (lambda: hc.diff(looped, looped, A).exceeds({"bytes": -0.1}), "a limit is a part of what it was"),
        (lambda: hc.diff(looped, A).exceeds({"peak_bytes": 0.1}), "not known before optimization"),
        (lambda: hc.diff(looped, A).by("opcod"), "did you mean 'opcode'"),
        (lambda: hc.diff(looped, A).by("scope", depth=0), "at least one level"),
        (lambda: hc.diff(hc.count(looped, A, convention="xla"), hc.count(looped, A)), "default convention"),
    ],
)
def test_what_is_refused(call, says):
    with pytest.raises(HloCountError, match=says):
        call()


def test_several_devices_before_the_partitioner_are_said():
    before = hc.count(module("  ROOT a = f32[8] parameter(0)"))
    after = hc.count(module("  ROOT a = f32[8] parameter(0)").replace("HloModule m", "HloModule m, num_partitions=4"))
    assert "run on 1 and 4 devices" in str(hc.diff(before, after))


SQUARE = "f32[64,64]{1,0}"
DOT = 'lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="jit(f)/dot_general"}'


def squares(second, used):
    return module(
        f"  p = {SQUARE} parameter(0)\n"
        f"  d = {SQUARE} dot(p, p), {DOT}\n"
        f'  t = {SQUARE} tanh(d), metadata={{op_name="jit(f)/tanh"}}\n'
        f"{second}"
        f'  ROOT m = {SQUARE} multiply(t, {used}), metadata={{op_name="jit(f)/mul"}}'
    )


def test_the_same_value_once_more_is_recomputed_and_another_is_not():
    once = squares("", "d")
    again = squares(f"  d.remat = {SQUARE} dot(p, p), {DOT}\n", "d.remat")
    other = squares(f"  e = {SQUARE} dot(d, p), {DOT}\n", "e")
    for after, forth, back in ((again, "recomputed", "eliminated (common)"), (other, "only after", "only before")):
        (row,) = hc.diff(once, after).rows
        assert (row.reason, row.change.flops) == (forth, 2 * 64**3)
        assert [row.reason for row in hc.diff(after, once).rows] == [back]


def test_a_value_once_more_behind_a_barrier_is_recomputed():
    barrier = f"  b = {SQUARE} opt-barrier(p)\n  d.remat = {SQUARE} dot(b, b), {DOT}\n"
    (row,) = hc.diff(squares("", "d"), squares(barrier, "d.remat")).rows
    assert (row.reason, row.change.flops) == ("recomputed", 2 * 64**3)


def test_a_value_that_two_fusions_compute_is_recomputed():
    def text(body, calls):
        computations = "".join(
            f'fused.{at} {{\n  x = f32[64] parameter(0)\n  s = f32[64] sine(x), metadata={{op_name="f/sin"}}\n'
            f'  ROOT r = f32[64] {op}(s), metadata={{op_name="f/{op}"}}\n}}\n\n'
            for at, op in enumerate(calls)
        )
        return f"HloModule m\n\n{computations}ENTRY main {{\n  a = f32[64] parameter(0)\n{body}\n}}\n"

    before = text(
        '  s = f32[64] sine(a), metadata={op_name="f/sin"}\n  u = f32[64] tanh(s), metadata={op_name="f/tanh"}\n'
        '  v = f32[64] exponential(s), metadata={op_name="f/exponential"}\n  ROOT t = (f32[64], f32[64]) tuple(u, v)',
        (),
    )
    after = text(
        "  u = f32[64] fusion(a), kind=kLoop, calls=fused.0\n  v = f32[64] fusion(a), kind=kLoop, calls=fused.1\n"
        "  ROOT t = (f32[64], f32[64]) tuple(u, v)",
        ("tanh", "exponential"),
    )
    found = reasons(hc.diff(before, after))
    assert found["recomputed"].transcendentals == 64
    # Three kernels of a read and a write each become two.
    assert found["fused"].bytes == (4 - 6) * 256


def test_one_more_layer_is_no_recomputation():
    def layers(number):
        def run(x, w):
            for i in range(number):
                x = jnp.tanh(x @ w[i])
            return x

        return run

    diff = hc.diff(layers(3), layers(4), X, jax.ShapeDtypeStruct((4, WIDTH, WIDTH), jnp.float32))
    assert reasons(diff)["only after"].flops == 2 * ROWS * WIDTH * WIDTH
    assert "recomputed" not in reasons(diff)


def test_flops_that_the_partitioner_divides_are_not_fused():
    whole = module(
        "  a = f32[64,32]{1,0} parameter(0)\n  b = f32[32,16]{1,0} parameter(1)\n"
        "  ROOT d = f32[64,16]{1,0} dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}, "
        'metadata={op_name="jit(f)/dot_general"}'
    )
    part = (
        "HloModule m, num_partitions=8\n\nfused {\n  a = f32[64,4]{1,0} parameter(0)\n  b = f32[4,16]{1,0} parameter(1)\n"
        "  ROOT d = f32[64,16]{1,0} dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}, "
        'metadata={op_name="jit(f)/dot_general"}\n}\n\n'
        "ENTRY main {\n  a = f32[64,4]{1,0} parameter(0)\n  b = f32[4,16]{1,0} parameter(1)\n"
        "  ROOT f = f32[64,16]{1,0} fusion(a, b), kind=kOutput, calls=fused\n}\n"
    )
    sharded = whole.replace("HloModule m", "HloModule m, num_partitions=8").replace(
        "parameter(0)", "parameter(0), sharding={devices=[1,8]<=[8]}"
    )
    for before, reason in ((sharded, "partitioned"), (whole, "shape changed")):
        diff = Diff(hc.count(before), hc.count(part))
        assert {row.reason for row in diff.rows} == {f"{reason} ([64,32] to [64,4])"}
        assert diff.change.flops == -2 * 64 * 28 * 16


@pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")
def test_dots_that_become_convolutions_are_rewritten_whatever_they_are_fused_with():
    m = jax.ShapeDtypeStruct((256, 256), jnp.bfloat16)
    diff = hc.diff(lambda x, v, w: jnp.tanh(jnp.tanh(x @ v) @ w) + x.sum(), m, m, m, target="tpu:v5e")
    flops = {row.reason for row in diff.rows if row.change.flops}
    assert flops == {"rewritten (dot to convolution)"}
    assert reasons(diff)["fused"].bytes < 0


def test_a_partly_unrolled_loop():
    def run(x, unroll):
        return lax.scan(lambda c, _: (jnp.tanh(c) + x, None), x, None, length=8, unroll=unroll)[0]

    one, four = (functools.partial(run, unroll=unroll) for unroll in (1, 4))
    diff = hc.diff(one, four, A)
    assert "fewer runs" not in reasons(diff)
    assert reasons(diff)["unrolled"].other_ops == (2 + 1) - (8 + 1)  # comparisons of the counter
    assert "rolled" in reasons(hc.diff(four, one, A))


def test_collectives_and_memory_spaces():
    adder = "HloModule m\n\nadd {\n  x = f32[] parameter(0)\n  y = f32[] parameter(1)\n  ROOT s = f32[] add(x, y)\n}\n"
    head = f"{adder}\nENTRY main {{\n  a = f32[64]{{0}} parameter(0)\n"
    before = f"{head}  ROOT s = f32[64]{{0}} sine(a)\n}}\n"
    reduced = "f32[64]{0} all-reduce(s), replica_groups={{0,1}}, to_apply=add"
    after = f"{head}  s = f32[64]{{0}} sine(a)\n  ROOT r = {reduced}\n}}\n"
    diff = hc.diff(before, after)
    assert adds_up(diff)
    kept, sent = diff.by("collective")[-1], diff.by("collective")[0]
    assert (kept.name, kept.after.transcendentals) == ("(no collective)", 64)
    assert sent.change.network_bytes == diff.change.network_bytes == 4 * 64
    (memory,) = diff.by("memory_space")
    assert (memory.before.bytes, memory.after.bytes) == (diff.before.bytes, diff.after.bytes)


def test_peak_memory_is_compared():
    diff = hc.diff(gradient(lambda f: f), gradient(jax.checkpoint), WEIGHTS, X)
    before, after = diff.before.peak_bytes, diff.after.peak_bytes
    assert after < before
    assert "peak memory" in str(diff)
    assert diff.to_dict()["after"]["peak_bytes"] == after
    (line,) = (-diff).exceeds({"peak_bytes": 0.01})
    assert line.startswith(f"peak_bytes: {after:,} -> {before:,}")
    assert "peak memory" not in str(hc.diff(looped, A))


CALL = """HloModule m
ENTRY e {{
  p = f32[4] parameter(0)
  ROOT {name} = f32[4] custom-call(p), custom_call_target="kernel", metadata={{op_name="jit(f)/{name}"}}
}}
"""


def test_what_a_kernel_costs_may_be_said_of_one_of_the_programs():
    old, new = CALL.format(name="attention"), CALL.format(name="flash")
    difference = hc.diff(old, new, costs={"attention": 100, "*/flash": 60})
    assert (difference.before.flops, difference.after.flops, difference.change.flops) == (100, 60, -40)
    with pytest.raises(hc.HloCountError, match=r"'flesh' matches no custom-call of these programs; did you mean flash"):
        hc.diff(old, new, costs={"attention": 100, "flesh": 60})
    with pytest.raises(hc.HloCountError, match=r"'flash' matches no custom-call of this program"):
        hc.count(old, costs={"flash": 60})
