"""Every number of one program: what tables, exports, limits and comparisons are made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from hlo_count.errors import DeviceError, HloCountError, UnknownCostError
from hlo_count.hlo import Instruction, Module
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.making_sense import making_sense_of
from hlo_count.hlo.stage import Stage
from hlo_count.hlo.travel import Packed, pack, unpack
from hlo_count.report.arguments import Argument, arguments_of
from hlo_count.report.breakdown import Group, Naming, breakdown
from hlo_count.report.collectives import CollectiveRow, collective_rows
from hlo_count.report.places import Places, Scopes
from hlo_count.report.source_lines import SourceLines
from hlo_count.report.xla_memory import peak_of_compiled, xla_peak
from hlo_count.under_way import under_way
from hlo_count.visitors.alike import Entry
from hlo_count.visitors.compulsory import compulsory_bytes
from hlo_count.visitors.cost import Cost, Status, Times, weakest
from hlo_count.visitors.devices import Devices, all_devices
from hlo_count.visitors.memory_spaces import backend_of
from hlo_count.visitors.most import most_of
from hlo_count.visitors.padding import CONVOLVING, flops_on_padding
from hlo_count.visitors.peak import Peak, peak_bytes
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.unknowns import Settlement, Unknown, settlements
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.xla import xla_cost
from hlo_count.visitors.xla.float32 import whole

if TYPE_CHECKING:
    from hlo_count.roofline.device import Device
    from hlo_count.roofline.roofline import Roofline

CONVENTIONS = ("default", "xla")


class Counts:
    """What one execution of a program costs on one device.

    Amounts are integers: FLOP (1 FMA = 2), evaluations, operations, bytes. They are those of one device's program;
    where the program runs on several, `num_devices` says on how many. Where `stage` is "unpartitioned" they are those
    of all devices together.
    """

    def __init__(
        self,
        module: Module,
        *,
        backend: str | None = None,
        num_devices: int | None = None,
        jax_version: str | None = None,
        target: str | None = None,
        convention: str = "default",
        settings: Settings | None = None,
        mesh: tuple[tuple[str, int], ...] = (),
        device_kind: str | None = None,
        compiled: Any | None = None,
        strict: bool = False,
        notes: tuple[str, ...] = (),
        lost_lines: Mapping[str, str] | None = None,
        moves_more: bool = False,
        traced_here: bool = False,
        beside: Mapping[str, Path] | None = None,
    ) -> None:
        if convention not in CONVENTIONS:
            raise HloCountError(f"convention {convention!r} does not exist: use 'default' or 'xla'")
        self.module = module
        self.name = module.name
        self.backend = {"cuda": "gpu", "rocm": "gpu"}.get(backend or "", backend) or backend_of(module)
        self.num_devices = num_devices if num_devices is not None else module.num_devices
        self.jax_version = jax_version
        self.target = target
        self.convention = convention
        self.mesh = mesh
        self.device_kind = device_kind
        self.compiled = compiled
        self._lost_lines = dict(lost_lines or {})
        self._moves_more = moves_more
        self._traced_here = traced_here
        self._beside = dict(beside or {})
        self.notes = list(notes)
        """What a reader must know of how the program was compiled and counted, a sentence each."""
        self.settings = settings or Settings()
        under_way(f"counting {module.name}")
        with making_sense_of(module):
            self.walk.total  # noqa: B018  counted here, so that what is wrong with the input is said by count()
        if strict and self.unknowns:
            listed = "\n".join(f"  {group}. Settle it: {group.advice}" for group in self.settlements)
            raise UnknownCostError(
                f"{len(self.unknowns)} unknown in {self.name}, and strict=True was asked for:\n{listed}"
            )

    @cached_property
    def walk(self) -> Walk:
        """The count itself: what each computation costs and how often it runs."""
        return Walk(self.module, self.backend, self.settings)

    # Totals

    @cached_property
    def total(self) -> Cost:
        """All counters of the program as one Cost."""
        if self.convention == "xla":
            with making_sense_of(self.module):
                xla = xla_cost(self.module)
                amounts = {
                    ("flops", "xla", "all", "all"): whole(xla.flops),
                    ("transcendentals", "xla", "all", "all"): whole(xla.transcendentals),
                    ("bytes_read", "main"): whole(xla.bytes),
                }
                return Cost(amounts, self.walk.status)
        with making_sense_of(self.module):
            return self.walk.total

    @property
    def flops(self) -> int:
        """FLOP of one execution on one device; 1 FMA = 2."""
        return self.total.flops

    @property
    def transcendentals(self) -> int:
        """Evaluations of transcendental functions."""
        return self.total.transcendentals

    @property
    def int_ops(self) -> int:
        """Integer and bitwise operations."""
        return self.total.int_ops

    @property
    def other_ops(self) -> int:
        """Compares, selects, converts, sign and rounding operations."""
        return self.total.other_ops

    @property
    def bytes(self) -> int:
        """Traffic with the device's main memory, read and written."""
        return self.total.bytes

    @property
    def bytes_read(self) -> int:
        """Bytes read from the device's main memory. (XLA's convention does not tell reads from writes: all of them.)"""
        return self.total.bytes_read

    @property
    def bytes_written(self) -> int:
        """Bytes written to the device's main memory."""
        return self.total.bytes_written

    @property
    def network_bytes(self) -> int:
        """Bytes that one device sends, over the interconnect and to other slices, ring algorithms."""
        return self.total.network_bytes

    @property
    def dcn_bytes(self) -> int:
        """Those of them that go to other slices of TPUs, over the data-centre network."""
        return self.total.dcn_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: flops / bytes. Infinite without traffic, nan without either."""
        return self.total.intensity

    @property
    def status(self) -> Status:
        """ "exact", "estimate" (a stated choice was made) or "lower bound" (something was not known)."""
        return self.total.status

    @property
    def stage(self) -> Stage:
        """ "optimized": what one device runs. "unoptimized": the same before the compiler optimized it, when operations
        that it would remove or share count, and bytes are those of a kernel for each. "unpartitioned": the program of
        all devices together; what one of them does of it is not known until it is compiled."""
        return self.module.stage

    @property
    def bytes_status(self) -> Status:
        """The status of `bytes`: no better than an estimate where the compiler has yet to form its kernels, and a lower
        bound where more moves than the text shows, which `notes` say."""
        counted: Status = "exact" if self.stage == "optimized" else "estimate"
        return weakest(self.status, "lower bound" if self._moves_more else counted)

    @property
    def unknowns(self) -> list[Unknown]:
        """What was not known, each with how to settle it."""
        with making_sense_of(self.module):
            return self.walk.unknowns

    @cached_property
    def settlements(self) -> list[Settlement]:
        """The unknowns that are one thing together, each group with a call of `count` that settles all of it."""
        return settlements(self.unknowns, self.module)

    @cached_property
    def settled(self) -> list[Settlement]:
        """What was settled without being asked: conditionals that raise an error or do not, counted as not raising."""
        with making_sense_of(self.module):
            return settlements(self.walk.settled, self.module)

    @cached_property
    def at_most(self) -> Cost | None:
        """The totals with the most trips that are certain, and in each counter the dearest branch.

        None where a loop has no certain end or a cost is not known, and in the `xla` convention. Its status is
        "estimate" where a formula's choice is in it, which bounds nothing.
        """
        if self.convention == "xla":
            return None
        with making_sense_of(self.module):
            return most_of(self.walk)

    @cached_property
    def padding_flops(self) -> int:
        """FLOP that convolutions would do in addition if taps that fall on padding counted, as in published figures."""
        with making_sense_of(self.module):
            runs: dict[Computation, Times] = {}  # of bodies that say the same together, by the first of them
            for (computation, _), times in self.walk.runs.items():
                runs[computation.twin] = runs.get(computation.twin, 0) + times
            padded = [(c, times) for c, times in runs.items() if times and not c.opcodes.isdisjoint(CONVOLVING)]
            return round(
                sum(
                    times * flops_on_padding(i)
                    for c, times in padded
                    for i in c.instructions
                    if not self.walk.is_unknown(i)
                )
            )

    # Buffers

    @property
    def parameters(self) -> int:
        """Number of elements of all array arguments of the entry computation (see also `count_parameters`)."""
        return sum(leaf.size for p in self.module.entry.parameters for leaf in p.shape.leaves if leaf.is_array)

    @property
    def arguments(self) -> list[Argument]:
        """The array arguments in their order, each with its path in the pytrees (`params`, `block_0`, `kernel`)."""
        return arguments_of(self.module)

    @property
    def argument_bytes(self) -> int:
        """Bytes of the arguments, as they lie in memory."""
        return sum(p.shape.bytes for p in self.module.entry.parameters)

    @property
    def output_bytes(self) -> int:
        """Bytes of the outputs, as they lie in memory."""
        return self.module.entry.root.shape.bytes

    @cached_property
    def compulsory_bytes(self) -> int:
        """Bytes that must move however good the compiler is: what is read of the arguments, written of the outputs."""
        with making_sense_of(self.module):
            return compulsory_bytes(self.walk)

    @cached_property
    def peak(self) -> Peak:
        """Peak memory with its parts: arguments, outputs, temporaries, aliased."""
        with making_sense_of(self.module):
            return peak_bytes(self.module)

    @property
    def peak_bytes(self) -> int:
        """Arguments + outputs + the most that temporaries take at a time over the schedule - aliases."""
        return self.peak.total

    @cached_property
    def compiler_peak_bytes(self) -> int | None:
        """The same by the compiler: by `memory_analysis()` where the compile is at hand, of a dump by what XLA wrote of
        its buffers beside it; else None."""
        if self.compiled is not None:
            return peak_of_compiled(self.compiled)
        return xla_peak(self._beside, self.backend)

    # Breakdowns

    @cached_property
    def entries(self) -> list[tuple[Instruction, Times, Cost]]:
        """Every instruction that costs anything, how often it runs, and what all its runs cost together."""
        with making_sense_of(self.module), no_garbage_collection():
            return list(self.walk.executed())

    @cached_property
    def rows(self) -> list[Entry]:
        """As `entries`, but what is alike in a fused body is one row: tables are summed from them."""
        with making_sense_of(self.module), no_garbage_collection():
            return list(self.walk.rows())

    @cached_property
    def places(self) -> Places:
        """The line of source behind each instruction, inferred where the compiler gave it none."""
        return Places(self.module, self._lost_lines)

    @cached_property
    def source_lines(self) -> SourceLines:
        """The text of lines of source, of the files that may be read for this program."""
        return SourceLines(traced_here=self._traced_here)

    @cached_property
    def scopes(self) -> Scopes:
        """The user's scopes of each instruction, inferred where the compiler gave it none."""
        return Scopes(self.module)

    @overload
    def by(self, key: str, /, *, depth: int = 2) -> dict[str, Cost]: ...
    @overload
    def by(self, key: str, second: str, /, *more: str, depth: int = 2) -> dict[tuple[str, ...], Cost]: ...
    def by(self, key: str, /, *more: str, depth: int = 2) -> dict[str, Cost] | dict[tuple[str, ...], Cost]:
        """The total by "opcode", "class", "dtype", "unit", "scope", "source", "function", "stack", "computation",
        "instruction", "collective" or "memory_space", largest first; by several keys, `by("scope", "class")`, each
        group's name is a tuple.

        "source" is the user's own line, "function" the function that it stands in, "stack" all calls that led to it
        from the outermost inward, libraries' too. An instruction that the compiler gave no source or scope has that of
        what it holds or is made from (`Places`, `Scopes`). Adds up to the total exactly ("collective" and
        "memory_space" hold their own part alone). `depth` is the number of levels of a scope or stack. Raises
        HloCountError for another key, and in the `xla` convention, which has no breakdown.
        """
        groups = self.groups((key, *more), depth)
        return groups if more else {name: cost for (name,), cost in groups.items()}

    def groups(self, keys: tuple[str, ...], depth: int = 2) -> dict[Group, Cost]:
        """As `by`, each name a tuple however many keys there are."""
        if self.convention == "xla":
            raise HloCountError("by() breaks down our own count; in the 'xla' convention use reconcile()")
        with making_sense_of(self.module), no_garbage_collection():
            rows = self.rows if {"instruction", "computation"}.isdisjoint(keys) else self.entries
            return breakdown(rows, keys, self.naming(depth))

    def naming(self, depth: int = 2) -> Naming:
        """What names of groups are made from, beside an instruction."""
        return Naming(self.places, self.scopes, dict(self.mesh), self.backend, depth)

    @cached_property
    def collectives(self) -> list[CollectiveRow]:
        """The collectives that are alike, with their group size, axes of the mesh, and how often they run."""
        with making_sense_of(self.module):
            return collective_rows(self.rows, dict(self.mesh))

    @cached_property
    def devices(self) -> Devices:
        """What each device does, and all of them together; they differ where some send less or branch by their id."""
        with making_sense_of(self.module):
            return all_devices(self.walk)

    def roofline(self, device: str | Path | Device | None = None, **options: Any) -> Roofline:
        """Time bounds on a device, by name, profile file or Device; without one, on the device of the target."""
        from hlo_count.roofline.roofline import roofline

        name = device if device is not None else self.target or self.device_kind or self._this_machine()
        with making_sense_of(self.module):
            return roofline(self.walk, name, compiled_on=self.target, **options)

    def _this_machine(self) -> str:
        """The device that is meant where none is named: this machine, unless the program is of an accelerator."""
        if self.backend in ("gpu", "tpu"):
            from hlo_count.roofline.catalog import devices

            known = ", ".join(each.name for each in devices() if each.backend == self.backend)
            raise DeviceError(f"{self.name} is a program of a {self.backend.upper()}, of which one? Name it: {known}")
        return "local"

    # In another process

    def __getstate__(self) -> dict[str, Any]:
        """What it was made with, the program as compressed text, and the totals: all else is worked out again when it
        is asked for. A `jax.stages.Compiled` belongs to its process and stays there."""
        return {**self._made_with(), "compiler_peak_bytes": self.compiler_peak_bytes, "_packed": self._packed}

    def _made_with(self) -> dict[str, Any]:
        remade = {name for name, value in vars(Counts).items() if isinstance(value, cached_property)}
        state = {name: value for name, value in vars(self).items() if name not in remade}
        gone: dict[str, Any] = {"compiled": None, "_beside": {}, "_traced_here": False}
        return {**state, "total": self.total, **gone}

    @cached_property
    def module(self) -> Module:
        """The program; read again from its text where the report came from another process."""
        return unpack(*self._packed)

    @cached_property
    def _packed(self) -> Packed:
        return pack(self.module)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __eq__(self, other: object) -> bool:
        """Whether it is the same program, counted in the same way, with the same result."""
        if not isinstance(other, Counts):
            return NotImplemented
        return self._made_with() == other._made_with() and self.module.text == other.module.text

    __hash__ = object.__hash__
