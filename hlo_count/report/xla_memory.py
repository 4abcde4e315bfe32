"""The memory that XLA itself says a module takes: of a compile that is at hand, or beside a dump."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.files import read_file
from hlo_count.visitors.cost import MAIN
from hlo_count.visitors.memory_spaces import space_name

_ALLOCATION = re.compile(r"^allocation \d+: (?:0x[0-9a-f]+, )?size (\d+)(?:, color (\d+))?(.*)$", re.M)
_NOT_COUNTED = re.compile(r"\b(?:constant|thread-local)\b")
"""Constants are part of the program, and what is local to a thread is a stack's."""
_REPORT = re.compile(r"^Memory Space: .*\(color=(\d+)\)\s+Total bytes: (\d+)", re.M)


def peak_of_compiled(compiled: Any) -> int | None:
    """Arguments + outputs + temporaries - aliases of `memory_analysis()`; None where its backend has none."""
    try:
        memory = compiled.memory_analysis()
    except NotImplementedError:
        return None
    if memory is None:
        return None
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return int(taken - memory.alias_size_in_bytes)


def xla_peak(beside: Mapping[str, Path], backend: str) -> int | None:
    """Bytes of main memory that XLA assigned: arguments, outputs and temporaries, as `peak_bytes` has them.

    By the sizes in its buffer assignment; without one the total of its memory usage report, which has constants too.
    None where neither lies there, or neither can be read.
    """
    for what, read in (("buffer-assignment", _assigned), ("memory-usage-report", _reported)):
        if what in beside:
            try:
                text = read_file(beside[what]).decode(errors="replace")
            except HloCountError:
                continue  # the count does not need it
            if (found := read(text, backend)) is not None:
                return found
    return None


def _assigned(text: str, backend: str) -> int | None:
    sizes = [
        int(size)
        for size, color, about in _ALLOCATION.findall(text)
        if space_name(backend, int(color or 0)) == MAIN and not _NOT_COUNTED.search(about.partition("shape |")[0])
    ]
    return sum(sizes) if "BufferAssignment:" in text else None


def _reported(text: str, backend: str) -> int | None:
    sizes = [int(size) for color, size in _REPORT.findall(text) if space_name(backend, int(color)) == MAIN]
    return sum(sizes) if sizes else None
