"""A perceptron of flax, trained with Adam: kernels of hundreds of microseconds."""

import sys
import time

import flax.linen as nn
import jax
import optax

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 300


class Perceptron(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (512, 512):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


model, optimizer = Perceptron(), optax.adam(1e-3)
key = jax.random.key(0)
x, labels = jax.random.normal(key, (256, 784)), jax.random.randint(key, (256,), 0, 10)
weights = model.init(key, x)
state = optimizer.init(weights)


@jax.jit
def step(weights, state, x, labels):
    def loss(weights):
        return optax.softmax_cross_entropy_with_integer_labels(model.apply(weights, x), labels).mean()

    value, gradient = jax.value_and_grad(loss)(weights)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(weights, change), state, value


weights, state, value = step(weights, state, x, labels)
value.block_until_ready()
begun = time.process_time(), time.perf_counter()
for _ in range(STEPS):
    weights, state, value = step(weights, state, x, labels)
print(float(value))
print("loop", time.process_time() - begun[0], time.perf_counter() - begun[1])
