"""What the tables of times are made of: a roofline's answer, its kernels, and a program on one of many devices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRow:
    """One kernel, all its runs together: seconds, FLOP and bytes of main memory.

    `bound` is what the kernel alone cannot beat, with `bytes` moving over its boundary; the bound of the
    program is less than the sum where a better schedule could keep values near; None where it is withheld
    (`Roofline.bound`). `limit` is what the estimate is limited by. `compiler_estimate` (seconds) is there where
    the compiler wrote one down.
    """

    name: str
    opcode: str
    source: str
    op_name: str
    runs: float
    bound: float | None
    estimate: float
    limit: str
    flops: int
    bytes: int
    compiler_estimate: float | None = None

    @property
    def intensity(self) -> float:
        """FLOP per byte of main memory; infinite without traffic, nan without either."""
        if self.bytes:
            return self.flops / self.bytes
        return float("inf") if self.flops else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineAnswer:
    """What a roofline says of the whole program; times are seconds of one execution.

    `bound` is None where it is withheld, `least` the resources and their least seconds, largest first,
    `compiler_estimate` what the compiler wrote down for `compiler_estimate_kernels` of the kernels.
    """

    program: str
    device: str
    num_devices: int
    shares: int
    bound: float | None
    bottleneck: str
    is_lower_bound: bool
    estimate: float
    calling: float
    compiler_estimate: float | None
    compiler_estimate_kernels: int
    least: list[tuple[str, float]]
    rows: list[KernelRow]
    notes: list[str]
    own_cycles: bool
    """Whether `compiler_estimate` is a part of the estimate."""
    compiled_for: str = ""
    """The kind of device whose compiler made the program, where the device is of another kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfRow:
    """A program on one device: seconds, or in `problem` why its profile does not tell.

    A program that is not partitioned yet has an estimate but no bound.
    """

    device: str
    bound: float | None = None
    estimate: float | None = None
    bottleneck: str = ""
    compiled_for: str = ""
    """The kind of device whose compiler made the program, where this one is of another kind: no bound of the function
    there, and an estimate of another compiler's program."""
    problem: str = ""
