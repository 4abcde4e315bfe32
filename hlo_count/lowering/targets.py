"""Names of targets, and the devices that they stand for."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import TargetError
from hlo_count.lowering import gpu, tpu
from hlo_count.lowering.quiet import default_devices, settle_default_backend

_AMD = ("mi250x", "mi300x", "mi355x")
MOST_DEVICES = 64**3  # the plugins make every one of them at once: a number mistyped would take all memory
_AMD_REMEDY = "JAX's ROCm plugin compiles only on a machine with the GPU: count there, with target=None"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """One target, and whether it can be compiled for in this environment."""

    name: str
    backend: str
    available: bool
    note: str
    """What to do about it where it is not available, else ""."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target, found: the devices that a program can be spread over, in JAX's order."""

    name: str
    devices: tuple[Any, ...]
    mesh: Any | None = None
    """The jax.sharding.Mesh that the user gave as the target, if any."""

    @property
    def is_default(self) -> bool:
        """Whether JAX compiles for these devices without being told to."""
        default = settle_default_backend()
        if self.mesh is not None or self.devices[0] != default:
            return False
        return len(self.devices) == 1 or set(self.devices) == set(default_devices())


def resolve(target: Any) -> Target:
    """The devices of `target`: a name, a jax Mesh, a device or a sequence of devices.

    Raises TargetError for a name that is unknown, malformed, or cannot be compiled for here.
    """
    settle_default_backend()
    from jax.sharding import Mesh

    if isinstance(target, str):
        return Target(name=target, devices=_named(target))
    if isinstance(target, Mesh):
        sizes = ",".join(f"{axis}={size}" for axis, size in target.shape.items())
        return Target(name=f"mesh {sizes}", devices=tuple(target.devices.flat), mesh=target)
    devices = tuple(target.flat) if hasattr(target, "flat") else _as_tuple(target)
    if not devices or not all(hasattr(device, "device_kind") for device in devices):
        raise TargetError(f"a target is a name, a jax Mesh or jax devices, not {target!r}")
    return Target(name=f"{len(devices)} x {devices[0].device_kind}", devices=devices)


def targets() -> list[TargetInfo]:
    """Everything that has a name as a target, with what to install where something is missing."""
    no_tpu, no_cuda = tpu.missing_for_tpus(), gpu.missing_for_gpus()
    default = settle_default_backend()
    found = [
        TargetInfo(name="cpu", backend="cpu", available=True, note="", description="this machine's CPU"),
        TargetInfo(
            name="local",
            backend=default.platform if default else "unknown",
            available=default is not None,
            note="" if default else "JAX has no default backend: see JAX_PLATFORMS",
            description="JAX's default device",
        ),
    ]  # fmt: skip
    for name, generation in tpu.GENERATIONS.items():
        listed = ", ".join(generation.topologies)
        found.append(
            TargetInfo(
                name=f"tpu:{name}", backend="tpu", available=not no_tpu, note=no_tpu,
                description=f"{generation.device_kind}; with a topology: {listed}, …; two slices of one: "
                f"{generation.topologies[0]}*2",
            )
        )  # fmt: skip
    for name, known in gpu.GPUS.items():
        found.append(
            TargetInfo(
                name=name, backend="gpu", available=not no_cuda, note=no_cuda,
                description=f"{known.device_kind}; {name}:8 for eight",
            )
        )  # fmt: skip
    found += [
        TargetInfo(name=name, backend="gpu", available=False, note=_AMD_REMEDY, description=f"AMD {name}")
        for name in _AMD
    ]
    return found


def _named(target: str) -> tuple[Any, ...]:
    name = target.strip().lower()
    if name == "local":
        return tuple(default_devices())
    if name == "cpu":
        try:
            return tuple(default_devices("cpu"))
        except RuntimeError as error:
            raise TargetError(f"JAX has no CPU backend in this process: {error}") from error
    if match := re.fullmatch(r"(?:tpu[:-])?([^:*]+)(?::(\d+(?:x\d+)*))?(?:\*(\d+))?", name):
        generation = tpu.ALIASES.get(match[1], match[1])
        if generation in tpu.GENERATIONS:
            slices = int(match[3] or 1)
            _check_number(target, slices * math.prod(map(int, (match[2] or "1").split("x"))))
            return tpu.tpu_devices(generation, match[2], slices)
    if match := re.fullmatch(r"([^:]+)(?::(\d+))?", name):
        profile = gpu.ALIASES.get(match[1], match[1])
        if profile in gpu.GPUS and match[2] != "0":
            _check_number(target, int(match[2] or 1))
            return gpu.gpu_devices(profile, int(match[2] or 1))
        if match[1] in (*_AMD, "amd", "rocm"):
            raise TargetError(f"cannot compile for {name}: {_AMD_REMEDY}")
    for kind, meant in _device_kinds().items():
        if name == kind.lower():
            return _named(meant)
    raise _unknown(target)


def _check_number(target: str, devices: int) -> None:
    if devices > MOST_DEVICES:
        raise TargetError(f"{target} is {devices:,} devices: name a target of {MOST_DEVICES:,} at most")


def _device_kinds() -> dict[str, str]:
    kinds = {known.device_kind: name for name, known in gpu.GPUS.items()}
    return kinds | {known.device_kind: f"tpu:{name}" for name, known in tpu.GENERATIONS.items()}


def _unknown(target: str) -> TargetError:
    names = ["cpu", "local", *gpu.GPUS, *gpu.ALIASES, *_AMD]
    for name, generation in tpu.GENERATIONS.items():
        names += [f"tpu:{name}", f"tpu-{name}", *(f"tpu:{name}:{each}" for each in generation.topologies)]
    if target.lower().partition(":")[0] in ("gpu", "cuda", "nvidia"):
        return TargetError(f"unknown target {target!r}: which GPU? {', '.join(gpu.GPUS)} (h100-sxm:8 for eight)")
    near = difflib.get_close_matches(target.lower(), names, n=4, cutoff=0.5)
    hint = f"near names: {', '.join(near)}" if near else f"names: cpu, tpu:v5e, {', '.join(gpu.GPUS)}, …"
    return TargetError(f"unknown target {target!r}; {hint} (hlo_count.targets() lists all)")


def _as_tuple(target: Any) -> tuple[Any, ...]:
    return tuple(target) if isinstance(target, (list, tuple)) else (target,)
