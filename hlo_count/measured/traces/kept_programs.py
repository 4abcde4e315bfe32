"""The HLO of the programs that a trace keeps, those that did not run while it was recorded too."""

from __future__ import annotations

from collections.abc import Iterator

from hlo_count.lowering.hlo_protos import proto_text
from hlo_count.measured.traces.op_events import METADATA_PLANE, program_id, with_id
from hlo_count.measured.traces.xspace import Plane, XSpace

_HLO = "Hlo Proto"


class KeptPrograms:
    """What the metadata of one trace file hold of programs."""

    def __init__(self, space: XSpace) -> None:
        self._path = space.path
        self.jax_version: str | None = None
        self._kept: list[tuple[str, Plane, tuple[int, int]]] = []
        self._by_id: dict[int, int] = {}
        self._by_name: dict[str, list[int]] = {}
        for plane in space.planes:
            if plane.name != METADATA_PLANE:
                continue
            self.jax_version = plane.stats.get("jax_version") or self.jax_version
            for key, metadata in plane.metadata:
                where = metadata.stats.get(_HLO)
                if isinstance(where, tuple):
                    name, written = with_id(metadata.name)
                    number = program_id(metadata.stats.get("program_id", key if written is None else written))
                    if number is not None:
                        self._by_id[number] = len(self._kept)
                    self._by_name.setdefault(name, []).append(len(self._kept))
                    self._kept.append((name, plane, where))

    def __len__(self) -> int:
        return len(self._kept)

    def text_of(self, name: str, number: int | None) -> str | None:
        """The HLO of a program, by its id, else by its name where one alone has it; None where it is not there.

        Raises HloCountError for a damaged one.
        """
        at = None if number is None else self._by_id.get(number)
        alike = self._by_name.get(name, [])
        if at is None and len(alike) == 1:  # a version that writes no id, or another one
            at = alike[0]
        return None if at is None else self._text(at)

    def texts(self) -> Iterator[str]:
        """The HLO of each, in the order of the file. Raises HloCountError for a damaged one."""
        return (self._text(at) for at in range(len(self._kept)))

    def _text(self, at: int) -> str:
        name, plane, where = self._kept[at]
        return proto_text(plane.bytes(where), f"{self._path}, {name}")
