"""NVIDIA GPU targets: the CUDA plugin compiles for a GPU that is described to it."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from hlo_count.errors import TargetError
from hlo_count.lowering.jax_version import too_old
from hlo_count.lowering.quiet import environment, quiet

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

REMEDY = 'pip install "hlo-count[cuda]" (Linux; no GPU, driver or CUDA needed)'


_LEAST_JAX = "0.4.38"
"""Older CUDA plugins describe only GPUs that are there, or cannot be loaded where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What every GPU of one compute capability shares, per streaming multiprocessor (SM)."""

    major: int
    minor: int
    fp32_lanes: int
    threads: int
    shared_memory: int  # bytes
    shared_memory_optin: int  # bytes that one thread block can ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The figures that XLA's GPU cost model and fusion heuristics read."""

    device_kind: str
    architecture: Architecture
    cores: int  # SMs
    clock_ghz: float
    bandwidth: int  # bytes/s
    l2: int  # bytes
    memory: int  # bytes


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
_VOLTA = Architecture(major=7, minor=0, fp32_lanes=64, threads=2048, shared_memory=98304, shared_memory_optin=98304)
_TURING = Architecture(major=7, minor=5, fp32_lanes=64, threads=1024, shared_memory=65536, shared_memory_optin=65536)
_AMPERE = Architecture(major=8, minor=0, fp32_lanes=64, threads=2048, shared_memory=167936, shared_memory_optin=166912)
_AMPERE_86 = Architecture(
    major=8, minor=6, fp32_lanes=128, threads=1536, shared_memory=102400, shared_memory_optin=101376
)
_ADA = Architecture(major=8, minor=9, fp32_lanes=128, threads=1536, shared_memory=102400, shared_memory_optin=101376)
_HOPPER = Architecture(major=9, minor=0, fp32_lanes=128, threads=2048, shared_memory=233472, shared_memory_optin=232448)
_BLACKWELL = Architecture(
    major=10, minor=0, fp32_lanes=128, threads=2048, shared_memory=233472, shared_memory_optin=232448
)
_BLACKWELL_103 = Architecture(
    major=10, minor=3, fp32_lanes=128, threads=2048, shared_memory=233472, shared_memory_optin=232448
)
_BLACKWELL_120 = Architecture(
    major=12, minor=0, fp32_lanes=128, threads=1536, shared_memory=131072, shared_memory_optin=101376
)


def _gpu(
    device_kind: str,
    architecture: Architecture,
    cores: int,
    clock_ghz: float,
    bandwidth: int,
    l2: int,
    memory: int,
) -> Gpu:
    return Gpu(
        device_kind=device_kind, architecture=architecture, cores=cores, clock_ghz=clock_ghz,
        bandwidth=bandwidth, l2=l2, memory=memory,
    )  # fmt: skip


# XLA, xla/backends/gpu/target_config/specs/*.txtpb, which are dumped from the devices themselves. Those that have no
# file there are as their profiles say, by NVIDIA's datasheets (L4, L40S), AWS's description of its G5 machines (A10G)
# or pages of specifications; GH200, H100 NVL and H20 are the chip of the H100 with other memory or fewer SMs.
GPUS = {
    "v100-sxm2": _gpu("Tesla V100-SXM2-16GB", _VOLTA, 80, 1.53, 898_048_000_000, 6 << 20, 16_935_682_048),
    "a100-sxm-40gb": _gpu("NVIDIA A100-SXM4-40GB", _AMPERE, 108, 1.41, 1_555_200_000_000, 40 << 20, 42_331_013_120),
    "a100-sxm-80gb": _gpu("NVIDIA A100-SXM4-80GB", _AMPERE, 108, 1.41, 2_039_040_000_000, 40 << 20, 85_100_068_864),
    "a100-pcie-80gb": _gpu("NVIDIA A100 80GB PCIe", _AMPERE, 108, 1.41, 2_039_000_000_000, 40 << 20, 79_050_250_240),
    "t4": _gpu("Tesla T4", _TURING, 40, 1.59, 320_064_000_000, 4 << 20, 16 * 10**9),
    "rtx-3090": _gpu("NVIDIA GeForce RTX 3090", _AMPERE_86, 82, 1.695, 936_200_000_000, 6 << 20, 24 * 10**9),
    "a6000": _gpu("NVIDIA RTX A6000", _AMPERE_86, 84, 1.8, 768_096_000_000, 6 << 20, 51_041_271_808),
    "rtx-4090": _gpu("NVIDIA GeForce RTX 4090", _ADA, 128, 2.52, 1_008_000_000_000, 72 << 20, 24 * 10**9),
    "rtx-6000-ada": _gpu("NVIDIA RTX 6000 Ada Generation", _ADA, 142, 2.505, 960_000_000_000, 96 << 20, 48 * 10**9),
    "rtx-5090": _gpu("NVIDIA GeForce RTX 5090", _BLACKWELL_120, 170, 2.407, 1_792_000_000_000, 96 << 20, 32 * 10**9),
    "rtx-pro-6000": _gpu(
        "NVIDIA RTX PRO 6000 Blackwell", _BLACKWELL_120, 188, 2.6, 1_792_000_000_000, 128 << 20, 103_079_215_104
    ),
    "a10g": _gpu("NVIDIA A10G", _AMPERE_86, 80, 1.71, 600_096_000_000, 6 << 20, 24 * 10**9),
    "l4": _gpu("NVIDIA L4", _ADA, 58, 2.04, 300_096_000_000, 48 << 20, 24 * 10**9),
    "l40s": _gpu("NVIDIA L40S", _ADA, 142, 2.52, 864_096_000_000, 96 << 20, 48 * 10**9),
    "h100-sxm": _gpu("NVIDIA H100 80GB HBM3", _HOPPER, 132, 1.98, 3_352_320_000_000, 50 << 20, 84_942_979_072),
    "h100-pcie": _gpu("NVIDIA H100 PCIe", _HOPPER, 114, 1.755, 2_039_040_000_000, 50 << 20, 84_942_979_072),
    "h100-nvl": _gpu("NVIDIA H100 NVL", _HOPPER, 132, 1.785, 3_900_000_000_000, 50 << 20, 94 * 10**9),
    "gh200": _gpu("NVIDIA GH200 480GB", _HOPPER, 132, 1.98, 4_000_000_000_000, 50 << 20, 96 * 10**9),
    "h20": _gpu("NVIDIA H20", _HOPPER, 78, 1.98, 4_022_000_000_000, 60 << 20, 96 * 10**9),
    "h200": _gpu("NVIDIA H200", _HOPPER, 132, 1.98, 4_800_000_000_000, 50 << 20, 151_397_597_184),
    "b200": _gpu("NVIDIA B200", _BLACKWELL, 148, 1.965, 7_672_320_000_000, 132_644_864, 191_514_411_008),
    "b300": _gpu("NVIDIA B300 SXM6 AC", _BLACKWELL_103, 158, 1.965, 7_936_000_000_000, 135_528_448, 297_021_865_984),
    "gb300": _gpu("NVIDIA GB300", _BLACKWELL_103, 152, 2.07, 7_928_064_000_000, 135_528_448, 297_021_079_552),
    "gb200": _gpu("NVIDIA GB200", _BLACKWELL, 152, 2.062, 7_928_064_000_000, 135_528_448, 197_897_748_480),
}

ALIASES = {
    "v100": "v100-sxm2", "a100": "a100-sxm-40gb", "a100-40gb": "a100-sxm-40gb", "a100-80gb": "a100-sxm-80gb",
    "h100": "h100-sxm",
}  # fmt: skip


def target_config(gpu: Gpu, known: Callable[[str], bool] = bool) -> str:
    """`gpu` as the text form of XLA's `GpuTargetConfigProto` (xla/stream_executor/device_description.proto).

    cuDNN and toolkit versions are those that the plugin was built against; they only choose among library
    calls. Of the fields only those for which `known`, given one alone in that form, is true: an XLA that does not
    have one takes it for an error of syntax.
    """
    sm = gpu.architecture
    device = {
        "threads_per_block_limit": 1024, "threads_per_warp": 32, "threads_per_core_limit": sm.threads,
        "shared_memory_per_block": 49152, "shared_memory_per_core": sm.shared_memory,
        "shared_memory_per_block_optin": sm.shared_memory_optin,
        "registers_per_core_limit": 65536, "registers_per_block_limit": 65536,
        "core_count": gpu.cores, "fpus_per_core": sm.fp32_lanes, "clock_rate_ghz": gpu.clock_ghz,
        "memory_bandwidth": gpu.bandwidth, "l2_cache_size": gpu.l2, "device_memory_size": gpu.memory,
        "block_dim_limit_x": 2147483647, "block_dim_limit_y": 65535, "block_dim_limit_z": 65535,
        "thread_dim_limit_x": 1024, "thread_dim_limit_y": 1024, "thread_dim_limit_z": 64,
        "cuda_compute_capability": f"{{ major: {sm.major} minor: {sm.minor} }}",
        "device_vendor": '"NVIDIA Corporation"', "name": f'"{gpu.device_kind}"',
        "driver_version": '"12.8.0"', "runtime_version": '"12.8.0"', "compile_time_toolkit_version": '"12.8.0"',
        "dnn_version": '"9.10.0"',
    }  # fmt: skip
    config = {
        "gpu_device_info": f"{{ {_text(device, lambda field: known(f'gpu_device_info {{ {field} }}'))} }}",
        "platform_name": '"CUDA"',
        "dnn_version_info": "{ major: 9 minor: 10 patch: 0 }",
        "device_description_str": f'"{gpu.device_kind}"',
    }
    return _text(config, known)


def _text(fields: Mapping[str, object], known: Callable[[str], bool]) -> str:
    return "  ".join(filter(known, (f"{name}: {value}" for name, value in fields.items())))


def installed() -> bool:
    """Whether JAX's CUDA plugin is there to compile with, and an assembler for it to end with."""
    return bool(_plugins()) and _has_assembler()


def missing_for_gpus() -> str:
    """What keeps GPUs from being compiled for here, with the remedy; "" where nothing does."""
    old = too_old("GPU targets", _LEAST_JAX)
    return old or ("" if installed() else f"compiling for NVIDIA GPUs needs JAX's CUDA plugin and ptxas: {REMEDY}")


def _has_assembler() -> bool:
    # Where XLA looks: $CUDA_ROOT, NVIDIA's wheels, the PATH, and where CUDA's installer puts it.
    roots = [root for root in (os.environ.get("CUDA_ROOT"), "/usr/local/cuda", "/opt/cuda") if root]
    wheels = any(_is_importable(name) for name in ("nvidia.cuda_nvcc", "nvidia.cu13"))
    return wheels or bool(which("ptxas")) or any((Path(root) / "bin/ptxas").exists() for root in roots)


def _is_importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def remedy(message: str) -> str:
    """What to add to the message of a compile that failed for want of CUDA's own tools, of another JAX, or of a process
    of its own; else ""."""
    if "'gpu.binary' op ptxas exited" in message:
        return (
            "; if this process has compiled Mosaic kernels for another kind of GPU before, that is why: JAX's CUDA "
            "plugin keeps to the first kind, so count for this one in a process of its own"
        )
    if any(tool in message for tool in ("ptxas", "libdevice", "PTX compilation provider")):
        return f"; the cuda extra brings these: {REMEDY}"
    if "Could not find memory addressable by device" in message:
        return "; that is so in JAX 0.8, which has no memory for a GPU that is not there: use JAX 0.9 or newer"
    return ""


@functools.cache
def gpu_devices(name: str, count: int) -> tuple[Any, ...]:
    """`count` GPUs of one machine, described by the profile `name`.

    Raises TargetError where the CUDA plugin is missing or refuses the description.
    """
    if problem := missing_for_gpus():
        raise TargetError(problem)
    with quiet():
        try:
            try:
                described = _described(name, count)
            except NotImplementedError:
                # The plugin found no CUDA when JAX started and did not register. It needs none to compile.
                # Older ones print that they skip a check.
                with environment({"JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"}), redirect_stdout(io.StringIO()):
                    for plugin in _plugins():
                        plugin.load().initialize()
                described = _described(name, count)
        except RuntimeError as error:
            raise TargetError(f"JAX's CUDA plugin refused {count} x {name}: {error}") from error
    return tuple(described.devices)


def _described(name: str, count: int) -> Any:
    whole = target_config(GPUS[name])
    try:
        return _topology(name, count, whole)
    except RuntimeError as error:
        if not _is_syntax(error):
            raise
        return _topology(name, count, target_config(GPUS[name], _is_known))


def _topology(name: str, count: int, config: str) -> Any:
    from jax.experimental import topologies

    return topologies.get_topology_desc(
        topology_name=name, platform="cuda", target_config=config, topology=f"1x{count}x1"
    )


def _is_known(field: str) -> bool:
    """Whether the plugin's XLA has a field of its description of a target: it is asked with that one alone."""
    try:
        _topology("", 1, field)
    except RuntimeError as error:
        return not _is_syntax(error)
    return True


def _is_syntax(error: RuntimeError) -> bool:
    return "parse" in str(error)


def _plugins() -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return [point for point in entry_points(group="jax_plugins") if "cuda" in point.name]
