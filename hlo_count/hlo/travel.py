"""How a module leaves its process: pickled and copied as its text, compressed; what belongs to it goes by its place."""

from __future__ import annotations

import copyreg
import zlib
from typing import Any

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.excerpts import Excerpt
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.parser import module_of

Packed = tuple[bytes, str | None, int, str | None, tuple[int, ...], dict[str, tuple[int, ...]]]
"""A module's text, compressed, its file's name, the line there on which it begins, its backend, its devices in
slices and integers that the text leaves out, where known."""

_FASTEST = 1
"""zlib's level: HLO text shrinks by ten at the fastest, and little more at the slowest."""


def pack(module: Module) -> Packed:
    """A module as `unpack` takes it: small, and plain data."""
    text = zlib.compress(module.text.encode(errors="surrogatepass"), _FASTEST)
    return text, module.filename, module.lines.first, module.backend, module.assignment, module.integers


def unpack(
    text: bytes,
    filename: str | None,
    first_line: int,
    backend: str | None,
    assignment: tuple[int, ...],
    integers: dict[str, tuple[int, ...]],
) -> Module:
    """The module, read again from its text."""
    module = module_of(Excerpt(zlib.decompress(text).decode(errors="surrogatepass"), first_line), filename)
    module.backend, module.assignment, module.integers = backend, assignment, integers
    return module


def _computation(module: Module, name: str) -> Computation:
    return module.computations[name]


def _instruction(computation: Computation, index: int) -> Instruction:
    return computation.instructions[index]


def _reduce_module(module: Module) -> tuple[Any, ...]:
    return unpack, pack(module)


def _reduce_computation(computation: Computation) -> tuple[Any, ...]:
    return _computation, (computation.module, computation.name)


def _reduce_instruction(instruction: Instruction) -> tuple[Any, ...]:
    return _instruction, (instruction.computation, instruction.index)


copyreg.pickle(Module, _reduce_module)
copyreg.pickle(Computation, _reduce_computation)
copyreg.pickle(Instruction, _reduce_instruction)
