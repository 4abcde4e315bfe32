"""What a text, a file or bytes hold: an HLO Module, or a program to compile. By content, not by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.hlo import Module, parse
from hlo_count.lowering.dump_folder import Compile, read_folder, written_beside
from hlo_count.lowering.dump_names import Dump, dump_of
from hlo_count.lowering.files import decoded, read_file, unpacked
from hlo_count.lowering.hlo_protos import proto_text
from hlo_count.lowering.stored import kind_of, load_stored

_FILE_NAME = re.compile(r"[^\s{}()\[\]=%\"]{1,400}\.[A-Za-z][A-Za-z0-9]{0,9}")
"""What is no HLO and looks like the name of a file. Whether it is there nobody asks: a text names what it likes."""


def opened(source: str | bytes | bytearray | Path, module: str | int | None = None) -> Any:
    """The Module of HLO as text or proto, or what `lower` takes of an export or StableHLO.

    `module` names one of several in a text, as `hlo_count.parse` has it, or in a folder that XLA dumped into, of which
    it is the last state. Raises HloCountError naming what is wrong.
    """
    if isinstance(source, str):
        if kind_of(source[:65536].encode(errors="replace")) == "stablehlo":
            # A str can hold half of a surrogate pair, which UTF-8 has no bytes for.
            return _of_one(load_stored(source.encode(errors="replace"), "StableHLO"), "StableHLO", module)
        if _FILE_NAME.fullmatch(source):
            raise HloCountError(f"{source!r} is taken for HLO text: of a file pass pathlib.Path({source!r})")
        return parse(source, module=module)
    if isinstance(source, Path):
        return _of_folder(source, module) if source.is_dir() else _of_file(source, module)
    return opened_bytes(unpacked(bytes(source), "<bytes>"), "<bytes>", module)


def opened_bytes(data: bytes, name: str, module: str | int | None = None) -> Any:
    """As `opened`, of the unpacked bytes of what messages call `name`."""
    match kind_of(data):
        case "stablehlo" | "exported":
            return _of_one(load_stored(data, name), name, module)
        case "proto":
            return parse(proto_text(data, name), filename=name, module=module)
        case _:
            return parse(decoded(data, name), filename=name, module=module)


def beside(source: Path, module: str | int | None = None) -> dict[str, Path]:
    """What XLA wrote beside the program that `opened` gives of a file or a folder: its buffers, its memory."""
    if source.is_dir():
        chosen = read_folder(source).chosen(module)
        return chosen.beside if isinstance(chosen, Compile) else {}
    return written_beside(source)


def _of_file(path: Path, module: str | int | None) -> Any:
    found = opened_bytes(read_file(path), str(path), module)
    state = dump_of(path)
    if isinstance(found, Module) and isinstance(state, Dump):
        found.backend = state.backend
    return found


def _of_folder(path: Path, module: str | int | None) -> Any:
    chosen = read_folder(path).chosen(module)
    if not isinstance(chosen, Compile):
        return opened(chosen)
    found = opened(chosen.best)
    found.backend = chosen.backend
    return found


def read(source: Path) -> Module:
    """The module in a file of HLO text or of an HLO proto. Raises HloCountError naming what is wrong."""
    found = opened(source)
    if not isinstance(found, Module):
        raise HloCountError(f"{source}: this is a program to compile, not HLO: pass it to count")
    return found


def _of_one(program: Any, name: str, module: str | int | None) -> Any:
    if module is not None:
        raise HloCountError(f"{name}: this is one program to compile, of which no module can be chosen")
    return program
