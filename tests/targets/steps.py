"""What the command line compiles in these tests: a step's arguments, a product, and a kernel for one target only."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fixtures.programs import transformer

X = jax.ShapeDtypeStruct((64, 128), jnp.float32)
W = jax.ShapeDtypeStruct((128, 256), jnp.float32)


def arguments():
    """The arguments of `fixtures.programs.transformer:step`, as shapes."""
    return transformer.parameters(), transformer.tokens()


def product(x, w):
    return jnp.tanh(x @ w)


def kernel(x):
    from jax.experimental import pallas as pl

    def add_one(x_ref, o_ref):
        o_ref[...] = x_ref[...] + 1

    return pl.pallas_call(add_one, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


def cuda_kernel(x):
    return jax.ffi.ffi_call("my_cuda_kernel", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)
