"""Loops for tests: one to fill in, and what is found in a text."""

from __future__ import annotations

from hlo_count.hlo import Instruction, Module, parse
from hlo_count.hlo.trip_counts import TripCount, trip_count


def loops(module: Module) -> list[Instruction]:
    return [instruction for instruction in module.instructions() if instruction.opcode == "while"]


def counts(text: str) -> list[int | None]:
    return [trip_count(loop).n for loop in loops(parse(text))]


def only(text: str) -> TripCount:
    (loop,) = loops(parse(text))
    return trip_count(loop)


def loop_text(
    dtype: str = "s32",
    start: object = 0,
    bound: object = 10,
    direction: str = "LT",
    update: str = "add(i, one)",
    one: object = 1,
    condition: str = "compare(i, n), direction={direction}",
    init: str = "",
    config: str = "",
) -> str:
    """A loop whose counter is element 0 of its tuple; element 1, which the body passes on, is its bound."""
    init = init or f"i = {dtype}[] constant({start})\n  n = {dtype}[] constant({bound})"
    return f"""HloModule m

body {{
  p = ({dtype}[], {dtype}[]) parameter(0)
  i = {dtype}[] get-tuple-element(p), index=0
  n = {dtype}[] get-tuple-element(p), index=1
  one = {dtype}[] constant({one})
  next = {dtype}[] {update}
  ROOT t = ({dtype}[], {dtype}[]) tuple(next, n)
}}

condition {{
  p = ({dtype}[], {dtype}[]) parameter(0)
  i = {dtype}[] get-tuple-element(p), index=0
  n = {dtype}[] get-tuple-element(p), index=1
  ROOT goes_on = pred[] {condition.format(direction=direction)}
}}

ENTRY main {{
  {init}
  t = ({dtype}[], {dtype}[]) tuple(i, n)
  ROOT loop = ({dtype}[], {dtype}[]) while(t), condition=condition, body=body{config}
}}
"""
