"""`count`: from a function, a stage of JAX, a module, a text or a file to a Report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.hlo import Module, parse
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.report.keywords import of_function
from hlo_count.report.places import lost_lines
from hlo_count.report.report import Report
from hlo_count.visitors.settings import Branch, Settings


def count(
    fn: Any,
    /,
    *args: Any,
    target: Any = None,
    convention: str = "default",
    trip_counts: Mapping[str, int] | None = None,
    branches: Mapping[str, Branch] | None = None,
    compiler_options: Mapping[str, Any] | None = None,
    strict: bool = False,
    mesh: Any = None,
    in_specs: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    **named: Any,
) -> Report:
    """Count what the compiled program of `fn(*args, **kwargs)` does. Nothing is run.

    `fn` may also be a jitted function (of another library too: `nnx.jit`, `eqx.filter_jit`). Without arguments it may
    be a `jax.stages.Traced`, `Lowered` or `Compiled`, or a library's own, a Module, HLO text (a str), a
    `jax.export.Exported`, StableHLO (a str, bytes or an MLIR module), a ClosedJaxpr, a serialized HLO proto or export
    (bytes), or a file of any of these (a pathlib.Path). Arguments may be `jax.ShapeDtypeStruct`s. Keywords that are
    none of these go to the function; `kwargs` holds those of the function that have such a name.

    `target`: what to compile for ("cpu", "tpu:v5e:2x4", "h100-sxm" ...), JAX's default backend unless given; `mesh` and
    `in_specs` shard the arguments over it. `convention`: "default", or "xla" for what XLA's own analysis says.
    `trip_counts` and `branches`: {instruction name or op_name pattern: value} for what the program does not tell.
    `compiler_options` go to XLA. `strict`: raise UnknownCostError when anything is not known.

    Raises HloCountError (ParseError, TargetError, UnknownCostError among them); a function that cannot be traced raises
    JAX's own error.
    """
    own = {
        "target": target, "trip_counts": trip_counts, "branches": branches, "compiler_options": compiler_options,
        "strict": strict, "mesh": mesh, "in_specs": in_specs, "convention": convention,
    }  # fmt: skip
    keywords = of_function(fn, args, named, kwargs, own)
    settings = Settings(dict(trip_counts or {}), dict(branches or {}))
    options: dict[str, Any] = {"convention": convention, "settings": settings, "strict": strict}
    if isinstance(fn, str | Path | bytes | bytearray):
        with no_garbage_collection():
            fn = opened(fn)
    if isinstance(fn, Module):
        given = {"arguments": args or keywords, "target": target, "mesh": mesh, "compiler_options": compiler_options}
        for what, value in given.items():
            if value:
                raise HloCountError(f"{what}: a compiled program takes none; pass a function to have it compiled")
        with no_garbage_collection():
            return Report(fn, **options)
    from hlo_count.lowering import lower, stage_in
    from hlo_count.lowering.stored import is_jaxpr, is_stored

    if stage_in(fn) is None and not callable(fn) and not hasattr(fn, "lower") and not is_stored(fn):
        raise HloCountError(
            f"cannot count {fn!r}: pass a function, a jax.stages object, a Module, HLO text, or a pathlib.Path"
        )
    program = lower(fn, args, keywords, target=target, mesh=mesh, in_specs=in_specs, compiler_options=compiler_options)
    module = parse(program.text)
    return Report(
        module,
        backend=program.backend,
        num_devices=program.num_devices,
        jax_version=program.jax_version,
        target=program.target,
        mesh=program.mesh,
        device_kind=program.device_kind,
        compiled=program.compiled,
        notes=program.notes,
        moves_more=program.moves_more,
        traced_here=not is_stored(fn) or is_jaxpr(fn),
        lost_lines=lost_lines(module, program.unoptimized),
        **options,
    )


def read(source: Path) -> Module:
    """The module in a file of HLO text or of an HLO proto (gzip too). Raises HloCountError naming what is wrong."""
    found = opened(source)
    if not isinstance(found, Module):
        raise HloCountError(f"{source}: this is a program to compile, not HLO: pass it to count")
    return found


def opened(source: str | bytes | bytearray | Path) -> Any:
    """The Module of HLO as text or proto, or what `lower` takes of an export or StableHLO; by content, not by name.

    Raises HloCountError naming what is wrong with the file.
    """
    from hlo_count.lowering import stored

    if isinstance(source, str):
        # A str can hold half of a surrogate pair, which UTF-8 has no bytes for.
        is_stablehlo = stored.kind_of(source[:65536].encode(errors="replace")) == "stablehlo"
        return stored.load(source.encode(errors="replace"), "StableHLO") if is_stablehlo else parse(source)
    name = str(source) if isinstance(source, Path) else "<bytes>"
    try:
        data = source.read_bytes() if isinstance(source, Path) else bytes(source)
    except OSError as problem:
        raise HloCountError(f"{name}: {problem.strerror or problem}; pass the path of an HLO text") from None
    return opened_bytes(data, name)


def opened_bytes(data: bytes, name: str) -> Any:
    """As `opened`, of the bytes of what messages call `name`."""
    from hlo_count.lowering import stored

    data = unzipped(data, name)
    match stored.kind_of(data):
        case "stablehlo" | "exported":
            return stored.load(data, name)
        case "proto":
            return parse(stored.proto_text(data, name), filename=name)
        case _:
            return parse(decode(data, name), filename=name)


def unzipped(data: bytes, filename: str) -> bytes:
    """What a gzip file holds, other data as it is. Raises HloCountError for damaged gzip."""
    if data[:2] != b"\x1f\x8b":
        return data
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as problem:
        raise HloCountError(f"{filename}: this gzip file is damaged ({problem})") from None


def decode(data: bytes, filename: str) -> str:
    """UTF-8 text. Raises HloCountError for binary data."""
    try:
        return data.decode("utf-8-sig")  # some editors put a mark at the start
    except UnicodeDecodeError:
        raise HloCountError(
            f"{filename}: this is binary data, not HLO text; dump with --xla_dump_hlo_as_text or compiled.as_text()"
        ) from None


def count_parameters(params: Any) -> int:
    """The number of parameters of a pytree: the elements of its arrays, numbers counting one."""
    from math import prod

    import jax

    leaves = jax.tree_util.tree_leaves(params)
    return sum(prod(getattr(leaf, "shape", ())) for leaf in leaves)
