"""The page of a step of 100,000 instructions: how large it is, and how long Chromium takes to open it.

    python benchmarks/page.py [INSTRUCTIONS]

The step is written here, a layer of ten kernels after another, each in scopes and lines of its own: as little of it is
alike as may be.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import hlo_count as hc

SIZE, PER_LAYER = 256, 10
LARGEST, LONGEST = 5_000_000, 2.0
"""Bytes of the file, and seconds until all of it is drawn."""


def main() -> None:
    report = hc.count(step(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
    print(f"{report.module.num_instructions:,} instructions")
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        file = report.save(Path(folder) / "page.html", device="h100-sxm")
        print(f"written in {time.perf_counter() - began:.1f} s, {file.stat().st_size:,} bytes (at most {LARGEST:,})")
        opened = min(opening(file) for _ in range(3))
        print(f"opened and drawn in {opened:.2f} s, the least of 3 (at most {LONGEST:.0f})")
        sys.exit(int(file.stat().st_size > LARGEST or opened > LONGEST))


def step(instructions: int) -> str:
    """Layers of a product and elementwise operations on its result."""
    shape = f"f32[{SIZE},{SIZE}]{{1,0}}"
    lines, last = [f"  %x = {shape} parameter(0)", f"  %w = {shape} parameter(1)"], "x"
    for layer in range(instructions // PER_LAYER):
        for n, opcode in enumerate(["dot", *["tanh", "add", "multiply"] * (PER_LAYER // 3)]):
            name, place = f"{opcode}.{layer}.{n}", f"jit(step)/layer_{layer}/part_{n}/{opcode}"
            operands = f"%{last}, %w" if opcode == "dot" else f"%{last}" if opcode == "tanh" else f"%{last}, %x"
            dims = ", lhs_contracting_dims={1}, rhs_contracting_dims={0}" if opcode == "dot" else ""
            where = f'metadata={{op_name="{place}" source_file="layer_{layer % 40}.py" source_line={layer // 40 + n}}}'
            lines.append(f"  %{name} = {shape} {opcode}({operands}){dims}, {where}")
            last = name
    lines.append(f"  ROOT %out = {shape} negate(%{last})")
    body = "\n".join(lines)
    return f"HloModule step, is_scheduled=true\n\nENTRY %main (x: {shape}, w: {shape}) -> {shape} {{\n{body}\n}}\n"


def opening(file: Path) -> float:
    """Seconds from the address to a page that is drawn and answers."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        began = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_selector("#icicle .node")
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
        seconds = time.perf_counter() - began
        chromium.close()
    return seconds


if __name__ == "__main__":
    main()
