"""A training step is counted whole, whichever library made it, in whatever form it is held, for every target."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from pathlib import Path

import jax
import pytest
from jax.sharding import PartitionSpec
from libraries.steps import LIBRARIES, MATMUL, ROWS, Step, nnx_model, nnx_step, plain_jax, shapes, version
from targets.environment import WITH_GPU, WITH_TPU, compiled_for

import hlo_count as hc
from hlo_count.errors import HloCountError

DOCS = Path(__file__).parents[2] / "docs"


class Made(Step):
    """A step that the tests share, with what they make of it once."""

    @functools.cached_property
    def lowered(self):
        return self.jitted.lower(*self.args)

    @functools.cached_property
    def compiled(self):
        return self.lowered.compile()

    @functools.cached_property
    def whole(self):
        return hc.count(self.jitted, *self.args)


@functools.cache
def made(library: str) -> Made:
    return Made(*(getattr(LIBRARIES[library](), field.name) for field in dataclasses.fields(Step)))


@functools.cache
def flops_of_plain_jax(target: str | None) -> int:
    return hc.count(made("plain JAX").jitted, *made("plain JAX").args, target=target).flops


@pytest.fixture(params=LIBRARIES)
def step(request) -> Made:
    if request.param == "flax.nnx" and version("flax") < (0, 11):
        pytest.skip("nnx.jit of this flax is refused: its modules are no pytrees")
    return made(request.param)


def matmul(report) -> int:
    return report.by("class")["matmul"].flops


@pytest.mark.parametrize("target", [None, *compiled_for("tpu:v5e", "h100-sxm")])
def test_the_function_is_counted_whole(step, target):
    report = hc.count(step.jitted, *step.args, target=target) if target else step.whole
    assert (matmul(report), report.status) == (MATMUL, "exact")
    if step.plain:
        assert report.flops == flops_of_plain_jax(target)


def test_its_stages_and_its_shapes_are_counted_as_it_is(step):
    for same in (hc.count(step.lowered), hc.count(step.compiled), hc.count(step.jitted, *shapes(step.args))):
        assert (same.total, same.parameters) == (step.whole.total, step.whole.parameters)


def test_its_stages_are_bound_to_their_devices(step):
    with pytest.raises(HloCountError, match="Lowered is already bound to its devices: pass the function"):
        hc.count(step.lowered, mesh={"data": 1})
    with pytest.raises(HloCountError, match="Compiled already holds its arguments"):
        hc.count(step.compiled, *step.args)


def test_diff_and_passes_have_the_whole_step(step):
    d = hc.diff(step.jitted, *step.args)
    assert matmul(d.before) == matmul(d.after) == MATMUL
    assert not hc.diff(step.whole, step.compiled)
    assert hc.passes(step.jitted, *step.args, pass_filter="fusion").after == d.after.total
    with pytest.raises(HloCountError, match="compiled already: pass the function"):
        hc.passes(step.compiled)


def test_diff_and_passes_take_a_stage_of_a_library():
    step = made("Equinox")
    d = hc.diff(step.lowered)
    assert matmul(d.before) == matmul(d.after) == MATMUL
    assert hc.passes(step.lowered, pass_filter="fusion").after == d.after.total


@pytest.mark.parametrize(
    ("library", "target"),
    [pytest.param("flax.nnx", "tpu:v5e", marks=WITH_TPU), pytest.param("Equinox", "h100-sxm", marks=WITH_GPU)],
)
def test_diff_and_passes_for_targets_have_the_whole_step(library, target):
    step = made(library)
    d = hc.diff(step.jitted, *step.args, target=target)
    assert matmul(d.before) == matmul(d.after) == MATMUL
    assert hc.passes(step.jitted, *step.args, target=target, pass_filter="fusion").after.flops == d.after.flops


@pytest.mark.parametrize(
    ("library", "target"),
    [pytest.param("flax.nnx", "h100-sxm:8", marks=WITH_GPU), pytest.param("Equinox", "tpu:v5e:2x4", marks=WITH_TPU)],
)
def test_a_step_is_spread_over_a_mesh(library, target):
    """The gradients of all four parameters are reduced over the devices that share the batch."""
    step = made(library)
    *rest, x, y = step.args
    batch = (jax.ShapeDtypeStruct((128 * ROWS, each.shape[1]), each.dtype) for each in (x, y))
    specs = (*[None] * len(rest), PartitionSpec("data"), PartitionSpec("data"))
    report = hc.count(step.jitted, *rest, *batch, target=target, mesh={"data": 8}, in_specs=specs)
    assert matmul(report) == 128 // 8 * MATMUL
    assert report.num_devices == 8
    assert report.network_bytes > 0


@pytest.mark.skipif(version("flax") < (0, 11), reason="modules are no pytrees before")
def test_a_function_that_updates_in_place_is_counted_whole_without_nnx_jit():
    nnx = pytest.importorskip("flax.nnx")
    args = (*nnx_model(), *plain_jax().args[1:])
    held = jax.tree.leaves(args)
    report = hc.count(nnx_step, *args)
    assert matmul(report) == MATMUL
    assert report.total == hc.count(nnx.jit(nnx_step), *args).total
    assert all(a is b for a, b in zip(jax.tree.leaves(args), held, strict=True))  # nothing has been traced into them


@pytest.mark.skipif(version("flax") < (0, 11), reason="modules are no pytrees before")
def test_an_object_held_twice_is_one_to_nnx_jit_and_refused_without():
    nnx = pytest.importorskip("flax.nnx")

    class Tied(nnx.Module):
        def __init__(self):
            self.first = nnx.Param(jax.numpy.ones((8, 8)))
            self.last = self.first

    def step(model, x):
        gradients = nnx.grad(lambda model: (x @ model.first[...] @ model.last[...]).sum())(model)
        model.first[...] = model.first[...] - gradients["first"][...]

    model, x = Tied(), jax.numpy.ones((8, 8))
    assert hc.count(nnx.jit(step), model, x).parameters == 2 * 8 * 8  # the matrix that is both, and x
    with pytest.raises(HloCountError, match=r"one object in several places.*nnx.jit"):
        hc.count(step, model, x)
    with pytest.raises(HloCountError, match=r"one object in several places.*without a target"):
        hc.count(nnx.jit(step), model, x, mesh={"data": 1})


def test_what_jax_does_not_take_is_named_with_what_to_pass_instead():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(2, 2, 2, 1, key=jax.random.PRNGKey(0))
    with pytest.raises(HloCountError, match=r"argument 1\.activation is a .*, which jax.jit does not take: .*eqx\."):
        hc.count(lambda x, model: model(x), jax.numpy.ones(2), model)
    with pytest.raises(HloCountError, match=r"argument name is a str, which jax.jit does not take"):
        hc.count(lambda x, name: x, jax.numpy.ones(2), name="layer")


@pytest.mark.skipif(version("flax") >= (0, 11), reason="modules are pytrees since")
def test_modules_that_are_no_pytrees_are_refused():
    nnx = pytest.importorskip("flax.nnx")
    model, optimizer = nnx_model()
    for step in (nnx_step, nnx.jit(nnx_step)):
        with pytest.raises(HloCountError, match=r"argument 0 is a Network, .*nnx\.split"):
            hc.count(step, model, optimizer, *plain_jax().args[1:])


def test_equinox_keeps_what_is_no_array_static_and_donates():
    eqx = pytest.importorskip("equinox")
    n = 8

    @eqx.filter_jit(donate="all")
    def power(x, times, name):
        for _ in range(times if name == "power" else 0):
            x = x @ x
        return x

    x = jax.ShapeDtypeStruct((n, n), jax.numpy.float32)
    report = hc.count(power, x, 3, "power")
    assert matmul(report) == 3 * 2 * n**3
    assert "input_output_alias" in report.module.text


def test_the_documents_show_a_table_with_every_step():
    spec = importlib.util.spec_from_file_location("regenerate", DOCS / "regenerate.py")
    regenerate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(regenerate)
    tables = regenerate.shown_tables()
    assert f"{MATMUL:,}" in (DOCS / "libraries.md").read_text()
    assert {"0.4.30", "0.10.2"} < tables.keys()
    for table in tables.values():
        rows = table.splitlines()[3:]
        assert [row.split("  ")[0] for row in rows] == list(LIBRARIES)
        assert max(map(len, rows)) <= 100
        assert not any(" of " in row for row in rows)  # a part of a step
