"""Shardings moved from eight CPU devices to eight others, which is what a target's devices are to them."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import hlo_count
from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering import lower

try:
    from jax import shard_map
except ImportError:  # before jax 0.6
    from jax.experimental.shard_map import shard_map

HERE, THERE = np.array(jax.devices()[:8]), list(jax.devices()[8:])
MESH = Mesh(HERE.reshape(4, 2), ("data", "model"))
SIZES = {"data": 4, "model": 2}
NEWER = pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="needs jax.set_mesh (jax 0.7)")


def over(*spec):
    return NamedSharding(MESH, P(*spec))


def shape(*dims, sharding=None):
    return jax.ShapeDtypeStruct(dims, jnp.float32, sharding=sharding)


X, W = shape(64, 128), shape(128, 256)


def matmul(x, w):
    return x @ w


def layout(program):
    """Shapes of the parameters and results that one device sees."""
    text = re.search(r"entry_computation_layout=\{\((.*?)\)->(.*?)\}[,\n]", program.text)
    return [re.findall(r"[a-z]+\d*\[[\d,]*\]", part) for part in text.groups()]


def devices(program):
    return set(program.compiled.runtime_executable().local_devices())


MOVED = {
    "arguments": (
        matmul,
        (shape(64, 128, sharding=over("data")), shape(128, 256, sharding=over(None, "model"))),
    ),
    "told to jit": (
        jax.jit(matmul, in_shardings=(over("data"), over(None, "model")), out_shardings=over("data", "model")),
        (X, W),
    ),
    "shard_map": (
        functools.partial(
            shard_map, mesh=MESH, in_specs=(P("data", None), P(None, "model")), out_specs=P("data", "model")
        )(matmul),
        (X, W),
    ),
}


@pytest.mark.parametrize("case", MOVED)
def test_shardings_move_with_their_axes(case):
    fn, args = MOVED[case]
    program = lower(fn, args, target=THERE)
    assert devices(program) == set(THERE)
    assert program.num_devices == 8
    assert program.mesh == (("data", 4), ("model", 2))
    # 64 rows over 4, 256 columns over 2, the 128 of the contraction whole: no collective is needed.
    assert layout(program) == [["f32[16,128]", "f32[128,128]"], ["f32[16,128]"]]
    assert "all-" not in program.text


def test_a_constraint_inside_moves():
    def constrained(x, w):
        return jax.lax.with_sharding_constraint(x, over("data")) @ w

    program = lower(constrained, (X, W), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program)[0][0] == "f32[16,128]"


def test_arrays_that_live_elsewhere_are_not_read():
    x = jax.device_put(np.ones((64, 128), np.float32), over("data"))
    w = jax.device_put(np.ones((128, 256), np.float32), over("model"))
    program = lower(jax.jit(matmul, donate_argnums=0), (x, w), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program)[0] == ["f32[16,128]", "f32[64,256]"]
    assert not x.is_deleted()


def test_a_few_of_the_default_devices_are_a_target_too():
    x = shape(64, 128, sharding=NamedSharding(Mesh(HERE[4:], ("data",)), P("data")))
    assert devices(lower(lambda x: x * 2, (x,), target=list(HERE[:4]))) == set(HERE[:4])


def test_a_program_of_one_device_takes_one_of_many():
    w = jax.device_put(np.ones((128, 256), np.float32), HERE[1])
    for args in [(X, W), (X, w)]:
        program = lower(matmul, args, target=THERE)
        assert devices(program) == {THERE[0]}
        assert (program.num_devices, program.mesh) == (1, ())


@pytest.mark.parametrize("args", [(2.0, 3), ()], ids=["scalars", "nothing"])
def test_a_program_without_arrays_goes_to_the_target_too(args):
    program = lower(lambda *xs: sum(xs) * jnp.ones(4), args, target=THERE)
    assert devices(program) == {THERE[0]}
    assert len(layout(program)[0]) == len(args)


def test_static_and_donated_arguments_survive_the_move():
    @functools.partial(jax.jit, static_argnames="times", donate_argnames="x", in_shardings=(over("data"), over()))
    def step(x, times, w):
        return x * times + w.sum()

    program = lower(step, (X, 3, W), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program)[0] == ["f32[16,128]", "f32[128,256]"]
    assert "input_output_alias" in program.text
    assert program.name == "jit_step"


def test_names_of_parameters_survive_the_move():
    jitted = jax.jit(lambda params: params["w"] * 2, in_shardings=({"w": over("data")},))
    assert "params['w']" in lower(jitted, ({"w": W},), target=THERE).text.replace("\\'", "'")


def test_a_mesh_by_sizes_with_specs():
    program = lower(matmul, (X, W), target=THERE, mesh=SIZES, in_specs=(P("data"), P("data", "model")))
    assert devices(program) == set(THERE)
    assert program.mesh == (("data", 4), ("model", 2))
    assert layout(program)[0] == ["f32[16,128]", "f32[32,128]"]  # 64/4 x 128, 128/4 x 256/2
    assert "all-gather" in program.text or "all-reduce" in program.text


def test_none_and_no_specs_replicate():
    for specs in ((P("data"), None), (P("data"), {"w": None})):
        args = (X, {"w": W})
        program = lower(lambda x, p: x @ p["w"], args, target=THERE, mesh={"data": 8}, in_specs=specs)
        assert layout(program)[0] == ["f32[8,128]", "f32[128,256]"]
    program = lower(matmul, (X, W), target=THERE, mesh={"data": 8})
    assert layout(program)[0] == ["f32[64,128]", "f32[128,256]"]


def test_bare_specs_inside_mean_the_mesh():
    def constrained(x, w):
        return jax.lax.with_sharding_constraint(x @ w, P("data"))

    program = lower(constrained, (X, W), target=THERE, mesh=SIZES)
    assert layout(program)[1] == ["f32[16,256]"]


def test_a_mesh_is_a_target():
    mesh = Mesh(np.array(THERE).reshape(4, 2), ("data", "model"))
    program = lower(matmul, (X, W), target=mesh, in_specs=(P("data"), P(None, "model")))
    assert program.target == "mesh data=4,model=2"
    assert layout(program)[0] == ["f32[16,128]", "f32[128,128]"]


def test_the_unoptimized_program_is_whole_and_says_its_mesh():
    program = lower(matmul, (X, W), target=THERE, mesh=SIZES, in_specs=(P("data"), P()), optimized=False)
    assert (program.num_devices, program.mesh) == (8, (("data", 4), ("model", 2)))
    assert layout(program)[0] == ["f32[64,128]", "f32[128,256]"]


@pytest.mark.parametrize("told", [{}, {"in_shardings": over()}], ids=["lowered itself", "rebuilt"])
def test_a_function_is_traced_once(told):
    traces = []

    def counted(x):
        traces.append(x)
        return x * 2

    lower(jax.jit(counted, **told), (X,), target=THERE)
    assert len(traces) == 1


def test_too_many_devices_for_the_target():
    with pytest.raises(TargetError, match="needs 8 devices and 4 x cpu has 4"):
        lower(*MOVED["arguments"], target=THERE[:4])


def test_what_cannot_be_moved_is_said():
    with pytest.raises((TargetError, HloCountError), match=r"jax\.jit"):
        lower(jax.pmap(lambda x: x * 2), (shape(8, 4),), target=THERE)


@NEWER
def test_a_mesh_without_devices_gets_those_of_the_target():
    abstract = MESH.abstract_mesh
    sharded = NamedSharding(abstract, P("data"))
    mapped = functools.partial(
        shard_map, mesh=abstract, in_specs=(P("data", None), P(None, "model")), out_specs=P("data", "model")
    )
    for fn, args in [
        (jax.jit(matmul, in_shardings=(sharded, NamedSharding(abstract, P()))), (X, W)),
        (matmul, (shape(64, 128, sharding=sharded), W)),
        (mapped(matmul), (X, W)),
    ]:
        program = lower(fn, args, target=THERE)
        assert devices(program) == set(THERE)
        assert program.num_devices == 8


@NEWER
def test_the_mesh_around_the_call_moves_too():
    with jax.set_mesh(MESH):
        program = lower(jax.jit(matmul, in_shardings=(P("data"), P(None, "model"))), (X, W), target=THERE)
        assert jax.sharding.get_mesh() == MESH
    assert devices(program) == set(THERE)
    assert layout(program)[0] == ["f32[16,128]", "f32[128,128]"]


@NEWER
def test_axes_in_types_move_too():
    explicit = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Explicit,) * 2, devices=HERE)
    with jax.set_mesh(explicit):
        x = jax.device_put(np.ones((64, 128), np.float32), P("data", None))
        w = jax.device_put(np.ones((128, 256), np.float32), P(None, "model"))
        program = lower(matmul, (x, w), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program) == [["f32[16,128]", "f32[128,128]"], ["f32[16,128]"]]


def explicit_mesh():
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Explicit,) * 2, devices=HERE)


@NEWER
def test_a_shard_map_sees_how_its_arguments_are_sharded():
    mesh = explicit_mesh()
    x = jax.device_put(np.ones((64, 128), np.float32), NamedSharding(mesh, P("data", "model")))
    w = jax.device_put(np.ones((128, 256), np.float32), NamedSharding(mesh, P("model")))
    specs = {"in_specs": (P("data", "model"), P("model")), "out_specs": P("data")}
    product = jax.shard_map(lambda x, w: jax.lax.psum(x @ w, "model"), mesh=mesh, **specs)
    both = ["f32[16,64]", "f32[64,256]"]
    gradient = jax.grad(lambda x, w: product(x, w).sum())  # of x: it depends on w alone
    for fn, read in ((product, both), (jax.jit(product), both), (gradient, both[1:])):
        program = lower(fn, (x, w), target=THERE)
        assert devices(program) == set(THERE)
        assert layout(program)[0] == read


@NEWER
def test_a_mesh_of_axes_in_types_is_told_by_one_without_devices():
    seen = []

    def product(x, w):
        seen.append(jax.typeof(x).sharding.spec)
        return x @ w

    program = lower(product, (X, W), target=THERE, mesh=explicit_mesh().abstract_mesh, in_specs=(P("data"), None))
    assert seen[0] == P("data", None)
    assert (program.num_devices, program.mesh) == (8, (("data", 4), ("model", 2)))
    assert layout(program)[0] == ["f32[16,128]", "f32[128,256]"]


@NEWER
def test_the_gradient_of_a_shard_map_moves():
    mapped = jax.shard_map(jax.nn.relu, mesh=MESH, in_specs=P("data"), out_specs=P("data"))
    program = lower(jax.grad(lambda x: mapped(x).sum()), (X,), target=THERE)
    assert devices(program) == set(THERE)
    assert program.num_devices == 8


def test_what_jax_puts_inline_moves_with_its_arguments():
    program = lower(jnp.tanh, (shape(64, 128, sharding=over("data")),), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program)[0] == ["f32[16,128]"]


def test_a_mesh_that_is_given_and_shardings_of_jit_s_own_conflict():
    told = jax.jit(matmul, in_shardings=(over("data"), over()))
    with pytest.raises(TargetError, match="conflict: leave one of them out"):
        lower(told, (X, W), target=list(HERE), mesh={"data": 8}, in_specs=(P("data"), P()))


@pytest.mark.skipif(not hasattr(jax.sharding, "AbstractDevice"), reason="types name no kind of device before jax 0.7")
@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
@pytest.mark.parametrize("derive", [False, True], ids=["value", "gradient"])
def test_types_that_name_another_kind_of_device_move(axes, derive):
    kind = jax.sharding.AbstractDevice(device_kind="TPU v6 lite", num_cores=1, platform="tpu")
    types = (getattr(jax.sharding.AxisType, axes),) * 2
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "model"), types, abstract_device=kind)

    def product(x, w):
        x = jax.lax.scan(lambda carry, _: (jnp.tanh(carry) + 1, None), x, None, length=3)[0]
        x = jax.lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, jax.nn.relu(x))
        return jax.lax.psum(x @ w, "model")

    mapped = jax.shard_map(product, mesh=mesh, in_specs=(P("data", "model"), P("model")), out_specs=P("data"))
    fn = jax.grad(lambda x, w: mapped(x, w).sum(), argnums=(0, 1)) if derive else mapped
    x = shape(64, 128, sharding=NamedSharding(mesh, P("data", "model")))
    w = shape(128, 256, sharding=NamedSharding(mesh, P("model", None)))
    program = lower(fn, (x, w), target=THERE)
    assert devices(program) == set(THERE)
    assert layout(program)[0] == ["f32[16,64]", "f32[64,256]"]


@pytest.mark.parametrize("case", ["arguments", "told to jit"])
def test_what_is_lowered_is_the_program_of_all_devices(case):
    fn, args = MOVED[case]
    program = lower(fn, args, optimized=False)
    report = hlo_count.count(program.text)
    assert (report.stage, report.num_devices) == ("unpartitioned", 8)
    assert report.flops == 2 * 64 * 128 * 256
    diff = hlo_count.diff(fn, *args)
    assert (diff.before.stage, diff.after.stage) == ("unpartitioned", "optimized")
    assert diff.change.flops == (1 - 8) * 2 * 64 * 128 * 256 // 8
    passes = hlo_count.passes(fn, *args)
    assert passes.partitioned is not None
    # The cleanup within the partitioner finds what it made: FLOP change there and nowhere else.
    assert passes.partitioned.change.flops == diff.change.flops


def test_a_shard_map_as_lowered_is_neither_whole_nor_one():
    fn, args = MOVED["shard_map"]
    report = hlo_count.count(lower(fn, args, optimized=False).text)
    assert (report.stage, report.num_devices, report.status) == ("unpartitioned", 8, "lower bound")
    assert report.flops == 2 * 64 * 128 * 256 // 8
    assert all("begins a shard_map" in unknown.reason for unknown in report.unknowns)
