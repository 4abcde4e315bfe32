"""What `hlo-count run` costs: `python benchmarks/run_overhead [times]`, where flax, diffrax and NumPyro are installed.

Each script runs alone and recorded, in turn; told are seconds of a processor of the whole process (least of the runs),
which what else the machine does hardly changes, and of them what starting takes: those of the script that loops once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = {"flax_loop.py": 600, "diffrax_solves.py": 300, "numpyro_sampler.py": 4000}
INSIDE = ("-m", "hlo_count.measured.recording.inside_script")


def seconds(command: list[str]) -> float:
    """Of a processor, user's and system's."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return used.ru_utime + used.ru_stime


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for name, number in SCRIPTS.items():
        script = str(HERE / name)
        with tempfile.TemporaryDirectory() as folder:
            found: dict[tuple[str, int], float] = {}
            for _ in range(times):
                for n in (1, number):
                    recorded = [sys.executable, *INSIDE, folder, json.dumps({}), script, str(n)]
                    for how, command in (("alone", [sys.executable, script, str(n)]), ("recorded", recorded)):
                        found[how, n] = min(found.get((how, n), 1e9), seconds(command))
            summary = json.loads((Path(folder) / "hlo_count.json").read_text())
        starting = found["recorded", 1] - found["alone", 1]
        alone, recorded = found["alone", number], found["recorded", number]
        print(
            f"{name}: {alone:.2f} s alone, {recorded:.2f} s recorded; starting {starting:+.2f} s, "
            f"beyond it {100 * (recorded - alone - starting) / (alone - found['alone', 1]):+.1f} % of "
            f"{alone - found['alone', 1]:.2f} s; the profiler ran {summary['recorded_s']:.2f} of "
            f"{summary['wall_s']:.2f} s in {len(summary['windows'])} windows",
            flush=True,
        )


if __name__ == "__main__":
    main()
