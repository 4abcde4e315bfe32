"""Which device of a target takes the place of which device that a program was written for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import TargetError
from hlo_count.lowering.sharding import abstract_device, arrange, axis_types, check_count, is_abstract
from hlo_count.lowering.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The devices of a program, from those it was written for to those of the target."""

    order: tuple[Any, ...]
    """The devices that the program ends up on, in the order of its device assignment."""
    instead: Mapping[Any, Any]
    """The device of the target for each device of the program."""
    concrete: Mapping[Any, Any]
    """The mesh over the target's devices for each mesh without devices (AbstractMesh)."""
    axes: tuple[tuple[str, int], ...]
    """The axis names and sizes of the program's largest mesh; () when it has none."""
    abstract_device: Any
    """The kind of the target's devices as JAX's types name it; None where they do not (before jax 0.7)."""

    def device(self, device: Any) -> Any:
        """The device that stands in for `device`."""
        return device if device in self.order else self.instead.get(device, self.order[0])

    def mesh(self, mesh: Any) -> Any:
        """`mesh` with the same axes over the target's devices."""
        import numpy as np
        from jax.sharding import Mesh

        if not isinstance(mesh, Mesh):
            return self.concrete.get(mesh, mesh)
        moved = np.vectorize(self.device, otypes=[object])(mesh.devices)
        return Mesh(moved, mesh.axis_names, **axis_types(mesh))

    def sharding(self, sharding: Any) -> Any:
        """`sharding` with the target's devices in it.

        Raises TargetError for a kind of sharding that names its devices in a way of its own.
        """
        from jax.sharding import NamedSharding, SingleDeviceSharding

        # What a CPU calls its own memory ("unpinned_host") means nothing to a TPU; offloading does.
        kind = "pinned_host" if sharding.memory_kind == "pinned_host" else None
        if isinstance(sharding, NamedSharding):
            return NamedSharding(self.mesh(sharding.mesh), sharding.spec, memory_kind=kind)
        if isinstance(sharding, SingleDeviceSharding):
            (device,) = sharding.device_set
            return SingleDeviceSharding(self.device(device), memory_kind=kind)
        raise TargetError(f"cannot move a {type(sharding).__name__} to another target: use NamedSharding")


def plan(written: Iterable[Any], target: Target, mesh: Any | None) -> Move:
    """How a program with the shardings and meshes `written` into it moves onto `target`.

    `mesh`, where given, is a concrete mesh over the target whose order of devices the program takes. Raises
    TargetError when the program needs more devices than there are.
    """
    import numpy as np
    from jax.sharding import Mesh

    meshes = _meshes(written)
    largest = max(meshes, key=lambda each: int(each.size), default=None)
    if mesh is not None:
        order = tuple(mesh.devices.flat)
        check_count(largest.size if largest else 1, order, target.name)
    elif largest is None:
        order = target.devices[:1]
    elif isinstance(largest, Mesh) and set(target.devices).issuperset(largest.devices.flat):
        order = tuple(largest.devices.flat)  # written for this very target
    else:
        order = tuple(arrange(tuple(largest.shape.values()), target.devices, target.name).flat)
    instead: dict[Any, Any] = {}
    concrete: dict[Any, Any] = {}
    for each in sorted(meshes, key=lambda each: (-int(each.size), _has_manual_axes(each))):
        if isinstance(each, Mesh):
            for device, other in zip(each.devices.flat, order, strict=False):
                instead.setdefault(device, other)
        else:
            devices = np.array(order[: each.size], dtype=object).reshape(tuple(each.shape.values()))
            concrete[each] = Mesh(devices, each.axis_names, **axis_types(each))
    main = mesh if mesh is not None else largest
    axes = () if main is None else tuple(main.shape.items())
    return Move(
        order=order,
        instead=instead,
        concrete=concrete,
        axes=axes,
        abstract_device=abstract_device(order[0]),
    )


def is_foreign(written: Any, move: Move) -> bool:
    """Whether a sharding or mesh names devices, or a kind of them, that are not the program's own on the target."""
    from jax.sharding import Mesh

    mesh = getattr(written, "mesh", written)
    if is_abstract(mesh):
        return bool(getattr(mesh, "abstract_device", None) != move.abstract_device)
    devices = mesh.devices.flat if isinstance(mesh, Mesh) else written.device_set
    return not set(move.order).issuperset(devices)


def _meshes(written: Iterable[Any]) -> list[Any]:
    """The meshes among shardings and meshes; a spread sharding without a mesh counts as one axis."""
    from jax.sharding import Mesh

    found = []
    for each in written:
        mesh = getattr(each, "mesh", each)
        if hasattr(mesh, "axis_names"):
            found.append(mesh)
        elif len(each.device_set) > 1:
            found.append(Mesh(sorted(each.device_set, key=lambda device: int(device.id)), ("devices",)))
    return found


def _has_manual_axes(mesh: Any) -> bool:
    """Whether `mesh` is as shard_map's body sees it, where an axis is no longer there to shard an array over."""
    return any(each.name == "Manual" for each in getattr(mesh, "axis_types", None) or ())
