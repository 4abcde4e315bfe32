"""The networkx views of a module. networkx is imported here, on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hlo_count.hlo.trip_counts import trip_count

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.computation import Computation
    from hlo_count.hlo.instruction import Instruction
    from hlo_count.hlo.module import Module


def computation_graph(computation: Computation) -> nx.DiGraph[str]:
    """Nodes are the instructions' names, with `instruction`, `opcode` and `shape`; edges operand -> user.

    An edge's `control` is True where it carries no value and only orders.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph(name=computation.name)
    for instruction in computation.instructions:
        graph.add_node(instruction.name, instruction=instruction, opcode=instruction.opcode, shape=instruction.shape)
    for instruction in computation.instructions:
        for operand in instruction.operands:
            graph.add_edge(operand.name, instruction.name, control=False)
        for predecessor in instruction.control_predecessors:
            if not graph.has_edge(predecessor.name, instruction.name):
                graph.add_edge(predecessor.name, instruction.name, control=True)
    return graph


def call_graph(module: Module) -> nx.MultiDiGraph[str]:
    """Nodes are the computations' names, with `computation` and `entry`; edges are call sites, with their
    `instruction` and `role`.

    An edge's `runs` is how often the callee runs, or is applied, each time its instruction does: 1; for a
    loop's body the trip count, for its condition one more; None where not known, as for a branch.
    """
    import networkx as nx

    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=module.name)
    for computation in module.computations.values():
        graph.add_node(computation.name, computation=computation, entry=computation.is_entry)
    for instruction in module.instructions():
        for role, callee in instruction.called:
            graph.add_edge(
                instruction.computation.name,
                callee.name,
                key=(instruction.name, role, callee.name),
                instruction=instruction,
                role=role,
                runs=_runs(instruction, role),
            )
    return graph


def _runs(caller: Instruction, role: str) -> int | None:
    if caller.opcode == "conditional":
        return None
    if caller.opcode != "while":
        return 1
    trips = trip_count(caller).n
    return trips + 1 if trips is not None and role == "condition" else trips
