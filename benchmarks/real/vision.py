"""Images: Haiku's ResNet-50, Keras's EfficientNet-B0, a convolutional network in flax.nnx, a quantized one."""

from __future__ import annotations

import itertools
import os

os.environ["KERAS_BACKEND"] = "jax"

import haiku as hk
import jax
import jax.numpy as jnp
import keras
import optax
from flax import nnx

IMAGE = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)


def haiku_resnet50():
    """With the averages of its normalization, which training has left."""

    def network(image, is_training):
        return hk.nets.ResNet50(1000)(image, is_training)

    model = hk.without_apply_rng(hk.transform_with_state(network))
    params, state = jax.eval_shape(lambda key, image: model.init(key, image, True), jax.random.key(0), IMAGE)

    def classify(params, state, image):
        logits, _ = model.apply(params, state, image, False)
        return jax.nn.softmax(logits)

    return jax.jit(classify), (params, state, IMAGE)


def keras_efficientnet():
    model = keras.applications.EfficientNetB0(weights=None)

    def classify(weights, others, image):
        return model.stateless_call(weights, others, image)[0]

    variables = ([v.value for v in each] for each in (model.trainable_variables, model.non_trainable_variables))
    return jax.jit(classify), (*variables, IMAGE)


class Convolutional(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(3, 32, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(32, rngs=rngs)
        self.second = nnx.Conv(32, 64, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        x = nnx.relu(self.second(x))
        return self.head(x.mean((1, 2)))


@nnx.jit
def convolutional_step(model, optimizer, images, labels):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    gradients = nnx.grad(loss)(model)
    optimizer.update(model, gradients)


def nnx_convolutional():
    model = Convolutional(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param)
    images = jax.ShapeDtypeStruct((32, 32, 32, 3), jnp.float32)
    return convolutional_step, (model, optimizer, images, jax.ShapeDtypeStruct((32,), jnp.int32))


def quantized(layers, x):
    """int8 weights and activations, sums of int32, a scale between layers."""

    def quantize(x):
        scale = jnp.abs(x).max() / 127
        return jnp.round(x / scale).astype(jnp.int8), scale

    for n, (weight, weight_scale) in enumerate(layers):
        with jax.named_scope(f"layer_{n}"):
            codes, scale = quantize(x)
            sums = jax.lax.dot(codes, weight, preferred_element_type=jnp.int32)
            x = jax.nn.relu(sums * (scale * weight_scale))
    return x


INT8 = (256, 1024, 1024, 10)


def int8_classifier():
    layers = [
        (jax.ShapeDtypeStruct((m, n), jnp.int8), jax.ShapeDtypeStruct((), jnp.float32))
        for m, n in itertools.pairwise(INT8)
    ]
    return jax.jit(quantized), (layers, jax.ShapeDtypeStruct((64, INT8[0]), jnp.float32))
