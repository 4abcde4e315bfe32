"""What lowering hands on: one program as HLO text, with what JAX knew about it."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.hlo_protos import proto_text
from hlo_count.lowering.known_integers import known_integers
from hlo_count.lowering.tpu import slice_of

_HEADER = re.compile(r"^HloModule\s+([^\s,]+)(.*)", re.MULTILINE)
_COUNT = re.compile(r"\b(?:num_partitions|replica_count)=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program as HLO text, and what is known about where it runs.

    `text` is the module after optimization, which is what *one* of `num_devices` devices runs. With
    `optimized=False` it is the module as JAX emits it: the shapes are those of the whole arrays, whatever
    the number of devices, since the partitioner has not run.
    """

    text: str
    backend: str
    """"cpu", "tpu" or "gpu"."""
    target: str | None
    """The target as the user named it; None for JAX's default backend."""
    num_devices: int
    jax_version: str
    optimized: bool
    device_kind: str | None
    """JAX's own name of the device kind, such as "TPU v5 lite"."""
    compiled: Any | None
    """The `jax.stages.Compiled`, for its cost and memory analyses; None when nothing was compiled."""
    mesh: tuple[tuple[str, int], ...]
    """Mesh axis names and sizes, major first; () when the program has no mesh."""
    name: str
    """The name of the HLO module, such as "jit_train_step"."""
    unoptimized: Callable[[], str] | None = None
    """Gives the module as JAX emits it, where it is still there: source lines that the compiler loses are in it."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how it was compiled: an option that was set, memory kinds that were dropped."""
    assignment: tuple[int, ...] = ()
    """The ids of its devices in the order of its mesh, where they lie in several slices of TPUs."""
    integers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """The elements of small integer arrays that the text leaves out, by instruction; kernels may ask for them."""
    moves_more: bool = False
    """Whether it moves bytes that the compiled text does not show: to and from host memory that was dropped."""


def describe(
    lowered: Any | None, compiled: Any | None, *, target: str | None, mesh: tuple[tuple[str, int], ...] = ()
) -> Program:
    """The Program of a `jax.stages.Compiled`, or of a `Lowered` where nothing was compiled."""
    import jax

    text = unoptimized_text(lowered) if compiled is None else optimized_text(compiled)
    header = _HEADER.search(text)
    if header is None:
        raise HloCountError("JAX gave no HLO text for this program")
    shardings = _shardings(compiled)
    devices = list(shardings[0].device_set) if shardings else devices_of(lowered, compiled)
    if not mesh:
        meshes = [each.mesh for each in shardings if getattr(getattr(each, "mesh", None), "size", 1) > 1]
        mesh = tuple(meshes[0].shape.items()) if meshes else ()
    slices = len(set(map(slice_of, devices)))
    return Program(
        text=text,
        backend=devices[0].platform,
        target=target,
        # libtpu's header has the partitions of one slice.
        num_devices=len(devices) if compiled is None else slices * math.prod(map(int, _COUNT.findall(header[2]))),
        jax_version=jax.__version__,
        optimized=compiled is not None,
        device_kind=devices[0].device_kind,
        compiled=compiled,
        mesh=mesh,
        assignment=_in_order(shardings) if slices > 1 else (),
        integers={} if compiled is None else known_integers(compiled, text),
        name=header[1],
        unoptimized=None if lowered is None else functools.partial(unoptimized_text, lowered),
    )


def optimized_text(compiled: Any) -> str:
    """The text of a `jax.stages.Compiled`; "" where there is none. Before jax 0.9 the CUDA plugin gives none of a GPU
    that is not there, but the module stands in the executable's serialized form."""
    text = compiled.as_text()
    if text is None and hasattr(executable := compiled.runtime_executable(), "serialize"):
        text = proto_text(executable.serialize(), "the compiled program")
    return str(text or "")


def devices_of(lowered: Any | None, compiled: Any | None = None) -> list[Any]:
    """The devices that a program was lowered for."""
    import jax

    if lowered is not None:
        stage = lowered._lowering  # no public name tells what a Lowered is for
        devices = getattr(stage, "_device_list", None) or stage.compile_args.get("device_assignment")
    else:  # a Compiled without arguments and results, or of jax.pmap
        executable = compiled.runtime_executable()  # type: ignore[union-attr]
        devices = executable.local_devices() if hasattr(executable, "local_devices") else None
    return list(devices or jax.devices()[:1])


def _shardings(compiled: Any | None) -> list[Any]:
    import jax

    if compiled is None:
        return []
    found = []
    for which in ("input_shardings", "output_shardings"):
        try:
            found += jax.tree.leaves(getattr(compiled, which))
        except NotImplementedError:  # jax.pmap before jax 0.9
            continue
        except ValueError:  # arrays that the function closes over are inputs too, which the structure has no place for
            continue
    return found


def _in_order(shardings: list[Any]) -> tuple[int, ...]:
    meshes = [each.mesh for each in shardings if getattr(getattr(each, "mesh", None), "size", 1) > 1]
    return tuple(device.id for device in meshes[0].devices.flat) if meshes else ()


def unoptimized_text(lowered: Any) -> str:
    """The HLO text of a `jax.stages.Lowered`: what the compiler is given."""
    try:
        text = str(lowered.as_text("hlo", debug_info=True))
    except TypeError:  # jax 0.4.30 has no debug_info, but there the module itself prints its metadata
        text = str(lowered.compiler_ir("hlo").as_hlo_module().to_string())
    return _with_devices(text, lowered)


def _with_devices(text: str, lowered: Any) -> str:
    """The text with the numbers of devices in its header, as XLA's dumps have it: JAX keeps them in its own module."""
    header, newline, rest = text.partition("\n")
    attributes = lowered.compiler_ir("stablehlo").operation.attributes
    for name, attribute in (("num_partitions", "mhlo.num_partitions"), ("replica_count", "mhlo.num_replicas")):
        count = int(str(attributes[attribute]).split(":")[0]) if attribute in attributes else 1
        if count > 1 and f"{name}=" not in header:
            header += f", {name}={count}"
    return header + newline + rest
