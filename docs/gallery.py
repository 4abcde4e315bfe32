"""The pages of the gallery: reports of programs that are in this repository, as `report.save` writes them.

`python docs/gallery.py` writes them to docs/gallery; as a hook of mkdocs it does so before a site is built.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "gallery"
REPORTS = {
    "transformer-h100": ("h100/transformer_step", "h100-sxm"),
    "transformer-tpu": ("tpu-v5e/transformer_step", "tpu-v5e"),
    "transformer-fsdp": ("tpu-v5e/transformer_step_fsdp", "tpu-v5e"),
    "attention-grad": ("h100/attention_grad", "h100-sxm"),
    "convolution-grad": ("tpu-v5e/conv_grad", "tpu-v5e"),
    "svd": ("cpu/svd", None),
}
"""Name of the page: the text in fixtures/, and the device whose times it shows."""


def make() -> None:
    """Write all pages anew."""
    import hlo_count

    FOLDER.mkdir(exist_ok=True)
    for name, (fixture, device) in REPORTS.items():
        text = gzip.decompress((ROOT / "fixtures" / f"{fixture}.hlo.gz").read_bytes()).decode()
        hlo_count.count(text).save(FOLDER / f"{name}.html", device=device, force=True)


def on_pre_build(config: Any) -> None:
    """What mkdocs calls."""
    make()


if __name__ == "__main__":
    make()
