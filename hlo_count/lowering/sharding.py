"""Where arguments live: meshes over a target's devices, and PartitionSpecs for the arguments."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering import tpu


def make_mesh(asked: Any, devices: Sequence[Any], target: str) -> Any:
    """A jax Mesh of the axes `asked`, names and sizes or an AbstractMesh, over the first of `devices`.

    One axis may have the size -1: as many as there are devices left.

    Raises TargetError when the target has fewer devices than the mesh needs, HloCountError for what is no axes.
    """
    from jax.sharding import Mesh

    if isinstance(asked, Mesh):
        raise HloCountError("mesh: a jax Mesh is a target of its own: pass it as target=, or mesh=dict(mesh.shape)")
    sizes = dict(asked if isinstance(asked, Mapping) else asked.shape if is_abstract(asked) else {})
    if list(sizes.values()).count(-1) == 1:
        others = math.prod(size for size in sizes.values() if isinstance(size, int) and size > 0)
        left = {name: max(1, len(devices) // others) for name, size in sizes.items() if size == -1}
        sizes.update(left)
    if not sizes or not all(
        isinstance(name, str) and isinstance(size, int) and size > 0 for name, size in sizes.items()
    ):
        raise HloCountError(f'mesh: a mesh is axis names and sizes, such as {{"data": 8}}, not {asked!r}')
    arranged = arrange(tuple(sizes.values()), devices, target)
    if arranged.size < len(devices) and ":" in target and devices[0].platform != "cpu":  # which says how many
        shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
        warnings.warn(
            f"mesh {shown}: {arranged.size} of the {len(devices)} devices of {target} are used, the others are idle",
            stacklevel=2,
        )
    return Mesh(arranged, tuple(sizes), **axis_types(asked))


def is_abstract(value: Any) -> bool:
    """Whether `value` is a mesh without devices, or a sharding over one."""
    return type(getattr(value, "mesh", value)).__name__ == "AbstractMesh"


def axis_types(mesh: Any) -> dict[str, Any]:
    """The types of the axes of `mesh` as `Mesh` takes them; Manual ones, inside shard_map, are Auto outside of it."""
    types = getattr(mesh, "axis_types", None)  # absent before jax 0.5, None until set in some later releases
    if types is None:
        return {}
    if isinstance(types, tuple):
        types = tuple(type(each).Auto if each.name == "Manual" else each for each in types)
    return {"axis_types": types}


def arrange(shape: tuple[int, ...], devices: Sequence[Any], target: str) -> Any:
    """An array of devices of `shape`, neighbours on the mesh being neighbours on the wire where possible."""
    import numpy as np
    from jax.experimental import mesh_utils

    wanted = math.prod(shape)
    check_count(wanted, devices, target)
    slices = len(set(map(tpu.slice_of, devices)))
    if slices > 1 and wanted == len(devices):
        return _over_slices(shape, devices, slices, target)
    if wanted == len(devices):
        try:
            return mesh_utils.create_device_mesh(shape, list(devices), allow_split_physical_axes=True)
        except (NotImplementedError, ValueError):
            pass  # no such layout on this topology: the plain order is what is left
    return np.array(devices[:wanted], dtype=object).reshape(shape)


def _over_slices(shape: tuple[int, ...], devices: Sequence[Any], slices: int, target: str) -> Any:
    """Slice after slice along the axes that come first, each arranged by itself."""
    import numpy as np

    each = len(devices) // slices
    inner, left = [], slices
    for size in shape:
        common = math.gcd(size, left)
        left //= common
        inner.append(size // common)
    if left > 1:  # no axes are made of whole slices: the order of the devices is what is left
        return np.array(devices, dtype=object).reshape(shape)
    blocks = [arrange(tuple(inner), devices[first : first + each], target) for first in range(0, len(devices), each)]
    return np.stack(blocks).reshape(shape)


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


def abstract_device(device: Any) -> Any | None:
    """What JAX says of the kind of a device without naming it; None before JAX 0.7, which has no kernels that ask."""
    import numpy as np
    from jax.sharding import Mesh

    mesh = Mesh(np.array([device], dtype=object), ("device",))
    return getattr(getattr(mesh, "abstract_mesh", None), "abstract_device", None)


@contextmanager
def target_context(mesh: Any, device: Any) -> Iterator[None]:
    """`mesh` as the ambient mesh, and `device` as what the program will run on, for kernels that ask while traced.

    Pallas asks the abstract mesh for it (`emit_pipeline`, meshes of a chip's cores), else JAX's default device.
    """
    import jax

    with mesh_context(mesh):
        kind = abstract_device(device)
        if kind is None:
            yield
            return
        with jax.sharding.use_abstract_mesh(jax.sharding.get_abstract_mesh().update(abstract_device=kind)):
            yield


def ambient_mesh() -> Any | None:
    """The mesh that the caller has set for the code around the call, None when there is none."""
    import jax

    for name in ("get_mesh", "get_abstract_mesh"):  # jax 0.7; before it there was only the legacy `with mesh:`
        try:
            mesh = getattr(jax.sharding, name)() if hasattr(jax.sharding, name) else None
        except ValueError as error:
            raise HloCountError(  # JAX lets named axes through to code that is not traced itself
                "target: cannot compile for one inside shard_map or vmap(axis_name=...); count outside of it"
            ) from error
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

    each_one = jax.tree.leaves(in_specs, is_leaf=is_spec)
    wrong = [each for each in each_one if not is_spec(each)]
    if wrong or not (is_spec(in_specs) or isinstance(in_specs, (list, tuple))):
        said = wrong[0] if wrong else in_specs
        raise HloCountError(
            f'in_specs: a PartitionSpec or None for each argument, such as (P("data"), None), not {said!r}'
        )
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
