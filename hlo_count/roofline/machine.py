"""What the operating system says about this machine: caches, memory, processor, versions."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One level of cache: bytes of one instance, and how many of them the usable cores share between them."""

    level: int
    instance_bytes: int
    instances: int

    @property
    def size_bytes(self) -> int:
        return self.instance_bytes * self.instances


def caches(root: Path = _CPUS) -> list[Cache]:
    """Data caches of the cores this process may run on, nearest first; empty where the system does not tell
    (it does on Linux, in /sys)."""
    found: dict[int, dict[str, int]] = {}
    for cpu in usable_cpus():
        for index in sorted((root / f"cpu{cpu}" / "cache").glob("index*")):
            if (index / "type").read_text().strip() == "Instruction":
                continue
            level = int((index / "level").read_text())
            shared_by = (index / "shared_cpu_list").read_text().strip()
            found.setdefault(level, {})[shared_by] = _bytes((index / "size").read_text())
    return [
        Cache(level=level, instance_bytes=max(sizes.values()), instances=len(sizes))
        for level, sizes in sorted(found.items())
    ]


def _bytes(text: str) -> int:
    number, suffix = re.fullmatch(r"(\d+)([KMG]?)", text.strip()).groups()  # type: ignore[union-attr]
    return int(number) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[suffix]


def usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def memory_bytes() -> int | None:
    """Physical memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def facts() -> dict[str, str | float]:
    """Processor, system and versions, as they stand in a calibrated profile."""
    result: dict[str, str | float] = {
        "processor": _processor(),
        "cores": len(usable_cpus()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }
    for package in ("jax", "jaxlib", "numpy"):
        result[package] = metadata.version(package)
    if hasattr(os, "getloadavg"):
        result["load_average_at_start"] = round(os.getloadavg()[0], 2)
    return result


class OtherWork:
    """How much of the processors others use, from now on: the time that they are at work less that of this process."""

    def __init__(self) -> None:
        self._begun = _processor_seconds()

    def share(self) -> float | None:
        """Of 1; None where the system does not tell, as anywhere but on Linux."""
        now = _processor_seconds()
        if now is None or self._begun is None:
            return None
        busy, idle, own = (after - before for after, before in zip(now, self._begun, strict=True))
        whole = busy + idle
        return min(1.0, max(0.0, busy - own) / whole) if whole > 0 else None


def _processor_seconds() -> tuple[float, float, float] | None:
    """Seconds that all processors were at work and idle since the start, and those of this process and its children."""
    try:
        first = Path("/proc/stat").read_text().partition("\n")[0].split()
        tick = float(os.sysconf("SC_CLK_TCK"))
        user, nice, system, idle, iowait, irq, softirq, steal = (int(field) / tick for field in first[1:9])
    except (OSError, ValueError):
        return None
    own = os.times()
    return user + nice + system + irq + softirq + steal, idle + iowait, sum(own[:4])


def vector_registers() -> int | None:
    """Vector registers of an x86 core: 32 with AVX-512, 16 with AVX; None where the system does not tell."""
    flags = (_cpuinfo("flags") or "").split()
    return 32 if "avx512vl" in flags else 16 if "avx" in flags else None


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str | None:
    """What Linux says of the first processor."""
    try:
        found = re.search(rf"^{key}\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
