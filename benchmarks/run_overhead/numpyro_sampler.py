"""A regression sampled by NUTS of NumPyro: one program that runs for seconds, a loop of kernels of microseconds."""

import sys
import time

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 2000


def model(x, y):
    weights = numpyro.sample("weights", dist.Normal(jnp.zeros(5), 1.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(x @ weights, spread), obs=y)


key = jax.random.key(0)
x = jax.random.normal(key, (2000, 5))
y = x @ jnp.arange(5.0) + 0.1 * jax.random.normal(key, (2000,))
sampler = MCMC(NUTS(model), num_warmup=300, num_samples=SAMPLES, progress_bar=False)
sampler.run(key, x, y)
begun = time.process_time(), time.perf_counter()
sampler.run(key, x, y)
print(float(sampler.get_samples()["spread"].mean()))
print("loop", time.process_time() - begun[0], time.perf_counter() - begun[1])
