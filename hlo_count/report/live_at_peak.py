"""What is in memory at the worst moment: an explanation of `peak_bytes`, instruction by instruction."""

from __future__ import annotations

from bisect import bisect_right

from hlo_count.hlo.attributes import alias_pairs
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import leaf_span
from hlo_count.visitors.buffers import Value, buffers
from hlo_count.visitors.peak import device_bytes, live_temporaries


def live_at_peak(module: Module) -> list[tuple[Instruction, int]]:
    """The arrays that `peak_bytes` is made of, with their sizes, largest first; with `Peak.gaps` they add up to it.

    Arguments and outputs, but an output that takes a donated argument's buffer counts with the argument; then the
    temporaries that are alive at the worst moment. Values that share a buffer count once, as the largest of them.
    """
    size = device_bytes(module)

    def largest(values: list[Value]) -> Instruction:
        return max(values, key=lambda value: size(value.shape)).definer

    found = [(p, sum(map(size, p.shape.leaves))) for p in module.entry.parameters]
    root = module.entry.root
    owned = [size(leaf) for leaf in root.shape.leaves]
    for output, number, path in alias_pairs(module.attributes.get("input_output_alias")):
        donated = module.entry.parameters[number].shape
        first, count = leaf_span(root.shape, output)
        start, _ = leaf_span(donated, path)
        for step in range(count):
            owned[first + step] -= size(donated.leaves[start + step])
    homes = {(value.definer, value.leaf): buffer.values for buffer in buffers(module)[0] for value in buffer.values}
    for leaf, bytes_ in enumerate(owned):
        made = maker(root, leaf)
        # An argument that is returned as it is has a buffer of its own here, as it has in XLA's figure.
        shared = homes.get(made, ())
        found.append((largest(list(shared)) if shared else made[0], bytes_))
    found += [(largest(buffer.values), bytes_) for bytes_, buffer in live_temporaries(module)]
    return sorted([item for item in found if item[1]], key=lambda item: -item[1])


def maker(instruction: Instruction, leaf: int) -> tuple[Instruction, int]:
    """The instruction that makes a leaf of a value, behind tuples and other names for it, and which of its leaves."""
    while True:
        if instruction.opcode == "tuple":
            starts = instruction.shape.leaf_starts
            at = bisect_right(starts, leaf) - 1
            if at >= len(instruction.operands):  # a text that XLA's verifier refuses
                return instruction, leaf
            instruction, leaf = instruction.operands[at], leaf - starts[at]
        elif instruction.opcode == "get-tuple-element":
            whole = instruction.operands[0]
            leaf += leaf_span(whole.shape, (int(instruction.attributes["index"]),))[0]
            instruction = whole
        elif instruction.opcode == "bitcast":
            instruction = instruction.operands[0]
        else:
            return instruction, leaf
