"""XLA's own reading of HLO text: its figures, its counts, its print of the module, the word of its verifier.

It runs in a child process, since some texts make XLA's parser abort the process it runs in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FIGURES = ("flops", "transcendentals", "bytes accessed")
AVAILABLE = find_spec("jaxlib._hlo") is not None
"""Whether the installed jaxlib lets a program read HLO text the way this does; older ones do not."""
VERIFIES = AVAILABLE and find_spec("jaxlib._xla") is not None
"""Whether it also lets a program run XLA's verifier, the way `xla_verifier` does."""
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
    """What the parser says against it."""
    unverified: str = ""
    """What the verifier says against it, where it was asked."""

    @property
    def accepted(self) -> bool:
        return self.refused is None and not self.unverified


class Worker:
    """The child process. A text that kills it is reported as refused, and another child takes over."""

    AFTER_VERIFIER = "xla::ScheduleModule"
    """What a stack trace names of an abort in passes that no module gets to which the verifier refuses."""

    def __init__(self, seconds: float = 120.0) -> None:
        self.seconds = seconds
        """How long a child may read one text."""
        self._process: subprocess.Popen[str] | None = None
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the children

    def ask(self, text: str, *, verify: bool = False) -> Reference:
        answer = self._answer({"text": text, "verify": verify})
        if isinstance(answer, str):
            return Reference(refused=f"XLA aborted with {answer.splitlines()[0]}")
        found = Reference(**{**answer, "figures": tuple(answer.get("figures", (0.0, 0.0, 0.0)))})
        if found.refused is not None or not verify:
            return found
        answer = self._answer(None)
        if not isinstance(answer, str):
            return replace(found, **answer)
        if self.AFTER_VERIFIER in answer:
            return found
        return replace(found, unverified=f"the verifier aborted with {answer.splitlines()[0]}")

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    def _answer(self, question: dict[str, Any] | None) -> dict[str, Any] | str:
        """The child's next line, to a question where there is one; its last words where it died of it."""
        process = self._process
        if process is None or process.poll() is not None:
            self._forget_messages()
            process = self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(self.seconds, process.kill)
        alarm.start()
        try:
            if question is not None:
                process.stdin.write(json.dumps(question) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alarm.cancel()
        if line:
            self._forget_messages()
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = process.wait()
        self._messages.seek(0)
        return f"exit code {code}\n{self._messages.read()}"

    def _forget_messages(self) -> None:
        self._messages.seek(0)  # of the child too: they share the place
        self._messages.truncate()


@cache
def worker() -> Worker:
    """One child for the whole test run; it ends when its input does."""
    return Worker()


def reference(text: str) -> Reference:
    return worker().ask(text)


def verified(text: str) -> Reference:
    """What XLA says of a text, its verifier included where the installed jaxlib lets us ask it."""
    return worker().ask(text, verify=VERIFIES)


def serve() -> None:
    """Answer each line, a question, with a line: the parser's word, and where asked for another, the verifier's."""
    import jax
    from jaxlib import _hlo, _jax

    client = jax.devices("cpu")[0].client
    verifier = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            module = _hlo.hlo_module_from_text(question["text"])
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
        if question["verify"] and "refused" not in answer:
            if verifier is None:
                from xla_verifier import Verifier

                verifier = Verifier()
            print(json.dumps({"unverified": verifier.problem(module)}), flush=True)


if __name__ == "__main__":
    serve()
