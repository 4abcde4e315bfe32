"""Programs that come as data, not as functions: exports, StableHLO, jaxprs and serialized HLO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering.mlir_depth import MOST_NESTED, nests_too_deep
from hlo_count.lowering.quiet import quiet, settle_default_backend
from hlo_count.lowering.sharding import check_count
from hlo_count.lowering.targets import Target
from hlo_count.lowering.wire_format import BrokenMessageError, fields

_MLIR_MAGIC = b"ML\xefR"
_MLIR_TEXT = re.compile(
    rb"\s*+(?:(?://[^\n]*+|[#!]\w++\s*+=[^\n]*+)\s++)*+"
    rb"(?:module\s*+(?:@|attributes\b|\{)|\"builtin\.module\"|func\.func\b|\"func\.func\")"
)


@dataclass(frozen=True, slots=True)
class StableHlo:
    """StableHLO that has not been read yet: MLIR text, MLIR bytecode or a portable artifact."""

    data: bytes
    name: str
    """What messages call it: the file, or "StableHLO"."""


def kind_of(data: bytes) -> str:
    """What bytes hold, by their content: "stablehlo", "exported", "proto" or "text"; loads nothing."""
    if data.startswith(_MLIR_MAGIC) or _MLIR_TEXT.match(data):
        return "stablehlo"
    if data[2:4] == b"\0\0" and _MLIR_MAGIC in data:  # a flatbuffer begins with a small offset
        return "exported"
    return "proto" if data[:1] == b"\n" and b"\0" in data else "text"


def is_stored(program: Any) -> bool:
    """Whether it is an export, StableHLO or a jaxpr, found without loading what makes them."""
    is_export = isinstance(program, StableHlo) or _is(program, "jax._src.export", "Exported")
    return is_export or is_module(program) or is_jaxpr(program)


def is_module(program: Any) -> bool:
    """Whether it is an MLIR module object, such as `lowered.compiler_ir()`."""
    return _is(program, "jaxlib.mlir", "Module")


def _is(program: Any, home: str, *names: str) -> bool:
    return type(program).__name__ in names and type(program).__module__.startswith(home)


def load(data: bytes, name: str) -> Any:
    """The `jax.export.Exported` or the StableHlo in bytes of that kind. Raises HloCountError naming the remedy."""
    if kind_of(data) == "stablehlo":
        return StableHlo(data, name)
    settle_default_backend()
    try:
        from jax import export

        return export.deserialize(bytearray(data))
    except ImportError as problem:
        missing = re.search(r"flatbuffers|absl", str(problem))
        what = {"flatbuffers": "flatbuffers", "absl": "absl-py"}[missing[0]] if missing else "a newer jax"
        raise HloCountError(f"{name}: reading an export needs {what}: pip install {what}") from problem
    except Exception as problem:  # JAX's reader does not check what it reads: whatever damage meets comes out
        import jax

        raise HloCountError(
            f"{name}: not an export that jax {jax.__version__} reads ({_line(problem)}): "
            f"export again with this jax, or read it with the jax that wrote it"
        ) from problem


def is_jaxpr(program: Any) -> bool:
    """Whether it is what `jax.make_jaxpr` gives: a ClosedJaxpr, from jax 0.11 on a Jaxpr."""
    return _is(program, "jax._src.core", "ClosedJaxpr", "Jaxpr")


def function_of(jaxpr: Any, has_arguments: bool) -> tuple[Any, tuple[Any, ...]]:
    """A function that evaluates a closed jaxpr, and its arguments. Raises HloCountError with the remedy."""
    from jax.extend.core import jaxpr_as_fun

    if has_arguments:
        raise HloCountError("a jaxpr already holds the shapes of its arguments: pass it alone")
    if not hasattr(jaxpr, "consts"):
        raise HloCountError("this jaxpr has lost its constants: pass what jax.make_jaxpr gives")
    run = jaxpr_as_fun(jaxpr)

    def call(*values: Any) -> Any:
        return run(*values)

    call.__name__ = call.__qualname__ = "jaxpr"
    return call, tuple(_struct(aval) for aval in jaxpr.in_avals)


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
    stablehlo = isinstance(program, StableHlo) or is_module(program)
    exported = _exported(program, "cuda" if platform == "gpu" else platform) if stablehlo else program
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


def _exported(program: Any, platform: str) -> Any:
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
    binary = isinstance(data, bytes) and data.startswith(_MLIR_MAGIC)
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
        raise HloCountError(f"{name}: MLIR cannot read this ({_line(problem)}): write it again") from problem


def _dtypes() -> Iterator[Any]:
    import jax.numpy as jnp

    names = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (4, 8, 16, 32, 64)]
    names += ["bool_", "bfloat16", "float16", "float32", "float64", "complex64", "complex128"]
    names += [each for each in dir(jnp) if each.startswith("float8_")]
    yield from (getattr(jnp, each) for each in names if hasattr(jnp, each))


def _struct(aval: Any) -> Any:
    import jax

    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def _line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[-1] if lines else type(problem).__name__).rstrip(" .:")[:200]


# Serialized HLO


def proto_text(data: bytes, name: str) -> str:
    """The text of a serialized HloModuleProto, or of an HloProto, HloSnapshot or executable around one.

    Raises HloCountError for other protocol buffers and damaged ones.
    """
    module = _module_proto(data)
    if module is None:
        raise HloCountError(
            f"{name}: a damaged protocol buffer, or one without an HLO module (a profile such as xplane.pb has none): "
            f"pass a dump of --xla_dump_hlo_as_proto or --xla_dump_hlo_as_text"
        )
    reader = _hlo_module()
    try:
        with quiet():
            text = str(reader.from_serialized_hlo_module_proto(module).to_string())
    except Exception as problem:  # XLA's status, of a class that differs by version
        raise HloCountError(
            f"{name}: this HLO module is damaged, or of a newer XLA than this jaxlib has ({_line(problem)}): dump it "
            f"again, or read it with a newer jaxlib"
        ) from problem
    return _with_devices(text, module)


_DEVICE_ASSIGNMENT = 15
"""The field of an HloModuleProto that says which devices run it, as replicas (1) times partitions (2)."""


def _with_devices(text: str, module: bytes) -> str:
    """The text with the numbers of devices in its header, which XLA's reader leaves out."""
    counts: dict[int, Any] = {}
    for field, value in fields(module, 0, len(module)):
        if field == _DEVICE_ASSIGNMENT and isinstance(value, tuple):
            counts.update(fields(module, *value))
    header, newline, rest = text.partition("\n")
    for number, attribute in ((2, "num_partitions"), (1, "replica_count")):
        count = counts.get(number, 1)
        if isinstance(count, int) and count > 1 and f"{attribute}=" not in header:
            header += f", {attribute}={count}"
    return header + newline + rest


def _hlo_module() -> Any:
    """jaxlib's HloModule, which no public name gives."""
    settle_default_backend()
    from importlib import import_module

    try:
        return import_module("jaxlib._hlo").HloModule
    except ImportError:  # an older jaxlib has it elsewhere
        found = getattr(import_module("jaxlib.xla_client")._xla, "HloModule", None)
    if found is None:
        raise HloCountError("this jaxlib has no HloModule to read an HLO proto with: dump with --xla_dump_hlo_as_text")
    return found


def _module_proto(data: bytes, depth: int = 4) -> bytes | None:
    """The bytes of the HloModuleProto: fields 1 and 2 are names, 3 the computations; around it field 1 is a message."""
    found: dict[int, bytes] = {}
    try:
        for number, value in fields(data, 0, len(data)):
            if isinstance(value, tuple):
                found.setdefault(number, data[slice(*value)])
    except BrokenMessageError:
        return None
    if 1 not in found:
        return None
    if 2 in found and 3 in found and b"\0" not in found[1]:
        return data
    return _module_proto(found[1], depth - 1) if depth > 1 else None
