"""Compiled programs kept on disk, so that what has been compiled once is not compiled again.

A file is one program, written whole or not at all; its name is a digest of all that the compiler's text depends on:
the program as JAX hands it over (with the source lines that it bears, those of its callers too), the devices, the
options, the compilers and their settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from hlo_count.harmless import harmless
from hlo_count.lowering.program import Program, devices_of
from hlo_count.whole_file import replacing

MOST_BYTES = 2**30
"""What a folder may hold; beyond it the programs that have not been used for longest go."""
_COMPILERS = ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12")
_SETTINGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_SETTINGS_OF_JAX = (
    *("jax_disable_most_optimizations", "jax_optimization_level", "jax_exec_time_optimization_effort"),
    *("jax_memory_fitting_level", "jax_memory_fitting_effort", "jax_compiler_enable_remat_pass"),
    "jax_xla_profile_version",
)
"""What JAX hands to the compiler beside the program; all else that it is set to shows in the program."""
_OF_THE_PROCESS = ("compiled", "unoptimized")
"""What of a Program cannot be kept."""
_KEPT = tuple(each.name for each in fields(Program) if each.name not in _OF_THE_PROCESS)


class CompiledTexts:
    """A folder of compiled programs, made when the first is kept.

    A folder that cannot be written keeps nothing, and a file that is damaged is compiled anew; a warning says so.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.most_bytes = most_bytes

    def key(self, lowered: Any, options: Mapping[str, Any] | None) -> str:
        """The name of what a `jax.stages.Lowered` becomes when it is compiled with these options."""
        import jax

        module = lowered.compiler_ir("stablehlo").operation
        devices = devices_of(lowered)
        beside = {
            "kept": _KEPT,
            "devices": [(each.platform, each.device_kind, repr(getattr(each, "coords", None))) for each in devices],
            "processor": _processor() if devices[0].platform == "cpu" else None,
            "options": sorted((str(name), repr(value)) for name, value in (options or {}).items()),
            "compilers": {name: _version(name) for name in _COMPILERS},
            "settings": {name: os.environ.get(name) for name in _SETTINGS},
            "settings of JAX": {
                name: str(getattr(jax.config, name, jax.config.values.get(name))) for name in _SETTINGS_OF_JAX
            },
        }
        digest = hashlib.sha256(module.get_asm(binary=True, enable_debug_info=True))
        digest.update(json.dumps(beside, sort_keys=True).encode())
        return digest.hexdigest()

    def get(self, key: str) -> Program | None:
        """The program that was kept under a key, without its `jax.stages.Compiled`; None where there is none."""
        path = self._path(key)
        try:
            kept = json.loads(zlib.decompress(path.read_bytes()))
            os.utime(path)  # it has been used
            return Program(**{name: _frozen(value) for name, value in kept.items()}, compiled=None)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as problem:
            warnings.warn(harmless(f"{path}: cannot be read ({problem}); compiled anew"), stacklevel=2)
            return None

    def keep(self, key: str, program: Program) -> None:
        """Keep a program under a key, and drop those that were not used for longest where they are too many."""
        kept = {name: getattr(program, name) for name in _KEPT}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(key)) as whole:
                whole.write_bytes(zlib.compress(json.dumps(kept).encode(), 1))
            self._drop_oldest()
        except OSError as problem:
            reason = problem.strerror or problem
            warnings.warn(harmless(f"{self.folder}: compiled programs cannot be kept there ({reason})"), stacklevel=2)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.program"

    def _drop_oldest(self) -> None:
        found = []
        for path in self.folder.glob("*.program"):
            with suppress(FileNotFoundError):  # another process dropped it
                known = path.stat()
                found.append((known.st_mtime, known.st_size, path))
        found.sort()
        held = sum(size for _, size, _ in found)
        for _, size, path in found:
            if held <= self.most_bytes:
                break
            path.unlink(missing_ok=True)
            held -= size


def _frozen(value: Any) -> Any:
    """Tuples, which JSON made lists, as they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """What XLA's CPU compiler looks at: the name and the features of the processor at hand."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "; ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
