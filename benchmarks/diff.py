"""Two modules of more than 100,000 instructions compared: `python benchmarks/diff.py [--layers 24] [--random]`.

The program is that of speed.py; the other one has every instruction renamed and its tanh replaced. With --random both
are an entry of 100,000 instructions on f32[64,64] that take each other's results at random, of other names and another
structure. Prints the seconds for reading and counting both, and for matching, reasons and the table.
"""

from __future__ import annotations

import argparse
import random
import re
import time

from speed import unrolled_training_step

import hlo_count as hc

PRIMITIVES = {
    "add": "add",
    "multiply": "mul",
    "subtract": "sub",
    "maximum": "max",
    "tanh": "tanh",
    "dot": "dot_general",
}


def random_entry(seed: int, number: int = 100_000) -> str:
    """An entry of `number` instructions, each on two of the 50 before it; 1000 of them to a scope."""
    choose, shape = random.Random(seed), "f32[64,64]{1,0}"
    lines = [f"  v{seed}.0 = {shape} parameter(0)"]
    for at in range(1, number):
        opcode = choose.choice(list(PRIMITIVES))
        operands = ", ".join(
            f"v{seed}.{choose.randint(max(0, at - 50), at - 1)}" for _ in range(1 if opcode == "tanh" else 2)
        )
        contracting = ", lhs_contracting_dims={1}, rhs_contracting_dims={0}" if opcode == "dot" else ""
        op_name = f"jit(f)/layer_{at // 1000}/{PRIMITIVES[opcode]}"
        metadata = f'metadata={{op_name="{op_name}" source_file="f.py" source_line={at % 20 + 1}}}'
        root = "ROOT " if at == number - 1 else ""
        lines.append(f"  {root}v{seed}.{at} = {shape} {opcode}({operands}){contracting}, {metadata}")
    return "HloModule random\n\nENTRY main {\n" + "\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--random", action="store_true")
    options = parser.parse_args()
    if options.random:
        text, other = random_entry(1), random_entry(2)
    else:
        text = unrolled_training_step(options.layers)
        other = re.sub(r"%([\w\-]+)\.(\d+)", r"%\1.9\2", text).replace(" tanh(", " logistic(")
    start = time.perf_counter()
    before, after = hc.count(text), hc.count(other)
    counted = time.perf_counter() - start
    diff = hc.diff(before, after)
    table = str(diff)
    whole = time.perf_counter() - start
    print(table)
    print(f"{before.module.num_instructions:,} and {after.module.num_instructions:,} instructions:")
    print(f"counted in {counted:.1f} s, compared in {whole - counted:.1f} s")


if __name__ == "__main__":
    main()
