"""Trip counts of compiled programs: inferred, against what the compiler wrote and the source asks for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from hlo_count.hlo import parse
from hlo_count.hlo.trip_counts import TripCount, trip_count
from tests import fixture_files
from tests.hlo.loop_texts import counts, loops, only


def strip_known(text: str) -> str:
    """The text without what the compiler says of its loops."""
    return re.sub(r'"known_(trip_count|init_step|induction_variable)":\{[^}]*\},?', "", text)


# Against the compiler


def stored() -> list[tuple[str, str]]:
    found = [(backend, name) for backend in ("cpu", "h100") for name in fixture_files.compiled_names(backend)]
    return [pair for pair in found if "known_trip_count" in fixture_files.text(*pair)]


@pytest.mark.parametrize(("backend", "name"), stored())
def test_inference_agrees_with_the_compiler(backend: str, name: str) -> None:
    text = fixture_files.text(backend, name)
    stripped = strip_known(text)
    assert "known_trip_count" not in stripped
    known = {loop.name: trip_count(loop) for loop in loops(parse(text))}
    inferred = {loop.name: trip_count(loop) for loop in loops(parse(stripped))}
    assert {count.source for count in known.values()} == {"known_trip_count"}
    assert {count.source for count in inferred.values()} == {"affine"}
    assert {loop: count.n for loop, count in inferred.items()} == {loop: count.n for loop, count in known.items()}


# The trips that each program's source asks for, inner loops before outer ones.
TPU = {
    "fori_add": [100],
    "fori_multiply_max": [100],
    "ring_matmul": [7],  # 8 devices: each sends its block 7 times
    "scan_grad": [10, 10],  # forward and back
    "scan_matmul": [10],
    "scan_nested": [5, 3],
    "transformer_loss": [4],  # layers
    "transformer_step": [4, 4],
    "transformer_step_fsdp": [4, 4],
    "transformer_step_remat": [4, 4],
    "transformer_step_tensor": [4, 4],
    "while_down": [4],
}


@pytest.mark.parametrize("name", TPU)
def test_tpu_texts_name_no_trip_count(name: str) -> None:
    text = fixture_files.text("tpu-v5e", name)
    assert "known_trip_count" not in text
    assert counts(text) == TPU[name]


@pytest.mark.parametrize("version", fixture_files.versions())
@pytest.mark.parametrize(("name", "trips"), [("fori_multiply_max", 100), ("scan_matmul", 10)])
@pytest.mark.parametrize("stage", ["", ".before"])
def test_every_version_before_and_after_optimization(version: str, name: str, trips: int, stage: str) -> None:
    text = fixture_files.text(f"versions/{version}", name + stage)
    assert counts(strip_known(text)) == [trips]


@pytest.mark.parametrize("backend", ["cpu", "h100", "tpu-v5e"])
def test_a_bound_that_is_an_argument_is_named(backend: str) -> None:
    found = only(fixture_files.text(backend, "while_dynamic"))
    assert found == TripCount(None, "unknown", "its bound is the argument n of the entry")


def test_a_loop_that_data_ends() -> None:
    by_source = {loop.name: trip_count(loop) for loop in loops(parse(fixture_files.text("tpu-v5e", "svd")))}
    assert by_source["while.90"].n is None
    assert by_source["while.90"].reason.startswith("its start is the result of reduce_and.2 (fixtures/")
    # The polar iteration: until it converges, and no more than 10 rounds, of which 4 come before.
    assert by_source["while.102"].reason.endswith("; at most 6 trips")


# Against JAX, which runs the same loops


def fori(start: int, stop: int) -> Callable[[Any], Any]:
    from jax import lax

    return lambda x: lax.fori_loop(start, stop, lambda i, c: c * x + i, x)


def while_loop(goes_on: Callable[[Any], Any], update: Callable[[Any], Any], start: Any) -> Callable[[Any], Any]:
    """A loop over a counter beside some data that keeps it from being folded away."""
    from jax import lax

    def fn(x: Any) -> Any:
        return lax.while_loop(lambda c: goes_on(c[0]), lambda c: (update(c[0]), c[1] * x + 1), (start, x))[1]

    return fn


def nested(x: Any) -> Any:
    from jax import lax

    def inner(c: Any, _: Any) -> Any:
        return lax.fori_loop(0, 7, lambda i, d: d * x + i, c), None

    return lax.scan(inner, x, None, length=3)[0]


def carried_bound(x: Any) -> Any:
    """The bound and the step are carried through the tuple, as TPU programs have it."""
    import jax.numpy as jnp
    from jax import lax

    def body(c: Any) -> Any:
        i, data, bound, step = c
        return i + step, data * x + 1, bound, step

    return lax.while_loop(lambda c: c[0] < c[2], body, (jnp.int32(2), x, jnp.int32(30), jnp.int32(3)))[1]


PROGRAMS: dict[str, tuple[Callable[[], Callable[[Any], Any]], list[int]]] = {
    "foo and bar": (lambda: fori(0, 100), [100]),
    "start elsewhere": (lambda: fori(-17, 25), [42]),
    "count down": (lambda: while_loop(lambda i: i > 0, lambda i: i - 1, 12), [12]),
    "count down to zero and beyond": (lambda: while_loop(lambda i: i >= -5, lambda i: i - 4, 12), [5]),
    "step of three": (lambda: while_loop(lambda i: i < 10, lambda i: i + 3, 0), [4]),
    "less or equal": (lambda: while_loop(lambda i: i <= 10, lambda i: i + 1, 0), [11]),
    "not equal": (lambda: while_loop(lambda i: i != 30, lambda i: i + 5, 0), [6]),
    "doubling": (lambda: while_loop(lambda i: i < 1000, lambda i: i * 2, 1), [10]),
    "halving": (lambda: while_loop(lambda i: i > 0, lambda i: i // 2, 1000), [10]),
    "float": (lambda: while_loop(lambda t: t < 1.0, lambda t: t + 0.125, 0.0), [8]),
    "bound in the tuple": (lambda: carried_bound, [10]),
    "nested": (lambda: nested, [7, 3]),
}


@pytest.fixture(scope="module")
def texts() -> Callable[[str], dict[str, str]]:
    """HLO text of one of PROGRAMS before and after optimization on CPU."""
    jax = pytest.importorskip("jax")

    def compiled(name: str) -> dict[str, str]:
        lowered = jax.jit(PROGRAMS[name][0]()).lower(jax.ShapeDtypeStruct((4,), "float32"))
        before = lowered.compiler_ir("hlo").as_hlo_text()
        return {"before": before, "after": lowered.compile().as_text()}

    return compiled


@pytest.mark.parametrize("name", PROGRAMS)
def test_loops_of_jax(texts: Callable[[str], dict[str, str]], name: str) -> None:
    found = texts(name)
    assert sorted(counts(found["before"])) == sorted(PROGRAMS[name][1])
    assert counts(found["after"]) == PROGRAMS[name][1]
    assert counts(strip_known(found["after"])) == PROGRAMS[name][1]


def test_zero_trips() -> None:
    jax = pytest.importorskip("jax")
    fn = while_loop(lambda i: i < 5, lambda i: i + 1, 5)
    text = jax.jit(fn).lower(jax.ShapeDtypeStruct((4,), "float32")).compiler_ir("hlo").as_hlo_text()
    assert counts(text) == [0]


def test_a_condition_on_data_beside_a_counter() -> None:
    jax = pytest.importorskip("jax")

    def fn(x: Any) -> Any:
        def goes_on(c: Any) -> Any:
            return (c[0] < 10) & (c[1].sum() > 1.0)

        return jax.lax.while_loop(goes_on, lambda c: (c[0] + 1, c[1] * 0.5), (0, x))[1]

    lowered = jax.jit(fn).lower(jax.ShapeDtypeStruct((4,), "float32"))
    for text in (lowered.compiler_ir("hlo").as_hlo_text(), lowered.compile().as_text()):
        found = only(text)
        assert (found.n, found.source) == (None, "unknown")
        assert re.fullmatch(r"its condition depends on the result of .*reduce.*; at most 10 trips", found.reason)
