"""Chains, that grow: instruction after instruction."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from text_parts import BOTTOM, CALLED, ROW, computation, module


def _chain(size: int, link: Callable[[str, int], str]) -> str:
    names = ["p", *(f"c{n}" for n in range(size))]
    lines = [f"{name} = {link(before, n)}" for n, (before, name) in enumerate(pairwise(names))]
    return module([CALLED, *lines, f"ROOT r = {ROW} exponential(c{size - 1})"])


def chain_of_elementwise(size: int) -> str:
    return _chain(size, lambda before, n: f"{ROW} exponential({before})")


def chain_of_bitcasts(size: int) -> str:
    return _chain(size, lambda before, n: f"{ROW} bitcast({before})")


def chain_of_copies(size: int) -> str:
    return _chain(size, lambda before, n: f"{ROW} copy({before})")


def chain_of_fusions(size: int) -> str:
    names = ["p", *(f"c{n}" for n in range(size))]
    lines = [f"{name} = {ROW} fusion({before}), kind=kLoop, calls=f0" for before, name in pairwise(names)]
    return module([CALLED, *lines, f"ROOT r = {ROW} negate(c{size - 1})"], BOTTOM)


def chain_of_updates(size: int) -> str:
    head = ["u = f32[1] constant({1})", "i = s32[] constant(0)"]
    names = ["p", *(f"c{n}" for n in range(size))]
    lines = [f"{name} = {ROW} dynamic-update-slice({before}, u, i)" for before, name in pairwise(names)]
    return module([CALLED, *head, *lines, f"ROOT r = {ROW} copy(c{size - 1})"])


def chain_of_tuples(size: int) -> str:
    """A value that goes into a tuple and out of it again, time after time."""
    lines, last = [], "p"
    for n in range(size // 2):
        lines += [f"t{n} = ({ROW}) tuple({last})", f"g{n} = {ROW} get-tuple-element(t{n}), index=0"]
        last = f"g{n}"
    return module([CALLED, *lines, f"ROOT r = {ROW} exponential({last})"])


def chain_of_async(size: int) -> str:
    lines, last = [], "p"
    for n in range(size // 2):
        lines += [f"s{n} = ({ROW}, {ROW}, u32[]) copy-start({last})", f"d{n} = {ROW} copy-done(s{n})"]
        last = f"d{n}"
    return module([CALLED, *lines, f"ROOT r = {ROW} exponential({last})"])


def chain_of_updates_of_one_start(size: int) -> str:
    wrapped = computation("w", CALLED, f"ROOT r = {ROW} exponential(p)")
    shape = f"(({ROW}), {ROW}, u32[])"
    names = ["s", *(f"u{n}" for n in range(size))]
    lines = [f"s = {shape} async-start(p), calls=w"]
    lines += [f"{name} = {shape} async-update({before})" for before, name in pairwise(names)]
    return module([CALLED, *lines, f"ROOT d = {ROW} async-done(u{size - 1})"], wrapped)


def fused_chain(size: int) -> str:
    """The chain inside a fusion, which reads half of its argument."""
    names = ["p", *(f"c{n}" for n in range(size))]
    lines = [f"{name} = {ROW} exponential({before})" for before, name in pairwise(names)]
    body = computation("f", CALLED, *lines, f"ROOT r = f32[32] slice(c{size - 1}), slice={{[0:32]}}")
    return module([CALLED, "ROOT r = f32[32] fusion(p), kind=kLoop, calls=f"], body)


def chain_of_sums(size: int) -> str:
    """Each adds the two before it: as many paths as Fibonacci's numbers."""
    names = ["p", "q", *(f"c{n}" for n in range(size))]
    lines = [f"{names[n + 2]} = {ROW} add({names[n]}, {names[n + 1]})" for n in range(size)]
    return module([CALLED, f"q = {ROW} negate(p)", *lines, f"ROOT r = {ROW} exponential(c{size - 1})"])


def fused_chain_of_sums(size: int) -> str:
    names = ["p", "q", *(f"c{n}" for n in range(size))]
    lines = [f"{names[n + 2]} = {ROW} add({names[n]}, {names[n + 1]})" for n in range(size)]
    body = computation("f", CALLED, f"q = {ROW} negate(p)", *lines, f"ROOT r = {ROW} negate(c{size - 1})")
    return module([CALLED, f"ROOT r = {ROW} fusion(p), kind=kLoop, calls=f"], body)


def chain_of_scalars(size: int) -> str:
    """A loop whose bound is worked out from constants in as many steps."""
    names = ["a0", *(f"a{n}" for n in range(1, size))]
    lines = ["a0 = s32[] constant(1)", "one = s32[] constant(1)"]
    lines += [f"{name} = s32[] add({before}, one)" for before, name in pairwise(names)]
    return module([*lines, "z = s32[] constant(0)", *_loop_over(f"a{size - 1}")], *_counting())


def _counting() -> tuple[str, str]:
    state = f"(s32[], s32[], {ROW})"
    body = computation(
        "b",
        f"p = {state} parameter(0)",
        "i = s32[] get-tuple-element(p), index=0",
        "n = s32[] get-tuple-element(p), index=1",
        f"x = {ROW} get-tuple-element(p), index=2",
        "one = s32[] constant(1)",
        "j = s32[] add(i, one)",
        f"y = {ROW} exponential(x)",
        f"ROOT r = {state} tuple(j, n, y)",
    )
    condition = computation(
        "c",
        f"p = {state} parameter(0)",
        "i = s32[] get-tuple-element(p), index=0",
        "n = s32[] get-tuple-element(p), index=1",
        "ROOT r = pred[] compare(i, n), direction=LT",
    )
    return body, condition


def _loop_over(bound: str) -> list[str]:
    state = f"(s32[], s32[], {ROW})"
    return [
        f"x = {ROW} parameter(0)",
        f"t = {state} tuple(z, {bound}, x)",
        f"w = {state} while(t), condition=c, body=b",
        f"ROOT r = {ROW} get-tuple-element(w), index=2",
    ]
