"""What the command line compiles in these tests: a step's arguments, and functions that some targets cannot run."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from fixtures.programs import transformer


def arguments():
    """The arguments of `fixtures.programs.transformer:step`, as shapes."""
    return transformer.parameters(), transformer.tokens()


def product(x, w):
    return jnp.tanh(x @ w)


def cuda_kernel(x):
    return jax.ffi.ffi_call("my_cuda_kernel", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)
