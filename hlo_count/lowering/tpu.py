"""TPU targets: libtpu compiles for a topology that is not there."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from hlo_count.errors import TargetError
from hlo_count.lowering.jax_version import too_old
from hlo_count.lowering.quiet import environment, quiet

# libtpu asks a metadata server and its neighbours who it is, and locks the machine's chips, unless told.
_NO_HARDWARE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_LOG_DIR": "disabled",
}


_LEAST_JAX = "0.4.33"
"""The PJRT API of older ones is another than that of the oldest libtpu on PyPI, 0.0.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation of TPU as libtpu names it; the first topology is the smallest it accepts."""

    libtpu_name: str
    device_kind: str
    topologies: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    longest_side: int | None = None
    """The chips along one side beyond which libtpu ends the process once it compiles; None where it does not."""


_PLANE = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "8x8x8")

GENERATIONS = {
    "v2": Generation(libtpu_name="v2", device_kind="TPU v2", topologies=_PLANE),
    "v3": Generation(libtpu_name="v3", device_kind="TPU v3", topologies=_PLANE),
    # Without megacore a v4 chip is two devices of one core each, which is not what v4 machines run.
    "v4": Generation(
        libtpu_name="v4", device_kind="TPU v4", topologies=_CUBE, options={"chip_config_name": "megacore"}
    ),
    "v5e": Generation(libtpu_name="v5e", device_kind="TPU v5 lite", topologies=_PLANE, longest_side=16),
    "v5p": Generation(libtpu_name="v5p", device_kind="TPU v5", topologies=_CUBE),
    "v6e": Generation(libtpu_name="v6e", device_kind="TPU v6 lite", topologies=_PLANE),
    "v7": Generation(libtpu_name="tpu7x", device_kind="TPU7x", topologies=_CUBE),
}

ALIASES = {
    "v5litepod": "v5e", "v5lite": "v5e", "v5": "v5p", "v6": "v6e", "trillium": "v6e",
    "tpu7x": "v7", "v7x": "v7", "7x": "v7", "ironwood": "v7",
}  # fmt: skip

_MOST_SLICES = 511
"""More have libtpu end the process once it compiles (kMaxNumSlices, cross_slice_rewrites_utils.cc)."""

REMEDY = 'pip install "hlo-count[tpu]" (Linux; no TPU needed)'


def installed() -> bool:
    """Whether libtpu is there to compile with."""
    return find_spec("libtpu") is not None


def missing_for_tpus() -> str:
    """What keeps TPUs from being compiled for here, with the remedy; "" where nothing does."""
    old = too_old("TPU targets", _LEAST_JAX)
    return old or ("" if installed() else f"compiling for TPU needs libtpu: {REMEDY}")


def large_enough(device_kind: str, wanted: int) -> str:
    """`, such as tpu:v5e:4x4`: the smallest listed topology of `wanted` chips; "" where there is none."""
    for name, generation in GENERATIONS.items():
        for topology in generation.topologies:
            if generation.device_kind == device_kind and math.prod(map(int, topology.split("x"))) >= wanted:
                return f", such as tpu:{name}:{topology}"
    return ""


def slice_of(device: Any) -> int:
    """The slice that a device is in; 0 where there is one, and of what is no TPU."""
    return getattr(device, "slice_index", 0) if device.platform == "tpu" else 0


def check_slices(used: Sequence[Any], there: Sequence[Any], target: str) -> None:
    """Raise TargetError for a program whose devices lie in slices in a way that would have libtpu end the process."""
    number = len(set(map(slice_of, there)))
    by_slice = Counter(map(slice_of, used))
    if len(by_slice) > 1 and (len(by_slice) < number or len(set(by_slice.values())) > 1):
        counts = ", ".join(str(by_slice[which]) for which in range(number))
        raise TargetError(
            f"the program uses {counts} devices of the {number} slices of {target}: libtpu compiles for as many of "
            f"each, or for one slice; spread it over {len(there)} devices, or {len(there) // number}"
        )


@functools.cache
def tpu_devices(generation: str, topology: str | None, slices: int = 1) -> tuple[Any, ...]:
    """The devices of a topology such as "2x4", of the smallest one when it is None; of each slice in turn.

    Raises TargetError where libtpu is missing or refuses the topology.
    """
    from jax.experimental import topologies

    if problem := missing_for_tpus():
        raise TargetError(problem)
    known = GENERATIONS[generation]
    topology = topology or known.topologies[0]
    sides = [int(side) for side in topology.split("x")]
    names = ", ".join(f"tpu:{generation}:{each}" for each in known.topologies)
    if known.longest_side and max(sides) > known.longest_side:
        raise TargetError(
            f"libtpu has no TPU {generation} of {topology}, more than {known.longest_side} chips a side; "
            f"names that work: {names}"
        )
    if not 1 <= slices <= _MOST_SLICES:
        raise TargetError(
            f"libtpu has no {slices} slices of TPU {generation}: name 1 to {_MOST_SLICES}, such as "
            f"tpu:{generation}:{topology}*2"
        )
    name = f"{known.libtpu_name}:{topology}"
    options: dict[str, Any] = {**known.options, **({"num_slices": slices} if slices > 1 else {})}
    with quiet(), environment(_NO_HARDWARE):
        try:
            described = topologies.get_topology_desc(topology_name=name, platform="tpu", **options)
        except RuntimeError as error:
            raise TargetError(f"libtpu refused the topology {name!r}: {error}; names that work: {names}") from error
    return tuple(described.devices)
