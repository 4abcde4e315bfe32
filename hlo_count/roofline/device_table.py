"""The table of `hlo-count devices`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hlo_count.harmless import printable
from hlo_count.layout import tabular, wrapped

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


def device_table(rows: Sequence[Mapping[str, str | float | None]]) -> str:
    """`rows` as text; a row is what `Device.to_row` gives."""
    cells = [[_cell(row[key]) for key in _COLUMNS.values()] for row in rows]
    align = ["left", *["right"] * (len(_COLUMNS) - 2), "left"]
    body = tabular(cells, list(_COLUMNS), align)
    units = wrapped(
        "TFLOP/s dense, per jax device, 1 FMA = 2 FLOP; f32 at default precision; memory in 10⁹ bytes; ridge in "
        "FLOP/byte; - is not in the profile. Sources stand in the profiles.",
        others="",
    )
    return printable("\n".join([body, "", *units]))


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
