"""What one machine scans in an hour, whether it takes more memory the longer it goes on, whether kills change a byte.

    python benchmarks/scale.py                      # 10,000 modules: fixtures, and conformance modules where they are
    python benchmarks/scale.py --modules 1000 --kills 3

Prints modules and bytes a second with one worker and with two, the ratio, the memory of one process as it counts all
of them, and whether a scan that was killed (kill -9) at random so often leaves the same bytes; else exit code 1.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from conformance_modules import conformance_modules  # noqa: E402

import hlo_count  # noqa: E402 - the path to it is set just above
from hlo_count.fleet.counting_one import count_one  # noqa: E402
from hlo_count.fleet.sources import find  # noqa: E402

SCAN = """
import sys
sys.path.insert(0, {repository!r})
import hlo_count
if __name__ == "__main__":
    hlo_count.scan(sys.argv[1], sys.argv[2], workers=2)
"""


def texts() -> Iterator[tuple[str, str]]:
    """Names and HLO: what three compilers and nine versions made of programs, and what XLA's tests hold."""
    for path in sorted((REPOSITORY / "fixtures").rglob("*.hlo.gz")):
        yield path.name.removesuffix(".hlo.gz"), gzip.decompress(path.read_bytes()).decode()
    for module in conformance_modules():
        yield module["name"], module["hlo"]


def corpus(folder: Path, modules: int) -> int:
    """Write so many files, no two the same: later rounds differ in a comment and scopes. Gives their bytes."""
    written = size = 0
    for turn in range(modules):
        for name, text in texts():
            if written == modules:
                return size
            again = text.replace('op_name="jit(', f'op_name="jit(round{turn}_') + f"\n// {turn}\n"
            below = folder / f"{written % 100:02}"
            below.mkdir(exist_ok=True)
            plain = "".join(c if c.isalnum() else "_" for c in name)
            size += (below / f"{written:06}-{plain[-80:]}.txt").write_text(again)
            written += 1
    return size


def timed(folder: Path, out: Path, workers: int) -> tuple[float, float, hlo_count.Scan]:
    """Seconds of a scan by the clock, and of processors, those of its workers too."""
    began, busy = time.perf_counter(), processor_seconds()
    found = hlo_count.scan(folder, out, workers=workers)
    return time.perf_counter() - began, processor_seconds() - busy, found


def processor_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def resident() -> float:
    """MiB of memory that this process takes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(folder: Path) -> list[tuple[int, float]]:
    """(modules counted, MiB) of one process that counts all files, one after another, the largest first."""
    sources = sorted(find(folder).sources, key=lambda source: -source.size)
    seen = []
    for at, source in enumerate(sources, start=1):
        count_one(source)
        if at % max(1, len(sources) // 10) == 0:
            seen.append((at, resident()))
    return seen


def killed(folder: Path, out: Path, kills: int, seconds: float, seed: int) -> int:
    """Start a scan and kill it at random, so often, then let it finish. Gives how many kills met it at work."""
    chance = random.Random(seed)
    script = out.with_suffix(".py")
    script.write_text(SCAN.format(repository=str(REPOSITORY)))
    met = 0
    for _ in range(kills):
        scan = subprocess.Popen([sys.executable, script, folder, out])
        time.sleep(chance.uniform(0.5, 1.5 * seconds / kills))
        met += scan.poll() is None
        scan.kill()
        scan.wait()
    subprocess.run([sys.executable, script, folder, out], check=True)
    return met


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--modules", type=int, default=10_000)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--seed", type=int, default=17)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        folder = top / "corpus"
        folder.mkdir()
        size = corpus(folder, given.modules)
        load = os.getloadavg()[0]
        print(f"{given.modules:,} files, {size / 1e6:.1f} MB, load of the machine {load:.1f} on {os.cpu_count()} cores")
        rates = []
        for workers in (1, 2):
            seconds, busy, found = timed(folder, top / f"{workers}.sqlite", workers)
            rates.append((found.modules + found.failed) / seconds)
            print(
                f"{workers} worker{'s' * (workers > 1)}: {seconds:.1f} s, {rates[-1]:.0f} modules/s, "
                f"{size / seconds / 1e6:.2f} MB/s; {busy:.1f} s of processors, {given.modules / busy:.0f} modules for "
                f"each; {found.failed} failed; load {os.getloadavg()[0]:.1f}"
            )
        whole = (top / "1.sqlite").read_bytes()
        same = whole == (top / "2.sqlite").read_bytes()
        print(
            f"ratio {rates[1] / rates[0]:.2f}; {'the same bytes' if same else 'OTHER BYTES'}, {len(whole) / 1e6:.1f} MB"
        )
        if given.kills:
            met = killed(folder, top / "killed.sqlite", given.kills, given.modules / rates[1], given.seed)
            survived = (top / "killed.sqlite").read_bytes() == whole
            print(f"killed {met} times: {'the same bytes' if survived else 'OTHER BYTES'}")
            same = same and survived
        for at, mebibytes in memory(folder):
            print(f"one process, {at:,} modules: {mebibytes:.0f} MiB")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
