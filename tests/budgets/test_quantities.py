"""Quantities as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from hlo_count.errors import HloCountError
from hlo_count.report.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "counter", "expected"),
    [
        ("2.1 GFLOP", "flops", 2_100_000_000),
        ("2.1G", "flops", 2_100_000_000),
        ("3 TFLOP", "flops", 3 * 10**12),
        ("1_000 FLOP", "flops", 1000),
        ("7", "flops", 7),
        ("1e3 kFLOPs", "flops", 1_000_000),
        (2_100_000_000, "flops", 2_100_000_000),
        (2.5e9, "flops", 2_500_000_000),
        (np.int64(12), "flops", 12),
        ("80 MB", "bytes", 80_000_000),
        ("1.5 MiB", "peak_bytes", 3 * 2**19),
        ("1 KiB", "network_bytes", 1024),
        ("1 kB", "network_bytes", 1000),
        ("0", "network_bytes", 0),
        ("2 Mop", "transcendentals", 2_000_000),
        ("12.5 FLOP/B", "intensity", 12.5),
        ("12.5", "intensity", 12.5),
        ("50 us", "bound", 50e-6),
        ("50 µs", "bound", 50e-6),
        ("1.2 ms", "bound", 1.2e-3),
        (0.5, "bound", 0.5),
    ],
)
def test_an_amount(text, counter, expected):
    value = parse_quantity(text, counter)
    assert value == expected
    assert type(value) is type(expected) or isinstance(text, np.integer)


@pytest.mark.parametrize(
    ("text", "counter", "reason"),
    [
        ("2 GFLOPs/s", "flops", "a rate"),
        ("2 GFLOPS", "flops", "a rate"),
        ("lots", "flops", "no quantity"),
        ("", "flops", "no quantity"),
        ("-1 GFLOP", "flops", "no quantity"),
        ("nan", "flops", "no quantity"),
        ("1,000", "flops", "no unit of it"),
        ("1 MiFLOP", "flops", "no unit of it"),
        ("1 Mi", "bytes", "no unit of it"),
        ("3 GB", "flops", "no unit of it"),
        ("3 GFLOP", "bytes", "no unit of it"),
        ("80 MB/s", "bytes", "a rate"),
        ("80 mb", "bytes", "no unit of it"),
        ("5 GFLOP", "bound", "no unit of it"),
        ("5", "bound", "bound='5' has no unit: give a time"),
        ("5", "bound", "no unit"),
        (True, "flops", "no quantity"),
        (-1, "flops", "no quantity"),
        (float("nan"), "flops", "no quantity"),
        (None, "flops", "no quantity"),
    ],
)
def test_what_is_no_amount_names_the_counter_and_what_it_takes(text, counter, reason):
    with pytest.raises(HloCountError) as caught:
        parse_quantity(text, counter)
    assert str(caught.value).startswith(f"{counter}={text!r}")
    assert reason in str(caught.value)
    assert " give " in str(caught.value)
