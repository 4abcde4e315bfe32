"""Where arguments live: meshes over a target's devices, and PartitionSpecs for the arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering import tpu


def make_mesh(sizes: Mapping[str, int], devices: Sequence[Any], target: str) -> Any:
    """A jax Mesh of the given axis names and sizes over the first of `devices`, laid out as JAX would.

    Raises TargetError when the target has fewer devices than the mesh needs, HloCountError for a size that is
    none.
    """
    from jax.sharding import Mesh

    if not all(isinstance(size, int) and size > 0 for size in sizes.values()):
        raise HloCountError(f'a mesh is axis names and sizes, such as {{"data": 8}}, not {dict(sizes)!r}')
    arranged = arrange(tuple(sizes.values()), devices, target)
    return Mesh(arranged, tuple(sizes))


def arrange(shape: tuple[int, ...], devices: Sequence[Any], target: str) -> Any:
    """An array of devices of `shape`, neighbours on the mesh being neighbours on the wire where possible."""
    import numpy as np
    from jax.experimental import mesh_utils

    wanted = math.prod(shape)
    check_count(wanted, devices, target)
    if wanted == len(devices):
        try:
            return mesh_utils.create_device_mesh(shape, list(devices), allow_split_physical_axes=True)
        except (NotImplementedError, ValueError):
            pass  # no such layout on this topology: the plain order is what is left
    return np.array(devices[:wanted], dtype=object).reshape(shape)


def check_count(wanted: int, devices: Sequence[Any], target: str) -> None:
    """Raise TargetError when `target` has fewer than `wanted` devices."""
    if wanted <= len(devices):
        return
    kind = devices[0].platform
    remedy = {
        "tpu": f"name a larger topology{tpu.large_enough(devices[0].device_kind, wanted)}",
        "gpu": f"name that many, such as h100-sxm:{wanted}",
    }.get(kind, f"start Python with XLA_FLAGS=--xla_force_host_platform_device_count={wanted}, or name a target")
    raise TargetError(f"the program needs {wanted} devices and {target} has {len(devices)}: {remedy}")


def mesh_context(mesh: Any) -> AbstractContextManager[Any]:
    """`mesh` as the ambient mesh, so that bare PartitionSpecs inside the function mean its axes."""
    import jax

    if mesh is None:
        return nullcontext()
    for owner, name in ((jax, "set_mesh"), (jax.sharding, "use_mesh")):  # jax 0.7, jax 0.5
        if hasattr(owner, name):
            return getattr(owner, name)(mesh)  # type: ignore[no-any-return]
    return mesh  # type: ignore[no-any-return]  # a Mesh is itself a context manager


def ambient_mesh() -> Any | None:
    """The mesh that the caller has set for the code around the call, None when there is none."""
    import jax

    for name in (
        "get_mesh",
        "get_abstract_mesh",
    ):  # jax 0.7; before it there was only the legacy `with mesh:`
        mesh = getattr(jax.sharding, name)() if hasattr(jax.sharding, name) else None
        if mesh is not None and not mesh.empty:
            return mesh
    return None


def is_array(leaf: Any) -> bool:
    """Whether `leaf` is an array or stands for one; Python scalars may be static arguments and are none."""
    import jax
    import numpy as np

    return isinstance(leaf, (jax.Array, np.ndarray, jax.ShapeDtypeStruct))


def as_struct(leaf: Any, sharding: Any) -> Any:
    """`leaf` without its data, as a ShapeDtypeStruct with `sharding`."""
    import jax

    weak = getattr(leaf, "weak_type", False)
    if not weak or not hasattr(jax.ShapeDtypeStruct, "weak_type"):  # jax 0.4.30 has no word for it
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding, weak_type=True)


def spread(args: tuple[Any, ...], in_specs: Any, mesh: Any) -> tuple[Any, ...]:
    """`args` with each array placed on `mesh` by `in_specs`, a pytree prefix of `args`; None is replicated.

    Raises HloCountError when the structures do not fit.
    """
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    def is_spec(node: Any) -> bool:
        return node is None or isinstance(node, PartitionSpec)

    def place(spec: Any, subtree: Any) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec() if spec is None else spec)
        return jax.tree.map(lambda leaf: as_struct(leaf, sharding) if is_array(leaf) else leaf, subtree)

    prefix = in_specs if is_spec(in_specs) else tuple(in_specs)
    if isinstance(prefix, tuple) and not is_spec(prefix) and len(prefix) != len(args):
        raise HloCountError(
            f"in_specs does not fit the arguments: {len(prefix)} for {len(args)}; give one for each, None for a "
            f"replicated one"
        )
    try:
        placed: tuple[Any, ...] = jax.tree.map(place, prefix, args, is_leaf=is_spec)
    except ValueError as error:
        reason = " ".join(str(error).split()).replace("tree_map tree", "in_specs")
        raise HloCountError(f"in_specs does not fit the arguments: {reason}") from error
    return placed
