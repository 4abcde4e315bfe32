"""The table of `hlo-count devices`: rows first, text after."""

from __future__ import annotations

from hlo_count.errors import DeviceError
from hlo_count.roofline.catalog import all_devices, is_shipped
from hlo_count.roofline.device import Device
from hlo_count.roofline.ridge import required_intensity

_COLUMNS = {
    "device": "name",
    "f64": "f64_tflop_per_s",
    "f32": "f32_tflop_per_s",
    "bf16": "bf16_tflop_per_s",
    "8 bit": "narrow_tops_per_s",
    "f32\nvector": "f32_vector_tflop_per_s",
    "GB": "memory_gb",
    "GB/s": "memory_gb_per_s",
    "ridge\nbf16": "ridge_bf16",
    "devices\na chip": "devices_per_chip",
    "": "origin",
}


class DeviceList(list[Device]):
    """A list of devices that prints as a table."""

    def __str__(self) -> str:
        return table(device_rows(self))

    __repr__ = __str__


def devices() -> DeviceList:
    """Every device profile there is, as a list that prints as a table.

    Raises DeviceError when a profile on the search path is malformed.
    """
    return DeviceList(all_devices())


def device_rows(of: list[Device] | None = None) -> list[dict[str, str | float | None]]:
    """One row a device: dense peaks of its fastest unit in 10¹² per second, memory in 10⁹ bytes (per second),
    and the ridge point of bf16 in FLOP/byte, all per jax device; None where the profile has no figure."""
    return [_row(device) for device in (devices() if of is None else of)]


def _row(device: Device) -> dict[str, str | float | None]:
    main = device.main_memory
    return {
        "name": device.name,
        "f64_tflop_per_s": _peak(device, "f64"),
        "f32_tflop_per_s": _peak(device, "f32"),
        "bf16_tflop_per_s": _peak(device, "bf16"),
        "narrow_tops_per_s": max(filter(None, (_peak(device, "s8"), _peak(device, "f8"))), default=None),
        "f32_vector_tflop_per_s": _peak(device, "f32", "vector"),
        "memory_gb": None if main.size is None else main.size.value / 1e9,
        "memory_gb_per_s": None if main.bandwidth is None else main.bandwidth.value / 1e9,
        "ridge_bf16": _ridge(device),
        "devices_per_chip": device.devices_per_chip,
        "origin": "" if is_shipped(device) else "yours",
    }


def _peak(device: Device, dtype: str, unit: str = "matrix") -> float | None:
    try:
        return device.peak(dtype, unit).value / 1e12
    except DeviceError:
        return None


def _ridge(device: Device) -> float | None:
    try:
        return required_intensity(device, "bf16")
    except DeviceError:
        return None


def table(rows: list[dict[str, str | float | None]]) -> str:
    """`rows` as text within 100 columns."""
    from tabulate import tabulate

    cells = [[_cell(row[key]) for key in _COLUMNS.values()] for row in rows]
    align = ["left", *["right"] * (len(_COLUMNS) - 2), "left"]
    body = tabulate(cells, headers=list(_COLUMNS), tablefmt="plain", colalign=align, disable_numparse=True)
    return (
        f"{body}\n\nTFLOP/s dense, per jax device, 1 FMA = 2 FLOP; f32 at default precision; "
        "memory in 10⁹ bytes;\nridge in FLOP/byte; - is not in the profile. Sources stand in the profiles."
    )


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
