"""`growth`: how counts grow with the sizes of a program, as exact polynomials where they are some."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from math import gcd
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import printable
from hlo_count.layout import tabular, wrapped
from hlo_count.report.counting import count
from hlo_count.report.report import Report
from hlo_count.sizing.polynomials import Monomial, Point, Polynomial, degree, grid, monomials, through
from hlo_count.visitors.cost import Status, weakest

BY_CLASS = ("flops", "transcendentals", "int_ops", "other_ops")
WHOLE = ("bytes", "bytes_read", "bytes_written", "network_bytes", "peak_bytes", "compulsory_bytes", "parameters")
"""Counters that are told apart by class of operation, and those that are not."""
MOST_PROGRAMS = 500
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfitted:
    """What is no polynomial in the sizes: a sort, or what the compiler pads to tiles."""

    why: str
    tried: tuple[tuple[Point, int], ...]
    """Sizes, in the order of the names, and what was counted there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How one counter grows: `terms` holds the polynomial of each class of operations, or why there is none.

    Prints as a formula; called with sizes by name it gives the count there, of programs that nobody compiled.
    """

    counter: str
    names: tuple[str, ...]
    terms: Mapping[str, Polynomial | Unfitted]
    status: Status
    """The weakest of the programs that were compiled."""
    compiled: int
    """How many programs that were."""
    tried: tuple[tuple[int, ...], ...] = field(repr=False)
    """The values of each name that were given, in the order of the names."""
    checked: tuple[Point, ...] = field(repr=False)
    """Sizes that no coefficient was found from, at which every polynomial was held to the count."""

    @property
    def total(self) -> Polynomial:
        """The polynomial of all classes that have one."""
        found: dict[Monomial, Fraction] = {}
        for each in self.terms.values():
            if isinstance(each, Polynomial):
                for monomial, coefficient in each.terms.items():
                    found[monomial] = found.get(monomial, Fraction(0)) + coefficient
        return Polynomial(self.names, {each: c for each, c in found.items() if c})

    @property
    def unfitted(self) -> dict[str, Unfitted]:
        """The classes that have none."""
        return {name: each for name, each in self.terms.items() if isinstance(each, Unfitted)}

    def __call__(self, **sizes: int) -> int:
        """The count at these sizes. Raises HloCountError where a class has no polynomial, and for other names; warns of
        sizes that may be programs of another kind, as `cautions` tells."""
        if set(sizes) != set(self.names):
            raise HloCountError(f"the sizes are {', '.join(self.names)}, not {', '.join(sizes) or 'none'}")
        if self.unfitted:
            of = f" of {', '.join(self.unfitted)}" if set(self.unfitted) != {self.counter} else ""
            raise HloCountError(f"{self.counter}{of} is no polynomial in these sizes: compile and count it")
        for each in cautions(self.names, self.tried, sizes):
            warnings.warn(each, stacklevel=2)
        value = self.total(**sizes)
        if value.denominator != 1:
            raise HloCountError(f"{self.counter} would be {value} there, which no program does")
        return int(value)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON: coefficients as texts, such as "24" and "1/2"."""
        return {
            "counter": self.counter,
            "sizes": list(self.names),
            "status": str(self.status),
            "compiled": self.compiled,
            "classes": {name: self._as_data(each) for name, each in self.terms.items()},
        }

    def _as_data(self, each: Polynomial | Unfitted) -> dict[str, Any]:
        if isinstance(each, Unfitted):
            tried = [{**dict(zip(self.names, point, strict=True)), self.counter: value} for point, value in each.tried]
            return {"problem": each.why, "tried": tried}
        terms = [
            {"coefficient": str(c), "exponents": dict(zip(self.names, monomial, strict=True))}
            for monomial, c in each.terms.items()
        ]
        return {"formula": str(each), "terms": terms}

    def __str__(self) -> str:
        fitted = {name: each for name, each in self.terms.items() if isinstance(each, Polynomial)}
        left = f", and {', '.join(self.unfitted)}" if self.unfitted else ""
        lines = wrapped(f"{self.counter} = {self.total}{left}", others="    ")
        if len(fitted) > 1:
            lines += [
                line for name, each in fitted.items() for line in wrapped(f"{name}: {each}", first="  ", others="    ")
            ]
        for name, each in self.unfitted.items():
            lines += wrapped(f"{name}: no polynomial: {each.why}", first="  ", others="    ")
            rows = [[*map(str, point), f"{value:,}"] for point, value in each.tried[:_SHOWN]]
            table = tabular(rows, (*self.names, self.counter), ["right"] * (len(self.names) + 1))
            lines += [f"    {line}" for line in table.splitlines()]
        for n, name in enumerate(self.names):
            if fitted and not any(monomial[n] for each in fitted.values() for monomial in each.terms):
                values = ", ".join(map(str, self.tried[n]))
                lines += wrapped(f"no term has {name}: the same at {values}", first="  ", others="    ")
        held = "; ".join(point_text(self.names, point) for point in self.checked)
        lines += wrapped(f"{self.status}; from {self.compiled} programs, held to those of {held}")
        return printable("\n".join(lines))


def growth(
    make: Callable[..., Any],
    sizes: Mapping[str, Sequence[int]],
    /,
    *,
    counter: str = "flops",
    target: Any = None,
    on_done: Callable[[int], None] = lambda done: None,
    **options: Any,
) -> Growth:
    """How a counter grows with named sizes, as polynomials that are exact at every program that was compiled.

    `make(b=2, s=64, …)` gives what to count: a function, or a tuple of one and its arguments. `sizes` holds the values
    of each name that may be compiled, at least two more than the degree in it: the first ones find the coefficients, by
    interpolation over their grid, and others, the last of each among them, are held back to check them. Sizes of 1, and
    those that are no multiple of a tile where the target pads, are programs of another kind: leave them out.

    `counter`: "flops", "transcendentals", "int_ops", "other_ops" (by class of operation), "bytes", "peak_bytes" … .
    `target` and `options` are those of `count`; `on_done` is called with the number of programs that are counted.

    Raises HloCountError for sizes or a counter that are none, and where it would take more than 500 programs.
    """
    if counter not in (*BY_CLASS, *WHOLE):
        raise HloCountError(f"counter: one of {', '.join((*BY_CLASS, *WHOLE))}, not {counter!r}")
    names, axes = axes_of(sizes)
    statuses: list[Status] = []

    def measured(point: Point) -> dict[str, int]:
        with telling_where(point_text(names, point)):
            fn, arguments = made_of(make, dict(zip(names, point, strict=True)))
            report = count(fn, *arguments, target=target, **options)
        statuses.append(report.status)
        on_done(len(statuses))
        return _by_class(report, counter)

    found = fitted(names, axes, measured)
    return Growth(
        counter=counter,
        names=names,
        terms=found.terms,
        status=reduce(weakest, statuses),
        compiled=found.measured,
        tried=tuple(map(tuple, axes)),
        checked=found.held,
    )


def cautions(names: Sequence[str], axes: Sequence[Sequence[int]], sizes: Mapping[str, int]) -> list[str]:
    """The sizes of which it is not known whether the compiler treats them as those that were tried: all those were
    multiples of some number, as of a tile, and these are not."""
    found = []
    for name, values in zip(names, axes, strict=True):
        step = gcd(*values)
        if sizes[name] % step:
            found.append(f"{name}={sizes[name]} is no multiple of {step}, as all that were compiled are: not checked")
    return found


@contextmanager
def telling_where(place: str) -> Iterator[None]:
    """Say of what goes wrong inside for which sizes it does."""
    try:
        yield
    except Exception as problem:
        problem.add_note(f"for {place}")
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Quantities by name as polynomials in sizes, largest first, or why they are none."""

    terms: dict[str, Polynomial | Unfitted]
    measured: int
    """At how many points."""
    held: tuple[Point, ...]
    """Those that no coefficient was found from."""


def fitted(
    names: tuple[str, ...], axes: Sequence[Sequence[int]], measured: Callable[[Point], Mapping[str, int]]
) -> Fitted:
    """The polynomials of whatever is measured at a point, by interpolation over the first values of each axis, held to
    the last ones. Raises HloCountError where it would take more than 500 points."""
    values: dict[Point, Mapping[str, int]] = {}

    def measure(point: Point) -> None:
        if point not in values:
            values[point] = measured(point)

    base = tuple(axis[0] for axis in axes)
    lines = [[(*base[:n], value, *base[n + 1 :]) for value in axis] for n, axis in enumerate(axes)]
    for point in (each for line in lines for each in line):
        measure(point)
    classes = sorted({name for found in values.values() for name in found})
    degrees = {
        name: [degree([(p[n], values[p].get(name, 0)) for p in line]) for n, line in enumerate(lines)]
        for name in classes
    }
    fits = {name: [each for each in found if each is not None] for name, found in degrees.items()}
    fits = {name: found for name, found in fits.items() if len(found) == len(names)}
    highest = [max((found[n] for found in fits.values()), default=0) for n in range(len(names))]
    corners = grid([axis[: most + 1] for axis, most in zip(axes, highest, strict=True)])
    if len(corners) + len(values) > MOST_PROGRAMS:
        raise HloCountError(f"it would take {len(corners):,} programs, more than {MOST_PROGRAMS}: name fewer sizes")
    held = (tuple(axis[-1] for axis in axes), tuple(axis[-1] if n % 2 else axis[-2] for n, axis in enumerate(axes)))
    for point in (*corners, *held):
        measure(point)
    classes = sorted({name for found in values.values() for name in found})
    terms: dict[str, Polynomial | Unfitted] = {}
    for name in classes:
        counted = {point: found.get(name, 0) for point, found in values.items()}
        terms[name] = (
            _fitted(names, monomials(highest), corners, counted)
            if name in fits
            else _unfitted(names, degrees.get(name), lines, counted)
        )
    order = sorted(terms, key=lambda name: -values[held[0]].get(name, 0))
    used = set(corners)
    return Fitted(
        terms={name: terms[name] for name in order},
        measured=len(values),
        held=tuple(point for point in dict.fromkeys((*held, *values)) if point not in used)[:_SHOWN],
    )


def axes_of(sizes: Mapping[str, Sequence[int]]) -> tuple[tuple[str, ...], list[list[int]]]:
    """The names of sizes and the values of each. Raises HloCountError for those that are none, or fewer than three."""
    if not sizes:
        raise HloCountError('sizes: the values of each name, such as {"b": [2, 4, 6], "s": [64, 128, 192, 256]}')
    for name, given in sizes.items():
        values = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
        whole = all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
        if not whole or len(set(values)) < 3 or len(set(values)) != len(values):
            raise HloCountError(f"sizes: {name} has three different whole numbers or more, not {given!r}")
    return tuple(sizes), [list(values) for values in sizes.values()]


def made_of(make: Callable[..., Any], sizes: Mapping[str, int]) -> tuple[Any, tuple[Any, ...]]:
    """The function, and its arguments, that `make` gives for sizes."""
    made = make(**sizes)
    fn, *arguments = made if isinstance(made, tuple) else (made,)
    return fn, tuple(arguments)


def _by_class(report: Report, counter: str) -> dict[str, int]:
    if counter in WHOLE:
        return {counter: int(getattr(report, counter))}
    found = {name: int(getattr(cost, counter)) for name, cost in report.by("class").items()}
    return {name: value for name, value in found.items() if value}


def point_text(names: tuple[str, ...], point: Point) -> str:
    """`b=2, s=64`."""
    return ", ".join(f"{name}={size}" for name, size in zip(names, point, strict=True))


def _fitted(
    names: tuple[str, ...], candidates: Sequence[Monomial], corners: Sequence[Point], counted: Mapping[Point, int]
) -> Polynomial | Unfitted:
    found = through(names, candidates, {point: counted[point] for point in corners})
    for point, value in counted.items():
        if found.at(point) != value:
            there = f"{float(found.at(point)):,.6g} at {point_text(names, point)}"
            why = f"{found} would be {there}, where {value:,} is counted"
            return Unfitted(why=why, tried=tuple(counted.items()))
    return found


def _unfitted(
    names: tuple[str, ...], found: list[int | None] | None, lines: list[list[Point]], counted: Mapping[Point, int]
) -> Unfitted:
    open_in = [n for n in range(len(names)) if found is None or found[n] is None]
    n = open_in[0]
    most = len(lines[n]) - 2
    why = f"in {names[n]} the {most + 2} values are not those of a polynomial of degree {most} or less"
    return Unfitted(why=why, tried=tuple((point, counted[point]) for point in lines[n]))
