"""Kernels that ask, while they are traced, for the device that they will run on."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import pytest
from targets.environment import compiled_for

import hlo_count as hc

jax_version = tuple(map(int, jax.__version__.split(".")[:2]))
pytestmark = pytest.mark.skipif(not hasattr(jax.sharding, "AbstractDevice"), reason="this jax has no AbstractDevice")

TPUS = compiled_for("tpu:v5e", "tpu:v6e")
BF16, F32, S32 = jnp.bfloat16, jnp.float32, jnp.int32


@pytest.mark.parametrize("target", TPUS)
def test_a_pipeline_inside_of_a_kernel(target):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    n, block = 1024, 256
    steps = n // block

    def step(x, y, out):
        @pl.when(pl.program_id(2) == 0)
        def _():
            out[...] = jnp.zeros_like(out)

        out[...] += jnp.dot(x[...], y[...], preferred_element_type=F32)

    def kernel(x, y, out):
        pltpu.emit_pipeline(
            step,
            grid=(steps, steps, steps),
            in_specs=[
                pl.BlockSpec((block, block), lambda i, j, k: (i, k)),
                pl.BlockSpec((block, block), lambda i, j, k: (k, j)),
            ],
            out_specs=[pl.BlockSpec((block, block), lambda i, j, k: (i, j))],
        )(x, y, out)

    whole = pl.BlockSpec(memory_space=pl.ANY)
    product = pl.pallas_call(
        kernel, out_shape=jax.ShapeDtypeStruct((n, n), F32), in_specs=[whole, whole], out_specs=whole
    )
    report = hc.count(product, *(jax.ShapeDtypeStruct((n, n), BF16),) * 2, target=target)
    assert report.by("class")["matmul"].flops == 2 * n**3
    assert report.status == "exact"
    # each side once for each block of the other's, by the pipeline's own DMAs
    assert (report.bytes_read, report.bytes_written) == (2 * steps * n * n * 2, n * n * 4)
    assert report.compulsory_bytes == 2 * n * n * 2 + n * n * 4


def ragged_attention(**blocks):
    """Of 512 queries of 8 sequences over pages of 16 keys: the arguments, and what to call."""
    from jax.experimental.pallas.ops.tpu.ragged_paged_attention import ragged_paged_attention

    tokens, heads, kv_heads, d, sequences, page, pages = 512, 16, 8, 128, 8, 16, 1024
    shapes = [
        ((tokens, heads, d), BF16), ((pages, page, 2 * kv_heads, d), BF16),
        ((sequences,), S32), ((sequences, 64), S32), ((sequences + 1,), S32), ((1,), S32),
    ]  # fmt: skip
    arguments = [jax.ShapeDtypeStruct(*each) for each in shapes]
    return functools.partial(ragged_paged_attention, **blocks), arguments, 4 * tokens * heads * page * d


@pytest.mark.parametrize("target", TPUS)
def test_ragged_paged_attention(target):
    """A block of queries meets a block of 8 pages in each trip of a loop that data end: counted once."""
    attend, arguments, of_a_page = ragged_attention(num_kv_pages_per_block=8, num_queries_per_block=32)
    report = hc.count(attend, *arguments, target=target)
    assert report.by("class")["matmul"].flops == 8 * of_a_page
    assert report.status == "lower bound"
    (unknown,) = report.unknowns
    assert "loops as often as data say, counted once" in unknown.reason
    (group,) = report.settlements
    settled = hc.count(
        report.module, costs={group.keys[0]: {"flops": 3e9, "bytes_read": 10**7, "bytes_written": 10**6}}
    )
    assert (settled.flops, settled.status) == (3 * 10**9, "exact")


@pytest.mark.parametrize("target", compiled_for("tpu:v5e"))
def test_a_question_that_no_target_answers_is_refused(target):
    """Without block sizes it looks them up by `jax.devices()`."""
    attend, arguments, _ = ragged_attention()
    with pytest.raises(hc.TargetError) as problem:
        hc.count(attend, *arguments, target=target)
    said = str(problem.value)
    assert said.startswith("cannot be traced for tpu:v5e: TPU version must be 4 or higher; get_tuned_block_sizes (")
    assert said.endswith("asks devices(), which tells of this machine: pass it what it chooses by that")


def copied_by_every_subcore(x):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu
    from jax.experimental.pallas import tpu_sc

    mesh = tpu_sc.VectorSubcoreMesh(core_axis_name="core", subcore_axis_name="subcore")

    @functools.partial(pl.kernel, out_type=jax.ShapeDtypeStruct(x.shape, x.dtype), mesh=mesh)
    def kernel(source, target):
        pltpu.sync_copy(source, target)

    return kernel(x)


@pytest.mark.skipif(jax_version < (0, 10), reason="kernels of a SparseCore are made otherwise in older versions of jax")
@pytest.mark.parametrize("target", compiled_for("tpu:v6e", "tpu:v5e"))
def test_a_kernel_for_the_sparse_cores(target):
    """v6e has two of 16 subcores, v5e none."""
    x = jax.ShapeDtypeStruct((1024,), F32)
    if target == "tpu:v5e":
        with pytest.raises(hc.TargetError, match=r"^cannot be traced for tpu:v5e: [^\n]* not have SparseCores$"):
            hc.count(copied_by_every_subcore, x, target=target)
        return
    report = hc.count(copied_by_every_subcore, x, target=target)
    assert (report.bytes_read, report.bytes_written, report.status) == (32 * 4096, 32 * 4096, "exact")


@pytest.mark.parametrize("target", compiled_for("tpu:v5e"))
def test_other_errors_of_a_function_are_its_own(target):
    def asks_and_fails(x):
        kind = jax.devices()[0].device_kind
        return jnp.reshape(x, (3, len(kind) + 10**6))

    with pytest.raises(TypeError, match="reshape"):
        hc.count(asks_and_fails, jax.ShapeDtypeStruct((8,), F32), target=target)


@pytest.mark.skipif(jax_version < (0, 10), reason="older versions ask otherwise")
@pytest.mark.parametrize("target", compiled_for("h100-sxm"))
def test_a_kernel_that_asks_for_cuda_s_version_is_refused_where_there_is_none(target, monkeypatch):
    from jax._src.lib import cuda_versions
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    monkeypatch.setattr(cuda_versions, "cuda_runtime_get_version", functools.partial(int, "no library"))
    config = attention_mgpu.TuningConfig(block_q=64, block_kv=64, max_concurrent_steps=2)
    qkv = (jax.ShapeDtypeStruct((1, 1024, 2, 64), jnp.float16),) * 3
    with pytest.raises(
        hc.TargetError, match=r"^cannot be traced for h100-sxm: [^\n]*asks cuda_runtime_get_version\(\)"
    ):
        hc.count(lambda *qkv: attention_mgpu.attention(*qkv, config), *qkv, target=target)


@pytest.mark.parametrize("target", compiled_for("h100-sxm", "tpu:v5e"))
def test_a_device_that_lacks_what_others_have(target):
    """GPUs alone have `core_count`. Of anything else an AttributeError is a mistake of the function's own."""

    def shared_among_cores(x):
        return x / jax.devices()[0].core_count

    x = jax.ShapeDtypeStruct((8,), F32)
    with pytest.raises(
        hc.TargetError,
        match=r"cpu:0 has no core_count; shared_among_cores \(test_asking\.py:\d+\) asks devices\(\), which tells of this",
    ):
        hc.count(shared_among_cores, x, target=target)
    with pytest.raises(AttributeError, match="no_such"):
        hc.count(lambda x: x / jax.devices().no_such, x, target=target)


@pytest.mark.skipif(jax_version < (0, 10), reason="older versions have no kernels that ask for it")
@pytest.mark.parametrize("target", compiled_for("h100-sxm", "h100-pcie"))
def test_a_kernel_is_told_how_many_multiprocessors_there_are(target):
    """132 and 114 (H100 datasheets)."""

    def each_core(x):
        return x + jax.sharding.get_abstract_mesh().abstract_device.num_cores

    text = hc.count(each_core, jax.ShapeDtypeStruct((8,), F32), target=target).module.text
    assert f"constant({132 if target == 'h100-sxm' else 114})" in text
