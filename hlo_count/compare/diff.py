"""`diff`: two programs, or one before and after optimization, and what became of every operation and byte."""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hlo_count.compare.change_rows import KEYS
from hlo_count.compare.comparison import Comparison, check_key
from hlo_count.compare.diff_table import render, render_markdown
from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo import Module
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.lowering.stored import is_stored
from hlo_count.report.counting import counted
from hlo_count.report.keywords import of_function
from hlo_count.report.opening import opened
from hlo_count.report.report import Report
from hlo_count.report.settling import SETTLING, settings_of
from hlo_count.text_page import TextPage
from hlo_count.visitors.settings import Settings
from hlo_count.whole_file import save_text

if TYPE_CHECKING:
    from hlo_count.roofline.device import Device

_TEXTS = (str, Path, bytes, bytearray)
_COUNT_KEYWORDS = ("target", *SETTLING, "compiler_options", "strict", "mesh", "in_specs")


class Diff(TextPage, Comparison):
    """What it takes to get from the counts of `before` to those of `after`.

    True when anything differs; `-diff` is the comparison the other way round. The counts themselves are those of the
    two Reports: where one is a lower bound, so is the difference.
    """

    def table(self, by: str | None = None, *, depth: int = 2, rows: int = 8) -> str:
        """Text: the totals, then at most `rows` rows by `by`; by reason, scope, source, opcode and class without it."""
        if by:
            check_key(by)
        with no_garbage_collection():
            return render(self, (by,) if by else KEYS, depth, rows)

    def save(self, path: str | Path, *, device: str | Path | Device | None = None, force: bool = False) -> Path:
        """The page of `after` (`Report.save`) below what differs, with both programs in its icicle: as wide as the
        larger, blue where it became less and red where more. Times are there with a `device`. Raises HloCountError as
        `Report.save` does."""
        from hlo_count.compare.diff_page import render_diff_page

        return save_text(path, (".html", ".htm"), lambda: render_diff_page(self, device), force=force)

    def markdown(self, *, rows: int = 8) -> str:
        """The totals and what changed by reason and scope, as tables for a pull request comment."""
        return render_markdown(self, rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        change = self.change
        names = f"{self.before.name} -> {self.after.name}"
        return harmless(f"<Diff {names}: {change.flops:+,} FLOP, {change.bytes:+,} bytes>")


def diff(first: Any, /, *rest: Any, **keywords: Any) -> Diff:
    """Compare two programs, or one before and after optimization.

    `diff(a, b)`: reports, modules, HLO texts (a str), files (a pathlib.Path), `jax.stages` objects or functions, in any
    combination; functions among them are called as `diff(a, b, *args, **kwargs)`, both with the same arguments.
    `diff(fn, *args, **kwargs)`: the program as JAX emits it, where each operation is a kernel that reads its operands
    from memory and writes its result, against what the compiler makes of it. The keywords of `count` are understood;
    `module` names one of several in a text or file where neither program is a function.

    A second positional argument is taken for a program when it is one of the above, a str only if it holds HLO; other
    callables (a model that is a pytree) are arguments. To compare with such a callable, count it first.

    Raises HloCountError as `count` does, and for reports of the `xla` convention.
    """
    if isinstance(first, str) and not _is_program(first):
        raise HloCountError(f"diff: {first!r} is no HLO text; pass a file as pathlib.Path({first!r})")
    if rest and _is_program(rest[0]):
        second, *args = rest
        texts = all(isinstance(program, (*_TEXTS, Module, Report)) for program in (first, second))
        module = keywords.pop("module", None) if texts else None
        settings = _settings(keywords)
        return _checked(
            Diff(*(_report(program, args, keywords, module, settings) for program in (first, second))), settings
        )
    first = first if isinstance(first, str) and "stablehlo." not in first else _opened(first)
    if isinstance(first, Report | Module | str):
        if rest and isinstance(rest[0], str):
            raise HloCountError(f"diff: {rest[0]!r} is no HLO text; pass a file as pathlib.Path({rest[0]!r})")
        raise HloCountError(f"diff compares a {type(first).__name__} with another program: pass two")
    return _optimization(first, rest, keywords)


def _optimization(fn: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Diff:
    from hlo_count.hlo import parse
    from hlo_count.lowering import lower

    own = {name: value for name, value in keywords.items() if name in _COUNT_KEYWORDS}
    others = {name: value for name, value in keywords.items() if name not in (*_COUNT_KEYWORDS, "kwargs")}
    named = of_function(fn, args, others, keywords.get("kwargs"), own, "diff")
    options = {name: keywords[name] for name in ("target", "mesh", "in_specs") if name in keywords}
    program = lower(fn, args, named, optimized=False, **options)
    settings = _settings(keywords)
    after = _counted(fn, args, keywords, settings)
    before = Report(
        parse(program.text),
        backend=program.backend,
        num_devices=program.num_devices,
        jax_version=program.jax_version,
        target=program.target,
        settings=settings,
        strict=bool(keywords.get("strict")),
    )
    return _checked(Diff(before, after, optimization=True), settings)


def _settings(keywords: dict[str, Any]) -> Settings:
    return replace(settings_of(*(keywords.get(name) for name in SETTLING)), of_several=True)


def _checked(found: Diff, settings: Settings) -> Diff:
    """Raises HloCountError where a key of trip counts, branches or costs is of neither program."""
    settings.check_keys([found.before.module, found.after.module])
    return found


def _counted(program: Any, args: Sequence[Any], keywords: dict[str, Any], settings: Settings) -> Report:
    own = {**dict.fromkeys(_COUNT_KEYWORDS), "convention": "default", "strict": False}
    others = {name: value for name, value in keywords.items() if name not in (*own, "kwargs")}
    own |= {name: value for name, value in keywords.items() if name in own}
    return counted(program, tuple(args), others, keywords.get("kwargs"), own, settings)


def _is_program(value: Any) -> bool:
    if isinstance(value, str):
        return "ENTRY" in value or "HloModule" in value or "stablehlo." in value
    if isinstance(value, Report | Module | Path | bytes) or is_stored(value):
        return True
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return True
    if type(value) is functools.partial:
        return True
    return _is_stage(value) or (hasattr(value, "lower") and hasattr(value, "__wrapped__"))


def _is_stage(value: Any) -> bool:
    from hlo_count.lowering import stage_in

    return hasattr(value, "as_text") or stage_in(value) is not None


def _report(
    program: Any, args: list[Any], keywords: dict[str, Any], module: str | int | None, settings: Settings
) -> Report:
    if isinstance(program, Report):
        return program
    program = _opened(program, module)
    if is_stored(program):
        return _counted(program, (), {n: v for n, v in keywords.items() if n in _COUNT_KEYWORDS}, settings)
    if isinstance(program, Module) or _is_stage(program):
        return _counted(program, (), {n: v for n, v in keywords.items() if n in (*SETTLING, "strict")}, settings)
    return _counted(program, args, keywords, settings)


def _opened(program: Any, module: str | int | None = None) -> Any:
    """What a text, a file or bytes hold; other programs as they are."""
    return opened(program, module) if isinstance(program, _TEXTS) else program
