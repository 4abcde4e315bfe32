"""Serialized HLO as text: an HloModuleProto, or what holds one."""

from __future__ import annotations

from typing import Any

from hlo_count.errors import HloCountError, last_line
from hlo_count.lowering.quiet import quiet, settle_default_backend
from hlo_count.lowering.wire_format import BrokenMessageError, fields


def proto_text(data: bytes, name: str) -> str:
    """The text of a serialized HloModuleProto, or of an HloProto, HloSnapshot or executable around one.

    Raises HloCountError for other protocol buffers and damaged ones.
    """
    module = _module_proto(data)
    if module is None:
        raise HloCountError(
            f"{name}: a damaged protocol buffer, or one without an HLO module (a profile such as xplane.pb has none): "
            f"pass a dump of --xla_dump_hlo_as_proto or --xla_dump_hlo_as_text"
        )
    reader = _hlo_module()
    try:
        with quiet():
            text = str(reader.from_serialized_hlo_module_proto(module).to_string())
    except Exception as problem:  # XLA's status, of a class that differs by version
        raise HloCountError(
            f"{name}: this HLO module is damaged, or of a newer XLA than this jaxlib has ({last_line(problem)}): dump "
            f"it again, or read it with a newer jaxlib"
        ) from problem
    return _with_devices(text, module)


_DEVICE_ASSIGNMENT = 15
"""The field of an HloModuleProto that says which devices run it, as replicas (1) times partitions (2)."""


def _with_devices(text: str, module: bytes) -> str:
    """The text with the numbers of devices in its header, which XLA's reader leaves out."""
    counts: dict[int, Any] = {}
    for field, value in fields(module, 0, len(module)):
        if field == _DEVICE_ASSIGNMENT and isinstance(value, tuple):
            counts.update(fields(module, *value))
    header, newline, rest = text.partition("\n")
    for number, attribute in ((2, "num_partitions"), (1, "replica_count")):
        count = counts.get(number, 1)
        if isinstance(count, int) and count > 1 and f"{attribute}=" not in header:
            header += f", {attribute}={count}"
    return header + newline + rest


def _hlo_module() -> Any:
    """jaxlib's HloModule, which no public name gives."""
    settle_default_backend()
    from importlib import import_module

    try:
        return import_module("jaxlib._hlo").HloModule
    except ImportError:  # an older jaxlib has it elsewhere
        found = getattr(import_module("jaxlib.xla_client")._xla, "HloModule", None)
    if found is None:
        raise HloCountError("this jaxlib has no HloModule to read an HLO proto with: dump with --xla_dump_hlo_as_text")
    return found


def _module_proto(data: bytes, depth: int = 4) -> bytes | None:
    """The bytes of the HloModuleProto: fields 1 and 2 are names, 3 the computations; around it field 1 is a message."""
    found: dict[int, bytes] = {}
    try:
        for number, value in fields(data, 0, len(data)):
            if isinstance(value, tuple):
                found.setdefault(number, data[slice(*value)])
    except BrokenMessageError:
        return None
    if 1 not in found:
        return None
    if 2 in found and 3 in found and b"\0" not in found[1]:
        return data
    return _module_proto(found[1], depth - 1) if depth > 1 else None
