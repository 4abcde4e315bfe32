"""StableHLO as an export, the one form of it that JAX compiles for any target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hlo_count.errors import HloCountError, last_line
from hlo_count.lowering.mlir_depth import MOST_NESTED, nests_too_deep
from hlo_count.lowering.quiet import quiet
from hlo_count.lowering.stored import MLIR_MAGIC, StableHlo


def as_export(program: Any, platform: str) -> Any:
    """StableHLO as an Exported, the one way that JAX has to compile it for any target.

    JAX has no public name for this: the module is read in JAX's own context, where its dialects are registered, and its
    types are turned into JAX's by JAX's table.
    """
    import jax
    import numpy as np
    from jax import export
    from jax._src.export import _export
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    name = program.name if isinstance(program, StableHlo) else "StableHLO"
    with mlir.make_ir_context() as context, ir.Location.unknown(context):
        module = _read(program, name)
        attributes = module.operation.attributes
        number = 1
        for attribute in ("mhlo.num_partitions", "mhlo.num_replicas"):
            if attribute in attributes:
                number *= ir.IntegerAttr(attributes[attribute]).value
        if number > 1:
            raise HloCountError(
                f"{name} is for {number} devices, whose shardings it holds in no form that JAX reads back: "
                f"pass the function, or its jax.export.Exported"
            )
        functions = [op for op in module.body.operations if op.operation.name == "func.func"]
        main = next((op for op in functions if ir.StringAttr(op.attributes["sym_name"]).value == "main"), None)
        if main is None:
            raise HloCountError(f'{name} has no function "main", which is the one that is compiled')
        kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
        types = {str(mlir.dtype_to_ir_type(np.dtype(d))): np.dtype(d) for d in _dtypes()}

        def aval(written: Any) -> Any:
            try:
                tensor = ir.RankedTensorType(written)
                dtype = types[str(tensor.element_type)]
            except (ValueError, KeyError):
                raise HloCountError(
                    f"{name} takes or gives a {written}, which no JAX array is: pass the function"
                ) from None
            if not tensor.has_static_shape:
                raise HloCountError(f"{name} takes dynamic shapes ({written}): lower it with the shapes to count")
            return jax.core.ShapedArray(tuple(tensor.shape), dtype)

        inputs, outputs = list(map(aval, kind.inputs)), list(map(aval, kind.results))
        label = ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else "main"
        serialized = _export._module_to_bytecode(module)
    known: dict[str, Any] = {
        "fun_name": label.removeprefix("jit_"), "nr_devices": 1, "platforms": (platform,),
        "in_tree": jax.tree.structure((tuple(inputs), {})), "in_avals": tuple(inputs),
        "out_tree": jax.tree.structure(tuple(outputs)), "out_avals": tuple(outputs),
        "in_shardings_hlo": (None,) * len(inputs), "out_shardings_hlo": (None,) * len(outputs),
        "_in_named_shardings": (None,) * len(inputs), "_out_named_shardings": (None,) * len(outputs),
        "_has_named_shardings": False, "ordered_effects": (), "unordered_effects": (), "disabled_safety_checks": (),
        "mlir_module_serialized": serialized, "uses_global_constants": False, "_get_vjp": None,
        "calling_convention_version": export.maximum_supported_calling_convention_version,
        "module_kept_var_idx": tuple(range(len(inputs))),
    }  # fmt: skip
    fields = export.Exported.__dataclass_fields__
    return export.Exported(**{field: value for field, value in known.items() if field in fields})


def _read(program: Any, name: str) -> Any:
    import jaxlib.xla_client
    from jaxlib.mlir import ir

    xla: Any = jaxlib.xla_client
    data: Any = program.data if isinstance(program, StableHlo) else program.operation.get_asm(enable_debug_info=True)
    binary = isinstance(data, bytes) and data.startswith(MLIR_MAGIC)
    if isinstance(data, bytes) and not binary and nests_too_deep(data):
        raise HloCountError(f"{name}: its brackets nest more than {MOST_NESTED} deep, which MLIR is not asked to read")
    try:
        with quiet():  # MLIR says on the screen what its error says too
            if binary and b"StableHLO_v" in data[:32]:
                plain: Any = xla._xla.mlir.deserialize_portable_artifact(data)  # read by no public name
                return plain if isinstance(plain, ir.Module) else ir.Module.parse(plain)
            return ir.Module.parse(data.decode() if isinstance(data, bytes) and not binary else data)
    except Exception as problem:  # MLIR's own error, of a class that differs by version
        where = re.search(r'error: (?:"-"|loc\("-"|-):?(\d+):(\d+)\)?:? *:? *([^\n]*)', str(problem))
        if where and where[1] != "0":  # bytecode has no lines
            raise HloCountError(f"{name}:{where[1]}:{where[2]}: {where[3]}: write it again") from problem
        wrote = re.search(rb"StableHLO_v([\d.]+)", data[:40]) if isinstance(data, bytes) else None
        if wrote:
            version = wrote[1].decode()
            raise HloCountError(
                f"{name}: this jaxlib cannot read StableHLO {version}, which is too new for it or damaged: "
                f"update jaxlib, or serialize for an older version"
            ) from problem
        raise HloCountError(f"{name}: MLIR cannot read this ({last_line(problem)}): write it again") from problem


def _dtypes() -> Iterator[Any]:
    import jax.numpy as jnp

    names = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (4, 8, 16, 32, 64)]
    names += ["bool_", "bfloat16", "float16", "float32", "float64", "complex64", "complex128"]
    names += [each for each in dir(jnp) if each.startswith("float8_")]
    yield from (getattr(jnp, each) for each in names if hasattr(jnp, each))
