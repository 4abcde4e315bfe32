"""The states of one compile among XLA's dumps, in their order."""

from __future__ import annotations

import re
from dataclasses import replace

from hlo_count.errors import HloCountError
from hlo_count.lowering.dump_folder import Compile, DumpFolder
from hlo_count.lowering.dump_names import FINAL, START, Dump

_HOW = "dump with --xla_dump_to, --xla_dump_hlo_as_text and --xla_dump_hlo_pass_re=.*"


def find_dumps(folder: DumpFolder, module: str | None = None, pattern: str | None = None) -> list[Dump]:
    """The dumps of one module in order. `pattern` is a regular expression on `PIPELINE.PASS`; the ends always stay.

    `module` names one where there are several, as `DumpFolder.chosen` has it. Raises HloCountError for a folder that
    holds no HLO, and where the module cannot be told.
    """
    wanted = expression(pattern or "")
    if not folder.compiles:
        raise HloCountError(f"{folder.path}: holds no HLO after passes; {_HOW}")
    chosen = replace(folder, others=()).chosen(module)
    assert isinstance(chosen, Compile)
    ends = (START, FINAL)
    return [d for d in chosen.states if d.name in ends or wanted.search(f"{d.pipeline}.{d.name}")]


def expression(pattern: str) -> re.Pattern[str]:
    """A regular expression on `PIPELINE.PASS`. Raises HloCountError for what is none."""
    try:
        return re.compile(pattern)
    except re.error as problem:
        raise HloCountError(f"{pattern!r} is no regular expression: {problem}") from None
