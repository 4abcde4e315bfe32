"""Programs that a process of its own runs under jax.profiler: `recorded_programs.py FOLDER [devices]`."""

from __future__ import annotations

import sys

STEPS, TRIPS, SIZE = 3, 17, 128
"""Runs of the training step; trips of the loops; the side of their matrices."""
BATCH, WIDTH, OUT = 128, 256, 64
COLLATZ = 27
TAKEN = (True, False, False)
"""What the conditional is given in each of its runs."""
CACHE, HEADS = 64, 8
DECODED = 5


def on_one_device(folder: str) -> None:
    import jax
    import jax.numpy as jnp

    @jax.jit
    def step(w, x):
        with jax.named_scope("loss"):
            loss, gradient = jax.value_and_grad(lambda w: jnp.tanh(x @ w).mean())(w)
        return w - 0.1 * gradient, loss

    @jax.jit
    def scan(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c @ c), c.sum()), x, None, length=TRIPS)

    @jax.jit
    def loop(n, x):
        return jax.lax.fori_loop(0, n, lambda i, c: jnp.tanh(c @ c), x)

    @jax.jit
    def collatz(n):
        def after(state):
            n, steps = state
            return jnp.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

        return jax.lax.while_loop(lambda state: state[0] != 1, after, (n, 0))

    @jax.jit
    def conditional(yes, x):
        return jax.lax.cond(yes, lambda x: jnp.sin(x @ x), lambda x: x + 1, x)

    @jax.jit
    def decode(tokens, weight, cache):
        def one(state):
            at, x, cache = state
            cache = jax.lax.dynamic_update_slice(cache, (x @ weight)[None], (at, 0))
            return at + 1, jax.nn.softmax(cache @ x) @ cache, cache

        return jax.lax.while_loop(lambda state: state[0] < tokens, one, (0, weight[0], cache))

    square = jnp.ones((SIZE, SIZE)) / SIZE
    w, x = jnp.ones((WIDTH, OUT)), jnp.ones((BATCH, WIDTH))

    def run(w):
        """One program after the other: a CPU would run those at a time that need nothing of each other."""
        done = jax.block_until_ready
        for _ in range(STEPS):
            w, _ = done(step(w, x))
        done(scan(square)), done(loop(TRIPS, square)), done(collatz(COLLATZ))
        for yes in TAKEN:
            done(conditional(yes, square))
        done(decode(DECODED, square, done(jnp.zeros((CACHE, SIZE)))))

    run(w)
    with jax.profiler.trace(folder):
        run(w)


def on_devices(folder: str, number: int) -> None:
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.make_mesh((number,), ("data",))
    x = jax.device_put(jnp.ones((BATCH * number, WIDTH)), NamedSharding(mesh, PartitionSpec("data")))
    w = jax.device_put(jnp.ones((WIDTH, OUT)), NamedSharding(mesh, PartitionSpec()))
    step = jax.jit(lambda w, x: w - 0.1 * jax.grad(lambda w: jnp.tanh(x @ w).mean())(w))
    w = jax.block_until_ready(step(w, x))
    with jax.profiler.trace(folder):
        for _ in range(STEPS):
            w = step(w, x)
        jax.block_until_ready(w)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        on_devices(sys.argv[1], int(sys.argv[2]))
    else:
        on_one_device(sys.argv[1])
