"""Compare what `count_both_sides` counted: a comment for people, a line of history for each program.

A step of action.yml. Writes FOLDER/comment.md, which is the job's summary too, and appends to FOLDER/history.jsonl the
counts of the head. Exits with 1 where a counter grew by more than FAIL_ABOVE, with 2 where the head cannot be counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from count_both_sides import settling

KEPT = (
    "name backend num_devices jax_version status flops transcendentals int_ops other_ops bytes network_bytes "
    "argument_bytes output_bytes peak_bytes"
).split()
"""What the history keeps of `hlo-count count --json`."""


def main() -> int:
    folder = Path(os.environ["FOLDER"])
    sides = json.loads((folder / "sides.json").read_text())
    limits = [word for limit in os.environ.get("FAIL_ABOVE", "").split() for word in ("--fail-above", limit)]
    code, parts, lines = 0, [], []
    for number, program in enumerate(sides["programs"]):
        head, base = (folder / side / f"{number}.hlo.txt" for side in ("head", "base"))
        text, failed = _compared(sides, number, program, base, head, limits)
        parts.append(f"### `{program}`\n\n{text}\n")
        code = max(code, failed)
        if head.exists():
            lines.append(json.dumps(_history(folder, sides, program, head)))
    with open(folder / "history.jsonl", "a") as stream:
        stream.writelines(f"{line}\n" for line in lines)
    between = f"{(sides['base'] or 'nothing')[:10]} → {sides['head'][:10]}"
    comment = f"## What this changes in compiled programs ({between})\n\n" + "\n".join(parts)
    (folder / "comment.md").write_text(comment)
    print(comment, flush=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a") as stream:
            stream.write(comment)
    return code


def _compared(
    sides: dict[str, Any], number: int, program: str, base: Path, head: Path, limits: list[str]
) -> tuple[str, int]:
    """What to say of a program, and the exit code."""
    if not head.exists():
        return f"Cannot be counted: {sides['problems'][f'head {number}']}", 2
    if not base.exists():
        why = sides["problems"].get(f"base {number}", "there is no base")
        return f"Nothing to compare with ({why}). Now:\n\n```text\n{_run(head, program, 'count', str(head))[0]}```", 0
    text, said, code = _run(head, program, "diff", str(base), str(head), "--markdown", *limits)
    if code == 2:
        return f"Cannot be compared: {said}", 2
    return text + (f"\n**{said.strip()}**\n" if code else ""), code


def _history(folder: Path, sides: dict[str, Any], program: str, head: Path) -> dict[str, Any]:
    counts = json.loads(_run(head, program, "count", str(head), "--json")[0])
    log = ["git", "-C", str(folder / "head" / "checkout"), "log", "-1", "--format=%cI"]
    time = subprocess.run(log, capture_output=True, text=True, check=True).stdout.strip()
    return {"commit": sides["head"], "time": time, "program": program, **{name: counts.get(name) for name in KEPT}}


def _run(head: Path, program: str, *words: str) -> tuple[str, str, int]:
    """hlo_count of the head's environment, with what settles the program: its output, what it said, the exit code."""
    python = head.parent / "environment" / "bin" / "python"
    call = [str(python), "-m", "hlo_count", *words, *settling(program)]
    done = subprocess.run(call, cwd=head.parent / "checkout", capture_output=True, text=True)
    return done.stdout, done.stderr, done.returncode


if __name__ == "__main__":
    sys.exit(main())
