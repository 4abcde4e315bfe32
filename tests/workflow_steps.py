"""Steps of a workflow or a composite action, run as the runner of GitHub Actions runs them: by bash, in order."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass(frozen=True)
class Done:
    """A step that ran."""

    name: str
    code: int
    output: str


def run_steps(
    steps: list[dict[str, Any]], known: Mapping[str, str], folder: Path, env: Mapping[str, str]
) -> list[Done]:
    """Each step that has `run`, until one fails; then those alone whose `if` says so.

    `known`: what expressions are worth, "github.event.number": "7". A step of `uses` does nothing here. Raises KeyError
    for an expression that is not known, and AssertionError for a step that is neither.
    """
    done: list[Done] = []
    for step in steps:
        assert "run" in step or "uses" in step, step
        failed = any(each.code for each in done)
        condition = str(step.get("if", "success()"))
        if "run" not in step or not _holds(condition, known, failed):
            continue
        given = {name: _filled(str(value), known) for name, value in step.get("env", {}).items()}
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", _filled(step["run"], known)],
            cwd=folder,
            env={**os.environ, **env, **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        done.append(Done(step.get("name", step["run"]), ran.returncode, ran.stdout))
    return done


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: _value(found[1], known), text)


def _value(expression: str, known: Mapping[str, str]) -> str:
    """Of a name, or of `a || b`."""
    found = ""
    for name in expression.split("||"):
        found = found or known[name.strip()]
    return found


def _holds(condition: str, known: Mapping[str, str], failed: bool) -> bool:
    """Whether a condition of names, texts, `==`, `!=`, `&&` and the status functions holds."""
    (inside,) = _EXPRESSION.findall(condition) or [condition]
    parts = [part.strip() for part in inside.split("&&")]
    status = {"success()": not failed, "!cancelled()": True, "always()": True, "failure()": failed}
    if not set(parts) & set(status) and failed:
        return False
    for part in parts:
        if part in status:
            holds = status[part]
        else:
            name, equal, text = re.fullmatch(r"(\S+) (==|!=) '(.*)'", part).groups()  # type: ignore[union-attr]
            holds = (known[name] == text) == (equal == "==")
        if not holds:
            return False
    return True
