"""`size`: one function on many targets, each with the program that its own compiler makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.harmless import harmless
from hlo_count.hlo import Module
from hlo_count.made_with import MadeWith
from hlo_count.progress import Progress
from hlo_count.report.counting import report_of
from hlo_count.report.keywords import of_function
from hlo_count.report.opening import opened
from hlo_count.report.report import Report
from hlo_count.report.settling import Costs, settings_of
from hlo_count.sizing.count_growth import made_of
from hlo_count.sizing.extrapolation import extrapolate
from hlo_count.sizing.kept import kept_in
from hlo_count.sizing.size_plot import plot
from hlo_count.sizing.size_rows import SizeRow, size_row
from hlo_count.sizing.size_table import table
from hlo_count.text_page import TextPage
from hlo_count.visitors.settings import Branch

_NOT_A_MESH = "mesh: axis names and sizes for all targets, or {target: mesh or None} for each"


class Size(TextPage, MadeWith):
    """A program on many targets: `rows`, that with the least estimate first; prints as a table."""

    def __init__(self, rows: Sequence[SizeRow]) -> None:
        self.rows = sorted(rows, key=lambda row: (row.estimate is None, row.estimate or 0.0, row.report is None))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {"program": self.name, "targets": [row.to_dict() for row in self.rows]}

    def to_pandas(self) -> Any:
        """A row a target, as a pandas.DataFrame; needs the extra `pandas`."""
        try:
            import pandas
        except ImportError:
            raise HloCountError("to_pandas needs pandas: pip install 'hlo-count[pandas]'") from None
        return pandas.DataFrame([{**row.to_dict(), "limits": None} for row in self.rows]).drop(columns="limits")

    def plot(self, path: str | Path) -> Path:
        """Draw estimates, bounds and memory into a file, PNG, SVG or PDF by its suffix; returns its path.

        Raises HloCountError without matplotlib (the extra `plot`) and for another suffix.
        """
        return plot(self.name, self.rows, Path(path))

    @property
    def name(self) -> str:
        """That of the program."""
        return next((row.report.name for row in self.rows if row.report is not None), "")

    def __str__(self) -> str:
        return table(self.name, self.rows)

    def __repr__(self) -> str:
        return harmless(f"<Size {self.name}: {', '.join(row.target for row in self.rows)}>")


def size(
    fn: Any,
    /,
    *args: Any,
    on: Sequence[str],
    mesh: Any = None,
    in_specs: Any = None,
    trip_counts: Mapping[str, int] | None = None,
    branches: Mapping[str, Branch] | None = None,
    costs: Costs | None = None,
    compiler_options: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    price_per_hour: Mapping[str, float] | float | None = None,
    tokens: int | None = None,
    workers: int | None = None,
    cache: bool | str | Path = True,
    progress: bool = False,
    sizes: Mapping[str, Sequence[int]] | None = None,
    at: Mapping[str, int] | None = None,
    **named: Any,
) -> Size:
    """Compile `fn(*args, **kwargs)` for each target `on`, count it, and say how long it takes there. Nothing is run.

    `on`: names of targets, such as "tpu:v5e:2x4" and "h100-sxm:8". `mesh` and `in_specs` shard the arguments as in
    `count`; a mesh is that of all targets, or {target: mesh or None}, and an axis of size -1 takes what devices the
    target has left. `price_per_hour` is what one device costs, for all targets or {target: price}; `tokens` is how many
    one execution works on. All else is as in `count`; what settles a loop or a kernel does so wherever it is found.

    Targets are compiled side by side by at most `workers` processes, and what was compiled is kept in `cache`: the
    user's cache folder, another one, or none (False). `progress` shows a bar on standard error.

    `at`: sizes that nobody compiles, {name: value}. Then `fn` is what `growth` takes as `make`, `sizes` holds the
    values of each name that may be compiled, and counts, bound and memory are extrapolated from those.

    A target that fails is a row with its `problem`. Raises TargetError where all do, HloCountError for what is no
    target, mesh, price or size, and what tracing `fn` raises.
    """
    if (at is None) != (sizes is None):
        raise HloCountError("at= and sizes= belong together: what is asked for, and what may be compiled to know it")
    if at is not None and sizes is not None:
        if args or kwargs or named:
            raise HloCountError("at=: size takes a function that makes the program for given sizes, and no arguments")

        def compiled(point: dict[str, int]) -> Sequence[SizeRow]:
            made, arguments = made_of(fn, point)
            return size(
                made, *arguments, on=on, mesh=mesh, in_specs=in_specs, trip_counts=trip_counts, branches=branches,
                costs=costs, compiler_options=compiler_options, price_per_hour=price_per_hour, tokens=tokens,
                workers=workers, cache=cache, progress=progress,
            ).rows  # fmt: skip

        return Size(extrapolate(compiled, sizes, at))
    from hlo_count.lowering.side_by_side import Compiling, compile_for_each
    from hlo_count.lowering.stages import stage_in
    from hlo_count.lowering.stored import is_jaxpr, is_stored

    targets = _names(on)
    own = {
        "mesh": mesh, "in_specs": in_specs, "compiler_options": compiler_options, "trip_counts": trip_counts,
        "branches": branches, "costs": costs,
    }  # fmt: skip
    settings = replace(settings_of(trip_counts, branches, costs), of_several=True)
    keywords = of_function(fn, args, named, kwargs, own, "size")
    if isinstance(fn, str | bytes | bytearray | Path):
        fn = opened(fn)
    if stage_in(fn) is not None or not (callable(fn) or hasattr(fn, "lower") or is_stored(fn)):
        raise HloCountError(
            f"size compiles a function for each target, and {_shown(fn)} is compiled or none: count takes it as it is"
        )
    prices = _prices(price_per_hour, targets)
    for name, what, given in (("tokens", "one execution works on", tokens), ("workers", "compile at once", workers)):
        if given is not None and not (isinstance(given, int) and given > 0):
            raise HloCountError(f"{name}: how many {what}, a whole number above 0, not {given!r}")
    call = Compiling(
        fn=fn,
        args=args,
        kwargs=keywords,
        meshes=_meshes(mesh, targets),
        in_specs=in_specs,
        compiler_options=compiler_options,
        keep=kept_in(cache),
    )
    with Progress(progress, "compiling", "target", len(targets)) as bar:
        programs = compile_for_each(call, targets, workers=workers, on_done=bar.advance)
    rows = []
    for target, program in programs.items():
        if isinstance(program, TargetError):
            rows.append(SizeRow(target=target, problem=str(program)))
            continue
        try:
            report = report_of(program, settings=settings, traced_here=not is_stored(fn) or is_jaxpr(fn))
        except HloCountError as problem:
            rows.append(SizeRow(target=target, problem=str(problem)))
            continue
        rows.append(size_row(target, report, price_per_hour=prices.get(target), tokens=tokens))
    if all(row.report is None for row in rows):
        raise TargetError("; ".join(dict.fromkeys(row.problem for row in rows)))
    settings.check_keys([row.report.module for row in rows if isinstance(row.report, Report)])
    return Size(rows)


def _shown(fn: Any) -> str:
    return f"{fn!r:.60}" if isinstance(fn, Module) else f"a {type(fn).__name__}"


def _names(on: Any) -> list[str]:
    names = [on] if isinstance(on, str) else list(on)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong or not names:
        what = f"not {wrong[0]!r}" if wrong else "none is given"
        raise HloCountError(f'on: names of targets, such as ["tpu:v5e", "h100-sxm:8"]; {what}')
    return list(dict.fromkeys(names))


def _meshes(mesh: Any, targets: Sequence[str]) -> dict[str, Any]:
    """The mesh of each target."""
    of_each = isinstance(mesh, Mapping) and any(value is None or isinstance(value, Mapping) for value in mesh.values())
    if not of_each:
        return dict.fromkeys(targets, mesh)
    unknown = [name for name in mesh if name not in targets]
    if unknown:
        raise HloCountError(f"{_NOT_A_MESH}; {unknown[0]!r} is no target of on=")
    return {target: mesh.get(target) for target in targets}


def _prices(given: Any, targets: Sequence[str]) -> dict[str, float]:
    prices = given if isinstance(given, Mapping) else {} if given is None else dict.fromkeys(targets, given)
    for target, price in prices.items():
        if target not in targets:
            raise HloCountError(f"price_per_hour: {target!r} is no target of on=")
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
            raise HloCountError(
                f"price_per_hour: what one device costs in an hour, a number of 0 or more, not {price!r}"
            )
    return {target: float(price) for target, price in prices.items()}
