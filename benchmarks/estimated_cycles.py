"""Our estimate against the TPU compiler's own `estimated_cycles`, kernel by kernel, over the stored TPU
programs.

python benchmarks/estimated_cycles.py [--kernels 40]

A row for each program, and for the largest kernels; then the geometric means: of the programs that the numbers in
`roofline/tpu_kernels.py` were fitted to, every second one, and of those that were held back. No device is needed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "tests"))

import fixture_files

import hlo_count
from hlo_count.roofline.roofline import Roofline
from hlo_count.roofline.roofline_table import seconds
from hlo_count.roofline.time_rows import KernelRow

DEVICE = "tpu-v5e"
LONG = 5e-6
CLOSE = 1.5


def rooflines() -> list[Roofline]:
    names = fixture_files.compiled_names(DEVICE)
    walks = [hlo_count.count(fixture_files.text(DEVICE, name)).walk for name in names]
    return [Roofline(walk, hlo_count.device(DEVICE), own_cycles=False) for walk in walks]


def compared(rows: Iterable[KernelRow]) -> list[KernelRow]:
    """The kernels that both have an estimate of."""
    return [row for row in rows if row.compiler_estimate and row.estimate]


def ratio(row: KernelRow) -> float:
    assert row.compiler_estimate is not None
    return row.estimate / row.compiler_estimate


def compiled(row: KernelRow) -> float:
    """Seconds of one run that the compiler expects."""
    return (row.compiler_estimate or 0) / row.runs


def means(rows: list[KernelRow]) -> str:
    logs = [math.log(ratio(row)) for row in rows]
    close = sum(abs(log) <= math.log(CLOSE) for log in logs)
    return (
        f"{len(rows)} kernels, geometric mean {math.exp(sum(logs) / len(logs)):.2f}, {close} within a factor of {CLOSE}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernels", type=int, default=40, help="how many of the largest kernels are shown")
    shown = parser.parse_args().kernels
    every = rooflines()
    print(f"{'program':<28} {'kernels':>7} {'bound':>9} {'estimate':>9} {'compiler':>9}  bound <= estimate")
    for roofline in every:
        rows = compared(roofline.rows)
        compiler = seconds(sum(row.compiler_estimate or 0 for row in rows))
        holds = "yes" if roofline.bound <= roofline._estimate.seconds else "NO"
        times = f"{seconds(roofline.bound):>9} {seconds(roofline.estimate):>9} {compiler:>9}"
        print(f"{roofline.walk.module.name[:28]:<28} {len(rows):>7} {times}  {holds}")
    kernels = [(roofline, row) for roofline in every for row in compared(roofline.rows)]
    kernels.sort(key=lambda pair: -(pair[1].compiler_estimate or 0) / pair[1].runs)
    print(f"\n{'program':<18} {'kernel':<32} {'ours':>9} {'compiler':>9} {'ratio':>6}  limited by")
    for roofline, row in kernels[:shown]:
        ours, compiler = row.estimate / row.runs, (row.compiler_estimate or 0) / row.runs
        print(
            f"{roofline.walk.module.name[:18]:<18} {row.name[:32]:<32} {seconds(ours):>9} "
            f"{seconds(compiler):>9} {ratio(row):>6.2f}  {row.limit}"
        )
    print(f"\nours / compiler's, one run of each kernel: {means([row for _, row in kernels])}")
    for what, chosen in (("all", every), ("fitted to", every[::2]), ("held back", every[1::2])):
        rows = [row for roofline in chosen for row in compared(roofline.rows)]
        print(f"of {seconds(LONG)} and more, {what}: {means([r for r in rows if compiled(r) >= LONG])}")
    return 0 if all(roofline.bound <= roofline._estimate.seconds for roofline in every) else 1


if __name__ == "__main__":
    sys.exit(main())
