"""The element types that HLO has: name, bits, kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. `bits` is its width, `kind` one of float, int, uint, pred, complex, token, opaque."""

    name: str
    bits: int
    kind: str

    @property
    def stored_bytes(self) -> int:
        """Bytes that an element takes in memory when its layout does not say otherwise (`E(n)`)."""
        return (self.bits + 7) // 8

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_complex(self) -> bool:
        return self.kind == "complex"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def real(self) -> str:
        """The dtype of the real part: f32 of c64, f64 of c128, else itself."""
        return f"f{self.bits // 2}" if self.is_complex else self.name


_FLOAT_BITS = {
    **dict.fromkeys(("f4e2m1fn",), 4),
    **dict.fromkeys(("f6e2m3fn", "f6e3m2fn"), 6),
    **dict.fromkeys(("f8e3m4", "f8e4m3", "f8e4m3fn", "f8e4m3b11fnuz", "f8e4m3fnuz"), 8),
    **dict.fromkeys(("f8e5m2", "f8e5m2fnuz", "f8e8m0fnu"), 8),
    "f16": 16,
    "bf16": 16,
    "f32": 32,
    "f64": 64,
}

DTYPES: dict[str, DType] = {
    "pred": DType("pred", 8, "pred"),
    "token": DType("token", 0, "token"),
    "opaque": DType("opaque", 0, "opaque"),
    "c64": DType("c64", 64, "complex"),
    "c128": DType("c128", 128, "complex"),
    **{f"s{n}": DType(f"s{n}", n, "int") for n in (1, 2, 4, 8, 16, 32, 64)},
    **{f"u{n}": DType(f"u{n}", n, "uint") for n in (1, 2, 4, 8, 16, 32, 64)},
    **{name: DType(name, bits, "float") for name, bits in _FLOAT_BITS.items()},
}
