"""Peak memory of the fixture programs on each generation of TPU: ours over the compiler's own.

python benchmarks/peak.py [--targets tpu:v4,tpu:v5e,...] [--programs mlp_grad,transformer_step] [--beyond 0.05]

The compiler's is arguments + outputs + temporaries - aliases of `memory_analysis()`. A row for each generation, then
the programs that are further off. Only compiles, which takes minutes; needs no TPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hlo_count as hc
from fixtures.registry import Program, programs

EIGHT = {"tpu:v4": "2x2x2", "tpu:v5e": "2x4", "tpu:v5p": "2x2x2", "tpu:v6e": "2x4", "tpu:v7": "2x2x1"}
"""The topology of eight devices."""


def report(program: Program, target: str) -> hc.Report:
    fn, args = program.build()
    if not program.mesh:
        return hc.count(fn, *args, target=target)
    return hc.count(
        fn,
        *args,
        target=f"{target}:{EIGHT[target]}",
        mesh=program.mesh,
        in_specs=program.in_specs and program.in_specs(),
    )


def ratios(target: str, wanted: list[str]) -> Iterator[tuple[float, str, int, int]]:
    """(ours over the compiler's, program, ours, the compiler's) of each program that the target compiles."""
    for program in programs(wanted):
        if "tpu-v5e" not in program.backends:
            continue
        found = report(program, target)
        compilers = found.compiler_peak_bytes
        if compilers:
            yield found.peak_bytes / compilers, program.name, found.peak_bytes, compilers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(EIGHT))
    parser.add_argument("--programs", default="")
    parser.add_argument("--beyond", type=float, default=0.05)
    options = parser.parse_args()
    wanted = [name for name in options.programs.split(",") if name]
    print(f"{'target':8} {'programs':>8} {'within':>7} {'least':>6} {'median':>7} {'most':>6}")
    for target in options.targets.split(","):
        rows = sorted(ratios(target, wanted))
        off = [row for row in rows if abs(row[0] - 1) > options.beyond]
        within = 1 - len(off) / len(rows)
        middle = median(row[0] for row in rows)
        print(f"{target:8} {len(rows):8} {within:7.1%} {rows[0][0]:6.3f} {middle:7.3f} {rows[-1][0]:6.3f}", flush=True)
        for ratio, name, ours, compilers in off:
            print(f"    {ratio:.3f}  {name}: {ours:,} where the compiler says {compilers:,}")


if __name__ == "__main__":
    main()
