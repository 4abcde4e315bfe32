"""Reads the stored texts of `fixtures/`."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@cache
def manifest(backend: str) -> dict[str, Any]:
    """How the texts of one backend were made: its packages, and its programs."""
    document: dict[str, Any] = json.loads((FIXTURES / backend / "manifest.json").read_text())
    return document


def entry(backend: str, name: str) -> dict[str, Any]:
    """What the manifest says of one program: devices, XLA's figures, buffer sizes, or why it was refused."""
    found: dict[str, Any] = manifest(backend)["programs"][name]
    return found


def compiled_names(backend: str) -> list[str]:
    """The programs that the backend's compiler accepted."""
    return [name for name, entry in manifest(backend)["programs"].items() if "refused" not in entry]


def text(folder: str, name: str) -> str:
    """The stored text of one program: `text("h100", "qr")`, `text("versions/0.4.30", "mixture")`."""
    return gzip.decompress((FIXTURES / folder / f"{name}.hlo.gz").read_bytes()).decode()


def load(backend: str, name: str) -> tuple[str, dict[str, Any]]:
    """The text of one program and its entry in the manifest."""
    return text(backend, name), entry(backend, name)


def versions() -> list[str]:
    """The JAX versions whose texts are stored, oldest first."""
    folders = [path.name for path in (FIXTURES / "versions").iterdir()]
    return sorted(folders, key=lambda name: [int(part) for part in name.split(".")])
