"""Compiling for TPUs that are not there, with libtpu."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from hlo_count.errors import TargetError
from hlo_count.lowering import dump_passes, lower, targets, tpu

pytestmark = pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")

X = jax.ShapeDtypeStruct((64, 128), jnp.bfloat16)
W = jax.ShapeDtypeStruct((128, 256), jnp.bfloat16)


def matmul(x, w):
    return jnp.tanh(x @ w)


def parameters(program):
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->", program.text)[1]
    return re.findall(r"[a-z]+\d*\[[\d,]*\]", layout)


@pytest.mark.parametrize("generation", tpu.GENERATIONS)
def test_each_generation_compiles_for_one_device_of_its_smallest_topology(generation):
    program = lower(matmul, (X, W), target=f"tpu-{generation}")
    assert (program.backend, program.num_devices) == ("tpu", 1)
    assert program.device_kind == tpu.GENERATIONS[generation].device_kind
    assert parameters(program) == ["bf16[64,128]", "bf16[128,256]"]
    assert ":T(" in program.text  # tiled layouts: no other backend prints them
    assert program.compiled.cost_analysis()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tpu-v5e", "tpu:v5e:2x2"),
        ("trillium", "tpu:v6e"),
        ("tpu:tpu7x", "tpu-v7"),
        ("TPU v5 lite", "tpu:v5e"),
    ],
)
def test_names_that_mean_the_same(one, other):
    first, second = (lower(matmul, (X, W), target=target) for target in (one, other))
    assert (first.target, second.target) == (one, other)
    assert first.device_kind == second.device_kind
    assert first.text == second.text


def test_a_v4_chip_is_one_device_of_two_cores():
    assert len(tpu.tpu_devices("v4", "2x2x1")) == 4


def test_one_device_of_many_unless_the_program_asks_for_more():
    assert lower(matmul, (X, W), target="tpu:v5e:2x4").num_devices == 1
    program = lower(
        matmul,
        (X, W),
        target="tpu:v5e:2x4",
        mesh={"data": 4, "model": 2},
        in_specs=(P("data"), P(None, "model")),
    )
    assert (program.num_devices, program.mesh) == (8, (("data", 4), ("model", 2)))
    assert parameters(program) == ["bf16[16,128]", "bf16[128,128]"]


def test_a_mesh_of_topology_devices_is_a_target_of_its_own():
    mesh = Mesh(list(tpu.tpu_devices("v5e", "2x4")), ("data",))
    told = jax.jit(matmul, in_shardings=(NamedSharding(mesh, P("data")), NamedSharding(mesh, P())))
    for program in (lower(told, (X, W), target=mesh), lower(told, (X, W), target="tpu:v5e:2x4")):
        assert program.num_devices == 8
        assert parameters(program) == ["bf16[8,128]", "bf16[128,256]"]


def test_shardings_over_real_devices_move_onto_the_topology():
    mesh = Mesh(jax.devices()[:1], ("data",))
    program = lower(jax.jit(matmul, in_shardings=NamedSharding(mesh, P("data"))), (X, W), target="tpu:v5e")
    assert (program.backend, program.num_devices) == ("tpu", 1)


def test_pallas_kernels_compile():
    from jax.experimental import pallas as pl

    def add_one(x_ref, o_ref):
        o_ref[...] = x_ref[...] + 1

    def kernel(x):
        return pl.pallas_call(add_one, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

    assert "tpu_custom_call" in lower(kernel, (X,), target="tpu:v5e").text


def test_donated_and_static_arguments():
    @functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
    def scaled(x, times):
        return x * times

    x = jnp.ones((64, 128))
    program = lower(scaled, (x, 3), target="tpu:v6e")
    assert "input_output_alias" in program.text
    assert not x.is_deleted()


def test_the_unoptimized_program_is_that_of_the_target():
    program = lower(matmul, (X, W), target="tpu:v5e", optimized=False)
    assert (program.backend, program.device_kind, program.compiled) == ("tpu", "TPU v5 lite", None)
    assert " dot(" in program.text


def test_passes_are_dumped(tmp_path):
    program = dump_passes(matmul, (X, W), None, tmp_path, target="tpu:v5e")
    assert program.backend == "tpu"
    assert any("fusion" in path.name for path in tmp_path.glob("*.after_*.txt"))


def test_a_refused_topology_passes_the_message_on_with_names_that_work():
    with pytest.raises(TargetError, match=r"1x1.*not divisible.*names that work: tpu:v5e:2x2, tpu:v5e:2x4"):
        lower(matmul, (X, W), target="tpu:v5e:1x1")


@pytest.mark.parametrize("topology", ["16x32", "32x2", "32x32", "2x2x32"])
def test_a_topology_that_would_end_the_process_is_refused(topology):
    with pytest.raises(TargetError, match=rf"no TPU v5e of {topology}, .*16 chips a side; names that work: .*16x16"):
        lower(matmul, (X, W), target=f"tpu:v5e:{topology}")


@pytest.mark.parametrize("target", ["tpu:v5e:16x16", "tpu:v2:32x32", "tpu:v6e:32x32", "tpu:v4:16x16x16"])
def test_large_topologies_compile(target):
    assert lower(matmul, (X, W), target=target).backend == "tpu"


def test_two_hundred_devices_on_eight():
    with pytest.raises(TargetError, match="needs 200 devices and tpu:v5e:2x4 has 8"):
        lower(matmul, (X, W), target="tpu:v5e:2x4", mesh={"data": 200})


def test_an_operation_of_another_platform_is_named():
    def kernel(x):
        return jax.ffi.ffi_call("my_cuda_kernel", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

    with pytest.raises(TargetError, match="my_cuda_kernel"):
        lower(kernel, (X,), target="tpu:v5e")
    with pytest.raises(TargetError, match="'eig' not found for platform tpu"):
        lower(jnp.linalg.eig, (jax.ShapeDtypeStruct((4, 4), jnp.float32),), target="tpu:v5e")


def test_an_operation_whose_error_does_not_name_it_is_named():
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    def copy(x_ref, o_ref):
        o_ref[...] = x_ref[...]

    def kernel(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return pl.pallas_call(copy, out_shape=shape, compiler_params=triton.CompilerParams())(x)

    before = dict(jax.config.values)
    with pytest.raises(TargetError, match=r"^pallas_call cannot be lowered for tpu:v5e: ."):
        lower(kernel, (X,), target="tpu:v5e")
    assert dict(jax.config.values) == before


def test_the_list_says_that_they_are_there():
    assert all(info.available for info in targets() if info.backend == "tpu")


def test_a_program_that_was_compiled_elsewhere_tells_where():
    spread = NamedSharding(Mesh(list(tpu.tpu_devices("v6e", "2x2")), ("data",)), P("data"))
    lowered = jax.jit(matmul, in_shardings=(spread, None)).lower(X, W)
    for stage in (lowered, lowered.compile()):
        program = lower(stage)
        assert (program.backend, program.device_kind, program.num_devices) == ("tpu", "TPU v6 lite", 4)
        assert program.mesh == (("data", 4),)
    nothing = jax.jit(lambda: None, out_shardings=None).lower().compile()
    assert lower(nothing).backend == jax.default_backend()


def test_another_library_s_jit_is_a_function_like_any():
    nnx = pytest.importorskip("flax.nnx")
    layer = nnx.Linear(128, 16, rngs=nnx.Rngs(0))
    program = lower(nnx.jit(lambda layer, x: layer(x)), (layer, jnp.ones((4, 128))), target="tpu:v5e")
    assert (program.backend, program.num_devices) == ("tpu", 1)
    assert sorted(parameters(program)) == ["f32[128,16]", "f32[16]", "f32[4,128]"]
