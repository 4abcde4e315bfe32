"""The totals of one program: what it does, moves, takes and needs, and how far that is known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from hlo_count.errors import HloCountError, UnknownCostError
from hlo_count.hlo import Module
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.making_sense import making_sense_of
from hlo_count.hlo.stage import Stage
from hlo_count.hlo.travel import Packed, pack, unpack
from hlo_count.made_with import MadeWith
from hlo_count.report.arguments import Argument, arguments_of
from hlo_count.report.xla_memory import peak_of_compiled, xla_peak
from hlo_count.under_way import under_way
from hlo_count.visitors.compulsory import compulsory_bytes
from hlo_count.visitors.cost import Cost, Status, Times, weakest
from hlo_count.visitors.memory_spaces import backend_of
from hlo_count.visitors.most import most_of
from hlo_count.visitors.padding import CONVOLVING, flops_on_padding
from hlo_count.visitors.peak import Peak, peak_bytes
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.unknowns import Settlement, Unknown, settlements
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.xla import xla_cost
from hlo_count.visitors.xla.float32 import whole

CONVENTIONS = ("default", "xla")


class Totals(MadeWith):
    """What one execution of a program costs on one device, all of it together.

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
        """Peak memory: arguments, outputs, temporaries, aliased. Exact where the compiler says as much, and not
        where it says otherwise."""
        with making_sense_of(self.module):
            return peak_bytes(self.module).beside(self.compiler_peak_bytes)

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

    # In another process

    def __getstate__(self) -> dict[str, Any]:
        """What it was made with, the program as compressed text, and the totals: all else is worked out again when it
        is asked for. A `jax.stages.Compiled` belongs to its process and stays there."""
        return {**self._made_with(), "compiler_peak_bytes": self.compiler_peak_bytes, "_packed": self._packed}

    def _made_with(self) -> dict[str, Any]:
        gone: dict[str, Any] = {"compiled": None, "_beside": {}, "_traced_here": False}
        return {**super().__getstate__(), "total": self.total, **gone}

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
        if not isinstance(other, Totals):
            return NotImplemented
        return self._made_with() == other._made_with() and self.module.text == other.module.text

    __hash__ = object.__hash__
