"""Two modules of more than 100,000 instructions compared: `python benchmarks/diff.py [--layers 24]`.

The program is that of speed.py; the other one has every instruction renamed and its tanh replaced. Prints the seconds
for reading and counting both, and for matching, reasons and the table.
"""

from __future__ import annotations

import argparse
import re
import time

from speed import unrolled_training_step

import hlo_count as hc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    text = unrolled_training_step(parser.parse_args().layers)
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
