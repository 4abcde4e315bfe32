"""Which unit runs which dtype, and what runs it on a device that has no such unit.

XLA widens what a device cannot compute: fp8 becomes bf16 or f16, those become f32, and small integers fit
bf16's 8 significant bits exactly. The order below is from the fastest to the slowest that could run it, so
that the rate stays a ceiling.
"""

from __future__ import annotations

import re

UNITS = ("matrix", "vector", "special")

_MATRIX: dict[str, tuple[str, ...]] = {
    "f64": ("f64",),
    "f32": ("f32",),
    "tf32": ("tf32", "f32"),
    "bf16": ("bf16", "f32"),
    "f16": ("f16", "bf16", "f32"),
    "f8": ("f8", "f16", "bf16", "f32"),
    "f4": ("f4", "f8", "f16", "bf16", "f32"),
    "s8": ("s8", "bf16", "f16"),
    "s4": ("s4", "s8", "bf16", "f16"),
}

_VECTOR: dict[str, tuple[str, ...]] = {
    "f64": ("f64", "f32"),  # TPU: pairs of f32
    "f32": ("f32",),
    "tf32": ("f32",),
    "bf16": ("bf16", "f32"),
    "f16": ("f16", "f32"),
    "f8": ("f16", "bf16", "f32"),
    "f4": ("f16", "bf16", "f32"),
    "s8": ("s8", "s32", "f32"),
    "s4": ("s8", "s32", "f32"),
    "s16": ("s16", "s8", "s32", "f32"),
    "s32": ("s32", "f32"),
    "s64": ("s64", "s32", "f32"),
}

MATRIX_KEYS = tuple(_MATRIX)
VECTOR_KEYS = tuple(key for key in _VECTOR if key != "tf32")
SPECIAL_KEYS = ("f64", "f32", "bf16", "f16")


def figure_key(dtype: str) -> str:
    """The key that a profile files an HLO dtype under: every fp8 is "f8", c64 is "f32", u8 and pred "s8"."""
    if dtype == "pred":
        return "s8"
    if complex_bits := re.fullmatch(r"c(\d+)", dtype):
        return f"f{int(complex_bits[1]) // 2}"
    if narrow := re.fullmatch(r"f([48])e\w+", dtype):
        return f"f{narrow[1]}"
    if integer := re.fullmatch(r"[su](\d+)", dtype):
        return f"s{max(4, int(integer[1]))}"
    return dtype


def is_integer(key: str) -> bool:
    return key.startswith("s")


def runs_on(dtype: str, unit: str) -> list[tuple[str, str]]:
    """(unit, figure key) in the order in which a device's profile is asked for them."""
    key = figure_key(dtype)
    vector = [("vector", k) for k in _VECTOR.get(key, ())]
    if unit == "vector":
        return vector
    if unit == "special":
        own = [("special", k) for k in (key, "f32") if k in SPECIAL_KEYS]
        return own[: 1 if key in ("f64", "f32") else 2] + vector  # f64 is never done by an f32 unit
    return [("matrix", k) for k in _MATRIX.get(key, ())] + vector
