"""The explanation of an instruction as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from hlo_count.harmless import printable
from hlo_count.hlo.metadata import without_metadata
from hlo_count.layout import SHORTEST_NAME, aligned, cut, width, wrapped
from hlo_count.report.contributor_rows import runs_text
from hlo_count.report.contributors import short_source
from hlo_count.report.scopes import scope_path
from hlo_count.report.units import amount, column
from hlo_count.roofline.roofline_table import seconds
from hlo_count.visitors.cost import MAIN, Cost

if TYPE_CHECKING:
    from hlo_count.report.explanation import Explanation, Moved, Neighbour, PlaceInRoofline

_CODE_LINES = 30
_LONGEST = 600
"""Characters of a line of code: a tuple of weights has thousands."""
_NEIGHBOURS = 8
_BLANKS = "  "


def render_explanation(it: Explanation) -> str:
    """What it is, its code, where it comes from, what it costs and why, its neighbours, its place in the roofline."""
    sections = (
        ("", _heading(it)),
        ("code", _code(it)),
        ("where it comes from", _origin(it)),
        (_cost_heading(it), _cost(it)),
        ("counted by", _rules(it)),
        ("bytes of one run", _moves(it)),
        ("operands", _neighbours(it.operands)),
        ("used by", _neighbours(it.users) or [f"{_BLANKS}nothing in its computation: it is the result"]),
        ("in the roofline", _roofline(it.roofline)),
        ("not known", (line for unknown in it.unknowns for line in _sentence(str(unknown)))),
    )
    shown = [[title, *lines] if title else lines for title, given in sections if (lines := list(given))]
    return printable("\n\n".join("\n".join(lines) for lines in shown))


def _sentence(text: str) -> list[str]:
    return wrapped(text, first=_BLANKS, others="    ")


def _heading(it: Explanation) -> Iterator[str]:
    yield from wrapped(f"{it.name} · {cut(it.shape, 60)} · {it.program} · {it.backend.upper()} · {it.place}")
    for sentence in it.what:
        yield from _sentence(sentence)


def _code(it: Explanation) -> Iterator[str]:
    for line in it.code[:_CODE_LINES]:
        blanks = _BLANKS + " " * (len(line) - len(line.lstrip()))
        yield from wrapped(
            cut(without_metadata(line.strip()), _LONGEST), first=blanks, others=blanks + "    ", hyphens=False
        )
    if len(it.code) > _CODE_LINES:
        yield f"{_BLANKS}… and {len(it.code) - _CODE_LINES:,} more lines: to_dict() and --json have them all"


def _origin(it: Explanation) -> Iterator[str]:
    scopes = "/".join(scope_path(it.op_name))
    if it.op_name:
        yield from _sentence(f"scope {scopes or '(none)'}, as {it.op_name}")
    rows = []
    for frame, line in zip(it.stack, it.lines, strict=True):
        function = f"in {frame.function}" if frame.function else ""
        rows.append((cut(short_source(frame.source), 40, "start"), cut(function, 40), line))
    if rows:
        yield from _fitted(rows)
    elif it.source:
        yield from _sentence(f"{short_source(it.source)}, by what it holds or is made from: the compiler gave it none")
    else:
        yield f"{_BLANKS}no line of source: the compiler gave none, here or near it"


def _cost_heading(it: Explanation) -> str:
    return f"costs, of one run and of {runs_text(it.runs)}" if it.runs not in (0, 1) else "costs"


def _cost(it: Explanation) -> Iterator[str]:
    if not it.runs:
        yield f"{_BLANKS}nothing by itself: it is never run as an instruction of its own"
        return
    once, all_runs = dict(_amounts(it.cost)), dict(_amounts(it.total))
    rows = [(name, once.get(name, ""), text if it.runs != 1 else "") for name, text in all_runs.items()]
    yield from aligned(rows, "<>>") if rows else [f"{_BLANKS}nothing"]
    if it.cost.status != "exact":
        yield f"{_BLANKS}{it.cost.status}"


def _amounts(cost: Cost) -> Iterator[tuple[str, str]]:
    for counter, name, unit in (
        ("flops", "FLOP", ""),
        ("transcendentals", "transcendentals", ""),
        ("int_ops", "integer ops", ""),
        ("other_ops", "other ops", ""),
        ("bytes_read", "bytes read", "B"),
        ("bytes_written", "bytes written", "B"),
        ("network_bytes", "bytes sent", "B"),
    ):
        if value := getattr(cost, counter):
            yield name, amount(value, unit)


def _rules(it: Explanation) -> Iterator[str]:
    """Each rule once, below what it counts here."""
    for rule in dict.fromkeys(applied.rule for applied in it.applied):
        alike = [applied for applied in it.applied if applied.rule == rule]
        for applied in alike:
            what = ", ".join(f"{text} {name}" for name, text in _amounts(applied.cost)) or applied.cost.status
            number = f" × {applied.number:,}" if applied.number > 1 else ""
            yield from _sentence(f"{applied.opcode}{number}: {what}")
        for paragraph in alike[0].formula.split("\n\n") if alike[0].formula else []:
            yield from wrapped(" ".join(paragraph.split()), first="    ", others="    ")
        yield from wrapped(rule or "no rule counts it", first="    ", others="    ")


def _moves(it: Explanation) -> Iterator[str]:
    if it.bytes_by:
        yield from _sentence(it.bytes_by)
    if it.moves:
        sizes, wholes = column([moved.bytes for moved in it.moves], "B"), column([m.whole for m in it.moves], "B")
        cells = [_moved(*each) for each in zip(it.moves, sizes, wholes, strict=True)]
        yield from aligned(cells, "<>><<")


def _moved(moved: Moved, size: str, whole: str) -> tuple[str, ...]:
    of = f"of {whole}" if moved.bytes != moved.whole else ""
    where = "" if moved.space == MAIN else f" ({moved.space} memory)"
    return (moved.how, size if moved.bytes else "", of, cut(moved.value, 26, "middle"), moved.why + where)


def _neighbours(found: tuple[Neighbour, ...]) -> list[str]:
    rows = [
        (cut(n.name, 30, "middle"), cut(n.opcode, 22), cut(n.shape, 24), short_source(n.source))
        for n in found[:_NEIGHBOURS]
    ]
    more = [f"{_BLANKS}and {len(found) - _NEIGHBOURS} more"] if len(found) > _NEIGHBOURS else []
    return [*(_fitted(rows, "start") if rows else []), *more]


def _fitted(rows: Sequence[tuple[str, ...]], at: Literal["start", "end"] = "end") -> list[str]:
    """Rows as lines, the last column cut to the room that is left."""
    room = width() - 2 - sum(2 + max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1))
    return aligned(((*row[:-1], cut(row[-1], max(room, SHORTEST_NAME), at)) for row in rows), "<" * len(rows[0]))


def _roofline(place: PlaceInRoofline | None) -> Iterable[str]:
    if place is None:
        return
    row = place.kernel
    bound = "" if row.bound is None else f", at least {seconds(row.bound)}"
    intensity = f"{row.intensity:.3g} FLOP/B" if row.flops and row.bytes else "no FLOP" if row.bytes else "no bytes"
    text = (
        f"on {place.device}, all runs: {seconds(row.estimate)} estimated{bound}, limited by {row.limit}; "
        f"{intensity}; number {place.rank} of {place.kernels} kernels, {100 * place.share:.1f} % of their time"
    )
    yield from _sentence(text)
