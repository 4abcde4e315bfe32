"""Programs over several slices of TPUs: what goes over ICI and what over DCN, by arithmetic."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from environment import WITH_TPU
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import hlo_count as hc
from fixtures.arithmetic import ring
from hlo_count.errors import TargetError
from hlo_count.lowering import tpu
from hlo_count.lowering.targets import resolve

pytestmark = WITH_TPU

TARGET, MESH = "tpu:v5e:2x4*2", {"dcn": 2, "ici": 8}
BOTH = ("dcn", "ici")
WIDTH, BATCH = 512, 1024
DCN_RATE, ICI_RATE = 3.125e9, 200e9  # B/s of one v5e, as its profile has them


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def collective(over, of: str = "psum", **options):
    """One collective of f32[1024,1024] on each device."""
    apply = jax.shard_map(
        lambda x: getattr(jax.lax, of)(x, over, **options), in_specs=P(), out_specs=P(), check_vma=False
    )
    return hc.count(apply, shape(1024, 1024), target=TARGET, mesh=MESH)


def labels(report: hc.Report) -> dict[str, int]:
    return {name: cost.network_bytes for name, cost in report.by("collective").items()}


def test_psum_over_slices_goes_over_dcn_alone():
    n = 4 * 1024 * 1024
    report = collective("dcn")
    assert report.num_devices == 16 and "16 devices in 2 slices (dcn=2, ici=8)" in str(report)
    assert labels(report) == {"all-reduce f32 over 2 across slices (dcn)": ring(n, 2, 2)}
    assert (report.network_bytes, report.dcn_bytes) == (n, n)
    assert report.devices.total.dcn_bytes == 16 * n
    assert "4.194 MB of it to other slices" in str(report)
    assert not report.unknowns and report.status == "exact"
    (row,) = report.collectives
    assert (row.kind, row.group_size, row.axes, row.across_slices) == ("all-reduce", 2, ("dcn",), True)


def test_psum_over_both_axes_sends_an_eighth_over_dcn():
    n = 4 * 1024 * 1024
    report = collective(BOTH)
    assert labels(report) == {
        "reduce-scatter f32 over 8 (ici)": ring(n, 8),
        "all-gather f32 over 8 (ici)": ring(n, 8),
        "all-reduce f32 over 2 across slices (dcn)": ring(n // 8, 2, 2),
    }
    bound = report.roofline("v5e")
    assert bound.bottleneck == "network (DCN)"
    assert bound.bound == pytest.approx(n / 8 / DCN_RATE)  # 168 µs, where ICI takes 37 µs: 2 · 7/8 · n / ICI_RATE
    busy = {each.what: each.seconds for each in bound.busy}
    assert busy["network (ICI)"] == pytest.approx(2 * ring(n, 8) / ICI_RATE)


def test_within_slices_nothing_goes_over_dcn():
    report = collective("ici")
    assert report.num_devices == 16 and report.dcn_bytes == 0
    assert labels(report) == {"all-reduce f32 over 8 (ici)": ring(4 * 1024 * 1024, 8, 2)}
    assert report.devices.total.network_bytes == 16 * report.network_bytes
    assert report.roofline("v5e").bottleneck == "network (ICI)"


OTHERS = [
    ("all_gather", {"tiled": True}, "all-gather", 4 * 1024 * 1024),  # the shard, to one other slice
    ("psum_scatter", {"tiled": True}, "reduce-scatter", ring(4 * 1024 * 1024, 2)),
    ("all_to_all", {"split_axis": 0, "concat_axis": 0, "tiled": True}, "all-to-all", ring(4 * 1024 * 1024, 2)),
    ("ppermute", {"perm": [(0, 1), (1, 0)]}, "collective-permute", 4 * 1024 * 1024),
]


@pytest.mark.parametrize(("of", "options", "kind", "sent"), OTHERS)
def test_every_collective_over_slices(of, options, kind, sent):
    report = collective("dcn", of, **options)
    assert labels(report) == {f"{kind} f32 over 2 across slices (dcn)": sent}
    assert report.dcn_bytes == sent


def test_an_exchange_among_all_devices_sends_half_of_its_parts_to_the_other_slice():
    report = collective(BOTH, "all_to_all", split_axis=0, concat_axis=0, tiled=True)
    n = 4 * 1024 * 1024
    assert (report.network_bytes, report.dcn_bytes) == (ring(n, 16), n // 2)


def test_who_sends_to_nobody_sends_nothing():
    report = collective("dcn", "ppermute", perm=[(0, 1)])
    assert [cost.dcn_bytes for cost in report.devices.costs] == [4 * 1024 * 1024] * 8 + [0] * 8
    assert report.devices.imbalance("network_bytes") == 2


def step(weights, x, spec):
    def loss(weights):
        y = x
        for weight in weights:
            y = jnp.tanh(y @ weight)
        return jnp.sum(y)

    gradients = jax.grad(loss)(weights)
    return [jax.lax.with_sharding_constraint(w - 0.1 * g, spec) for w, g in zip(weights, gradients, strict=True)]


@pytest.mark.parametrize(("spec", "gathered"), [(P(), 2), (P("ici"), 1)], ids=["data parallel", "FSDP in a slice"])
def test_gradients_of_two_layers(spec, gathered):
    weights = [shape(WIDTH, WIDTH)] * 2
    report = hc.count(
        lambda w, x: step(w, x, spec), weights, shape(BATCH, WIDTH),
        target=TARGET, mesh=MESH, in_specs=([spec] * 2, P(BOTH)),
    )  # fmt: skip
    gradients = 2 * 4 * WIDTH * WIDTH
    assert report.num_devices == 16
    assert report.dcn_bytes == ring(gradients // 8, 2, 2)  # each device its eighth, from slice to slice
    sent = labels(report)
    assert sent["reduce-scatter f32 over 8 (ici)"] == ring(gradients, 8)
    if spec == P():
        assert sent["all-gather f32 over 8 (ici)"] == ring(gradients, 8)
    else:  # of the weights, in the element type of the matrix unit
        assert sent["all-gather bf16 over 8 (ici)"] == ring(gradients // 2, 8)
    assert report.roofline("v5e").bottleneck == "network (DCN)"


def test_the_axis_across_slices_may_stand_last():
    devices = np.array(resolve(TARGET).devices).reshape(2, 8).T
    apply = jax.shard_map(
        lambda x: jax.lax.ppermute(jax.lax.psum(x, "ici"), "dcn", [(0, 1), (1, 0)]), in_specs=P(), out_specs=P(),
        check_vma=False,
    )  # fmt: skip
    report = hc.count(apply, shape(1024, 1024), target=Mesh(devices, ("ici", "dcn")), in_specs=(P(),))
    n = 4 * 1024 * 1024
    expected = {
        "all-reduce f32 over 8 (ici)": ring(n, 8, 2),
        "collective-permute f32 over 2 across slices (dcn)": n,
    }
    assert labels(report) == expected
    assert labels(pickle.loads(pickle.dumps(report))) == expected


def test_four_slices_two_by_two():
    apply = jax.shard_map(lambda x: jax.lax.psum(x, "outer"), in_specs=P(), out_specs=P(), check_vma=False)
    report = hc.count(apply, shape(1024, 1024), target="tpu:v6e:2x2*4", mesh={"outer": 2, "inner": 2, "ici": 4})
    assert labels(report) == {"all-reduce f32 over 2 across slices (outer)": 4 * 1024 * 1024}
    assert report.num_devices == 16


BAD = [
    ("tpu:v5e:2x4*0", "no 0 slices of TPU v5e: name 1 to 511, such as tpu:v5e:2x4\\*2"),
    ("tpu:v5e:2x4*512", "no 512 slices of TPU v5e: name 1 to 511"),
    ("tpu:v5e:2x4*99999", "799,992 devices: name a target of 262,144 at most"),
    ("tpu:v5e:2x4*x", "unknown target"),
    ("h100-sxm*2", "unknown target"),
]


@pytest.mark.parametrize(("target", "message"), BAD)
def test_a_number_of_slices_that_cannot_be(target, message):
    with pytest.raises(TargetError, match=message):
        hc.count(jnp.tanh, shape(8), target=target)


@pytest.mark.parametrize(("devices", "used"), [(12, "8, 4"), (9, "8, 1")])
def test_slices_that_would_end_the_process_are_refused(devices, used):
    with pytest.raises(
        TargetError, match=f"uses {used} devices of the 2 slices of tpu.*spread it over 16 devices, or 8"
    ):
        hc.count(jnp.tanh, shape(16 * 9), target=TARGET, mesh={"data": devices}, in_specs=(P(),))


def test_one_slice_is_a_target_without_a_number():
    assert [each.id for each in resolve("tpu:v5e:2x4*1").devices] == [each.id for each in tpu.tpu_devices("v5e", "2x4")]
    assert hc.count(jnp.tanh, shape(64), target=TARGET, mesh={"data": 8}, in_specs=(P("data"),)).num_devices == 8


def test_a_profile_without_the_network_between_slices_says_so():
    with pytest.raises(hc.HloCountError, match="to other slices and the profile has no dcn; add dcn.bandwidth"):
        collective("dcn").roofline("tpu-v7").bound  # noqa: B018
