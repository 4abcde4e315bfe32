"""Where in a text the modules stand: one after another, behind the prefixes of a log, after a preamble, in a fence.

A text that is one module and nothing else, as nearly all are, is found to be that by two searches for one word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hlo_count.errors import HloCountError
from hlo_count.hlo.log_lines import stream_of, without_colours, without_prefixes
from hlo_count.hlo.shapes import GAP

_BEFORE = re.compile(GAP, re.S)
_HEADING = re.compile(r"HloModule[ \t]++%?([\w.\-]++)[ \t]*+(?=[:,\n/]|\Z|ENTRY\b)(, *+\w++=)?")
_LONGEST_PREFIX = 400
_SEPARATOR = re.compile(r"^[ \t]*+(?:(//[ \t]*+-{3})|```|~~~)[^\n]*+\n?", re.M)
"""A line between two files in one, as XLA's tests have it, or the edge of a fence of Markdown."""
_ENTRY = re.compile(r"^[ \t]*+ENTRY\b", re.M)
_BODY = re.compile(r"\b(?:ENTRY|ROOT)\b|\{[ \t]*+$", re.M)
_DUMP = re.compile(r"\*\*\* Begin (\S++) \*\*\*\s*\Z")
"""What XLA prints before each module with `--xla_dump_to=-`."""
_NUMBERED = re.compile(r"([^#]*+)#(\d{1,9})\Z|(\d{1,9})\Z", re.A)
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A module's own text, and where it stood: the line of the file, and what was before each line there."""

    text: str
    first_line: int = 1
    prefixes: Sequence[str] = ()
    file: str = ""
    """What XLA called the dump, where the text says so."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a text that may be a module: from its heading, where it has one, to where another begins."""

    name: str
    start: int
    end: int
    """Of a part that is not cut yet, where the one before it ends."""
    prefix: str = ""
    """What stands before its heading."""
    stream: str = ""
    """What stands before each of its lines, but for times; empty where nothing does."""
    file: str = ""
    """What XLA called the dump, where the text says so."""
    certain: bool = False
    """Whether its heading has attributes, which no prose has."""
    goes_on: bool = False
    """Whether it begins at a comment, `// -----`, that separates modules or stands inside one."""
    label: str = ""
    """What it is chosen by."""


def excerpt(text: str, filename: str | None, wanted: str | int | None = None) -> Excerpt:
    """The module in `text`, or the one of several that `wanted` names.

    `wanted` is a name, a part of one that no other has, the name of a dump, `NAME#2` for the second of a name, or a
    number from 1. Raises HloCountError that lists the modules where there are several and none is chosen, or none is
    called so.
    """
    if wanted is None and _is_one_module(text):
        return Excerpt(text)
    text = without_colours(text)
    modules = _modules(text)
    if wanted is None and not modules:
        return Excerpt(text)  # the parser says what is wrong
    chosen = _chosen(text, modules, wanted, filename or "the HLO text")
    return _own(text, chosen, text.count("\n", 0, chosen.start) + 1)


def excerpts(text: str) -> list[Excerpt]:
    """Every module in `text`, in its order; none where it holds no HLO."""
    if _is_one_module(text):
        return [Excerpt(text)] if "HloModule" in text or _ENTRY.search(text) else []
    text = without_colours(text)
    line, at, found = 1, 0, []
    for module in _modules(text):
        line, at = line + text.count("\n", at, module.start), module.start
        found.append(_own(text, module, line))
    return found


def _own(text: str, part: _Part, first_line: int) -> Excerpt:
    """The text of a module alone."""
    if not part.stream:
        return Excerpt(text[part.start + len(part.prefix) : part.end], first_line, (part.prefix,), part.file)
    own, prefixes = without_prefixes(text[part.start : part.end], part.prefix)
    return Excerpt(own, first_line, prefixes, part.file)


def _is_one_module(text: str) -> bool:
    first = text.find("HloModule")
    if first < 0:
        return not any(mark in text for mark in ("```", "~~~", "// --"))
    before = _BEFORE.match(text)
    if before is None or before.end() != first:
        return False
    return text.find("HloModule", first + 1) < 0 and text.find("// --", first) < 0


# Finding


def _modules(text: str) -> list[_Part]:
    """The modules in the order of the text: what has a heading, or an ENTRY and none."""
    parts = [_Part("", 0, 0)]
    parts += [_Part("", mark.end(), mark.start(), goes_on=bool(mark[1])) for mark in _SEPARATOR.finditer(text)]
    parts += _without_prose(text, list(_headings(text)))
    cut = _cut(text, sorted(parts, key=lambda part: part.start))
    following: dict[str, int] = {}
    modules = []
    for part, has_entry in reversed(cut):
        if part.stream:  # lines of other streams, and their modules, stand between its own
            part, following[part.stream] = replace(part, end=following.get(part.stream, len(text))), part.start
        if part.name or has_entry:
            modules.append(part)
    return _labelled(modules[::-1])


def _cut(text: str, parts: Sequence[_Part]) -> list[tuple[_Part, bool]]:
    """Each part up to where the next begins, and whether it has an ENTRY."""
    cut: list[tuple[_Part, bool]] = []
    ends = [*(part.start if part.name else part.end for part in parts[1:]), len(text)]
    for part, end in zip(parts, ends, strict=True):
        has_entry = _ENTRY.search(text, part.start, end) is not None
        if part.goes_on and not (has_entry and cut[-1][1]):  # the line was a comment, as it is to XLA
            cut[-1] = replace(cut[-1][0], end=end), has_entry or cut[-1][1]
        else:
            cut.append((replace(part, end=end), has_entry))
    return cut


def _without_prose(text: str, headings: Sequence[_Part]) -> Sequence[_Part]:
    """The headings with attributes, or a computation below; all of them where none has."""
    ends = [*(heading.start for heading in headings[1:]), len(text)]
    sure = [h for h, end in zip(headings, ends, strict=False) if h.certain or _BODY.search(text, h.start, end)]
    return sure or headings


def _headings(text: str) -> Iterator[_Part]:
    line = next_line = 0
    for found in _HEADING.finditer(text):
        if found.start() < next_line:
            continue  # one of a line is enough
        before, line = line, text.rfind("\n", line, found.start()) + 1 or line
        next_line = text.find("\n", found.start())
        prefix = text[line : found.start()]
        if _may_precede(prefix) and not _in_comment(text, before, found.start()):
            above = text[text.rfind("\n", max(0, line - 300), max(0, line - 1)) + 1 : line]
            dump = _DUMP.search(above)
            yield _Part(
                found[1],
                line,
                line,
                prefix=prefix,
                stream=stream_of(text, line, prefix),
                file=dump[1] if dump else "",
                certain=bool(found[2]),
            )
        if next_line < 0:
            return


def _may_precede(prefix: str) -> bool:
    """Whether a module may begin behind it: not in a string, a comment or a longer word."""
    if len(prefix) > _LONGEST_PREFIX or '"' in prefix or prefix.lstrip().startswith(("//", "/*")):
        return False
    return not (prefix[-1:].isalnum() or prefix[-1:] in ("_", "-", "."))


def _in_comment(text: str, start: int, at: int) -> bool:
    opened = text.rfind("/*", start, at)
    return opened >= 0 and (opened == 0 or text[opened - 1].isspace()) and text.find("*/", opened, at) < 0


def _labelled(modules: Sequence[_Part]) -> list[_Part]:
    """Each by its name, with its number among those of that name where it is not the only one."""
    names = Counter(module.name for module in modules)
    seen: Counter[str] = Counter()
    labelled = []
    for number, module in enumerate(modules, start=1):
        seen[module.name] += 1
        is_only = module.name and names[module.name] == 1
        label = module.name if is_only else f"{module.name}#{seen[module.name] if module.name else number}"
        labelled.append(replace(module, label=label))
    return labelled


# Choosing


def _chosen(text: str, modules: Sequence[_Part], wanted: str | int | None, place: str) -> _Part:
    if wanted is None:
        if len(modules) == 1:
            return modules[0]
        raise HloCountError(
            f"{place}: holds {len(modules)} modules, {_listed(text, modules)}: choose one by --module NAME, or module= "
            f"in Python"
        )
    found = _called(modules, str(wanted))
    if len(found) == 1:
        return found[0]
    called = f"{str(wanted)!r:.80}"
    if found:
        raise HloCountError(f"{place}: {len(found)} modules are called {called}: {_listed(text, found)}")
    raise HloCountError(f"{place}: no module is called {called}; there is {_listed(text, modules) or 'none'}")


def _called(modules: Sequence[_Part], wanted: str) -> Sequence[_Part]:
    exact = [module for module in modules if wanted in (module.name, module.file)]
    if exact or not wanted:
        return exact if wanted else ()
    numbered = _NUMBERED.match(wanted)
    if numbered is not None:
        name, number = numbered[1] or "", int(numbered[2] or numbered[3])
        of_name = [module for module in modules if module.name == name] if name else modules
        return of_name[number - 1 : number] if number else ()
    return [module for module in modules if wanted in module.name or wanted in module.file]


def _listed(text: str, modules: Sequence[_Part]) -> str:
    line, at, shown = 1, 0, []
    for module in modules[:_MOST_LISTED]:
        line, at = line + text.count("\n", at, module.start), module.start
        file = f", {module.file}" if module.file else ""
        shown.append(f"{module.label} (line {line}{file})")
    if len(modules) > _MOST_LISTED:
        shown.append(f"{len(modules) - _MOST_LISTED:,} more")
    return ", ".join(shown)
