"""Programs written for one kind of device move to another one, whose name JAX has in the types of what is sharded."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from environment import compiled_for
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hlo_count.errors import HloCountError
from hlo_count.lowering import gpu, lower, tpu

pytestmark = [
    pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}"),
    pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="needs jax.set_mesh (jax 0.7)"),
]

TARGETS = compiled_for("tpu:v6e:2x4", "h100-sxm:8")
KINDS = {"tpu:v6e:2x4": "TPU v6 lite", "h100-sxm:8": gpu.GPUS["h100-sxm"].device_kind}
SPECS = (P("data", "model"), P("model", None))


def mesh_of(kind):
    """Eight devices of a TPU v5e, or none at all, with axes that types name (Explicit) or not (Auto)."""
    where, axes = kind.split()
    types = (getattr(jax.sharding.AxisType, axes),) * 2
    if where == "abstract":
        return jax.sharding.AbstractMesh((4, 2), ("data", "model"), types)
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=types, devices=tpu.tpu_devices("v5e", "2x4"))


def layers(x, w):
    """A product whose contraction is split, after every kind of control flow that has a body of its own."""
    x = jax.lax.scan(lambda carry, _: (jnp.tanh(carry) + 1, None), x, None, length=3)[0]
    x = jax.lax.cond(x[0, 0] > 0, lambda x: jnp.where(x > 0, x, -x), lambda x: x * 2, x)
    x = jax.lax.fori_loop(0, 4, lambda i, x: jax.nn.relu(x) + i, x)
    return jax.lax.psum(x @ w, "model")


def mapped(mesh):
    return jax.shard_map(layers, mesh=mesh, in_specs=SPECS, out_specs=P("data"))


def on_data(mesh, x, w):
    rows = jax.shard_map(
        lambda x: jnp.tanh(x) * 2, mesh=mesh, in_specs=P("data"), out_specs=P("data"), axis_names={"data"}
    )
    return jnp.sin(rows(x)) @ jax.lax.with_sharding_constraint(w, NamedSharding(mesh, P(None, None)))


def loss(mesh, x, w):
    def product(x, w):
        return jax.lax.psum(jax.nn.relu(x) @ w, "model")

    return jax.shard_map(product, mesh=mesh, in_specs=SPECS, out_specs=P("data"))(x, w).sum()


FUNCTIONS = {
    "shard_map": mapped,
    "shard_map told to jit": lambda mesh: jax.jit(mapped(mesh), out_shardings=NamedSharding(mesh, P("data"))),
    "shard_map without a mesh": lambda mesh: jax.shard_map(layers, in_specs=SPECS, out_specs=P("data")),
    "gradient": lambda mesh: jax.grad(functools.partial(loss, mesh)),
}


def arguments(mesh):
    x, w = ((64, 128), (128, 256))
    return tuple(
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))
        for shape, spec in zip((x, w), SPECS, strict=True)
    )


def parameters(program):
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->", program.text)[1]
    return re.findall(r"[a-z]+\d*\[[\d,]*\]", layout)


def assert_on(program, target):
    assert (program.num_devices, program.device_kind) == (8, KINDS[target])
    assert program.mesh == (("data", 4), ("model", 2))
    assert parameters(program) == ["f32[16,64]", "f32[64,256]"]  # 64/4 x 128/2, 128/2 x 256


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["v5e Auto", "v5e Explicit", "abstract Auto", "abstract Explicit"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_meshes_and_types_move_to_another_kind_of_device(name, kind, target):
    mesh = mesh_of(kind)
    if name == "shard_map without a mesh":
        if kind.startswith("abstract"):
            pytest.skip("jax.set_mesh takes a mesh of devices")
        with jax.set_mesh(mesh):
            program = lower(FUNCTIONS[name](mesh), arguments(mesh), target=target)
            assert jax.sharding.get_mesh() == mesh
    else:
        program = lower(FUNCTIONS[name](mesh), arguments(mesh), target=target)
    assert_on(program, target)
    assert ("all-reduce" in program.text) == (name != "gradient"), "the sum over split columns of x"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["v5e Auto", "abstract Auto"])
def test_a_shard_map_over_some_of_the_axes_moves(kind, target):
    mesh = mesh_of(kind)
    assert_on(lower(functools.partial(on_data, mesh), arguments(mesh), target=target), target)


@pytest.mark.parametrize("target", TARGETS)
def test_arguments_that_are_not_sharded_follow_the_shard_map(target):
    rows = jax.shard_map(jnp.tanh, mesh=mesh_of("v5e Auto"), in_specs=P("data"), out_specs=P("data"))
    program = lower(rows, (jax.ShapeDtypeStruct((512, 256), jnp.float32),), target=target)
    assert (program.num_devices, program.device_kind) == (8, KINDS[target])


@pytest.mark.parametrize("target", ["tpu:v5e", "tpu:v5e:2x4"])
def test_a_shard_map_over_this_machine_s_device_moves(target):
    here = Mesh(jax.devices()[:1], ("data",))
    rows = jax.shard_map(jnp.tanh, mesh=here, in_specs=P("data"), out_specs=P("data"))
    program = lower(rows, (jax.ShapeDtypeStruct((512, 256), jnp.float32),), target=target)
    assert (program.num_devices, program.device_kind) == (1, "TPU v5 lite")
    assert parameters(program) == ["f32[512,256]"]


def test_a_pallas_kernel_in_a_shard_map_moves():
    from jax.experimental import pallas as pl

    def add_one(x_ref, o_ref):
        o_ref[...] = x_ref[...] + 1

    def kernel(x):
        rows = pl.BlockSpec((8, 256), lambda i: (i, 0))
        out = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return pl.pallas_call(add_one, out_shape=out, grid=(16,), in_specs=[rows], out_specs=rows)(x)

    mesh = mesh_of("v5e Auto")
    mapped = jax.shard_map(kernel, mesh=mesh, in_specs=P("data"), out_specs=P("data"), check_vma=False)
    program = lower(mapped, (jax.ShapeDtypeStruct((512, 256), jnp.float32),), target="tpu:v6e:2x4")
    assert (program.num_devices, program.device_kind) == (8, "TPU v6 lite")
    assert "tpu_custom_call" in program.text


def test_a_mesh_that_is_given_and_one_of_the_function_s_own_conflict():
    rows = jax.shard_map(jnp.tanh, mesh=mesh_of("v5e Auto"), in_specs=P("data"), out_specs=P("data"))
    with pytest.raises(HloCountError, match="conflict: leave one of them out") as raised:
        lower(rows, (jax.ShapeDtypeStruct((512, 256), jnp.float32),), target="tpu:v6e:2x4", mesh={"data": 8})
    assert "\n" not in str(raised.value)
