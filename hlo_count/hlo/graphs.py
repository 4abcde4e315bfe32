"""The networkx views of a module. networkx is imported here, on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.module import Computation, Module


def computation_graph(computation: Computation) -> nx.DiGraph:
    """Nodes are the instructions' names (attribute `instruction`); edges operand -> user, `control` marks the rest."""
    import networkx as nx

    graph = nx.DiGraph(name=computation.name)
    for instruction in computation.instructions:
        graph.add_node(instruction.name, instruction=instruction, opcode=instruction.opcode, shape=instruction.shape)
    for instruction in computation.instructions:
        for operand in instruction.operands:
            graph.add_edge(operand.name, instruction.name, control=False)
        for predecessor in instruction.control_predecessors:
            if not graph.has_edge(predecessor.name, instruction.name):
                graph.add_edge(predecessor.name, instruction.name, control=True)
    return graph


def call_graph(module: Module) -> nx.MultiDiGraph:
    """Nodes are the computations' names (attribute `computation`), edges call sites keyed by (instruction, role)."""
    import networkx as nx

    graph = nx.MultiDiGraph(name=module.name)
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
            )
    return graph
