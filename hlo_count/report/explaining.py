"""Explains one instruction: reads the walk that counted it, and names the rules and accesses that made its figures."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.computation import Computation, bare_shape
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import CALLERS, FREE, OPCODES, SLICES, TRAITS, UPDATES
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.layout import number_of
from hlo_count.report.counts import Counts
from hlo_count.report.explanation import Applied, Explanation, Moved, Neighbour, PlaceInRoofline
from hlo_count.report.instruction_names import named
from hlo_count.visitors.cost import MAIN, Cost
from hlo_count.visitors.memory_spaces import space_name
from hlo_count.visitors.registry import FORMULAS, rule_of
from hlo_count.visitors.traffic import through_names, traffic, updates_in_place
from hlo_count.visitors.unknowns import Unknown

_FUSIONS = {
    "kLoop": "a loop over the elements of its result",
    "kInput": "a reduction, or a scatter, with what feeds it",
    "kOutput": "a product, or a convolution, with what is done to its result",
    "kCustom": "a kernel of a library or of an emitter of its own",
}
"""What XLA's kinds of fusion are (`HloInstruction::FusionKind`)."""
_MOST_TAKERS = 3


def explain_instruction(report: Counts, name: str, device: Any = None) -> Explanation:
    """The explanation of an instruction; `device` as `Report.roofline` takes it, None for none."""
    if report.convention == "xla":
        raise HloCountError("explain() explains our own count; in the 'xla' convention use reconcile()")
    return _Explainer(report, named(report.module, name)).explanation(device)


class _Explainer:
    def __init__(self, report: Counts, instruction: Instruction) -> None:
        self._report = report
        self._walk = report.walk
        self._it = instruction
        runs = self._walk.runs
        here = instruction.computation
        self._is_kernel = (here, True) in runs
        self._runs = runs.get((here, True), 0) + runs.get((here, False), 0)
        self._edges = dict(self._walk.edges(here)).get(instruction, [])

    def explanation(self, device: Any) -> Explanation:
        it = self._it
        stack = tuple(it.stack)
        cost = self._cost()
        moves, bytes_by = self._moves(cost)
        return Explanation(
            name=it.name,
            program=self._report.name,
            backend=self._report.backend,
            shape=str(it.shape),
            what=tuple(self._what()),
            code=tuple(line for text in self._code() for line in text.split("\n")),
            place=it.place,
            op_name=it.metadata.op_name,
            source=self._report.places.of(it),
            stack=stack,
            lines=tuple(self._report.source_lines.of(frame.source) for frame in stack),
            runs=self._runs,
            cost=cost,
            total=cost * self._runs,
            applied=tuple(self._applied()),
            moves=tuple(moves),
            bytes_by=bytes_by,
            operands=tuple(map(self._neighbour, dict.fromkeys(it.operands))),
            users=tuple(map(self._neighbour, it.computation.users[it])),
            unknowns=tuple(self._unknowns()),
            roofline=None if device is None else self._place(device),
        )

    # What it is

    def _what(self) -> Iterator[str]:
        it = self._it
        row = OPCODES.get(it.opcode)
        traits = [] if row is None else [TRAITS[trait] for trait in TRAITS if trait in row.traits]
        if it.opcode == "fusion":
            body = it.callee("calls")
            kind = _FUSIONS.get(it.attribute("kind") or "")
            number = 0 if body is None else sum(1 for i in body.instructions if i.opcode not in FREE)
            yield f"a fusion of {number_of(number, 'operation')} into one kernel{f': {kind}' if kind else ''}"
        elif it.opcode == "custom-call":
            yield f"a call of {unquote(it.attribute('custom_call_target') or '')!r}, which is not written in HLO"
        elif it.opcode == "while":
            yield self._loop()
        else:
            yield f"{it.opcode}: {'; '.join(traits)}" if traits else it.opcode
        yield self._where_it_runs()

    def _loop(self) -> str:
        given = self._walk.settings.trip_count(self._it)
        if given is not None:
            return f"a loop of {given:,} trips, as trip_counts says"
        found = trip_count(self._it)
        if found.n is None:
            return f"a loop of unknown trips, counted once: {found.reason}"
        how = {
            "known_trip_count": "the compiler wrote that down",
            "affine": "its counter moves by a constant",
            "stepped": "its scalars were run until the condition failed",
        }
        return f"a loop of {found.n:,} trips: {how[found.source]}"

    def _where_it_runs(self) -> str:
        it, here = self._it, self._it.computation
        callers = here.module.call_sites.get(here, [])
        if here.is_entry:
            where = f"stands in the entry computation {here.name}"
        elif callers:
            first, role = callers[0]
            more = f" and {len(callers) - 1} more" if len(callers) > 1 else ""
            where = f"stands in {here.name}, {role} of {first.name}{more}"
        else:
            where = f"stands in {here.name}, which nothing calls"
        if it.opcode in FREE and it.opcode != "fusion":
            return where
        if self._is_kernel:
            return f"{where}; {'a caller of kernels' if self._edges and it.opcode != 'fusion' else 'runs as a kernel'}"
        return f"{where}; {'runs inside that kernel' if self._runs else 'applied to elements, or never run'}"

    def _code(self) -> Iterator[str]:
        yield self._it.to_text()
        yield from (body.to_text() for body in self._fused())

    def _fused(self) -> Iterator[Computation]:
        """The bodies that run inside it as one kernel, or are applied to elements."""
        work, seen = [self._it], set()
        for current in work:
            if current.opcode in CALLERS:
                continue
            for _, callee in current.called:
                if callee not in seen:
                    seen.add(callee)
                    yield callee
                    work += callee.instructions

    # What it costs

    def _cost(self) -> Cost:
        found = self._walk.cost_of(self._it, self._is_kernel)
        for edge in self._edges:
            found += self._walk.total_of(edge.callee, kernels=self._is_kernel and edge.kernels) * edge.times
        return found

    def _applied(self) -> Iterator[Applied]:
        it = self._it
        groups: dict[tuple[str, Callable[..., Cost] | None], list[tuple[int, Cost]]] = {}
        for i, times in _inside(it):
            cost = self._walk.cost_of(i, False)
            if cost and i.opcode != "fusion":
                target = unquote(i.attribute("custom_call_target") or "") if i.opcode == "custom-call" else ""
                rule = FORMULAS.get(target) if target else rule_of(i.opcode, self._report.backend)
                groups.setdefault((target or i.opcode, rule), []).append((times, cost))
        found = [
            (name, rule, sum(times for times, _ in costs), Cost.sum(cost * times for times, cost in costs))
            for (name, rule), costs in groups.items()
        ]
        found.sort(key=lambda each: (-each[3].flops, -each[3].transcendentals, -each[3].int_ops, -each[3].other_ops))
        for name, rule, number, cost in found:
            formula = "" if rule is None else inspect.getdoc(rule) or ""
            where = "" if rule is None else f"{rule.__module__}.{getattr(rule, '__qualname__', repr(rule))}"
            yield Applied(name, number, cost, formula, where)

    # Why it moves what it moves

    def _moves(self, cost: Cost) -> tuple[list[Moved], str]:
        it = self._it
        if not self._is_kernel:
            return [], "nothing of its own: data move where the kernel begins and ends" if self._runs else ""
        if self._edges and it.opcode != "fusion":
            return [], "those of the kernels that it calls"
        read, written = traffic(it, self._report.backend)
        by_traffic: dict[str, int] = {}
        for how, accesses in (("bytes_read", read), ("bytes_written", written)):
            by_traffic[how] = sum(size for space, size, _ in accesses if self._space(space) == MAIN)
        if any(getattr(cost, how) != size for how, size in by_traffic.items()):
            return [], "what the formula of its custom call says, or the code of its kernel"
        sizes: dict[tuple[Instruction, str], int] = {}
        for space, size, operand in read:
            key = (operand or it, self._space(space))
            sizes[key] = sizes.get(key, 0) + size
        moves = [self._read(operand, space, size) for (operand, space), size in sizes.items()]
        touched = {operand for operand, _ in sizes}
        if it.opcode not in FREE:
            moves += [self._read(o, MAIN, 0) for o in dict.fromkeys(it.operands) if o not in touched]
        spaces: dict[str, int] = {}
        for space, size, _ in written:
            spaces[self._space(space)] = spaces.get(self._space(space), 0) + size
        moves += [self._written(space, size) for space, size in spaces.items()]
        return moves, "" if moves else "no bytes: another name for its operand, or a caller"

    def _space(self, number: int) -> str:
        return space_name(self._report.backend, number) or f"S({number})"

    def _read(self, operand: Instruction, space: str, size: int) -> Moved:
        whole = operand.shape.bytes
        if operand is self._it:
            why = "its own result, which it scales in a pass of its own"
        elif size and size == whole:
            why = "all of it, once"
        else:
            why = self._why_a_part(operand, size)
        how = "read" if size else "not read"
        return Moved(how, operand.name, bare_shape(operand.shape), size, whole, space, why)

    def _why_a_part(self, operand: Instruction, size: int) -> str:
        it = self._it
        body = it.callee("calls") if it.opcode == "fusion" else None
        if body is None:
            if it.opcode in SLICES:
                return "only the part that it takes"
            if it.opcode in UPDATES:
                return "updated in place" if not size else "only the rows that it changes"
            return "what of it lies in this memory" if size else "no bytes of it are needed"
        standing = [p for o, p in zip(it.operands, body.parameters, strict=False) if o is operand]
        if not any(body.users[p] or p is body.root for p in standing):
            return "nothing in the body uses it"
        takers = list(dict.fromkeys(name for parameter in standing for name in self._takers(parameter)))
        if takers:
            more = f" and {len(takers) - _MOST_TAKERS} more" if len(takers) > _MOST_TAKERS else ""
            return f"only what {', '.join(takers[:_MOST_TAKERS])}{more} take{'s' * (len(takers) == 1)} of it"
        in_place = updates_in_place(body)
        if any(through_names(update.operands[0]) in standing for update in in_place):
            return "updated in place: what it held is not needed"
        return "what of it lies in this memory" if size else "no bytes of it are needed"

    def _takers(self, parameter: Instruction) -> Iterator[str]:
        """Slices and gathers that a parameter of the body reaches, through whatever passes it on."""
        users, work, seen = parameter.computation.users, [parameter], {parameter}
        for current in work:
            for user in users[current]:
                if user.opcode in SLICES and user.operands[0] is current:
                    yield user.name
                elif user not in seen:
                    seen.add(user)
                    work.append(user)

    def _written(self, space: str, size: int) -> Moved:
        it = self._it
        whole = it.shape.bytes
        if size == whole:
            why = "all of its result"
        elif size > whole:
            why = "its result, and again in the pass that scales it"
        else:
            body = it.callee("calls") if it.opcode == "fusion" else None
            updates = [u.name for u in updates_in_place(body)] if body is not None else []
            in_place = it.opcode == "dynamic-update-slice" or it.opcode == "scatter" or updates
            by = f" {', '.join(sorted(updates)[:_MOST_TAKERS])}" if updates else ""
            why = f"in place: only the part that is changed{by and f' by{by}'}" if in_place else "what of it lies there"
        return Moved("written", it.name, bare_shape(it.shape), size, whole, space, why)

    # Around it

    def _neighbour(self, other: Instruction) -> Neighbour:
        is_argument = other.opcode == "parameter" and other.computation.is_entry
        source = other.metadata.op_name if is_argument else self._report.places.of(other)
        return Neighbour(other.name, other.opcode, bare_shape(other.shape), source)

    def _unknowns(self) -> Iterator[Unknown]:
        names = {self._it.name, *(i.name for i, _ in _inside(self._it))}
        yield from (unknown for unknown in self._report.unknowns if unknown.instruction in names)

    def _place(self, device: Any) -> PlaceInRoofline | None:
        roofline = self._report.roofline(device)
        row = roofline.row_of(self._it)
        if row is None:
            return None
        sum_of_all = sum(each.estimate for each in roofline.rows)
        rank = 1 + sum(each.estimate > row.estimate for each in roofline.rows)
        share = row.estimate / sum_of_all if sum_of_all else 0.0
        return PlaceInRoofline(roofline.device.name, row, rank, len(roofline.rows), share)


def _inside(it: Instruction) -> Iterator[tuple[Instruction, int]]:
    """What an instruction is, or a fusion holds, those inside it too, and how often each stands there."""
    outermost = _fused_body(it)
    if outermost is None:
        yield it, 1
        return
    numbers = Counter({outermost: 1})
    for body in reversed(post_order(outermost, lambda each: filter(None, map(_fused_body, each.instructions)))):
        for i in body.instructions:
            yield i, numbers[body]
            below = _fused_body(i)
            if below is not None:
                numbers[below] += numbers[body]


def _fused_body(it: Instruction) -> Computation | None:
    return it.callee("calls") if it.opcode == "fusion" else None
