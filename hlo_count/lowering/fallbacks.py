"""What XLA's GPU compiler cannot do where it has no GPU to try things on, and the option to compile with instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Compile once more with `option` set to `value` where the compiler's message holds `message`."""

    message: str
    option: str
    value: Any
    because: str

    @property
    def note(self) -> str:
        """What the report says about it."""
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"compiled with {self.option}={value}, since {self.because}"


FALLBACKS = (
    Fallback(
        message="Expect autotune result cache hit for deviceless compilation",
        option="xla_gpu_autotune_level",
        value=0,
        because="XLA before jax 0.9 tunes Triton matmuls on the GPU alone",
    ),
    Fallback(
        message="CubSortPairs error",
        option="xla_gpu_enable_cub_radix_sort",
        value=False,
        because="this XLA asks a GPU for the scratch space of a radix sort",
    ),
    # Without autotuning the tiles are defaults, and those need not fit a bitcast of an odd size in the fused operand.
    Fallback(
        message="Couldn't find output tile sizes",
        option="xla_gpu_enable_triton_gemm",
        value=False,
        because="XLA finds no tiles for a Triton matmul of this program where there is no GPU to tune on",
    ),
)


def compile_with_fallbacks(
    compile: Callable[[Mapping[str, Any]], Any], options: Mapping[str, Any]
) -> tuple[Any, tuple[str, ...]]:
    """`compile(options)`, and again for each fallback that its error asks for; the result, with a note for each.

    An option that the user has set stays as it is set. Raises what the last compile raises.
    """
    given, notes = dict(options), list[str]()
    while True:
        try:
            return compile(given), tuple(notes)
        except (RuntimeError, ValueError) as error:
            wanted = (each for each in FALLBACKS if each.message in str(error) and each.option not in given)
            fallback = next(wanted, None)
            if fallback is None:
                raise
        given[fallback.option] = fallback.value
        notes.append(fallback.note)
