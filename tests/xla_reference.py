"""XLA's own reading of HLO text: its figures, its counts, its print of the module.

It runs in a child process, since some texts make XLA's parser abort the process it runs in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

FIGURES = ("flops", "transcendentals", "bytes accessed")
AVAILABLE = find_spec("jaxlib._hlo") is not None
"""Whether the installed jaxlib lets a program read HLO text the way this does; older ones do not."""
COMPARABLE = 3 if version("jaxlib") == "0.10.2" else 2
"""How many of the figures are those of jaxlib 0.10.2: others count other bytes."""


@dataclass(frozen=True)
class Reference:
    """What XLA says of a text; where it refuses the text, only `refused`."""

    figures: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """FLOP, transcendentals, bytes."""
    computations: int = 0
    instructions: int = 0
    printed: str = ""
    refused: str | None = None


class Worker:
    """The child process. A text that kills it is reported as refused, and another child takes over."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, text: str) -> Reference:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(text) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            return Reference(refused=f"XLA aborted with exit code {process.wait()}")
        fields = json.loads(answer)
        return Reference(**{**fields, "figures": tuple(fields.get("figures", (0.0, 0.0, 0.0)))})

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


@cache
def worker() -> Worker:
    """One child for the whole test run; it ends when its input does."""
    return Worker()


def reference(text: str) -> Reference:
    return worker().ask(text)


def serve() -> None:
    import jax
    from jaxlib import _hlo, _jax

    client = jax.devices("cpu")[0].client
    for line in sys.stdin:
        try:
            module = _hlo.hlo_module_from_text(json.loads(line))
            figures = _jax.hlo_module_cost_analysis(client, module)
            computations = module.computations()
            answer = {
                "figures": [figures.get(name, 0.0) for name in FIGURES],
                "computations": len(computations),
                "instructions": sum(len(computation.instructions()) for computation in computations),
                "printed": module.to_string(),
            }
        except Exception as refusal:
            answer = {"refused": str(refusal)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
