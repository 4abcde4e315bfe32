"""Ridge points: the intensity, and the square matmul, from which on the unit and not memory is the limit."""

from __future__ import annotations

import math
import re
from pathlib import Path

from hlo_count.errors import DeviceError
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device


def required_intensity(
    device: str | Path | Device,
    dtype: str,
    unit: str = "matrix",
    *,
    memory: str | None = None,
    fma: bool = True,
    precision: str = "default",
) -> float:
    """The ridge point in FLOP/byte: peak over bandwidth, of main memory or of the level named.

    Below it a program is bound by memory, above it by the unit. Raises DeviceError for a missing figure.
    """
    return find_device(device).required_intensity(dtype, unit, memory=memory, fma=fma, precision=precision)


def ridge_matmul(
    device: str | Path | Device,
    dtype: str,
    unit: str = "matrix",
    *,
    memory: str | None = None,
    precision: str = "default",
) -> int:
    """The smallest n for which an n×n×n matmul reaches the ridge point.

    Its intensity is 2n³ FLOP over 3n² elements (two read, one written), that is 2n / 3 per byte of dtype.
    """
    ridge = required_intensity(device, dtype, unit, memory=memory, precision=precision)
    return math.ceil(ridge * 3 * itemsize(dtype) / 2)


def itemsize(dtype: str) -> float:
    """Bytes of an element as stored: the digits of the dtype's name over 8 (s4 is half a byte)."""
    if dtype == "pred":
        return 1
    if dtype == "tf32":
        return 4
    bits = re.match(r"[a-z]+(\d+)", dtype)
    if bits is None:
        raise DeviceError(f"{dtype!r} is no dtype: HLO's names are f32, bf16, s8, f8e4m3fn, ...")
    return int(bits[1]) / 8
