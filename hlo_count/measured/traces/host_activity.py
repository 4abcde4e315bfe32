"""What a host did beside the programs that ran: it compiled, traced, moved data, as the events of its threads name it.

The names are those of JAX's annotations and of XLA's `TraceMe`s; a GPU's copies are in its own plane, with their bytes.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hlo_count.measured.traces.xspace import Event

TO_DEVICE, TO_HOST, ON_DEVICE = "host to device", "device to host", "device to device"
COMPILING, TRANSFERS, INPUT, DISPATCH = "compiling", "transfers", "waiting for input", "tracing and dispatch"
CAUSES = (COMPILING, TRANSFERS, INPUT, DISPATCH)
"""What a host may be busy with, that first which has an instant in which several are under way."""
_NAMES = (
    (COMPILING, re.compile(r"backend_compile|lower_sharding_computation|\w+::Compile|XlaCompile")),
    (
        TRANSFERS,
        re.compile(r"(Batched)?DevicePut|np\.asarray\(jax\.Array\)|[HD]2[HD] |Transfer\w*Device"),
    ),
    (INPUT, re.compile(r"Iterator|\w*DataLoader|grain")),
    (DISPATCH, re.compile(r"PjitFunction\(|ExecuteReplicated|shard_args|\w+::Execute|GpuExecutable::|PJRT_LoadedExec")),
)
_COUNTED = {"DevicePut": TO_DEVICE, "DevicePutWithSharding": TO_DEVICE, "np.asarray(jax.Array)": TO_HOST}
"""What is one transfer each: other events are parts of one. What NumPy reads in place on a CPU is none."""
_COPY = re.compile(r"(?:Memcpy|Copy)(H2D|HostToDevice|D2H|DeviceToHost|D2D|P2P|DeviceToDevice)")
_WAYS = {"H2D": TO_DEVICE, "HostToDevice": TO_DEVICE, "D2H": TO_HOST, "DeviceToHost": TO_HOST}
_SIZE = re.compile(r"size:(\d+)")


@lru_cache(maxsize=4096)
def cause_of(name: str) -> str | None:
    """What an event says that its thread was busy with: one of CAUSES, or None."""
    return next((cause for cause, pattern in _NAMES if pattern.match(name)), None)


@dataclass(slots=True)
class Transfers:
    """Copies of one way: how many, picoseconds, each on its own, and bytes where all of them tell."""

    number: int = 0
    picoseconds: int = 0
    bytes: int | None = 0

    def add(self, other: Transfers) -> None:
        self.number += other.number
        self.picoseconds += other.picoseconds
        self.bytes = None if self.bytes is None or other.bytes is None else self.bytes + other.bytes


@dataclass(slots=True)
class HostActivity:
    """`spans`: from when to when, one after the other, what was under way, by cause, else by the name that the program
    itself gave (`jax.profiler.TraceAnnotation`)."""

    spans: dict[str, array[int]] = field(default_factory=dict)
    of_host: dict[str, Transfers] = field(default_factory=dict)
    of_devices: dict[str, Transfers] = field(default_factory=dict)

    @property
    def transfers(self) -> dict[str, Transfers]:
        """By way. A device's own events are told rather than the host's of the same copies: they have bytes."""
        return self.of_devices or self.of_host

    def add(self, event: Event, named_by_program: bool) -> None:
        """An event of a host's thread."""
        name = event.metadata.name
        cause = cause_of(name) or (name if named_by_program else None)
        if cause is not None:
            self.spans.setdefault(cause, array("q")).extend((event.start, event.end))
        way = _COUNTED.get(name)
        if way is not None:
            self.of_host.setdefault(way, Transfers()).add(Transfers(1, event.end - event.start, None))

    def add_copy(self, event: Event) -> bool:
        """An event of a GPU's stream; whether it is a copy."""
        found = _COPY.match(event.metadata.name)
        if found is None:
            return False
        size = _SIZE.search(str(event.stats.get("memcpy_details", "")))
        way = _WAYS.get(found[1], ON_DEVICE)
        copy = Transfers(1, event.end - event.start, None if size is None else int(size[1]))
        self.of_devices.setdefault(way, Transfers()).add(copy)
        return True


Span = tuple[int, int]
_MOST_NAMES = 3
"""Of the program's own that are told."""


def busy_with(activity: HostActivity, idle: Sequence[Span]) -> dict[str, int]:
    """What a host was busy with in the spans of `idle`, sorted and apart: picoseconds by cause. An instant is told
    once; what is missing to their sum nothing is known of."""
    left = list(idle)
    found: dict[str, int] = {}
    own = sorted((name for name in activity.spans if name not in CAUSES), key=lambda name: -_total(activity, name))
    for cause in (*CAUSES, *own[:_MOST_NAMES]):
        inside, left = _divided(left, _merged(activity.spans.get(cause, array("q"))))
        if inside:
            found[cause] = inside
    return found


def _total(activity: HostActivity, name: str) -> int:
    spans = activity.spans[name]
    return sum(spans[1::2]) - sum(spans[::2])


def _merged(spans: array[int]) -> Iterator[Span]:
    now: Span | None = None
    for start, end in sorted(zip(spans[::2], spans[1::2], strict=True)):
        if now is not None and start <= now[1]:
            now = now[0], max(now[1], end)
            continue
        if now is not None:
            yield now
        now = start, end
    if now is not None:
        yield now


def _divided(spans: Sequence[Span], by: Iterator[Span]) -> tuple[int, list[Span]]:
    """How much of `spans` lies in `by`, and the rest of them. Both are sorted, and apart."""
    inside = 0
    rest: list[Span] = []
    other = next(by, None)
    for start, end in spans:
        while other is not None and other[0] < end:
            if other[1] <= start:
                other = next(by, None)
                continue
            if start < other[0]:
                rest.append((start, other[0]))
            inside += min(end, other[1]) - max(start, other[0])
            start = min(end, other[1])
            if other[1] >= end:
                break
            other = next(by, None)
        if start < end:
            rest.append((start, end))
    return inside, rest
