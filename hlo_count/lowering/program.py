"""What lowering hands on: one program as HLO text, with what JAX knew about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program as HLO text, and what is known about where it runs.

    `text` is the module after optimization, which is what *one* of `num_devices` devices runs. With
    `optimized=False` it is the module as JAX emits it: the shapes are those of the whole arrays, whatever
    the number of devices, since the partitioner has not run.
    """

    text: str
    backend: str
    """"cpu", "tpu" or "gpu"."""
    target: str | None
    """The target as the user named it; None for JAX's default backend."""
    num_devices: int
    jax_version: str
    optimized: bool
    device_kind: str | None
    """JAX's own name of the device kind, such as "TPU v5 lite"."""
    compiled: Any | None
    """The `jax.stages.Compiled`, for its cost and memory analyses; None when nothing was compiled."""
    mesh: tuple[tuple[str, int], ...]
    """Mesh axis names and sizes, major first; () when the program has no mesh."""
    name: str
    """The name of the HLO module, such as "jit_train_step"."""
