"""HLO is ASCII but for what stands in quotes: digits of other scripts are no numbers, though Python reads them so."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import hlo_count.hlo

READS_PATHS = {"hlo_count.hlo.own_code"}


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for found in pkgutil.walk_packages(hlo_count.hlo.__path__, "hlo_count.hlo."):
        for name, value in vars(import_module(found.name)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str) and found.name not in READS_PATHS:
                yield f"{found.name}.{name}", value


def test_what_reads_numbers_reads_ascii() -> None:
    wide = [name for name, pattern in patterns() if r"\d" in pattern.pattern and not pattern.flags & re.ASCII]
    assert len([*patterns()]) > 50
    assert wide == []
