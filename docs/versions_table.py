"""The table of docs/versions.md: small programs counted with each JAX, held against the newest.

`python docs/versions_table.py` makes an environment for each version in turn, counts `version_programs.py` in it, and
writes docs/versions.json and the page. That takes half an hour, and 2 GB at a time in a temporary folder. `--python
python3.12` makes them of another Python than this one, which the newest JAX may want.
`--only 0.7.2 --check` counts one version and fails where a figure for TPU or CUDA is not the page's.
`--environments FOLDER` keeps the environments there for another time. `--page` writes the page from
docs/versions.json again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import hlo_count as hc
from hlo_count.layout import columns, tabular, wrapped

HERE = Path(__file__).parent
PAGE, FIGURES = HERE / "versions.md", HERE / "versions.json"
NEWEST = "newest"
VERSIONS = (NEWEST, "0.10.2", "0.9.2", "0.8.3", "0.7.2", "0.6.2", "0.5.3", "0.4.30")
FLAX = {
    "0.4.30": "flax==0.8.5", "0.5.3": "flax==0.10.5", "0.6.2": "flax==0.10.7", "0.7.2": "flax==0.12.0",
    "0.8.3": "flax==0.12.6", "0.9.2": "flax==0.12.6", "0.10.2": "flax==0.12.8",
}  # fmt: skip
"""Of each JAX but the newest, so that it counts the same whenever it is tried."""
BACKENDS = ("CPU", "TPU", "CUDA")
SHOWN = {"flops": "FLOP", "transcendentals": "transcendentals", "bytes": "bytes", "network_bytes": "bytes sent",
         "peak_bytes": "peak bytes"}  # fmt: skip
Figures = dict[str, Any]
"""What one program counts to, or why it does not: {"flops": 2147483648, ...} or {"refused": "..."}."""


def environment(folder: Path, version: str, python: str = sys.executable) -> Path:
    """The Python of an environment with JAX, its compilers for TPU and CUDA, and flax, as far as they are there."""
    found = folder / "bin" / "python"
    if found.exists():
        return found
    subprocess.run([python, "-m", "venv", folder], check=True)
    pin = "" if version == NEWEST else f"=={version}"
    install = [found, "-m", "pip", "install", "-q"]
    subprocess.run([*install, f"jax{pin}", f"jaxlib{pin}", "numpy", "networkx", "tabulate"], check=True)
    for more in (
        [f"jax[tpu]{pin}"],
        [f"jax-cuda12-plugin{pin}", "nvidia-cuda-nvcc-cu12>=12.8"],
        [f"jax{pin}", FLAX.get(version, "flax")],
    ):
        if subprocess.run([*install, *more], check=False).returncode:
            print(f"jax {version}: cannot install {more[-1]}", file=sys.stderr)
    return found


def counted(version: str, environments: Path, python: str) -> dict[str, Any]:
    """The document of `version_programs.py` with one version."""
    folder = environments / version
    try:
        done = subprocess.run(
            ["nice", environment(folder, version, python), HERE / "version_programs.py"],
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
            stdout=subprocess.PIPE,
            check=True,
        )
    finally:
        if environments.name.startswith("hlo-count-"):
            rmtree(folder, ignore_errors=True)
    return dict(json.loads(done.stdout))


def explained(backend: str, row: Figures, newest: Figures) -> str:
    """What differs between two rows of one program, and the largest reasons of the comparison of their texts."""
    if "refused" in row or "refused" in newest:
        return ""
    differing = [name for name in SHOWN if row[name] != newest[name]]
    if not differing:
        return ""
    modules = [hc.parse(each["text"]) for each in (newest, row)]
    for module in modules:
        module.backend = {"CUDA": "gpu"}.get(backend, backend.lower())
    found = hc.diff(*modules)
    weights = ("flops", "bytes", "transcendentals")
    largest = [max(found.rows, key=lambda each: abs(getattr(each.change, name)), default=None) for name in weights]
    reasons = [f"{each.opcode} {each.reason}" for each in largest if each is not None]
    said = "; ".join(dict.fromkeys(reasons)).replace("only before", "only with the newest").replace("only after", "new")
    return f"{', '.join(f'{SHOWN[name]} {row[name]:,}, not {newest[name]:,}' for name in differing)}: {said}"


def all_rows(versions: tuple[str, ...], environments: Path, python: str) -> dict[str, dict[str, dict[str, Figures]]]:
    """{version: {backend: {program: figures}}}, the newest first."""
    found: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for version in versions:
        document = counted(version, environments, python)
        texts = texts or document["rows"]
        for backend, programs in document["rows"].items():
            for name, row in programs.items():
                row["why"] = explained(backend, row, texts[backend][name])
        found[document["jax"]] = document["rows"]
        print(document["jax"], flush=True)
    for rows in found.values():
        for programs in rows.values():
            for row in programs.values():
                row.pop("text", None)
    return found


def cell(row: Figures, newest: Figures, notes: dict[str, int]) -> str:
    """ "=" for what is alike, else the number of the note that says what is not."""
    why = row.get("refused") or row["why"]
    if not why:
        return "="
    number = notes.setdefault(why, len(notes) + 1)
    if "refused" in row:
        return f"× ({number})"
    return f"{'=' if row['flops'] == newest.get('flops') else '~'} ({number})"


def table(found: dict[str, dict[str, dict[str, Figures]]]) -> str:
    """For each backend a row a version and a column a program, and below it what differs."""
    notes: dict[str, int] = {}
    newest, *_ = found.values()
    parts = []
    for backend in BACKENDS:
        names = list(newest[backend])
        rows = [
            (version, *(cell(rows[backend][name], newest[backend][name], notes) for name in names))
            for version, rows in found.items()
        ]
        with columns(116):
            parts.append(tabular(rows, (backend, *names), ("left",) * (1 + len(names))))
    for reason, number in notes.items():
        parts.append("\n".join(wrapped(f"({number}) {reason}", 116, others="    ")))
    return "\n\n".join(parts)


def write(found: dict[str, Any]) -> None:
    lines = [
        f' "{version}": {{\n'
        + ",\n".join(
            f'  "{backend}": {{\n' + ",\n".join(f'   "{n}": {json.dumps(row)}' for n, row in programs.items()) + "\n  }"
            for backend, programs in rows.items()
        )
        + "\n }"
        for version, rows in found.items()
    ]
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    PAGE.write_text(
        re.sub(r"```text\n.*?```\n", lambda _: f"```text\n{table(found)}\n```\n", PAGE.read_text(), flags=re.S)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="VERSION", help="count this version alone")
    parser.add_argument("--check", action="store_true", help="compare with docs/versions.json, and write nothing")
    parser.add_argument("--environments", type=Path, metavar="FOLDER", help="where environments are, and stay")
    parser.add_argument("--python", default=sys.executable, help="of which environments are made (this one)")
    parser.add_argument("--page", action="store_true", help="write the page from docs/versions.json")
    options = parser.parse_args()
    stored = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if options.page:
        write(stored)
        return
    with TemporaryDirectory(prefix="hlo-count-") as temporary:
        versions = (options.only,) if options.only else VERSIONS
        found = all_rows(versions, options.environments or Path(temporary), options.python)
    if not options.check:
        write(stored | found if options.only else found)
        return
    off = [
        f"jax {version}, {backend}, {name}: {each} {row.get(each)}, not {stored[version][backend][name].get(each)}"
        for version, rows in found.items()
        for backend, programs in rows.items()
        for name, row in programs.items()
        # What XLA makes for a CPU depends on the one that it runs on.
        for each in (("refused",) if backend == "CPU" else (*SHOWN, "refused"))
        if row.get(each) != stored[version][backend][name].get(each)
    ]
    print("\n".join(off) or "as docs/versions.md says")
    sys.exit(bool(off))


if __name__ == "__main__":
    main()
