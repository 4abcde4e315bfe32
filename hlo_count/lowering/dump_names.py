"""What XLA calls the files that it dumps: of which module each is, and what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

START, FINAL = "before optimizations", "after optimizations"
"""What the first and the last state of a compile are called."""
PACKED = (".gz", ".zst", ".xz", ".bz2")
"""Suffixes of files that are unpacked when they are read."""
_TEXTS = (".txt", ".hlo")
_MODULE = r"^(?P<module>(?:\d+\.)?module_(?P<number>\d+)(?:\.(?P<name>.+?))?)"
"""`module_0008.jit_train_step`; before it the time, where XLA was told to write it; too long a name is left out."""
_HLO = r"\.(?:txt|hlo|hlo\.pb|pb)$"
_ABOUT = r"\.(?P<about>(?:sm_\d+\.)?\w+?_)??"
"""What the last state is compiled for: `cpu_`, `gpu_`, `sm_9.0a_gpu_`."""
_PASS = re.compile(rf"{_MODULE}\.(?P<order>\d{{4,}})\.(?P<pipeline>.+?)\.after_(?P<pass>.+?)(?:\.before_.+)?{_HLO}")
_ENDS = re.compile(rf"{_MODULE}{_ABOUT}(?P<which>before|after)_optimizations{_HLO}")
_BESIDE = re.compile(rf"{_MODULE}{_ABOUT}after_optimizations-(?P<what>[a-z-]+)\.txt$")
_ANY = re.compile(r"^(?:\d+\.)?module_\d+\.")
_BUILD = re.compile(r"\.cl_\d+$")
"""What TPU's compiler adds to the name of a module: the version that it was built from."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One file: the state of a module after a pass. `name` is START or FINAL at the ends of a compile."""

    path: Path
    module: str
    """`module_0008.jit_train_step`, as XLA numbers and names it."""
    pipeline: str
    name: str
    order: int
    backend: str | None = None
    """What it was compiled for, where the name of the file tells: "cpu" or "gpu"."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What XLA wrote of the last state beside it: "buffer-assignment", "memory-usage-report", "live-range"."""

    path: Path
    module: str
    what: str


def dump_of(path: Path) -> Dump | Beside | None:
    """What a file's name says that it is; None for what no state of a module is, nor stands beside one."""
    name = unpacked_name(path.name)
    if (found := _PASS.match(name)) is not None:
        return Dump(path, found["module"], found["pipeline"], found["pass"], int(found["order"]))
    if (found := _ENDS.match(name)) is not None:
        first = found["which"] == "before"
        about = (found["about"] or "").rstrip("_").rpartition("_")[2]
        backend = about if about in ("cpu", "gpu") else None
        return Dump(path, found["module"], "", START if first else FINAL, -1 if first else 10**9, backend)
    if (found := _BESIDE.match(name)) is not None:
        return Beside(path, found["module"], found["what"])
    return None


def is_dump(path: Path) -> bool:
    """Whether XLA wrote it, whatever it holds: machine code, options and graphs too."""
    return _ANY.match(path.name) is not None


def may_hold_hlo(path: Path) -> bool:
    """Whether a file that XLA did not name may hold HLO, by its suffix."""
    name = unpacked_name(path.name)
    return (name != path.name and "." not in name) or name.endswith((*_TEXTS, ".pb", ".log"))


def is_text(path: Path) -> bool:
    """Whether a dump is a text, which is read without JAX, rather than a protocol buffer."""
    return unpacked_name(path.name).endswith(_TEXTS)


def unpacked_name(name: str) -> str:
    """The name of a file without the suffix that its compression gave it."""
    return next((name.removesuffix(suffix) for suffix in PACKED if name.endswith(suffix)), name)


def number_and_name(module: str) -> tuple[int, str]:
    """`module_0008.jit_train_step` as (8, "jit_train_step")."""
    found = re.match(f"{_MODULE}$", module)
    assert found is not None, module
    return int(found["number"]), _BUILD.sub("", found["name"] or "")
