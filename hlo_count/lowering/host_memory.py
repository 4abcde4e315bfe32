"""Host memory that a program asks for, and whether its compiled text has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hlo_count.lowering.jaxprs import equations_in

PINNED = "pinned_host"
_LAYOUT = re.compile(r"entry_computation_layout=\{\((.*?)\)->(.*?)\}(?:, \w+=|\s*$)", re.MULTILINE)
_ON_HOST = "S(5)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """How many arguments and outputs a program wants in pinned host memory, and how often it moves something there."""

    arguments: int = 0
    outputs: int = 0
    transfers: int = 0

    def dropped(self, text: str, backend: str) -> tuple[str, ...]:
        """A note on what the compiled `text` has in device memory instead; none on a CPU, where the two are one."""
        if backend == "cpu" or not (self.arguments or self.outputs or self.transfers):
            return ()
        layout = _LAYOUT.search(text)
        given, made = layout.groups() if layout is not None else ("", "")
        missing = {
            "argument": self.arguments - given.count(_ON_HOST),
            "output": self.outputs - made.count(_ON_HOST),
            "transfer": 0 if _ON_HOST in text else self.transfers,
        }
        lost = [f"{number} {what}{'s' if number > 1 else ''}" for what, number in missing.items() if number > 0]
        if not lost:
            return ()
        return (
            f"host memory ({PINNED}) is not kept when compiling for this target: {', '.join(lost)}; counted as device "
            f"memory, without what moves between host and device, so the bytes are a lower bound",
        )


def asked(jaxpr: Any, arguments: Iterable[Any], outputs: Iterable[Any]) -> HostMemory:
    """What a traced program asks for, from the shardings of its `arguments` and `outputs` (None: none) and its body."""
    return HostMemory(
        arguments=sum(map(_is_host, arguments)),
        outputs=sum(map(_is_host, outputs)),
        transfers=sum(_transfers(equation) for equation in equations_in(jaxpr)),
    )


def _transfers(equation: Any) -> int:
    if equation.primitive.name != "device_put":
        return 0
    return sum(map(_is_host, equation.params.get("devices", ())))


def _is_host(place: Any) -> bool:
    """Whether a sharding, a `jax.memory.Space` or a TransferToMemoryKind (older releases) is pinned host memory."""
    return getattr(place, "memory_kind", None) == PINNED or getattr(place, "name", None) == "Host"
