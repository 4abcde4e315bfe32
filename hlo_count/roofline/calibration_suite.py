"""Which kernels are timed on which machine, in which sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hlo_count.roofline import machine, timed_kernels
from hlo_count.roofline.catalog import shipped_as
from hlo_count.roofline.device import Device
from hlo_count.roofline.routine_kernels import routines
from hlo_count.roofline.timed_kernels import Kernel

MATMUL_SIZES = (256, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384)
SLOW = ("power", "atan2", "cbrt", "tan", "sine", "cosine")  # ten times slower than exp on a CPU
LONGEST_RUN = 0.1  # seconds; no program that would take longer is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A memory level to measure: working sets (bytes) that fit in it and in none nearer."""

    name: str
    kind: str
    size_bytes: int | None
    source: str
    working_sets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The JAX device at hand: "cpu", "gpu" or "tpu", what jax calls it, its memory levels, and the shipped
    profile of its kind where there is one."""

    backend: str
    kind: str
    levels: tuple[Level, ...]
    known: Device | None = None

    @classmethod
    def at_hand(cls) -> Machine:
        import jax

        at_hand = jax.devices()[0]
        backend = {"cuda": "gpu", "rocm": "gpu"}.get(at_hand.platform, at_hand.platform)
        known = shipped_as(at_hand.device_kind)
        if backend == "cpu":
            levels = cpu_levels(machine.caches(), machine.memory_bytes())
        else:
            levels = accelerator_levels(known, (at_hand.memory_stats() or {}).get("bytes_limit"))
        return cls(backend=backend, kind=at_hand.device_kind, levels=levels, known=known)


def cpu_levels(caches: list[machine.Cache], memory: int | None) -> tuple[Level, ...]:
    """The levels of a CPU. A working set is at least four times what is nearer, and at most half of the level
    (of one instance of it too, for a set that one thread works on). DRAM takes twice the last cache, as far
    as a twelfth of the memory goes."""
    levels = []
    nearer = 0
    for cache in caches:
        wanted = {cache.instance_bytes // 2, cache.size_bytes // 2, cache.size_bytes // 8, 4 * nearer}
        sets = sorted(s for s in wanted if max(4 * nearer, 2**13) <= s <= min(cache.size_bytes // 2, 2**27))
        levels.append(
            Level(
                name=f"L{cache.level}",
                kind="cache",
                size_bytes=cache.size_bytes,
                source=f"the operating system: {cache.instances} of {cache.instance_bytes // 1024} KiB",
                working_sets=tuple(sets),
            )
        )
        nearer = cache.size_bytes
    most = memory // 12 if memory else 2**28
    main = min(max(2 * nearer, 2**28), most)
    note = "" if main > nearer else f"; measured with {main // 2**20} MiB, less than the last cache holds"
    levels.append(
        Level(
            name="DRAM",
            kind="main",
            size_bytes=memory,
            source="the operating system" + note,
            working_sets=(main,),
        )
    )
    return tuple(levels)


def accelerator_levels(known: Device | None, memory: int | None) -> tuple[Level, ...]:
    """The caches that the shipped profile of the device states, and its main memory."""
    caches = [] if known is None else [m for m in known.memory if m.kind == "cache"]
    return (
        *(
            Level(
                name=cache.name,
                kind="cache",
                size_bytes=int(cache.size.value),
                source=cache.size.source,
                working_sets=(int(cache.size.value) // 2,),
            )
            for cache in caches
            if cache.size is not None
        ),
        Level(name="HBM", kind="main", size_bytes=memory, source="jax: memory_stats", working_sets=(2**30,)),
    )


def suite(here: Machine) -> Iterator[Kernel]:
    """Every kernel to time on `here`, compiled one by one as they are asked for."""
    cpu = here.backend == "cpu"
    yield from timed_kernels.overheads(here.backend)
    for dtype, result in (("f32", None), ("bf16", "f32"), ("f16", "f32"), ("s8", "s32"), ("f64", None)):
        if dtype != "f64" or here.backend != "tpu":
            yield from _matmuls(dtype, result, smallest=256 if cpu else 2048)
    sizes = (2**19, 2**21) if cpu else (2**24,)
    # XLA widens bf16 to f32 on a CPU before it computes, so that only other devices have a rate of its own
    for dtype in ("f32", "f16", "f64") if cpu else ("f32", "bf16", "f16", "f64"):
        if dtype == "f64" and here.backend == "tpu":
            continue
        for size in sizes:
            yield timed_kernels.multiply_add(dtype, size)
            yield timed_kernels.add(dtype, size)
        yield timed_kernels.minmax(dtype, sizes[-1])
        yield timed_kernels.divide(dtype, sizes[-1])
    for size in sizes:
        yield timed_kernels.multiply_add("s32", size)
        yield timed_kernels.integer("s32", size)
        yield timed_kernels.integer("s8", size)
    for opcode in timed_kernels.SPECIAL:
        yield timed_kernels.special(opcode, "f32", sizes[0] // 4 if opcode in SLOW else sizes[0])
    if here.backend != "tpu":
        for opcode in ("exponential", "tanh", "sqrt"):
            yield timed_kernels.special(opcode, "f64", sizes[0])
    yield from timed_kernels.product_reductions(2**18 if cpu else 2**24)
    yield from routines(here.backend, len(machine.usable_cpus()))
    for level in here.levels:
        for size in level.working_sets:
            traffic = 2e8 if cpu else 1e10
            yield from timed_kernels.streams(level.name, size, traffic)


def _matmuls(dtype: str, result: str | None, *, smallest: int) -> Iterator[Kernel]:
    """Growing sizes, up to the last that stays under LONGEST_RUN."""
    sizes = [n for n in MATMUL_SIZES if n >= smallest]
    for n, following in pairwise([*sizes, 2 * sizes[-1]]):
        kernel = timed_kernels.matmul(dtype, n, result)
        yield kernel
        once = min(_seconds(kernel) for _ in range(3))
        if once * (following / n) ** 3 > LONGEST_RUN:
            return


def _seconds(kernel: Kernel) -> float:
    begun = time.perf_counter()
    timed_kernels.wait_for(kernel.run())
    return time.perf_counter() - begun
