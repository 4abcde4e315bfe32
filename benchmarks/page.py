"""The page of a step of 100,000 instructions: how large it is, and how long Chromium takes to open it.

    python benchmarks/page.py [LAYERS]

The step is `unrolled_step` with so many layers (190, about 100,000 instructions before fusion's bodies are counted).
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from unrolled_step import unrolled_step

import hlo_count as hc

LARGEST, LONGEST = 5_000_000, 2.0
"""Bytes of the file, and seconds until all of it is drawn."""


def main() -> None:
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 190
    step, arguments = unrolled_step(layers)
    report = hc.count(step, *arguments)
    print(f"{report.module.num_instructions:,} instructions")
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        file = report.save(Path(folder) / "page.html", device="h100-sxm")
        print(f"written in {time.perf_counter() - began:.1f} s, {file.stat().st_size:,} bytes (at most {LARGEST:,})")
        opened = min(opening(file) for _ in range(3))
        print(f"opened and drawn in {opened:.2f} s, the least of 3 (at most {LONGEST:.0f})")
        sys.exit(int(file.stat().st_size > LARGEST or opened > LONGEST))


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
