"""Roofline: what a program must take, and what it is expected to take, on one device."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.roofline.bound import Bound
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device
from hlo_count.roofline.estimate import KernelTime, TimeEstimate
from hlo_count.roofline.plane import RooflinePlane, ceilings, counter, kernel_points, program_point, slopes
from hlo_count.roofline.plot import plot
from hlo_count.roofline.profile_file import BACKENDS
from hlo_count.roofline.resources import Busy, Ceilings, longest
from hlo_count.roofline.roofline_notes import assumptions
from hlo_count.roofline.roofline_table import render_roofline
from hlo_count.roofline.roofline_table import seconds as in_words
from hlo_count.roofline.time_rows import KernelRow, RooflineAnswer
from hlo_count.roofline.tpu_kernels import compiler_cycles
from hlo_count.roofline.work_by_unit import WorkKey
from hlo_count.roofline.workload import Workload
from hlo_count.text_page import TextPage
from hlo_count.visitors.compulsory import compulsory_bytes
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.walk import Walk

WITHHELD = "no bound: the text is not partitioned yet, and what one device does of it is not known"
BEYOND = "there is no roofline of counts beyond 10^300: times are floating-point numbers, which end at 1.8e308"
NOTHING = "nothing to do: the program computes nothing and moves nothing"


class Roofline(TextPage):
    """One program on one device. Times are seconds of one execution, on each of `num_devices` devices.

    Of a text that is not partitioned yet a device is taken to have an equal share, and no bound is given. `own_cycles`:
    whether the estimate of a TPU's kernel is what its compiler wrote down, which is true of the device it was made for.
    """

    def __init__(
        self,
        walk: Walk,
        device: Device,
        *,
        num_devices: int | None = None,
        workload: Workload | None = None,
        own_cycles: bool = True,
    ) -> None:
        self.walk = walk
        self.workload = Workload(walk) if workload is None else workload
        self.device = device
        self.num_devices = walk.module.num_devices if num_devices is None else num_devices
        self.shares = walk.module.shares
        self.limits = Ceilings(device)
        self.own_cycles = own_cycles
        if walk.is_beyond_drawing:
            raise HloCountError(f"{walk.module.name}: {BEYOND}")
        with no_garbage_collection():
            self._bound = Bound(self.workload, self.limits)
            self._estimate = TimeEstimate(self.workload, self.limits, own_cycles=own_cycles)
            self._bound.seconds  # noqa: B018  a figure that is missing is told here, not when a table is printed
            self.estimate  # noqa: B018

    @property
    def bound(self) -> float | None:
        """Seconds that no schedule on this device can beat; 0 for a program that does nothing, None for one that is
        not partitioned yet."""
        return self._bound.seconds if self.shares == 1 else None

    @cached_property
    def estimate(self) -> float:
        """Seconds that the schedule as compiled is expected to take; never less than the bound."""
        if self.bound is not None:
            return max(self._estimate.seconds, self.bound)
        return self.calling + (self._estimate.seconds - self.calling) / self.shares

    @property
    def compiled_for(self) -> str:
        """ "cpu", "gpu" or "tpu": the kind of device whose compiler made the program, where this device is of another
        kind. Its own compiler would make another one, of which this is no bound. "" where it is of that kind, where
        the text does not tell, and of a text that no compiler has optimized."""
        compiled = self.walk.module.stage == "optimized" and self.walk.backend in BACKENDS
        return self.walk.backend if compiled and self.walk.backend != self.device.backend else ""

    @property
    def calling(self) -> float:
        """Seconds of the estimate that calling the program and waking threads takes, beside the kernels; 0
        where the device's profile states no such overhead."""
        return self._estimate.calling

    @property
    def busy(self) -> list[Busy]:
        """Every resource that the program needs and its least seconds there, largest first."""
        return sorted(self._bound.busy, key=lambda b: -b.seconds) if self.bound is not None else []

    @property
    def bottleneck(self) -> str:
        """What sets the bound: "memory bandwidth", "matrix bf16", ...; a sentence where there is nothing
        to do."""
        if self.bound is None:
            return WITHHELD
        found = longest(self._bound.busy)
        return NOTHING if found is None else found.what

    @property
    def is_lower_bound(self) -> bool:
        """Whether something was not known, so that the true bound may be larger."""
        return bool(self.walk.unknowns)

    @property
    def notes(self) -> list[str]:
        """What the numbers assume, a sentence each: unknowns, fallbacks between units, algorithms."""
        first = [NOTHING] if longest(self._bound.busy) is None else []
        assumed = assumptions(self.workload, has_bound=self.bound is not None, has_matrix=bool(self.matrix_seconds))
        return [*first, *assumed, *self.limits.notes]

    # Rows

    @cached_property
    def rows(self) -> list[KernelRow]:
        """A row for each kernel, that with the largest estimate first."""
        return [row for _, row in self.kernels]

    @cached_property
    def kernels(self) -> list[tuple[Instruction, KernelRow]]:
        """The kernels with their rows, in the order of `rows`."""
        with no_garbage_collection():
            found = [(kernel[0], self._row(*kernel)) for kernel in self.workload.kernels]
        return sorted(((i, row) for i, row in found if row.estimate or row.bound), key=lambda each: -each[1].estimate)

    def row_of(self, instruction: Instruction) -> KernelRow | None:
        """The row of one kernel; None where the instruction is none, takes no time or does not run."""
        return next((row for kernel, row in self.kernels if kernel is instruction), None)

    def _row(self, kernel: Instruction, times: Any, cost: Cost) -> KernelRow:
        runs = float(times)
        share = runs / self.shares
        least = longest(self._bound.of_kernel(kernel, cost.bytes))
        bound = None if self.bound is None else 0.0 if least is None else runs * least.seconds
        time = self._estimate.of_kernel(kernel)
        slowest = longest(list(time.busy))
        cycles = compiler_cycles(kernel)
        clock = self.device.clock_hz
        all_runs = cost * times
        metadata = kernel.metadata
        return KernelRow(
            name=kernel.name,
            opcode=kernel.opcode,
            source=metadata.source,
            op_name=metadata.op_name,
            runs=runs,
            bound=bound,
            estimate=max(bound or 0.0, share * time.seconds),
            limit="" if slowest is None else slowest.what,
            flops=ceil(all_runs.flops / self.shares),
            bytes=ceil(all_runs.bytes / self.shares),
            compiler_estimate=None if cycles is None or clock is None else share * cycles / clock,
        )

    @cached_property
    def compiler_estimate(self) -> float | None:
        """Seconds by the compiler's own `estimated_cycles` over the device's clock, of the kernels that
        carry them (TPU programs on a device whose clock is known); None elsewhere."""
        found = [row.compiler_estimate for row in self.rows if row.compiler_estimate is not None]
        return sum(found) if found else None

    @property
    def compiler_estimate_kernels(self) -> int:
        """How many of `rows` carry cycles: where that is not all of them, `compiler_estimate` is a part of the time."""
        return sum(row.compiler_estimate is not None for row in self.rows)

    def kernel_time(self, name: str) -> KernelTime | None:
        """What one run of a kernel is expected to take, and on what; None for a name that no kernel has."""
        kernel = self._kernels_by_name.get(name)
        return None if kernel is None else self._estimate.of_kernel(kernel)

    @cached_property
    def _kernels_by_name(self) -> dict[str, Instruction]:
        return {kernel.name: kernel for kernel, _, _ in self.workload.kernels}

    def operations_bound(self, call: Instruction) -> float:
        """Seconds that one run of what an instruction calls cannot beat by its operations alone, wherever its values
        are kept."""
        return self._bound.of_call(call)

    # Utilization

    @cached_property
    def _matrix_work(self) -> dict[WorkKey, float]:
        found: dict[WorkKey, float] = {}
        for kernel, times, cost in self.workload.kernels:
            if any(key[-1] == "matrix" for key in cost.amounts):
                for key, amount in self.workload.counted(kernel, self.limits.fused).items():
                    if key[0] == "matrix":
                        found[key] = found.get(key, 0.0) + float(times) * amount
        return found

    @property
    def matrix_seconds(self) -> float:
        """Seconds that the program's matrix FLOP take at the peaks of their dtypes and precisions."""
        return sum(amount / self.limits.rate(key).value for key, amount in self._matrix_work.items()) / self.shares

    def hfu(self, seconds: float) -> float:
        """Hardware FLOP utilization: the compiled program's matrix FLOP over `seconds` and peak,
        recomputation included; each dtype and precision against its own peak. 0 without matrix FLOP. Warns of a
        time that cannot be: one under the bound, or that would take more than the peak."""
        _check_seconds(seconds)
        return self._believed(self.matrix_seconds / seconds, "HFU", seconds)

    def mfu(self, seconds: float, *, model_flops: float, dtype: str | None = None) -> float:
        """Model FLOP utilization: `model_flops`, the FLOP that the model itself needs in a step on all
        devices together, over `seconds`, the number of devices and the peak.

        The peak is that of `dtype`, by default of the dtype and precision that most of the program's
        matrix FLOP are in. Raises HloCountError for a program without matrix FLOP where no dtype is given; warns as
        `hfu` does.
        """
        _check_seconds(seconds)
        if dtype is not None:
            rate = self.device.peak(dtype)
        elif self._matrix_work:
            rate = self.limits.rate(max(self._matrix_work, key=self._matrix_work.__getitem__))
        else:
            raise HloCountError(f"{self.walk.module.name} has no matrix FLOP whose peak mfu() could take: pass dtype=…")
        return self._believed(model_flops / (seconds * rate.value * self.num_devices), "MFU", seconds)

    def _believed(self, share: float, what: str, seconds: float) -> float:
        """A utilization, with a warning where it cannot be."""
        least = self.bound if not self.compiled_for else None
        if least is not None and seconds < least:
            cannot = f"{in_words(seconds)} cannot be: it takes at least {in_words(least)} ({self.bottleneck})"
        elif share > 1:
            cannot = f"{what} of {share:.0%} cannot be: it would need {share:.3g} times the peak"
        else:
            return share
        number = f"{self.num_devices} devices, " if self.num_devices > 1 else ""
        asked = (
            f"Was the result waited for (block_until_ready), is it one execution of these shapes on {number}this "
            "device, and are the FLOP those of one step?"
        )
        warnings.warn(harmless(f"{self.walk.module.name} on {self.device.name}: {cannot}. {asked}"), stacklevel=3)
        return share

    # Shown

    def plot(
        self,
        path: str | Path,
        *,
        seconds: float | None = None,
        kernels: int = 6,
        measured: Mapping[str, float] | None = None,
    ) -> Path:
        """Draw the roofline into a file, PNG, SVG or PDF by its suffix; returns its path.

        `seconds`: a measured time, at which the program is drawn in place of its estimate. `measured`: those of
        kernels, by name, all runs of one execution together; then no others are drawn. `kernels`: how
        many of the largest are drawn, each with its name where there is room. A program of special functions
        alone is drawn in evaluations of them. Raises HloCountError without matplotlib (the extra `plot`) and for
        another suffix.
        """
        return plot(self.plane(seconds=seconds, kernels=kernels, measured=measured), Path(path))

    def plane(
        self, *, seconds: float | None = None, kernels: int = 6, measured: Mapping[str, float] | None = None
    ) -> RooflinePlane:
        """What `plot` draws, as plain data."""
        total, name = self.walk.total, self.walk.module.name
        counted, taken = counter(total), seconds or self.estimate
        roofs, lines = ceilings(self.workload, self.limits), slopes(self.device)
        least = "no bound" if self.bound is None else f"at least {in_words(self.bound)} ({self.bottleneck})"
        if self.compiled_for:
            least = f"as compiled for {self.compiled_for.upper()}, {least}"
        label = f"{name}, {in_words(taken)} {'measured' if seconds else 'estimated'}"
        rows = self.rows
        if measured is not None:
            rows = [replace(row, estimate=measured[row.name]) for row in rows if row.name in measured]
        return RooflinePlane(
            title=f"{name} on {self.device.name}: {least}, estimate {in_words(self.estimate)}",
            empty="no floating-point operations: nothing to draw" if roofs or lines else self.bottleneck,
            counted=counted,
            ceilings=roofs,
            slopes=lines,
            program=program_point(label, total, taken, self.shares),
            kernels=kernel_points(self.workload, rows, counted, self.shares, kernels),
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "program": self.walk.module.name,
            "device": self.device.name,
            "num_devices": self.num_devices,
            "bound_s": self.bound,
            "estimate_s": self.estimate,
            "calling_s": self.calling,
            "compiler_estimate_s": self.compiler_estimate,
            "compiler_estimate_kernels": self.compiler_estimate_kernels,
            "kernels": len(self.rows),
            "bottleneck": self.bottleneck,
            "is_lower_bound": self.is_lower_bound,
            "compiled_for": self.compiled_for or self.device.backend,
            "compulsory_bytes": compulsory_bytes(self.walk),
            "resources": [{"name": b.what, "least_s": b.seconds} for b in self.busy],
            "notes": self.notes,
            "rows": [
                {
                    **{name: getattr(row, name) for name in KernelRow.__dataclass_fields__},
                    "intensity": row.intensity if row.bytes else None,
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        return render_roofline(
            RooflineAnswer(
                program=self.walk.module.name,
                device=self.device.name,
                num_devices=self.num_devices,
                shares=self.shares,
                bound=self.bound,
                bottleneck=self.bottleneck,
                is_lower_bound=self.is_lower_bound,
                estimate=self.estimate,
                calling=self.calling,
                compiler_estimate=self.compiler_estimate,
                compiler_estimate_kernels=self.compiler_estimate_kernels,
                least=[(b.what, b.seconds) for b in self.busy],
                rows=self.rows,
                notes=self.notes,
                own_cycles=self.own_cycles,
                compiled_for=self.compiled_for,
            )
        )

    # Travel: the program as its text, and the device; all else is worked out again

    def __reduce__(self) -> tuple[Any, ...]:
        walk = self.walk
        return _remade, (walk.module, walk.backend, walk.settings, self.device, self.num_devices, self.own_cycles)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same program, counted in the same way, on the same device."""
        if not isinstance(other, Roofline):
            return NotImplemented
        mine, others = (
            (one.walk.module.text, one.walk.backend, one.walk.settings, one.device, one.num_devices, one.own_cycles)
            for one in (self, other)
        )
        return mine == others

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        least = f"{self.estimate:.3g} s estimated" if self.bound is None else f"{self.bound:.3g} s"
        return harmless(f"<Roofline {self.walk.module.name} on {self.device.name}: {least}, {self.bottleneck}>")


def roofline(
    walk: Walk, device: str | Path | Device, *, num_devices: int | None = None, compiled_on: str | None = None
) -> Roofline:
    """The roofline of a counted program on a device: a profile's name, alias, file, or a target
    ("tpu:v5e:2x4"). `compiled_on`: the target that it was compiled for, where that is known; else it is the device.

    Raises DeviceError for an unknown device, and for a figure that the program needs and the profile
    lacks.
    """
    found = find_device(device)
    own = compiled_on is None or walk.backend != "tpu" or find_device(compiled_on).name == found.name
    return Roofline(walk, found, num_devices=num_devices, own_cycles=own)


def _remade(
    module: Module, backend: str, settings: Settings, device: Device, num_devices: int, own_cycles: bool
) -> Roofline:
    return Roofline(Walk(module, backend, settings), device, num_devices=num_devices, own_cycles=own_cycles)


def _check_seconds(seconds: float) -> None:
    if not seconds > 0:
        raise HloCountError(f"a measured time of {seconds} s: pass the seconds of one execution, more than 0")
