"""Solves of Lotka-Volterra's equations by Tsit5 of diffrax, many at a time: a loop of kernels of microseconds."""

import sys
import time

import diffrax
import jax
import jax.numpy as jnp

SOLVES = int(sys.argv[1]) if len(sys.argv) > 1 else 60


def slope(t, y, rates):
    prey, predators = y
    a, b, c, d = rates
    return jnp.array([a * prey - b * prey * predators, -c * predators + d * prey * predators])


@jax.jit
def solve(starts):
    def one(start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(slope), diffrax.Tsit5(), t0=0.0, t1=20.0, dt0=0.1, y0=start, args=(1.1, 0.4, 0.4, 0.1),
            stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-6),
        ).ys  # fmt: skip

    return jax.vmap(one)(starts)


starts = jax.random.uniform(jax.random.key(0), (4096, 2), minval=1.0, maxval=10.0)
solve(starts).block_until_ready()
begun = time.process_time(), time.perf_counter()
for _ in range(SOLVES):
    found = solve(starts)
print(float(found.sum()))
print("loop", time.process_time() - begun[0], time.perf_counter() - begun[1])
