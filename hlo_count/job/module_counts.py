"""What is kept of one module among many: totals, largest contributors and unknowns, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.hlo import Module
from hlo_count.hlo.excerpts import excerpts
from hlo_count.hlo.lines import with_newlines
from hlo_count.hlo.parser import module_of
from hlo_count.hlo.stage import Stage
from hlo_count.lowering.dump_names import unpacked_name
from hlo_count.lowering.files import decoded
from hlo_count.lowering.hlo_protos import proto_text
from hlo_count.lowering.stored import kind_of
from hlo_count.measured.traces.kept_programs import KeptPrograms
from hlo_count.measured.traces.trace_files import SUFFIX as TRACE
from hlo_count.measured.traces.xspace import XSpace
from hlo_count.report.report import Report
from hlo_count.visitors.cost import Cost, Status

KEYS = ("source", "scope", "class")
"""What contributors are kept by."""
MOST = 20
"""Contributors that are kept of a key, by FLOP and by bytes; the others are one, so that they add up to the total."""
OF_PROGRAM = ("backend", "num_devices", "stage", "jax_version", "instructions")
OF_DATA = (
    "bytes_status", "parameters", "argument_bytes", "output_bytes", "compulsory_bytes", "peak_bytes", "peak_status",
)  # fmt: skip
"""What rows say of a module before and after its costs, by the names of ModuleCounts."""
EVERYTHING_ELSE = "(everything else)"


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """Unknowns of one module that are settled together."""

    what: str
    """The opcode, with the target of a custom call."""
    reason: str
    """Why, without the shapes."""
    status: Status
    source: str
    """`file:line` of the first, "" where the text has none."""
    settle: str
    """What settles them."""
    instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCounts:
    """One run of one module on one device."""

    name: str
    backend: str
    num_devices: int
    stage: Stage
    jax_version: str | None
    """None where nothing tells."""
    instructions: int
    total: Cost
    bytes_status: Status
    parameters: int
    """Elements of all array arguments."""
    argument_bytes: int
    output_bytes: int
    compulsory_bytes: int
    peak_bytes: int
    peak_status: Status
    contributors: Mapping[str, Mapping[str, Cost]]
    """Costs by KEYS and by name; each key adds up to the total."""
    unknowns: tuple[UnknownKind, ...]

    @property
    def unknown_instructions(self) -> int:
        return sum(kind.instructions for kind in self.unknowns)


def counts_of(module: Module, jax_version: str | None = None, xla_peak: int | None = None) -> ModuleCounts:
    """Count a module; `xla_peak` is what XLA says of its memory. Raises HloCountError for what contradicts itself."""
    report = Report(module, jax_version=jax_version)
    return ModuleCounts(
        name=report.name,
        backend=report.backend,
        num_devices=report.num_devices,
        stage=report.stage,
        jax_version=jax_version,
        instructions=module.num_instructions,
        total=report.total,
        bytes_status=report.bytes_status,
        parameters=report.parameters,
        argument_bytes=report.argument_bytes,
        output_bytes=report.output_bytes,
        compulsory_bytes=report.compulsory_bytes,
        peak_bytes=report.peak_bytes,
        peak_status=report.peak.beside(xla_peak).status,
        contributors={key: largest(report.by(key)) for key in KEYS},
        unknowns=tuple(
            UnknownKind(
                group.unknowns[0].what,
                group.unknowns[0].reason.partition(": (")[0],  # behind it the signature
                group.unknowns[0].status,
                group.unknowns[0].source,
                group.advice,
                len(group.unknowns),
            )
            for group in report.settlements
        ),
    )


def largest(costs: Mapping[str, Cost], most: int = MOST) -> dict[str, Cost]:
    """The `most` by FLOP and the `most` by bytes, and one for everything else."""
    kept = {name for counter in ("flops", "bytes") for name in _by(costs, counter)[:most]}
    found = {name: cost for name, cost in costs.items() if name in kept}
    rest = [cost for name, cost in costs.items() if name not in kept]
    return {**found, EVERYTHING_ELSE: Cost.sum(rest)} if rest else found


def _by(costs: Mapping[str, Cost], counter: str) -> list[str]:
    """Names, the largest first; those that are as large in the order of the alphabet."""
    return sorted(costs, key=lambda name: (-getattr(costs[name], counter), name))


@dataclass(frozen=True, slots=True)
class ModuleInFile:
    """One module that a file holds, or what is wrong with it."""

    module: Module | HloCountError
    jax_version: str | None = None
    """Of the process that compiled it, where the file tells: a trace does."""


def modules_in(data: bytes, name: str) -> Iterator[ModuleInFile]:
    """Every module in the unpacked bytes of what messages call `name`; none where there is no HLO in them.

    Raises HloCountError for a proto or trace that cannot be read, and for a program that has not been compiled.
    """
    if unpacked_name(name).endswith(TRACE):  # a trace that breaks off may have no mark of a protocol buffer in it
        yield from _in_trace(data, name)
        return
    kind = kind_of(data)
    if kind in ("stablehlo", "exported"):
        raise HloCountError(f"{name}: this is a program to compile, not HLO: hlo-count count {name}")
    if kind == "text" and b"HloModule" not in data and b"ENTRY" not in data:
        return
    yield from _in_text(proto_text(data, name) if kind == "proto" else decoded(data, name), name)


def _in_trace(data: bytes, name: str) -> Iterator[ModuleInFile]:
    space = XSpace(Path(name), data)
    kept = KeptPrograms(space)
    for text in kept.texts():
        yield from _in_text(text, name, kept.jax_version)
    if space.broken is not None:
        yield ModuleInFile(
            HloCountError(f"{name}: breaks off at byte {space.broken:,}: what follows there is not known")
        )


def _in_text(text: str, name: str, jax_version: str | None = None) -> Iterator[ModuleInFile]:
    for found in excerpts(with_newlines(text)):
        try:
            module: Module | HloCountError = module_of(found, name)
        except HloCountError as problem:
            module = problem
        yield ModuleInFile(module, jax_version)


def module_in(path: Path, data: bytes) -> Module:
    """The one module in a dump. Raises HloCountError where it cannot be read, or there is none."""
    found = next(modules_in(data, str(path)), None)
    if found is None:
        raise HloCountError(f"{path}: holds no HLO, though its name says so: was the run killed while it was dumped?")
    if isinstance(found.module, HloCountError):
        raise found.module
    return found.module
