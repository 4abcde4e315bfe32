"""The estimate: kernel after kernel in the order of the schedule, each as long as its slowest resource, plus
launch.

A memory access is served by the nearest cache that holds the kernel's working set. Asynchronous copies and
collectives run beside what stands between their start and their done, one after another on their own
channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.roofline import cpu_runtime, tpu_kernels
from hlo_count.roofline.device import MemoryLevel
from hlo_count.roofline.network_paths import bytes_beyond, collective_of, links_at_once, links_between
from hlo_count.roofline.resources import NETWORK, Busy, Ceilings, longest
from hlo_count.roofline.workload import Workload
from hlo_count.visitors.cost import ON_CHIP, Cost

LAUNCH = "launch"
LATENCY = "latency"
ROUTINE = "routine"


@dataclass(frozen=True, slots=True)
class KernelTime:
    """One run of a kernel: its resources at work, and seconds from its start to its end."""

    busy: tuple[Busy, ...]
    seconds: float
    main_seconds: float
    """How long it keeps the main memory busy."""
    network: str
    """What it sends over, "" for nothing."""


class TimeEstimate:
    """What one execution of a program is expected to take on one device.

    `own_cycles`: whether it was compiled for this device, so that the cycles that a TPU's compiler wrote down are its.
    """

    def __init__(self, workload: Workload, limits: Ceilings, *, own_cycles: bool = True) -> None:
        self.walk = workload.walk
        self.limits = limits
        self._workload = workload
        self._own_cycles = own_cycles
        self._on_cpu = limits.device.backend == "cpu"
        self._on_tpu = limits.device.backend == "tpu"
        self._kernels: dict[Instruction, KernelTime] = {}
        self._runs: dict[Computation, tuple[float, float]] = {}

    @property
    def seconds(self) -> float:
        """The time of the schedule, with that of calling the program."""
        run = max(finished(self._run(self.walk.module.entry)))
        # what was called to measure the overhead has launched one kernel
        return self.calling + max(0.0, run - self._launch) if self.calling else run

    @cached_property
    def _launch(self) -> float:
        return self.limits.device.launch_overhead_s or 0.0

    @cached_property
    def _functions(self) -> frozenset[Computation]:
        """The computations whose kernels are not launched one by one."""
        return cpu_runtime.inside_functions(self.walk) if self._on_cpu else frozenset()

    @cached_property
    def calling(self) -> float:
        """Seconds of calling the program and waking the threads that run it; 0 where the profile states none."""
        call = self.limits.device.call_overhead_s
        return 0.0 if call is None else call + self._threads()

    def _threads(self) -> float:
        """What waking other threads adds to a call: one to run the program, and one for each further core."""
        seconds = 0.0
        dispatch, split = self.limits.device.dispatch_overhead, self.limits.device.split_overhead
        if dispatch is not None and cpu_runtime.is_dispatched(
            self.walk.module, (cost for _, _, cost in self._workload.kernels)
        ):
            seconds += dispatch.typical
        if split is not None and self._is_split():
            seconds += split.typical
        return seconds

    def _is_split(self) -> bool:
        """Whether any kernel runs on several cores, or kernels are handed out because they are many."""
        for (computation, is_kernel), times in self.walk.runs.items():
            if not is_kernel or not times or computation in self._functions:
                continue
            launched = [i for i in computation.instructions if self._workload.cost(i)]
            if len(launched) > cpu_runtime.MOST_IN_A_ROW:
                return True
            for kernel in launched:
                long = self.of_kernel(kernel).seconds - self._launch_of(kernel) >= cpu_runtime.SHORTEST_SPLIT
                if cpu_runtime.is_split_loop(kernel) or (long and cpu_runtime.is_library_kernel(kernel)):
                    return True
        return False

    def of_kernel(self, kernel: Instruction) -> KernelTime:
        """One run of one kernel."""
        return self._of_first(self._workload.alike(kernel, self.limits.device.backend))

    def _of_first(self, kernel: Instruction) -> KernelTime:
        """Of the first of those that are alike."""
        found = self._kernels.get(kernel)
        if found is None:
            found = self._kernels[kernel] = self._time(kernel)
        return found

    # The schedule

    def _run(self, computation: Computation) -> Task[tuple[float, float]]:
        """Seconds of one run of a computation, and how many of main memory's."""
        known = self._runs.get(computation)
        if known is not None:
            return known
        now = main = 0.0
        channels: dict[str, float] = {}
        ends: dict[Instruction, float] = {}
        times = self._kernels
        for step in self._workload.schedule(computation, self.limits.device.backend):
            instruction, half, kernel = step.instruction, step.half, step.kernel
            if kernel is not None:
                time = times.get(kernel) or self._of_first(kernel)
                main += time.main_seconds
                if not half:
                    now += time.seconds
                    continue
                seconds, over = time.seconds, time.network
            elif half in ("update", "done"):
                ready = ends.get(step.started, now) if step.started is not None else now
                if half == "update":
                    ends[instruction] = ready
                elif ready > now:
                    now = ready
                continue
            else:
                parts = []
                for edge in step.calls:
                    parts.append((float(edge.times), (yield self._run(edge.callee))))
                seconds = sum(times * part[0] for times, part in parts)
                main += sum(times * part[1] for times, part in parts)
                if self._functions and cpu_runtime.is_one_function(instruction):
                    seconds += self._launch
                over = NETWORK if step.sends else ""
            if half:
                channel = over or "copies"
                free = channels.get(channel, 0.0)
                ends[instruction] = channels[channel] = (free if free > now else now) + seconds
            else:
                now += seconds
        found = self._runs[computation] = (max([now, *ends.values(), main]), main)
        return found

    # One kernel

    def _time(self, kernel: Instruction) -> KernelTime:
        cost = self._workload.cost(kernel)
        if not cost:
            return KernelTime((), 0.0, 0.0, "")
        part = self._part_of_cores(kernel)
        routines = self._routines(kernel)
        work = self._workload.counted(kernel, self.limits.fused, routines)
        units = self.limits.units(work, typical=True)
        if self._on_cpu:  # special functions are made of vector instructions there
            total = sum(b.seconds for b in units) / part
            slowest = longest(units)
            units = [] if slowest is None else [Busy(slowest.resource, total, slowest.what)]
        if routines:
            slowest = longest(list(routines.values()))
            assert slowest is not None
            total = sum(b.seconds for b in routines.values()) / part
            units.append(Busy(ROUTINE, total, slowest.what))
        level = self.limits.device.memory_for(cost.bytes / part)
        memory = self._memory(kernel, cost, level)
        main_seconds = sum(b.seconds for b in memory if b.resource == self.limits.device.main_memory.name)
        sending = self._network(kernel, cost)
        busy = (*units, *memory, *sending)
        slowest = longest(list(busy))
        launch = self._launch_of(kernel)
        beside = self._vmem(kernel, cost)
        busy = (*busy, *beside)
        if kernel.computation in self._functions and (slowest is None or slowest.seconds < cpu_runtime.LATENCY):
            slowest = Busy(LATENCY, cpu_runtime.LATENCY, LATENCY)
            busy = (*busy, slowest)
        seconds = launch + self._passes(kernel) + (0.0 if slowest is None else slowest.seconds)
        seconds += sum(b.seconds for b in beside)
        stated = self._stated(kernel)
        seconds = seconds if stated is None else stated
        limiting = longest(list(busy))
        if limiting is None or launch > max(limiting.seconds, seconds - launch):
            busy = (*busy, Busy(LAUNCH, launch, "launch overhead"))
        return KernelTime(busy, seconds, main_seconds, sending[0].resource if sending else "")

    def _stated(self, kernel: Instruction) -> float | None:
        """Seconds that the compiler of a TPU expects, where the program is that of this device."""
        clock = self.limits.device.clock_hz
        cycles = tpu_kernels.compiler_cycles(kernel) if self._on_tpu and self._own_cycles else None
        return None if cycles is None or clock is None else cycles / clock

    def _vmem(self, kernel: Instruction, cost: Cost) -> list[Busy]:
        """Seconds that a TPU's kernel takes for what it has in VMEM, beside all else."""
        clock = self.limits.device.clock_hz
        if not self._on_tpu or clock is None:
            return []
        on_chip = sum(n for key, n in cost.amounts.items() if key[1:] == (ON_CHIP,))
        is_matrix = any(key[-1] == "matrix" for key in cost.amounts)
        cycles = tpu_kernels.vmem_cycles(kernel, on_chip, is_matrix=is_matrix)
        return [Busy("VMEM", cycles / clock, "VMEM bandwidth")] if cycles else []

    def _routines(self, kernel: Instruction) -> dict[Instruction, Busy]:
        """The instructions of a kernel that run at a routine's measured pace, with their seconds on all cores."""
        found = {}
        for instruction, routine, amount in self._workload.routines(kernel):
            figure = self.limits.device.routine.get(routine)
            if figure is not None:
                found[instruction] = Busy(ROUTINE, amount / figure.typical, routine.replace("_", " "))
        return found

    def _memory(self, kernel: Instruction, cost: Cost, level: MemoryLevel) -> list[Busy]:
        found = []
        if cost.bytes:
            main = self.limits.device.main_memory
            if level.read is not None and not cpu_runtime.writes_again(kernel):
                # a cache's fastest write is one to a block that was used before, the rule below FRESH_BYTES
                fresh = cost.bytes_written > cpu_runtime.FRESH_BYTES
                if fresh and main.write is not None:
                    write = main.write.typical
                else:
                    write = level.write.value if level.write is not None else level.read.typical
                seconds = cost.bytes_read / level.read.typical + cost.bytes_written / write
            else:
                both = self.limits.device.bandwidth() if level.bandwidth is None else level.bandwidth
                seconds = cost.bytes / both.typical
            name = "memory" if level is main else level.name
            found.append(Busy(level.name, seconds, f"{name} bandwidth"))
        return found

    def _launch_of(self, kernel: Instruction) -> float:
        """Seconds that launching a kernel takes, on average over its runs."""
        if kernel.computation in self._functions:
            return 0.0
        if self._on_tpu and tpu_kernels.only_fills(kernel) and not self._workload.cost(kernel).bytes:
            return 0.0
        if not self._on_cpu or not cpu_runtime.is_warm_in_a_loop(kernel):
            return self._launch
        warm = cpu_runtime.WARM_LAUNCH * self._launch
        return warm + (self._launch - warm) / max(1.0, float(self.walk.runs.get((kernel.computation, True), 1)))

    def _network(self, kernel: Instruction, cost: Cost) -> list[Busy]:
        """Seconds of sending over the links that the collective uses, with the latency of the first byte where the
        profile states one; what leaves the domain of the links goes over the network between domains."""
        within, across, part = cost.network_bytes - cost.dcn_bytes, cost.dcn_bytes, 1.0
        network = self.limits.device.network
        found = collective_of(kernel) if within and network is not None else None
        if found is not None and network is not None:
            if network.domain is not None:
                across += self.limits.reachable(bytes_beyond(found, network.domain))
            if network.is_mesh and network.links is not None:
                part = links_between(found, network.links) / network.links
            elif network.domain is None and network.links is not None:
                part = links_at_once(found, network.links) / network.links
        return self.limits.network(within, across, typical=True, part_of_links=part)

    def _passes(self, kernel: Instruction) -> float:
        """Seconds that a CPU's library adds to a fusion by running it operation by operation, tile by tile: what
        each writes for the next to read goes through the cache before the last."""
        caches = [level for level in self.limits.device.memory if level.kind == "cache" and level.bandwidth]
        if not self._on_cpu or not caches:
            return 0.0
        between = caches[-2:][0].bandwidth
        assert between is not None
        return cpu_runtime.bytes_between(kernel) / between.typical

    def _part_of_cores(self, kernel: Instruction) -> float:
        device = self.limits.device
        cores = device.cores.value if device.cores is not None else float(device.calibration.get("cores", 1))
        return cpu_runtime.part_of_cores(kernel, cores) if self._on_cpu else 1.0
