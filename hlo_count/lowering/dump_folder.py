"""A folder that XLA dumped into: the compiles in it, each with its states and what XLA wrote of it beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.lowering.dump_names import (
    FINAL,
    START,
    Beside,
    Dump,
    dump_of,
    is_dump,
    is_text,
    may_hold_hlo,
    number_and_name,
)

HOW = "dump with --xla_dump_to and --xla_dump_hlo_as_text"
_MOST_LISTED = 24


@dataclass(frozen=True)
class Compile:
    """One compile of one module."""

    module: str
    """`module_0008.jit_train_step`, as XLA numbers and names it."""
    states: tuple[Dump, ...]
    """In the order of the compile; where a state was dumped as text and as proto, the text."""
    beside: dict[str, Path] = field(default_factory=dict)
    """What XLA wrote of the last state, by what it is: "buffer-assignment", "memory-usage-report"."""

    @cached_property
    def number(self) -> int:
        """XLA's own."""
        return number_and_name(self.module)[0]

    @cached_property
    def name(self) -> str:
        """The module's, as its text has it."""
        return number_and_name(self.module)[1]

    @property
    def start(self) -> Path | None:
        """The module before optimization."""
        return next((dump.path for dump in self.states if dump.name == START), None)

    @property
    def final(self) -> Path | None:
        """The module after optimization: what is run."""
        return next((dump.path for dump in self.states if dump.name == FINAL), None)

    @property
    def backend(self) -> str | None:
        """What it was compiled for, where the names of its files tell; TPU's do not."""
        return next((dump.backend for dump in self.states if dump.backend is not None), None)

    @property
    def best(self) -> Path:
        """What tells most of what is run: the last state that there is."""
        return self.states[-1].path


@dataclass(frozen=True, slots=True)
class DumpFolder:
    """What is in a folder, its subfolders not."""

    path: Path
    compiles: tuple[Compile, ...]
    """In the order of XLA's numbers."""
    others: tuple[Path, ...]
    """Files that may hold HLO, which XLA did not name."""
    passed_over: int
    """Files that are neither, nor belong to a compile."""

    def chosen(self, wanted: str | int | None) -> Path | Compile:
        """The one compile or file; `wanted` names it where there are several: by its name, its label, `NAME#2` for the
        second of a name, XLA's number, or any part that only one has.

        Raises HloCountError that lists what there is where it cannot be told.
        """
        there: list[tuple[str, str, Path | Compile]] = [(c.module, c.name, c) for c in self.compiles]
        there += [(path.name, path.name, path) for path in self.others]
        if not there:
            raise HloCountError(f"{self.path}: {self.empty()}")
        if wanted is None:
            if len(there) > 1:
                raise HloCountError(
                    f"{self.path}: holds {len(there)} modules, say which by module= or --module, or sum up all of them "
                    f"by hlo-count job:{_listed(there)}"
                )
            return there[0][2]
        found = _called(there, str(wanted))
        if len(found) == 1:
            return found[0][2]
        called = f"{str(wanted)!r:.80}"
        if not found:
            raise HloCountError(f"{self.path}: no module called {called}; it holds:{_listed(there)}")
        by = f": say which by {found[0][1]}#1 to #{len(found)}, or whole" if found[0][1] == str(wanted) else ""
        raise HloCountError(f"{self.path}: {len(found)} modules called {called}{by}:{_listed(found)}")

    def empty(self) -> str:
        """What there is instead, of a folder without modules, and where to look."""
        there = sorted(self.path.iterdir())
        folders = [path.name for path in there if path.is_dir() and not path.name.startswith(".")]
        files = [path.name for path in there if path.is_file()]
        found = [
            f"{len(names)} {what}{'s' * (len(names) > 1)} ({', '.join([*names[:3], *['…'] * (len(names) > 3)])})"
            for what, names in (("file", files), ("folder", folders))
            if names
        ]
        instead = f", but {' and '.join(found)}" if found else ", nor anything else"
        below = "; hlo-count scan reads folders in folders" if folders else ""
        return f"holds no HLO{instead}: {HOW}{below}"


def read_folder(path: Path) -> DumpFolder:
    """What a folder holds, by the names of its files. Raises HloCountError where it is none or cannot be read."""
    if not path.is_dir():
        raise HloCountError(f"{path}: there is no such directory; {HOW}")
    try:
        files = [each for each in path.iterdir() if each.is_file()]
    except OSError as problem:
        raise HloCountError(f"{path}: {problem.strerror or problem}") from None
    return sorted_out(path, files)


def written_beside(file: Path) -> dict[str, Path]:
    """What XLA wrote of the last state of a compile, where the file is that state; nothing of any other."""
    state = dump_of(file)
    if not isinstance(state, Dump) or state.name != FINAL:
        return {}
    there = ((dump_of(each), each) for each in file.parent.glob(f"{escape(state.module)}.*"))
    return {found.what: each for found, each in there if isinstance(found, Beside)}


def sorted_out(path: Path, files: Iterable[Path]) -> DumpFolder:
    """What the files of a folder are, by their names."""
    states: dict[str, dict[tuple[int, str, str], Dump]] = {}
    beside: dict[str, dict[str, Path]] = {}
    others, passed_over = [], 0
    for file in sorted(files):
        match dump_of(file):
            case Dump() as dump:
                of_module = states.setdefault(dump.module, {})
                key = (dump.order, dump.pipeline, dump.name)
                if key not in of_module or (is_text(file) and not is_text(of_module[key].path)):
                    of_module[key] = dump
            case Beside() as found:
                beside.setdefault(found.module, {})[found.what] = file
            case None if may_hold_hlo(file) and not is_dump(file):
                others.append(file)
            case None:
                passed_over += 1
    compiles = [
        Compile(module, tuple(found), {what: file for own in names for what, file in beside.get(own, {}).items()})
        for module, found, names in _joined({m: sorted(d.values(), key=_order) for m, d in states.items()})
    ]
    compiles.sort(key=lambda each: (each.number, each.module))
    return DumpFolder(path, tuple(compiles), tuple(others), passed_over)


def _order(dump: Dump) -> int:
    return dump.order


def _joined(modules: dict[str, list[Dump]]) -> list[tuple[str, list[Dump], list[str]]]:
    """(module, states, the modules that they are of): in one what one compile went through that was started under one
    number and ended under another.

    TPU's compiler goes on with a copy of a program that holds 64-bit integers, as random numbers do.
    """
    joined: list[tuple[str, list[Dump], list[str]]] = []
    begun: dict[str, tuple[str, list[Dump], list[str]]] = {}
    for module in sorted(modules, key=lambda each: number_and_name(each)[0]):
        dumps, name = modules[module], number_and_name(module)[1]
        ends = {dump.name for dump in dumps} & {START, FINAL}
        first, before, names = (module, [], []) if START in ends else begun.pop(name, (module, [], []))
        after = max((dump.order for dump in before), default=-1) + 1
        states = [*before, *(replace(dump, module=first, order=dump.order + after) for dump in dumps)]
        whole = (first, states, [*names, module])
        if FINAL not in ends and (before or START in ends):
            if name in begun:
                joined.append(begun.pop(name))  # whose compile never ended
            begun[name] = whole
        else:
            joined.append(whole)
    return [*joined, *begun.values()]


_NUMBERED = re.compile(r"(.+)#(\d{1,9})")


def _called(there: Sequence[tuple[str, str, Path | Compile]], wanted: str) -> list[tuple[str, str, Path | Compile]]:
    exact = [each for each in there if wanted in each[:2]]
    if exact:
        return exact
    if (numbered := _NUMBERED.fullmatch(wanted)) is not None:
        of_name = [each for each in there if each[1] == numbered[1]]
        return of_name[int(numbered[2]) - 1 : int(numbered[2])] if int(numbered[2]) else []
    if wanted.isdecimal():
        return [each for each in there if isinstance(each[2], Compile) and each[2].number == int(wanted)]
    return [each for each in there if wanted in each[0]]


def _listed(there: Sequence[tuple[str, str, Path | Compile]]) -> str:
    lines = []
    for label, _, each in there[:_MOST_LISTED]:
        files = len(each.states) if isinstance(each, Compile) else 1
        lines.append(f"\n  {label} ({files} file{'s' if files != 1 else ''})")
    more = len(there) - _MOST_LISTED
    return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")
