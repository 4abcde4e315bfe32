"""`passes`: what each pass of a compile did to the counts."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from hlo_count.compare.dumps import Dump, expression, find_dumps
from hlo_count.errors import HloCountError
from hlo_count.hlo import Module
from hlo_count.hlo.stage import Stage
from hlo_count.lowering.stored import is_stored
from hlo_count.report.counting import opened, read
from hlo_count.report.export import COUNTERS, cost_dict
from hlo_count.report.keywords import of_function
from hlo_count.report.report import Report
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.memory_spaces import backend_of
from hlo_count.visitors.settings import Branch, Settings


@dataclass(frozen=True, slots=True)
class PassRow:
    """What one run of a pass did: the state that it found and the state that it left.

    A pass that XLA did not dump, because a filter left it out, is part of the next one that it did.
    """

    index: int
    pipeline: str
    name: str
    before: Cost
    after: Cost
    instructions: tuple[int, int]
    """Instructions of the module, before and after."""
    fusions: tuple[int, int]
    path: Path
    stage: Stage
    """That of the state it left; the counts of an "unpartitioned" one are those of all devices together."""

    @property
    def change(self) -> Cost:
        return self.after - self.before

    @property
    def changed(self) -> bool:
        """Whether flops, bytes or any other counter, the instructions or the fusions changed."""
        counts = self.before.amounts != self.after.amounts
        return counts or self.instructions[0] != self.instructions[1] or self.fusions[0] != self.fusions[1]


class Passes:
    """The passes of one compile that changed something, in the order in which they ran.

    Their changes add up to the difference between the first state and the last.
    """

    def __init__(self, states: list[PassRow], module: str, skipped: list[Path], backend: str) -> None:
        self.states = states
        """Every state that was dumped; the first changes nothing."""
        self.module = module
        self.skipped = skipped
        """Files that could not be read."""
        self.backend = backend
        """What it was compiled for, which the text of an early pass does not tell."""

    @property
    def rows(self) -> list[PassRow]:
        return [row for row in self.states if row.changed]

    @property
    def partitioned(self) -> PassRow | None:
        """The pass that left the program of one device where it found that of all; None where none did."""
        pairs = pairwise(self.states)
        return next((b for a, b in pairs if a.stage == "unpartitioned" and b.stage != "unpartitioned"), None)

    @property
    def before(self) -> Cost:
        """The counts of the first state."""
        return self.states[0].after

    @property
    def after(self) -> Cost:
        """The counts of the last state."""
        return self.states[-1].after

    def at(self, name: str | int, *, run: int = -1) -> Module:
        """The module as a pass left it: by name, its last run unless `run` says which (0 the first), or by `row.index`.

        Two of them can be diffed: `hc.diff(p.at("algsimp"), p.at("fusion"))`. Raises HloCountError for a pass that did
        not run, or left nothing that was dumped.
        """
        if isinstance(name, int):
            found = [row for row in self.states if row.index == name]
        else:
            found = [row for row in self.states if row.name == name]
        if not found:
            names = dict.fromkeys(row.name for row in self.states)
            near = get_close_matches(str(name), names, 1) or [n for n in names if str(name) in n][:1]
            hint = f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
            raise HloCountError(f"no pass {name!r} was dumped{hint}")
        if not -len(found) <= run < len(found):
            raise HloCountError(
                f"{name} has {len(found)} dumped run{'s' if len(found) != 1 else ''}: run={run} is none of them"
            )
        module = read(found[run].path)
        module.backend = self.backend
        return module

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "format": 1,
            "module": self.module,
            "before": cost_dict(self.before),
            "after": cost_dict(self.after),
            "partitioned_at": None if self.partitioned is None else self.partitioned.index,
            "skipped": [path.name for path in self.skipped],
            "passes": [
                {
                    "index": row.index,
                    "pipeline": row.pipeline,
                    "pass": row.name,
                    "before": cost_dict(row.before),
                    "after": cost_dict(row.after),
                    "change": {name: getattr(row.change, name) for name in COUNTERS},
                    "instructions": list(row.instructions),
                    "fusions": list(row.fusions),
                    "stage": row.stage,
                    "file": row.path.name,
                }
                for row in self.rows
            ],
        }

    def table(self) -> str:
        """Text of at most 100 columns: a row for each pass that changed something, and the sum."""
        from hlo_count.compare.passes_view import render

        return render(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """FLOP and bytes after each pass, as a matplotlib Figure; saved to `path` if given. Needs the extra `plot`."""
        from hlo_count.compare.passes_view import plot

        return plot(self, path)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<Passes of {self.module}: {len(self.rows)} of {len(self.states)} states changed something>"


def passes(
    fn: Any,
    /,
    *args: Any,
    target: Any = None,
    mesh: Any = None,
    in_specs: Any = None,
    compiler_options: Mapping[str, Any] | None = None,
    trip_counts: Mapping[str, int] | None = None,
    branches: Mapping[str, Branch] | None = None,
    pass_filter: str = ".*",
    module: str | None = None,
    progress: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    **named: Any,
) -> Passes:
    """Compile `fn(*args, **kwargs)` once and count the module after each pass. Nothing is run.

    `pass_filter` is a regular expression on the names of passes and pipelines; `progress` shows a bar, where tqdm is
    installed. `fn` may be a directory of XLA's dumps (a pathlib.Path) instead, see `read_dumps`. The other keywords are
    those of `count`. Raises HloCountError as `count` and `read_dumps` do.

    The dumps stay in a temporary directory for as long as the result lives.
    """
    given = Settings(dict(trip_counts or {}), dict(branches or {}))
    if isinstance(fn, Path) and fn.is_file():
        fn = opened(fn)
    if isinstance(fn, Path):
        return _counted(fn, module, pass_filter, given, progress)
    _check_function(fn)
    own = {
        "target": target, "mesh": mesh, "in_specs": in_specs, "compiler_options": compiler_options, "module": module,
        "trip_counts": trip_counts, "branches": branches, "pass_filter": pass_filter, "progress": progress,
    }  # fmt: skip
    keywords = of_function(fn, args, named, kwargs, own, "passes")
    expression(pass_filter)
    from hlo_count.lowering import dump_passes

    directory = Path(tempfile.mkdtemp(prefix="hlo-count-"))
    try:
        program = dump_passes(
            fn,
            args,
            keywords,
            directory,
            target=target,
            mesh=mesh,
            in_specs=in_specs,
            compiler_options=compiler_options,
            pass_filter=pass_filter,
        )
        found = _counted(directory, module or program.name, None, given, progress, program.backend)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, directory, ignore_errors=True)
    return found


def read_dumps(
    directory: str | Path, module: str | None = None, pattern: str | None = None, *, progress: bool = False
) -> Passes:
    """The passes of a compile that was dumped with `--xla_dump_to` and `--xla_dump_hlo_pass_re`.

    `module` names one where the directory holds several, `pattern` is a regular expression on `PIPELINE.PASS`. Files
    that cannot be read are skipped, with a warning that names them. Raises HloCountError where no HLO is found.
    """
    return _counted(Path(directory), module, pattern, Settings(), progress)


def _counted(
    directory: Path,
    module: str | None,
    pattern: str | None,
    settings: Settings,
    progress: bool,
    backend: str | None = None,
) -> Passes:
    dumps = find_dumps(directory, module, pattern)
    backend = _NAMES.get(backend or "", backend) or _backend(dumps[-1])
    states: list[PassRow] = []
    skipped: list[Path] = []
    for dump in _shown(dumps, progress):
        try:
            row = _state(dump, states[-1] if states else None, settings, backend)
        except HloCountError as problem:
            if settings.trip_counts or settings.branches:
                raise
            warnings.warn(f"skipped {dump.path.name}: {str(problem).splitlines()[0]}", stacklevel=3)
            skipped.append(dump.path)
            continue
        states.append(row)
    if not states:
        raise HloCountError(f"{directory}: none of the {len(dumps)} dumps of {dumps[0].module} can be read")
    return Passes(states, dumps[0].module, skipped, backend)


_NAMES = {"cuda": "gpu", "rocm": "gpu"}


def _backend(last: Dump) -> str:
    """By the marks that a compiler leaves, which are all there at the end."""
    try:
        return backend_of(read(last.path))
    except HloCountError:
        return "unknown"


def _check_function(fn: Any) -> None:
    if isinstance(fn, str):
        raise HloCountError(f"passes: a str is no function: {_REMEDY}")
    from hlo_count.lowering import stage_in

    fn = fn if (stage_of_jax := stage_in(fn)) is None else stage_of_jax
    stage = hasattr(fn, "compile") or hasattr(fn, "lower")
    if isinstance(fn, Module | Report) or (hasattr(fn, "as_text") and not stage):
        raise HloCountError(f"passes: a {type(fn).__name__} is compiled already: {_REMEDY}")
    if not callable(fn) and not stage and not is_stored(fn):
        raise HloCountError(f"passes: a {type(fn).__name__} cannot be compiled: {_REMEDY}")


_REMEDY = "pass the function, or a pathlib.Path of a directory of dumps"


def _state(dump: Dump, last: PassRow | None, settings: Settings, backend: str) -> PassRow:
    report = Report(read(dump.path), backend=backend, settings=settings)
    count = report.module.num_instructions
    fusions = sum(i.opcode == "fusion" for i in report.module.instructions())
    return PassRow(
        index=0 if last is None else last.index + 1,
        pipeline=dump.pipeline,
        name=dump.name,
        before=report.total if last is None else last.after,
        after=report.total,
        instructions=(count if last is None else last.instructions[1], count),
        fusions=(fusions if last is None else last.fusions[1], fusions),
        path=dump.path,
        stage=report.stage,
    )


def _shown(dumps: list[Dump], progress: bool) -> Iterable[Dump]:
    if not progress:
        return dumps
    try:
        from tqdm import tqdm
    except ImportError:
        return dumps
    bar: Iterable[Dump] = tqdm(dumps, desc="passes", unit="module", leave=False)
    return bar
