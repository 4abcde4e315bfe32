"""What texts that grow are made of: modules, computations, lists of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

ROW = "f32[64]"
Bomb = Callable[[int], str]


def module(entry: Iterable[str], *computations: str, header: str = ", is_scheduled=true") -> str:
    return "\n".join([f"HloModule m{header}", *computations, "ENTRY e {", *(f"  {line}" for line in entry), "}"]) + "\n"


def computation(name: str, *lines: str) -> str:
    return "\n".join([f"{name} {{", *(f"  {line}" for line in lines), "}"])


def tuple_of(shapes: Iterable[str]) -> str:
    return f"({', '.join(shapes)})"


def listed(name: str, size: int) -> str:
    return ", ".join(f"{name}{n}" for n in range(size))


ADD = computation("add", "x = f32[] parameter(0)", "y = f32[] parameter(1)", "ROOT r = f32[] add(x, y)")
NEVER = computation("never", f"p = {ROW} parameter(0)", "ROOT r = pred[] constant(false)")
BOTTOM = computation("f0", f"p = {ROW} parameter(0)", f"ROOT r = {ROW} exponential(p)")
CALLED = f"p = {ROW} parameter(0)"
