"""`count`: from a function, a stage of JAX, a module, a text or a file to a Report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.hlo import Module, parse
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.report.keywords import of_function
from hlo_count.report.opening import beside, opened
from hlo_count.report.places import lost_lines
from hlo_count.report.report import Report
from hlo_count.report.settling import Costs, settings_of
from hlo_count.visitors.settings import Branch, Settings

if TYPE_CHECKING:
    from hlo_count.lowering.program import Program

TEXT_KEYWORDS = frozenset(("module",))
"""Keywords of ours where a text or a file is counted; where a function is, they are the function's."""


def count(
    fn: Any,
    /,
    *args: Any,
    target: Any = None,
    convention: str = "default",
    trip_counts: Mapping[str, int] | None = None,
    branches: Mapping[str, Branch] | None = None,
    costs: Costs | None = None,
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
    none of these go to the function; `kwargs` holds those of the function that have such a name. Of a text or file that
    holds several modules, `module` names one, as in `hlo_count.parse`.

    `target`: what to compile for ("cpu", "tpu:v5e:2x4", "h100-sxm" ...), JAX's default backend unless given; `mesh` and
    `in_specs` shard the arguments over it. `convention`: "default", or "xla" for what XLA's own analysis says.
    `trip_counts`, `branches` and `costs`: {name or op_name of an instruction, or a pattern: value} for what the program
    does not tell; `costs` (FLOP, a Cost, amounts by counter, or a pathlib.Path of a file with such) of custom calls.
    `compiler_options` go to XLA. `strict`: raise UnknownCostError when anything is not known.

    Raises HloCountError (ParseError, TargetError, UnknownCostError among them); a function that cannot be traced raises
    JAX's own error.
    """
    own = {
        "target": target, "trip_counts": trip_counts, "branches": branches, "costs": costs, "strict": strict,
        "compiler_options": compiler_options, "mesh": mesh, "in_specs": in_specs, "convention": convention,
    }  # fmt: skip
    return counted(fn, args, named, kwargs, own, settings_of(trip_counts, branches, costs))


def counted(
    fn: Any,
    args: tuple[Any, ...],
    named: dict[str, Any],
    kwargs: Mapping[str, Any] | None,
    own: Mapping[str, Any],
    settings: Settings,
) -> Report:
    """`count` with `own`, the keywords that are ours, and with what they settle, read."""
    target, mesh, compiler_options = own["target"], own["mesh"], own["compiler_options"]
    is_stored_text = isinstance(fn, str | Path | bytes | bytearray)
    wanted = named.pop("module", None) if is_stored_text else None
    keywords = of_function(fn, args, named, kwargs, own)
    options: dict[str, Any] = {"settings": settings, "convention": own["convention"], "strict": own["strict"]}
    with no_garbage_collection():
        if is_stored_text:
            if isinstance(fn, Path):
                options["beside"] = beside(fn, wanted)
            fn = opened(fn, wanted)
        if isinstance(fn, Module):
            given = {"arguments": args or keywords, "target": target, "mesh": mesh}
            for what, value in {**given, "compiler_options": compiler_options}.items():
                if value:
                    raise HloCountError(f"{what}: a compiled program takes none; pass a function to have it compiled")
            return Report(fn, **options)
    from hlo_count.lowering import lower, stage_in
    from hlo_count.lowering.stored import is_jaxpr, is_stored

    if stage_in(fn) is None and not callable(fn) and not hasattr(fn, "lower") and not is_stored(fn):
        raise HloCountError(
            f"cannot count {fn!r}: pass a function, a jax.stages object, a Module, HLO text, or a pathlib.Path"
        )
    lowering = {name: own[name] for name in ("target", "mesh", "in_specs", "compiler_options")}
    program = lower(fn, args, keywords, **lowering)
    return report_of(program, traced_here=not is_stored(fn) or is_jaxpr(fn), **options)


def report_of(program: Program, **options: Any) -> Report:
    """The Report of a program that was lowered and compiled, and what is known of it beside its text."""
    module = parse(program.text)
    module.assignment, module.integers = program.assignment, dict(program.integers)
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
        lost_lines=lost_lines(module, program.unoptimized),
        **options,
    )


def count_parameters(params: Any) -> int:
    """The number of parameters of a pytree: the elements of its arrays, numbers counting one."""
    from math import prod

    import jax

    leaves = jax.tree_util.tree_leaves(params)
    return sum(prod(getattr(leaf, "shape", ())) for leaf in leaves)
