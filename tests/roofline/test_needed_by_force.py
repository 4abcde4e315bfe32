"""Shares of products are never more than what must be done, which numpy finds by force: it changes each element of a
product and looks whether the result is another one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hlo_count
from hlo_count.roofline.needed_shares import NeededShares

Array = Any
Step = Callable[[Any, Array, random.Random], Array]
"""The module to compute with, numpy or jax.numpy, what to go on from, and what chooses."""


def indices(xp: Any, x: Array) -> tuple[Array, Array]:
    rows, columns = (xp.arange(n, dtype=np.int32) for n in x.shape[-2:])
    return rows[:, None], columns[None, :]


def mask(xp: Any, x: Array, r: random.Random) -> Array:
    """A mask of indices that the last two dimensions have."""
    i, j = indices(xp, x)
    a, b, k, other = r.choice([-2, -1, 1, 2]), r.choice([-1, 0, 1]), r.randrange(-3, 4), r.choice([-1, 1])
    first = a * i + b * j + k >= 0
    found = [first, (i == j + k) | (j < 0), first & (j + other * i <= 3), ~first, first | (j > 2)][r.randrange(5)]
    return xp.broadcast_to(found, x.shape)


def masked(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.where(mask(xp, x, r), x, np.float32(0))


def masked_either_side(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.where(mask(xp, x, r), np.float32(3), x)


def times_mask(xp: Any, x: Array, r: random.Random) -> Array:
    return x * mask(xp, x, r).astype(np.float32)


def turned(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.transpose(x, r.sample(range(x.ndim), x.ndim))


def flat(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.reshape(x, (x.shape[0], -1)) if x.ndim > 2 else xp.reshape(x, (1, *x.shape))


def padded(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.pad(x, [(r.randrange(2), r.randrange(3)) for _ in x.shape])


def beside(xp: Any, x: Array, r: random.Random) -> Array:
    other = np.full(x.shape, 0.5, np.float32)
    return xp.concatenate([x, other] if r.randrange(2) else [other, x], axis=r.randrange(x.ndim))


def backwards(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.flip(x, r.randrange(x.ndim))


def summed(xp: Any, x: Array, r: random.Random) -> Array:
    return xp.sum(x, axis=r.randrange(x.ndim)) if x.ndim > 2 else xp.broadcast_to(xp.sum(x, axis=1)[:, None], x.shape)


def multiplied(xp: Any, x: Array, r: random.Random) -> Array:
    n = x.shape[-1]
    other = (np.arange(n * 3, dtype=np.float32).reshape(n, 3) * 0.7 + 1) % 2.3 + 0.1
    return x @ masked(xp, other, r) if r.randrange(2) else x @ other


def added(xp: Any, x: Array, r: random.Random) -> Array:
    return x + 2 * x


def part(xp: Any, x: Array, r: random.Random) -> Array:
    slices = []
    for n in x.shape:
        start = r.randrange(n)
        slices.append(slice(start, r.randrange(start, n) + 1, r.choice([1, 1, 2])))
    return x[tuple(slices)]


STORED: list[Step] = [masked, masked_either_side, times_mask, turned, flat, padded, beside, backwards, summed]
STORED += [multiplied, added]
EVALUATED: list[Step] = [*STORED, part, part]


def program(seed: int, steps: list[Step]) -> tuple[Callable[..., Array], Callable[[], tuple[Array, Array]]]:
    """What follows on a product, and its operands of data, as functions of a module."""
    first = random.Random(seed)
    chosen = [first.choice(steps) for _ in range(first.randrange(1, 5))]

    def after(xp: Any, product: Array) -> Array:
        r = random.Random(seed + 1)
        for step in chosen:
            if product.size > 1:  # JAX writes the mask of one element as an array, in which no zeros are looked for
                product = step(xp, product, r)
        return product

    def operands(xp: Any = np, x: Any = None, w: Any = None) -> tuple[Array, Array]:
        r = random.Random(seed + 2)
        before = [r.choice([masked, times_mask, lambda xp, x, r: x]) for _ in range(2)]
        return before[0](xp, x, r), before[1](xp, w, r)

    return after, operands


SEEDS = 60
N, K, M = 5, 4, 6
X = np.random.default_rng(0).uniform(1, 2, (N, K)).astype(np.float32)
W = np.random.default_rng(1).uniform(1, 2, (K, M)).astype(np.float32)


def by_force(after: Callable[..., Array], operands: Callable[..., tuple[Array, Array]]) -> float:
    """The fraction of the multiplications that the result depends on."""
    x, w = operands(np, X, W)
    product = x @ w
    whole = after(np, product)
    asked = np.zeros(product.shape, bool)
    for place in np.ndindex(product.shape):
        other = product.copy()
        other[place] += 7.3
        asked[place] = not np.array_equal(after(np, other), whole)
    return float((asked[:, None, :] & (x != 0)[:, :, None] & (w != 0)[None]).mean())


def the_product(module: Any) -> Any:
    return next(i for c in module.computations.values() for i in c.instructions if i.name == "product")


def text_of(after: Callable[..., Array], operands: Callable[..., tuple[Array, Array]], fused: bool) -> str:
    def whole(x: Any, w: Any) -> Any:
        a, b = operands(jnp, x, w)
        return after(jnp, a @ b)

    text: str = jax.jit(whole).lower(X, W).as_text("hlo")
    first = re.search(r"(\S+) = \S+ dot\(", text)
    assert first is not None
    text = re.sub(rf"(?<![\w.]){re.escape(first[1])}(?![\w.])", "product", text)
    if not fused:
        return text
    head, _, entry = text.partition("ENTRY ")
    name, root = entry.split(" ", 1)[0], re.search(r"ROOT \S+ = (\S+) ", entry)
    assert root is not None
    parameters = "\n".join(f"  {line.strip()}" for line in re.findall(r"\n *(\S+ = \S+ parameter\(\d\))", entry))
    names = [line.split()[0] for line in parameters.splitlines()]
    outer = f"{parameters}\n  ROOT f = {root[1]} fusion({', '.join(names)}), kind=kLoop, calls={name}"
    return f"{head}{entry}\n\nENTRY all {{\n{outer}\n}}\n"


@pytest.mark.parametrize("fused", [False, True])
def test_no_share_is_above_what_must_be_done(fused: bool) -> None:
    exact = 0
    for seed in range(SEEDS):
        after, operands = program(seed, EVALUATED if fused else STORED)
        report = hlo_count.count(text_of(after, operands, fused))
        share = NeededShares(report.roofline("h100-sxm").walk).shares.get(the_product(report.module), 1.0)
        needed = by_force(after, operands)
        assert share <= needed + 1e-9, (seed, share, needed)  # the same fraction, divided in another order
        exact += share >= needed - 1e-9
    assert exact > SEEDS / 2  # or nothing would be certain of anything
