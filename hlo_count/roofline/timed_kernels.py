"""The programs that calibration times, each doing a known amount of one kind of work.

Each is built so that the compiler cannot shorten it: the coefficients are arguments, no chain of operations
has a closed form, and what the optimized HLO must still contain is checked on its text. Elementwise chains
run four independent ones per element, so that latency is hidden and memory traffic does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

CHAIN = 32  # operations of one chain
CHAINS = 4  # independent chains per element
SPECIAL_CHAIN = 4
SMALLEST_COPY = 2**19  # bytes; calling a program takes longer than a smaller copy
LAUNCHES = (1, 7)  # kernels of two programs, whose difference is the launch overhead of 6
DISPATCHED = 2**14  # elements: more FLOP than XLA's CPU client runs in the calling thread, too few to be split
SPLIT = 2**17  # elements of a sum that XLA's CPU runtime splits over cores

NAMES = {
    "f64": "float64",
    "f32": "float32",
    "bf16": "bfloat16",
    "f16": "float16",
    "s8": "int8",
    "s32": "int32",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """`run()` starts the program once and returns what to wait for.

    `figure` says where in a profile the rate goes, `work` is the FLOP, operations or bytes of one run, `of`
    describes the program. `less_call`: the time of calling any program at all is to be taken off. `wait`:
    each run is waited for, as when latency itself is measured. `missing` lists what the compiler took out.
    """

    figure: str
    of: str
    work: float
    run: Callable[[], Any]
    less_call: bool = False
    wait: bool = False
    missing: str = ""


def missing_operations(text: str, expected: Mapping[str, int]) -> str:
    """What optimized HLO `text` lacks of the `expected` instructions per opcode; "" when nothing."""
    lacking = []
    for opcode, count in expected.items():
        seen = len(re.findall(rf"\s{re.escape(opcode)}\(", text))
        if seen < count:
            lacking.append(f"{seen} of {count} {opcode}")
    return ", ".join(lacking)


def wait_for(result: Any) -> None:
    """Until `result` is there."""
    import jax

    wait: Callable[[Any], Any] = jax.block_until_ready
    wait(result)


def compiled(function: Callable[..., Any], *args: Any, donate: bool = False) -> Any:
    import jax

    return jax.jit(function, donate_argnums=(0,) if donate else ()).lower(*args).compile()


def _kernel(
    figure: str,
    of: str,
    work: float,
    function: Callable[..., Any],
    *args: Any,
    expected: Mapping[str, int] | None = None,
    less_call: bool = False,
) -> Kernel:
    program = compiled(function, *args)
    missing = missing_operations(program.as_text(), expected) if expected else ""
    return Kernel(figure=figure, of=of, work=work, run=lambda: program(*args), less_call=less_call, missing=missing)


def _precise(dtype: str) -> AbstractContextManager[Any]:
    """64-bit types switched on while a kernel in one of them is built."""
    if dtype != "f64":
        return nullcontext()
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)  # type: ignore[no-any-return]
    from jax import experimental

    switch: Any = experimental
    return switch.enable_x64()  # type: ignore[no-any-return]


def matmul(dtype: str, n: int, result: str | None = None) -> Kernel:
    """n×n×n in `dtype`, with the result in `result` (bf16 into f32 is what AMX and tensor cores do)."""
    import jax.numpy as jnp

    with _precise(dtype):
        x = jnp.ones((n, n), NAMES[dtype])
        into = NAMES[result] if result else None
        return _kernel(
            f"matrix.{dtype}",
            f"{n}³ matmul" + (f" into {result}" if result else ""),
            2.0 * n**3,
            lambda a, b: jnp.matmul(a, b, preferred_element_type=into),
            x,
            x,
        )


def multiply_add(dtype: str, elements: int) -> Kernel:
    """Horner's rule: y = y * a + b, so many times. A step is one issue slot where the unit has FMA; starting
    the chains and adding them up takes 2 * CHAINS - 1 more."""
    import jax.numpy as jnp

    def chains(x: Any, a: Any, b: Any) -> Any:
        ys = _spread(x)
        for _ in range(CHAIN):
            ys = [y * a + b for y in ys]
        return _total(ys)

    with _precise(dtype):
        small = dtype.startswith("s")
        args = [jnp.asarray(v, NAMES[dtype]) for v in ((3, 5) if small else (0.999, 0.001))]
        slots = CHAIN * CHAINS + 2 * CHAINS - 1
        return _kernel(
            f"vector.{dtype}.fma",
            f"{elements} polynomials",
            2.0 * slots * elements,
            chains,
            jnp.ones(elements, NAMES[dtype]),
            *args,
            expected={"multiply": CHAIN * CHAINS, "add": CHAIN * CHAINS},
        )


def add(dtype: str, elements: int) -> Kernel:
    """(a, b) = (b, a ± b): each sum needs the one before, and no closed form is known to a compiler."""
    import jax.numpy as jnp

    def chains(x: Any) -> Any:
        pairs = [(x, y) for y in _spread(x)]
        for step in range(CHAIN):
            pairs = [(b, a - b if step % 2 else a + b) for a, b in pairs]
        return _total([b for _, b in pairs])

    with _precise(dtype):
        operations = CHAIN * CHAINS + 2 * CHAINS - 1
        half = CHAIN * CHAINS // 2
        return _kernel(
            f"vector.{dtype}.add",
            f"{elements} chains of sums",
            float(operations * elements),
            chains,
            jnp.ones(elements, NAMES[dtype]),
            expected={"add": half, "subtract": half},
        )


def integer(dtype: str, elements: int) -> Kernel:
    """y = (y + a) ^ b: neither ring nor bit algebra shortens the mix, and each half is one instruction."""
    import jax.numpy as jnp

    def chains(x: Any, a: Any, b: Any) -> Any:
        ys = _spread(x)
        for _ in range(CHAIN // 2):
            ys = [(y + a) ^ b for y in ys]
        return _total(ys)

    half = CHAIN * CHAINS // 2
    return _kernel(
        f"vector.{dtype}.add",
        f"{elements} chains of add and xor",
        float((CHAIN * CHAINS + 2 * CHAINS - 1) * elements),
        chains,
        jnp.ones(elements, NAMES[dtype]),
        *[jnp.asarray(v, NAMES[dtype]) for v in (3, 5)],
        expected={"add": half, "xor": half},
    )


def minmax(dtype: str, elements: int) -> Kernel:
    """Maximum and minimum with four arrays in turn: no clamp of constants that could be merged."""
    import jax.numpy as jnp

    def chains(x: Any, *limits: Any) -> Any:
        ys = _spread(x)
        for step in range(CHAIN):
            choose = jnp.minimum if step % 2 else jnp.maximum
            ys = [choose(y, limits[step % len(limits)]) for y in ys]
        return _total(ys)

    with _precise(dtype):
        x = jnp.ones(elements, NAMES[dtype])
        half = CHAIN * CHAINS // 2
        return _kernel(
            f"vector.{dtype}.minmax",
            f"{elements} chains of maximum and minimum",
            float(CHAIN * CHAINS * elements),
            chains,
            x,
            *[x * limit for limit in (0.5, 1.5, 0.25, 1.75)],
            expected={"maximum": half, "minimum": half},
        )


def divide(dtype: str, elements: int) -> Kernel:
    """y = c / (y + 1), the divisions counted."""
    return _unary(f"vector.{dtype}.divide", "divide", dtype, elements, lambda y, c: c / (y + 1))


SPECIAL: dict[str, Callable[[Any, Any, Any], Any]] = {
    "exponential": lambda lax, y, c: lax.exp(-y),
    "exponential-minus-one": lambda lax, y, c: lax.expm1(-y),
    "log": lambda lax, y, c: lax.log(y + c),
    "log-plus-one": lambda lax, y, c: lax.log1p(y),
    "tanh": lambda lax, y, c: lax.tanh(y + c),
    "sine": lambda lax, y, c: lax.sin(y + c),
    "cosine": lambda lax, y, c: lax.cos(y + c),
    "sqrt": lambda lax, y, c: lax.sqrt(y + c),
    "rsqrt": lambda lax, y, c: lax.rsqrt(y + c),
    "power": lambda lax, y, c: lax.pow(y + c, c),
    "erf": lambda lax, y, c: lax.erf(y + c),
    "atan2": lambda lax, y, c: lax.atan2(y, c),
    "cbrt": lambda lax, y, c: lax.cbrt(y + c),
    "tan": lambda lax, y, c: lax.tan(y),
}


def special(opcode: str, dtype: str, elements: int) -> Kernel:
    """A chain of one special function, the additions between keeping its argument in a small range."""
    from jax import lax

    return _unary(f"special.{dtype}.{opcode}", opcode, dtype, elements, lambda y, c: SPECIAL[opcode](lax, y, c))


def _unary(figure: str, opcode: str, dtype: str, elements: int, function: Callable[[Any, Any], Any]) -> Kernel:
    import jax.numpy as jnp
    import numpy as np

    def chains(x: Any, c: Any) -> Any:
        ys = _spread(x)
        for _ in range(SPECIAL_CHAIN):
            ys = [function(y, c) for y in ys]
        return _total(ys)

    with _precise(dtype):
        return _kernel(
            figure,
            f"{elements} chains of {opcode}",
            float(SPECIAL_CHAIN * CHAINS * elements),
            chains,
            jnp.asarray(np.linspace(0, 1, elements), NAMES[dtype]),
            jnp.asarray(1.5, NAMES[dtype]),
            expected={opcode: SPECIAL_CHAIN * CHAINS},
        )


def _spread(x: Any) -> list[Any]:
    return [x + x.dtype.type(start) for start in range(CHAINS)]


def _total(ys: list[Any]) -> Any:
    result = ys[0]
    for y in ys[1:]:
        result = result + y
    return result


def product_reductions(elements: int) -> Iterator[Kernel]:
    """sum(A * B) and max(A * B), the pair of the article "Sizing Up Neural Nets": 2 FLOP per element."""
    import jax.numpy as jnp

    x = jnp.ones(elements, "float32")
    for name, reduce in (("sum_product", jnp.sum), ("max_product", jnp.max)):
        yield _kernel(
            f"vector.f32.{name}",
            f"{name.replace('_', ' of a ')} of {elements} elements",
            2.0 * elements,
            lambda a, b, reduce=reduce: reduce(a * b),
            x,
            x,
            less_call=True,
        )


def streams(level: str, size: int, traffic: float) -> Iterator[Kernel]:
    """Reading, updating in place and copying `size` bytes, repeated in one program up to `traffic` bytes."""
    import jax.numpy as jnp
    from jax import lax

    parts = 8
    elements = size // 4 // parts * parts
    loops = max(1, int(traffic / size))
    nbytes = 4.0 * elements
    shown = f"{size // 1024} KiB" if size < 2**22 else f"{size // 2**20} MiB"
    x = jnp.ones(elements, "float32")
    y = jnp.ones(elements // parts, "float32")

    def sums(start: Any, x: Any) -> Any:
        return lax.fori_loop(0, loops, lambda _, total: jnp.sum(x * total) * 1e-9 + 1, start)

    def fold(y: Any, x: Any) -> Any:
        slices = [slice(part * y.size, (part + 1) * y.size) for part in range(parts)]
        return lax.fori_loop(0, loops, lambda _, y: _total([y * 0.5, *(x[s] for s in slices)]), y)

    def update(x: Any) -> Any:
        return lax.fori_loop(0, loops, lambda _, x: x * 0.999 + 0.001, x)

    read = f"memory.{level}.read"
    yield _kernel(read, f"sums of {shown}", nbytes * loops, sums, jnp.float32(1), x)
    yield _kernel(read, f"one sum of {shown}", nbytes, jnp.sum, x, less_call=True)
    yield _in_place(read, f"folding {shown} into an eighth", nbytes * loops * (1 + 2 / parts), fold, y, x)
    yield _in_place(f"memory.{level}.update", f"updates of {shown} in place", 2 * nbytes * loops, update, x + 0)
    if size >= SMALLEST_COPY:
        yield _kernel(f"memory.{level}.copy", f"copies of {shown}", 2 * nbytes, lambda x: x * 1.5, x, less_call=True)


def _in_place(figure: str, of: str, work: float, function: Callable[..., Any], state: Any, *args: Any) -> Kernel:
    """A kernel that is given its own last result to write to, as a donated argument."""
    program = compiled(function, state, *args, donate=True)
    held = [state]

    def run() -> Any:
        held[0] = program(held[0], *args)
        return held[0]

    return Kernel(figure=figure, of=of, work=work, run=run)


def overheads(backend: str) -> Iterator[Kernel]:
    """An empty call, two programs of a few tiny kernels in a row, and on a CPU one whose runtime hands it to
    another thread and one that it splits over the cores."""
    import jax
    import jax.numpy as jnp

    x = jnp.arange(8, dtype="float32")
    call = jax.jit(lambda x: x + 1)
    yield Kernel(figure="call", of="a call", work=1.0, run=lambda: call(x), wait=True)
    for count in LAUNCHES:

        def chain(x: Any, count: int = count) -> Any:
            for _ in range(count):
                x = x * 0.5 + jnp.max(x)
            return x

        program = compiled(chain, x)
        yield Kernel(
            figure=f"launch.{count}",
            of=f"{count} kernels",
            work=1.0,
            run=lambda program=program: program(x),  # type: ignore[misc]
            wait=True,
        )
    if backend == "cpu":
        some, many = jnp.ones(DISPATCHED, "float32"), jnp.ones(SPLIT, "float32")
        dispatched = _in_place("dispatch", f"an update of {DISPATCHED} elements", 1.0, lambda x: x * 0.5 + 1, some)
        yield replace(dispatched, wait=True)
        total = compiled(jnp.sum, many)
        yield Kernel(figure="split", of=f"a sum of {SPLIT} elements", work=1.0, run=lambda: total(many), wait=True)
