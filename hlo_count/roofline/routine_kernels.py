"""The programs that calibration times for `routines`: one for each, of a middling size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hlo_count.hlo import parse
from hlo_count.roofline.cpu_runtime import part_of_cores
from hlo_count.roofline.routines import routines_of
from hlo_count.roofline.timed_kernels import Kernel, compiled
from hlo_count.visitors.walk import Walk


def routines(backend: str, cores: int) -> Iterator[Kernel]:
    """A program for each routine, of a middling size."""
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    def numbers(*shape: int, dtype: str = "float32") -> Any:
        return jnp.asarray(np.random.default_rng(0).random(shape, np.float32), dtype)

    def convolve(x: Any, kernel: Any, groups: int = 1) -> Any:
        layouts = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=layouts, feature_group_count=groups
        )

    def pool(x: Any) -> Any:
        return lax.reduce_window(x, -np.inf, lax.max, (1, 1, 16), (1, 1, 1), "SAME")

    image = numbers(2, 28, 28, 128)
    square = numbers(384, 384)
    programs: dict[str, tuple[Callable[..., Any], *tuple[Any, ...]]] = {
        "sort": (jnp.sort, numbers(2**17)),
        "top_k": (lambda x: lax.top_k(x, 64), numbers(128, 8192)),
        "fft": (jnp.fft.fft, numbers(64, 4096, dtype="complex64")),
        "linalg": (lax.linalg.cholesky, square @ square.T + 384 * jnp.eye(384)),
        "convolution": (convolve, image, numbers(3, 3, 128, 128)),
        "grouped_convolution": (lambda x, kernel: convolve(x, kernel, 128), image, numbers(3, 3, 1, 128)),
        "batched_matmul": (jnp.matmul, numbers(32, 192, 192), numbers(32, 192, 192)),
        "reduce_window": (pool, numbers(256, 64, 64)),
        "reduce_tuple": (lambda x: jnp.argmax(x, -1), numbers(1024, 1536)),
        "transpose": (lambda x: x.T, numbers(1536, 1024)),
        "fused_transpose": (lambda x: x.T + 1, numbers(1536, 1024)),
    }
    for routine, (function, *args) in programs.items():
        program = compiled(function, *args)
        work = routine_work(program.as_text(), routine, backend, cores)
        yield Kernel(
            figure=f"routine.{routine}",
            of=f"{routine.replace('_', ' ')} of {', '.join('x'.join(map(str, a.shape)) for a in args)}",
            work=work or 1.0,
            run=lambda program=program, args=args: program(*args),  # type: ignore[misc]
            less_call=True,
            missing="" if work else f"0 of 1 {routine}",
        )


def routine_work(text: str, routine: str, backend: str, cores: int) -> float:
    """How much of a routine's work optimized HLO `text` holds, as if all cores were at it; 0 without any."""
    walk = Walk(parse(text), backend)
    work = 0.0
    for kernel, times, _ in walk.kernels():
        part = part_of_cores(kernel, cores) if backend == "cpu" else 1.0
        work += sum(float(times) * amount / part for _, name, amount in routines_of(walk, kernel) if name == routine)
    return work
