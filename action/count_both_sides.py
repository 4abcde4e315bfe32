"""Count programs at the head and at the base: each in a checkout and an environment of its own.

A step of action.yml; its inputs stand in the environment. Writes FOLDER/SIDE/N.hlo.txt, the compiled program, for the
N-th line of PROGRAMS, and FOLDER/sides.json: what was counted, with why where it could not be.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

SETTLING = ("--trip-count", "--trip-counts", "--branch", "--branches", "--cost", "--costs")
"""Options that are needed once more where the text of a compiled program is read."""
NOTHING = "0" * 40
"""What GitHub calls the commit before the first one of a branch."""


def main() -> int:
    folder = Path(os.environ["FOLDER"])
    folder.mkdir(parents=True, exist_ok=True)
    programs = [line.strip() for line in os.environ["PROGRAMS"].splitlines() if line.strip()]
    if not programs:
        print("::error::programs: name a function to count on each line", flush=True)
        return 2
    base = os.environ["BASE"].strip()
    head = _said(["git", "rev-parse", "HEAD"])
    sides = {"head": head, **({"base": base} if base and base != NOTHING else {})}
    found: dict[str, Any] = {"programs": programs, "head": head, "base": sides.get("base"), "problems": {}}
    for side, commit in sides.items():
        print(f"::group::{side}: {commit}", flush=True)
        place = folder / side
        checkout = _checkout(place, commit)
        python = _environment(place, checkout)
        for number, program in enumerate(programs):
            problem = _compile(python, checkout, shlex.split(program), place / f"{number}.hlo.txt")
            if problem:
                found["problems"][f"{side} {number}"] = problem
        print("::endgroup::", flush=True)
    (folder / "sides.json").write_text(json.dumps(found, indent=1))
    if output := os.environ.get("GITHUB_OUTPUT"):
        with open(output, "a") as stream:
            stream.write(f"folder={folder}\n")
    return 0


def settling(program: str) -> list[str]:
    """The options among those of a program that settle what a text does not tell."""
    words, kept = shlex.split(program), []
    for number, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name in SETTLING:
            kept += [word] if equals else words[number : number + 2]
    return kept


def _checkout(place: Path, commit: str) -> Path:
    checkout = place / "checkout"
    if subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True).returncode:
        subprocess.run(["git", "fetch", "--quiet", "--depth=1", "origin", commit], check=True)
    subprocess.run(["git", "worktree", "add", "--quiet", "--force", "--detach", str(checkout), commit], check=True)
    return checkout


def _environment(place: Path, checkout: Path) -> Path:
    """Its Python, with the project and hlo_count installed: the same hlo_count for both, so that rules are the same."""
    environment = place / "environment"
    shared = ["--system-site-packages"] if os.environ.get("SYSTEM_SITE_PACKAGES") == "true" else []
    subprocess.run([sys.executable, "-m", "venv", *shared, str(environment)], check=True)
    active = {**os.environ, "VIRTUAL_ENV": str(environment), "PATH": f"{environment}/bin:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", os.environ["INSTALL"]], cwd=checkout, env=active, check=True)
    ours = os.environ.get("HLO_COUNT") or str(Path(__file__).resolve().parent.parent)
    extras = f"[{os.environ['EXTRAS']}]" if os.environ.get("EXTRAS") else ""
    python = environment / "bin" / "python"
    if not shared or subprocess.run([str(python), "-c", "import hlo_count"], capture_output=True).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", ours + extras], check=True)
    return python


def _compile(python: Path, checkout: Path, program: list[str], output: Path) -> str:
    """Why it could not be compiled; "" where it was."""
    command = [str(python), "-m", "hlo_count", "report", *program, "-o", str(output), "--force"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    print(shlex.join(program), done.stderr, sep="\n", flush=True)
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return said[-1].removeprefix("hlo-count: ") if done.returncode else ""


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
