"""An export as a jitted function on the devices of a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering.quiet import quiet
from hlo_count.lowering.sharding import check_count
from hlo_count.lowering.stablehlo import as_export
from hlo_count.lowering.stored import StableHlo, is_mlir_module
from hlo_count.lowering.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export as a jitted function on the devices of a target."""

    jitted: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    """What messages call it."""

    def lower(self) -> Any:
        """The `jax.stages.Lowered`. Raises HloCountError where XLA cannot read the program in the export."""
        try:
            with quiet():
                return self.jitted.lower(*self.args, **self.kwargs)
        except Exception as problem:  # XLA's status, of a class that differs by version
            if "Failed to deserialize StableHLO" not in str(problem):
                raise
            raise HloCountError(
                f"{self.name} holds StableHLO that this jaxlib cannot read, too new for it or damaged: export it again"
            ) from problem


def export_of(program: Any, args: Sequence[Any], kwargs: Mapping[str, Any], target: Target, mesh: Any) -> Export:
    """`program`, a `jax.export.Exported` or StableHLO, over as many devices of `target` as it was written for.

    `args` are shapes for an export with symbolic dimensions. Raises TargetError for another platform or too few
    devices, HloCountError for what cannot be read.
    """
    import jax
    import numpy as np
    from jax import export
    from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

    if mesh is not None:
        raise HloCountError("an export already holds its shardings: pass the function to choose a mesh")
    platform = target.devices[0].platform
    stablehlo = isinstance(program, StableHlo) or is_mlir_module(program)
    exported = as_export(program, "cuda" if platform == "gpu" else platform) if stablehlo else program
    name = getattr(program, "name", None) or "StableHLO" if stablehlo else f"the export of {exported.fun_name}"
    if stablehlo and (args or kwargs):
        raise HloCountError(f"{name} already holds the shapes of its arguments: pass it alone")
    lowest = export.minimum_supported_calling_convention_version
    highest = export.maximum_supported_calling_convention_version
    if not lowest <= exported.calling_convention_version <= highest:
        raise HloCountError(
            f"{name} has calling convention version {exported.calling_convention_version}, jax {jax.__version__} takes "
            f"{lowest} to {highest}: export it again with this jax"
        )
    _check_platform(exported, platform, name)
    leaves = _arguments(exported, args, kwargs, name)
    number = exported.nr_devices
    check_count(number, target.devices, target.name)
    chosen = target.devices[:number]
    if number == 1:
        shardings: Any = [SingleDeviceSharding(chosen[0])] * len(leaves)
        out: Any = SingleDeviceSharding(chosen[0])
    else:
        factors = _prime_factors(number)  # of their products JAX can make any tiling that an HLO sharding names
        over = Mesh(np.array(chosen).reshape(factors), tuple(f"axis{n}" for n in range(len(factors))))
        for each in getattr(exported, "_in_named_shardings", ()):  # a named sharding wants the mesh of its names
            if each is not None:
                over = Mesh(np.array(chosen).reshape(each.mesh.axis_sizes), each.mesh.axis_names)
        replicated = NamedSharding(over, PartitionSpec())
        shardings = [replicated if each is None else each for each in exported.in_shardings_jax(over)]
        out = None
    structs = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s) for a, s in zip(leaves, shardings, strict=True)]

    def call(*values: Any, **named: Any) -> Any:
        return exported.call(*values, **named)

    call.__name__ = call.__qualname__ = exported.fun_name
    positional, keywords = jax.tree.unflatten(exported.in_tree, structs)
    jitted = jax.jit(call) if structs or out is None else jax.jit(call, out_shardings=out)
    return Export(jitted=jitted, args=positional, kwargs=keywords, name=name)


def _prime_factors(number: int) -> list[int]:
    found, factor = [], 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor += 1
    return found


def _check_platform(exported: Any, platform: str, name: str) -> None:
    own = {"gpu" if each in ("cuda", "rocm") else each for each in exported.platforms}
    if platform not in own:
        example = {"tpu": "tpu:v5e", "gpu": "h100-sxm"}
        wanted = "cuda" if platform == "gpu" else platform
        raise TargetError(
            f"{name} is a program for {', '.join(exported.platforms)} and was to be compiled for {platform}: name a "
            f"target that it is for, such as {example.get(min(own), min(own))}, or export it with "
            f"platforms=[{wanted!r}]"
        )


def _arguments(exported: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> list[Any]:
    """A shape for each input: those it was exported with, or those given for its symbolic dimensions."""
    import jax

    symbolic = any(not isinstance(size, int) for aval in exported.in_avals for size in aval.shape)
    if not (args or kwargs):
        if symbolic:
            shapes = ", ".join(str(aval.str_short()) for aval in exported.in_avals)
            raise HloCountError(f"{name} takes symbolic shapes ({shapes}): pass shapes, jax.ShapeDtypeStruct, with it")
        return list(exported.in_avals)
    if not symbolic:
        raise HloCountError(f"{name} already holds the shapes of its arguments: pass it alone")
    leaves, tree = jax.tree.flatten((tuple(args), dict(kwargs)))
    if tree != exported.in_tree:
        raise HloCountError(f"{name} takes arguments of the structure {exported.in_tree}, not {tree}")
    return [leaf if hasattr(leaf, "shape") else jax.numpy.asarray(leaf) for leaf in leaves]
