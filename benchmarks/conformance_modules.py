"""The modules of XLA's tests with XLA's figures, where they lie beside the repository."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONFORMANCE = Path(__file__).resolve().parents[2] / "shared" / "conformance" / "xla-modules.jsonl.gz"


def conformance_modules() -> Iterator[dict[str, Any]]:
    """Each with its `name`, `hlo` and `xla`, figures by name; none where they are not there, which is said."""
    if not CONFORMANCE.exists():
        print(f"no conformance modules at {CONFORMANCE}", file=sys.stderr)
        return
    with gzip.open(CONFORMANCE, "rt") as file:
        yield from map(json.loads, file)
