"""What the number `S(n)` of a layout means, by backend."""

from __future__ import annotations

from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import HOST, MAIN, ON_CHIP

SPACES: dict[str, dict[int, str]] = {
    # 1 is VMEM; 3 is the v4's CMEM: libtpu keeps arrays of up to its 128 MiB there; 2, 4, 6 and 8 are scalar and sync
    # memory: 4 holds two numbers that go with an asynchronous collective, 8 one that goes with a SparseCore's call
    "tpu": {0: MAIN, 1: ON_CHIP, 2: ON_CHIP, 3: ON_CHIP, 4: ON_CHIP, 5: HOST, 6: ON_CHIP, 8: ON_CHIP},
    # 1 is for collectives, 2 for temporaries: both in device memory
    "gpu": {0: MAIN, 1: MAIN, 2: MAIN, 5: HOST},
    "cpu": {0: MAIN, 5: HOST},
    "unknown": {0: MAIN, 5: HOST},
}


def space_name(backend: str, number: int) -> str | None:
    """main, on-chip or host; None for a number that is not known to mean one of them."""
    return MAIN if backend == "cpu" and number != 5 else SPACES.get(backend, SPACES["unknown"]).get(number)


def main_bytes(backend: str, leaf: Shape) -> int:
    """The bytes that an array takes of main memory: none where it is kept elsewhere."""
    return leaf.bytes if space_name(backend, leaf.memory_space) == MAIN else 0


def backend_of(module: Module) -> str:
    """Which backend's compiler wrote the text, by its marks unless the module knows: tpu, gpu, cpu, unknown."""
    return module.backend or module.marked_backend
