"""Random HLO programs: `modules()` is a Hypothesis strategy of texts that XLA's parser accepts.

Operands, dtypes and attributes fit together; the style differs from text to text: with and without `%`,
operand shapes, result shapes where they follow from the operands, layouts, tiles, dead code, control edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from random_hlo import calls, elementwise, movement, network, special, windows
from random_hlo.builder import Body, Choices, Program, Step

__all__ = ["OPCODES", "drawn", "modules"]

OPCODES: dict[str, Step] = {
    step.__name__.removesuffix("_op").replace("_", "-"): step
    for part in (elementwise, movement, windows, special, network, calls)
    for step in part.STEPS
}
"""What a program is made of, by the word that `modules(opcodes=...)` takes."""

_CALLING = frozenset(("fusion", "call", "async"))


@st.composite
def modules(
    draw: Callable[[st.SearchStrategy[Any]], Any], opcodes: Sequence[str] = tuple(OPCODES), max_size: int = 8
) -> str:
    """The text of a module that XLA parses, made of up to `max_size` steps, words of OPCODES."""
    choices = Choices(draw)
    inner = [OPCODES[word] for word in opcodes if word not in _CALLING]
    program = Program(choices, [OPCODES[word] for word in opcodes], inner or [elementwise.unary_op])
    entry = Body(program, "main")
    entry.grow(choices.integer(1, max_size))
    entry.close(choices.pick(entry.values[-3:]), entry=True)
    return f"HloModule {program.name('random')}\n\n" + "\n\n".join(program.computations) + "\n"


def drawn(count: int, start: int) -> list[str]:
    """So many random modules, less those drawn twice; the same seed `start` gives the same."""
    texts: list[str] = []

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(modules())
    def draw(text: str) -> None:
        texts.append(text)

    draw()
    return list(dict.fromkeys(texts))
