"""The module after every pass of one compile, as XLA's dump files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hlo_count.lowering.lower import lower
from hlo_count.lowering.program import Program


def dump_passes(
    fn: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    directory: str | Path = ".",
    *,
    target: Any = None,
    mesh: Mapping[str, int] | None = None,
    in_specs: Any = None,
    compiler_options: Mapping[str, Any] | None = None,
    pass_filter: str = ".*",
) -> Program:
    """Compile as `lower` does, and leave the module after each pass in `directory`, made if need be.

    XLA names the files `module_NNNN.NAME.SEQ.PIPELINE.after_PASS.before_PASS.txt`; `pass_filter` is a regular
    expression on the names of passes and pipelines.
    """
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    dumping = {
        "xla_dump_to": str(path.resolve()),
        "xla_dump_hlo_pass_re": pass_filter,
        "xla_dump_hlo_as_text": True,
    }
    options = {**(compiler_options or {}), **dumping}
    there = set(path.iterdir())
    program = lower(fn, args, kwargs, target=target, mesh=mesh, in_specs=in_specs, compiler_options=options)
    if program.backend == "gpu":  # the one with fallbacks; TPU's goes on with a copy that has a number of its own
        _remove_failed(set(path.iterdir()) - there, program.name)
    return program


def _remove_failed(written: set[Path], name: str) -> None:
    """Of a program that was compiled more than once, with other options after a failure, the last compile is it."""
    numbered = {file: int(found[1]) for file in written if (found := re.match(r"module_(\d+)\.", file.name))}
    own = [number for file, number in numbered.items() if file.name.startswith(f"module_{number:04}.{name}.")]
    for file, number in numbered.items():
        if number < max(own, default=0):
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()
