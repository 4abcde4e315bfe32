"""The order in which XLA visits a computation, which float32 sums depend on."""

from __future__ import annotations

from hlo_count.hlo import Computation, Instruction


def visit_order(computation: Computation) -> list[Instruction]:
    """Every instruction, as `HloComputation::Accept` visits it: from each dead end, then from the root.

    Dead ends come in the order of the text; from each, post-order over operands, then control predecessors.
    """
    instructions = computation.instructions
    has_successor = bytearray(len(instructions))
    before: list[tuple[Instruction, ...]] = []
    for instruction in instructions:
        predecessors = instruction.operands
        if "control-predecessors" in instruction.attribute_text:
            predecessors += tuple(instruction.control_predecessors)
        before.append(predecessors)
        for predecessor in predecessors:
            has_successor[predecessor.index] = True
    root = computation.root
    starts = [i for i in instructions if not has_successor[i.index] and i is not root]
    order: list[Instruction] = []
    done = bytearray(len(instructions))
    opened = bytearray(len(instructions))
    for start in (*starts, root):
        stack = [start]
        while stack:
            instruction = stack[-1]
            index = instruction.index
            if done[index]:
                stack.pop()
            elif opened[index]:
                stack.pop()
                done[index] = True
                order.append(instruction)
            else:
                opened[index] = True
                stack += [p for p in reversed(before[index]) if not done[p.index]]
    return order
