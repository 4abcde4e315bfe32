"""`passes`: what each pass of a compile did to the counts."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hlo_count.compare.logged_dumps import holds_dumps, logged_dumps
from hlo_count.compare.pass_dumps import expression, find_dumps
from hlo_count.compare.pass_states import PassRow, PassStates
from hlo_count.compare.passes_view import plot, render
from hlo_count.compare.temporary_folders import remove_temporary_folder, temporary_folder
from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo import Module
from hlo_count.lowering.dump_folder import DumpFolder, read_folder
from hlo_count.lowering.dump_names import Dump
from hlo_count.lowering.stored import is_stored
from hlo_count.progress import one_by_one
from hlo_count.report.keywords import of_function
from hlo_count.report.opening import opened, read
from hlo_count.report.report import Report
from hlo_count.report.settling import Costs, settings_of
from hlo_count.text_page import TextPage
from hlo_count.visitors.memory_spaces import backend_of
from hlo_count.visitors.settings import Branch, Settings


class Passes(TextPage, PassStates):
    """The passes of one compile that changed something, in the order in which they ran.

    Their changes add up to the difference between the first state and the last.
    """

    def table(self) -> str:
        """Text: a row for each pass that changed something, and the sum."""
        return render(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """FLOP and bytes after each pass, as a matplotlib Figure; saved to `path` if given. Needs the extra `plot`."""
        return plot(self, path)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<Passes of {self.module}: {len(self.rows)} of {len(self.states)} states changed something>")


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
    costs: Costs | None = None,
    pass_filter: str = ".*",
    module: str | None = None,
    progress: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    **named: Any,
) -> Passes:
    """Compile `fn(*args, **kwargs)` once and count the module after each pass. Nothing is run.

    `pass_filter` is a regular expression on the names of passes and pipelines; `progress` shows a bar, where tqdm is
    installed. `fn` may be a directory of XLA's dumps (a pathlib.Path) instead, or a log that holds them, see
    `read_dumps`. The other keywords are those of `count`. Raises HloCountError as `count` and `read_dumps` do.

    The dumps stay in a temporary directory for as long as the result lives.
    """
    given = replace(settings_of(trip_counts, branches, costs), of_several=True)
    if isinstance(fn, Path) and holds_dumps(fn):
        return _of_log(fn, module, pass_filter, given, progress)
    if isinstance(fn, Path) and fn.is_file():
        fn = opened(fn)
    if isinstance(fn, Path):
        return _counted(read_folder(fn), module, pass_filter, given, progress)
    _check_function(fn)
    own = {
        "target": target, "mesh": mesh, "in_specs": in_specs, "compiler_options": compiler_options, "module": module,
        "trip_counts": trip_counts, "branches": branches, "costs": costs, "pass_filter": pass_filter,
        "progress": progress,
    }  # fmt: skip
    keywords = of_function(fn, args, named, kwargs, own, "passes")
    expression(pass_filter)
    from hlo_count.lowering import dump_passes

    directory = temporary_folder()
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
        found = _counted(read_folder(directory), module or program.name, None, given, progress, program.backend)
    except BaseException:
        remove_temporary_folder(directory)
        raise
    weakref.finalize(found, remove_temporary_folder, directory)
    return found


def read_dumps(
    directory: str | Path, module: str | None = None, pattern: str | None = None, *, progress: bool = False
) -> Passes:
    """The passes of a compile that was dumped with `--xla_dump_to` and `--xla_dump_hlo_pass_re`.

    `directory` may be a log instead, of a program that ran with `--xla_dump_to=-`. `module` names one where there are
    several, `pattern` is a regular expression on `PIPELINE.PASS`. Files
    that cannot be read are skipped, with a warning that names them. Raises HloCountError where no HLO is found.
    """
    path = Path(directory)
    if holds_dumps(path):
        return _of_log(path, module, pattern, Settings(), progress)
    return _counted(read_folder(path), module, pattern, Settings(), progress)


def _of_log(log: Path, module: str | None, pattern: str | None, settings: Settings, progress: bool) -> Passes:
    directory = temporary_folder()
    try:
        found = _counted(logged_dumps(log, directory), module, pattern, settings, progress)
    except BaseException:
        remove_temporary_folder(directory)
        raise
    weakref.finalize(found, remove_temporary_folder, directory)
    return found


def _counted(
    folder: DumpFolder,
    module: str | None,
    pattern: str | None,
    settings: Settings,
    progress: bool,
    backend: str | None = None,
) -> Passes:
    dumps = find_dumps(folder, module, pattern)
    backend = _NAMES.get(backend or "", backend) or _backend(dumps[-1])
    states: list[PassRow] = []
    unused = settings
    skipped: list[Path] = []
    for dump in one_by_one(dumps, progress, "passes", "module"):
        try:
            report = Report(read(dump.path), backend=backend, settings=settings)
        except HloCountError as problem:
            if settings:
                raise
            warnings.warn(harmless(f"skipped {dump.path.name}: {str(problem).splitlines()[0]}"), stacklevel=3)
            skipped.append(dump.path)
            continue
        states.append(_state(dump, states[-1] if states else None, report))
        if unused:
            unused = unused.without_used(report.module)
    if not states:
        raise HloCountError(f"{folder.path}: none of the {len(dumps)} dumps of {dumps[0].module} can be read")
    unused.check_keys([report.module])
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


def _state(dump: Dump, last: PassRow | None, report: Report) -> PassRow:
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
