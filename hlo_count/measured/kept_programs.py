"""The HLO of the programs that a trace keeps, those that did not run while it was recorded too."""

from __future__ import annotations

from collections.abc import Iterator

from hlo_count.lowering.stored import proto_text
from hlo_count.measured.op_events import METADATA_PLANE
from hlo_count.measured.xspace import Plane, XSpace

_HLO = "Hlo Proto"


class KeptPrograms:
    """What the metadata of one trace file hold of programs."""

    def __init__(self, space: XSpace) -> None:
        self._path = space.path
        self.jax_version: str | None = None
        self._kept: list[tuple[str, Plane, tuple[int, int]]] = []
        self._by_key: dict[int | str, int] = {}
        for plane in space.planes:
            if plane.name != METADATA_PLANE:
                continue
            self.jax_version = plane.stats.get("jax_version") or self.jax_version
            for key, metadata in plane.metadata:
                if _HLO in metadata.stats:
                    name = metadata.name.partition("(")[0]
                    self._by_key[int(metadata.stats.get("program_id", key)) & (2**64 - 1)] = len(self._kept)
                    self._by_key.setdefault(name, len(self._kept))
                    self._kept.append((name, plane, metadata.stats[_HLO]))

    def __len__(self) -> int:
        return len(self._kept)

    def text_of(self, key: int | str) -> str | None:
        """The HLO of a program, by id or name; None where it is not there. Raises HloCountError for a damaged one."""
        at = self._by_key.get(key)
        return None if at is None else self._text(at)

    def texts(self) -> Iterator[str]:
        """The HLO of each, in the order of the file. Raises HloCountError for a damaged one."""
        return (self._text(at) for at in range(len(self._kept)))

    def _text(self, at: int) -> str:
        name, plane, where = self._kept[at]
        return proto_text(plane.bytes(where), f"{self._path}, {name}")
