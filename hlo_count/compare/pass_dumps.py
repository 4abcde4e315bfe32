"""The HLO texts in a directory of XLA's dumps, in the order of the compile."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from hlo_count.errors import HloCountError

START, FINAL = "before optimizations", "after optimizations"
"""What the first and the last state of a compile are called."""
_HOW = "dump with --xla_dump_to, --xla_dump_hlo_as_text and --xla_dump_hlo_pass_re=.*"
_PASS = re.compile(
    r"^(?P<module>module_\d+\..+?)\.(?P<number>\d{4,})\.(?P<pipeline>.+?)\.after_(?P<name>.+?)(?:\.before_.+)?\.(?:txt|hlo)$"
)
_ENDS = re.compile(r"^(?P<module>module_\d+\..+?)\.(?:\w+_)?(?P<which>before|after)_optimizations\.(?:txt|hlo)$")


@dataclass(frozen=True, slots=True)
class Dump:
    """One file: the state of a module after a pass. `name` is START or FINAL at the ends of a compile."""

    path: Path
    module: str
    """`module_0008.jit_train_step`, as XLA numbers and names it."""
    pipeline: str
    name: str
    order: int


def find_dumps(directory: Path, module: str | None = None, pattern: str | None = None) -> list[Dump]:
    """The dumps of one module in order. `pattern` is a regular expression on `PIPELINE.PASS`; the ends always stay.

    `module` names one where there are several, by name, number or any part that only one of them has. Raises
    HloCountError for a directory that does not exist or holds no HLO, and where the module cannot be told.
    """
    if not directory.is_dir():
        raise HloCountError(f"{directory}: there is no such directory; {_HOW}")
    found = _joined([dump for path in sorted(directory.iterdir()) if (dump := _read_name(path)) is not None])
    if not found:
        raise HloCountError(f"{directory}: holds no HLO after passes; {_HOW}")
    chosen = _choose(found, module, directory)
    wanted = expression(pattern or "")
    ends = (START, FINAL)
    return sorted(
        (d for d in found if d.module == chosen and (d.name in ends or wanted.search(f"{d.pipeline}.{d.name}"))),
        key=lambda dump: dump.order,
    )


def _joined(found: list[Dump]) -> list[Dump]:
    """`found` with the modules in one that one compile went through: started under one number, ended under another.

    TPU's compiler goes on with a copy of a program that holds 64-bit integers, as random numbers do.
    """
    modules: dict[str, list[Dump]] = {}
    for dump in found:
        modules.setdefault(dump.module, []).append(dump)
    joined: list[Dump] = []
    begun: dict[str, list[Dump]] = {}
    for module, dumps in modules.items():
        name = module.partition(".")[2]
        ends = {dump.name for dump in dumps} & {START, FINAL}
        before = [] if START in ends else begun.pop(name, [])
        after = max((dump.order for dump in before), default=-1) + 1
        first = before[0].module if before else module
        states = [*before, *(replace(dump, module=first, order=dump.order + after) for dump in dumps)]
        if FINAL not in ends and (before or START in ends):
            joined += begun.pop(name, [])  # whose compile never ended
            begun[name] = states
        else:
            joined += states
    return [*joined, *(dump for dumps in begun.values() for dump in dumps)]


def expression(pattern: str) -> re.Pattern[str]:
    """A regular expression on `PIPELINE.PASS`. Raises HloCountError for what is none."""
    try:
        return re.compile(pattern)
    except re.error as problem:
        raise HloCountError(f"{pattern!r} is no regular expression: {problem}") from None


def _read_name(path: Path) -> Dump | None:
    match = _PASS.match(path.name)
    if match is not None:
        return Dump(path, match["module"], match["pipeline"], match["name"], int(match["number"]))
    match = _ENDS.match(path.name)
    if match is None:
        return None
    first = match["which"] == "before"
    return Dump(path, match["module"], "", START if first else FINAL, -1 if first else 10**9)


def _choose(found: list[Dump], module: str | None, directory: Path) -> str:
    names = {dump.module: sum(d.module == dump.module for d in found) for dump in found}
    listed = "".join(f"\n  {name} ({count} files)" for name, count in names.items())
    if module is None:
        if len(names) > 1:
            raise HloCountError(f"{directory}: holds {len(names)} modules, say which by module= or --module:{listed}")
        return next(iter(names))
    exact = [name for name in names if name == module or name.partition(".")[2] == module]
    near = exact or [name for name in names if module in name]
    if len(near) != 1:
        what = "no module" if not near else f"{len(near)} modules"
        raise HloCountError(f"{directory}: {what} called {module!r}; it holds:{listed}")
    return near[0]
