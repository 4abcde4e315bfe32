"""What stands around an instruction, as a graph in Graphviz's language: makers above it, users below."""

from __future__ import annotations

import shutil
import subprocess

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.computation import bare_shape
from hlo_count.hlo.instruction import Instruction
from hlo_count.report.counts import Counts
from hlo_count.report.instruction_names import named
from hlo_count.report.units import amount

_PATIENCE = 120
"""Seconds."""
_MOST = 200
"""Nodes: a tuple may hold ten thousand values."""


def dot(report: Counts, name: str, hops: int = 2) -> str:
    """The instruction with what is at most `hops` operands or users away, in DOT, or all of the computation of that
    name; the nearest, or the first, where they are many.

    A node says what the instruction is and what one run of it costs, edges go from operands to users, dashed ones only
    order. Raises HloCountError where there is no such instruction, and for less than no hops.
    """
    import networkx as nx

    if hops < 0:
        raise HloCountError(f"hops={hops}: give how many operands or users away, 0 or more")
    computation = report.module.computations.get(str(name).strip().lstrip("%"))
    if computation is None:
        it = named(report.module, name)
        computation = it.computation
        distances = nx.single_source_shortest_path_length(computation.graph.to_undirected(as_view=True), it.name, hops)
        near = sorted(distances, key=lambda other: (distances[other], computation[other].index))
        centre = it.name
    else:
        near, centre = [i.name for i in computation.instructions], ""
    graph = computation.graph.subgraph(near[:_MOST])
    lines = [
        f"digraph {_quoted(computation.name)} {{",
        '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=10];',
    ]
    if len(near) > _MOST:
        lines.append(f"  label={_quoted(f'{len(near) - _MOST:,} more are left out')};")
    for other in graph:
        chosen = ", style=filled, penwidth=2" if other == centre else ""
        label = "\\n".join(_escaped(line) for line in _label(report, computation[other]))
        lines.append(f'  {_quoted(other)} [label="{label}"{chosen}];')
    for one, user, edge in graph.edges(data=True):
        lines.append(f"  {_quoted(one)} -> {_quoted(user)}{' [style=dashed]' if edge['control'] else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def svg(report: Counts, name: str, hops: int = 2) -> str:
    """The same as `dot` gives, drawn by Graphviz. Raises HloCountError where that is not installed, or fails."""
    text = dot(report, name, hops)
    program = shutil.which("dot")
    if program is None:
        raise HloCountError("SVG is drawn by Graphviz, whose `dot` is not installed here; --dot writes what it draws")
    try:
        done = subprocess.run([program, "-Tsvg"], input=text, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise HloCountError(f"Graphviz's dot: {problem}") from None
    if done.returncode:
        raise HloCountError(f"Graphviz's dot: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _label(report: Counts, instruction: Instruction) -> list[str]:
    walk = report.walk
    is_kernel = (instruction.computation, True) in walk.runs
    cost = walk.cost_of(instruction, is_kernel)
    body = instruction.callee("calls") if instruction.opcode == "fusion" else None
    if body is not None:
        cost += walk.total_of(body, kernels=False)
    figures = [f"{amount(cost.flops)} FLOP"] * bool(cost.flops) + [amount(cost.bytes, "B")] * bool(cost.bytes)
    return [
        instruction.name,
        f"{instruction.opcode} {bare_shape(instruction.shape)}",
        *filter(None, [", ".join(figures)]),
    ]


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Inside a string of DOT, where `\\` begins what stands for something else."""
    return harmless(text, 200).replace("\\", "\\\\").replace('"', '\\"')
