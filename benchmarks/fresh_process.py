"""What is measured in processes of their own: growth over texts of any size, peak memory, how long a start takes."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

_KINDS = ("tanh", "exponential", "negate", "cosine", "sine", "abs", "sqrt")
_LAYER = """
%fused.{n} (a.{n}: f32[64,{width}], b.{n}: f32[64,{width}]) -> f32[64,{width}] {{
  %a.{n} = f32[64,{width}]{{1,0}} parameter(0)
  %b.{n} = f32[64,{width}]{{1,0}} parameter(1)
  %half.{n} = f32[] constant(0.5)
  %halves.{n} = f32[64,{width}]{{1,0}} broadcast(%half.{n}), dimensions={{}}, metadata={{op_name="{place}/mul" source_file="model.py" source_line={line}}}
  %scaled.{n} = f32[64,{width}]{{1,0}} multiply(%a.{n}, %halves.{n}), metadata={{op_name="{place}/mul" source_file="model.py" source_line={line}}}
  %bent.{n} = f32[64,{width}]{{1,0}} {kind}(%scaled.{n}), metadata={{op_name="{place}/{kind}" source_file="model.py" source_line={line}}}
  %more.{n} = f32[64,{width}]{{1,0}} add(%bent.{n}, %b.{n}), metadata={{op_name="{place}/add" source_file="model.py" source_line={line}}}
  ROOT %out.{n} = f32[64,{width}]{{1,0}} maximum(%more.{n}, %halves.{n}), metadata={{op_name="{place}/max" source_file="model.py" source_line={line}}}
}}
"""  # noqa: E501
_CALL = """\
  %dot.{n} = f32[64,{width}]{{1,0}} dot(%x.{before}, %w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, metadata={{op_name="{place}/dot_general" source_file="model.py" source_line={line}}}
  %x.{n} = f32[64,{width}]{{1,0}} fusion(%dot.{n}, %x.{before}), kind=kLoop, calls=%fused.{n}, metadata={{op_name="{place}/max" source_file="model.py" source_line={line}}}
"""  # noqa: E501
_PER_LAYER = 10
_WIDTH = 128


def grown(instructions: int) -> str:
    """HLO as a compiler prints it, of so many instructions: a chain of layers, each a matmul and a fusion."""
    layers = range(1, max(1, instructions // _PER_LAYER) + 1)
    array = f"f32[64,{_WIDTH}]"

    def filled(template: str, n: int) -> str:
        place, kind = f"jit(step)/block{n % 24}", _KINDS[n % len(_KINDS)]
        return template.format(n=n, before=n - 1, width=_WIDTH, place=place, kind=kind, line=n % 50 + 1)

    bodies = "".join(filled(_LAYER, n) for n in layers)
    calls = "".join(filled(_CALL, n) for n in layers)
    square = f"f32[{_WIDTH},{_WIDTH}]"
    return (
        f"HloModule jit_step, is_scheduled=true, entry_computation_layout={{({array}{{1,0}}, {square}{{1,0}})->"
        f"{array}{{1,0}}}}\n{bodies}\nENTRY %main (x.0: {array}, w: {square}) -> {array} {{\n"
        f"  %x.0 = {array}{{1,0}} parameter(0)\n  %w = {square}{{1,0}} parameter(1)\n{calls}"
        f"  ROOT %last = {array}{{1,0}} copy(%x.{len(layers)})\n}}\n"
    )


_COUNTED = """
import json, sys, time
import hlo_count

def peak():  # of this program alone: what getrusage tells begins with that of the process which started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

str(hlo_count.count("ENTRY e {\\n  ROOT x = f32[2] parameter(0)\\n}"))
text = open(sys.argv[1]).read()
before = peak()
start = time.process_time()
report = hlo_count.count(text)
assert report.bytes
counted = time.process_time()
shown = str(report)
printed = time.process_time()
memory = (peak() - before) * 1024 / len(text)
print(json.dumps({"count": counted - start, "print": printed - counted, "memory": memory}))
"""


def counted_alone(instructions: int, repeat: int) -> dict[str, float]:
    """CPU seconds to count and to print a grown text, the least of some processes, and the peak of memory over the
    text's size: what the process takes beside the text itself and what was imported."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grown.txt"
        path.write_text(grown(instructions))
        runs = [json.loads(_python("-c", _COUNTED, str(path))) for _ in range(repeat)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def growth(sizes: Sequence[int], repeat: int) -> dict[str, dict[str, float]]:
    """`counted_alone` by size; a text of a million instructions is counted once, since noise is little beside it."""
    return {str(size): counted_alone(size, repeat if size < 1_000_000 else 1) for size in sizes}


def exponents(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """The largest exponent with which time grows from one size to the next, counting alone and with its table."""
    found = {}
    for name, parts in (("count", ("count",)), ("count + print", ("count", "print"))):
        seconds = [(math.log(int(size)), math.log(sum(run[p] for p in parts))) for size, run in figures.items()]
        found[name] = max((t - s) / (m - n) for (n, s), (m, t) in pairwise(seconds))
    return found


_IMPORTED = """
import time
import jax
start = time.process_time()
import hlo_count
hlo_count.count("ENTRY e {\\n  ROOT x = f32[2] parameter(0)\\n}").bytes
print(time.process_time() - start)
"""


def start_up(repeat: int) -> dict[str, float]:
    """CPU seconds, the least of some processes: the command on a text of a thousand instructions, Python itself, and
    the first count in a process that has jax."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.txt"
        path.write_text(grown(1000))
        return {
            "hlo-count count small.txt": _seconds(repeat, "-m", "hlo_count", "count", str(path)),
            "python -c pass": _seconds(repeat, "-c", "pass"),
            "first count beside jax": min(float(_python("-c", _IMPORTED)) for _ in range(repeat)),
        }


def _python(*arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=kept)
    return done.stdout


def _seconds(repeat: int, *arguments: str) -> float:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _python(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(repeat))
