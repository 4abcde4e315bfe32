"""Windows against their definition: every output and every tap tried."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from hlo_count.hlo.attributes import WindowDimension
from hlo_count.visitors.windows import touched, valid_pairs

small = st.integers(1, 9)
dimensions = st.builds(
    WindowDimension, stride=small, padding_low=st.integers(-6, 6), base_dilation=small, window_dilation=small
)


def lands(size: int, tap: int, output: int, window: WindowDimension) -> int | None:
    """The input element under a tap, None for padding and holes."""
    at = output * window.stride + tap * window.window_dilation - window.padding_low
    element, hole = divmod(at, window.base_dilation)
    return element if not hole and 0 <= element < size else None


@given(small, small, small, dimensions)
def test_valid_pairs(size: int, taps: int, outputs: int, window: WindowDimension) -> None:
    counts = [sum(lands(size, t, o, window) is not None for t in range(taps)) for o in range(outputs)]
    expected = sum(counts), all(count == 1 for count in counts), sum(map(bool, counts))
    assert valid_pairs(size, taps, outputs, window) == expected


@given(small, small, small, dimensions)
def test_touched(size: int, taps: int, outputs: int, window: WindowDimension) -> None:
    pairs = {(lands(size, t, o, window), t) for t in range(taps) for o in range(outputs)}
    real = [(element, tap) for element, tap in pairs if element is not None]
    assert touched(size, taps, outputs, window) == (len({e for e, _ in real}), len({t for _, t in real}))


def test_large_windows_take_no_time() -> None:
    """A cumulative window over 10⁸ elements, and a batch of 16,384 products as TPU prints it; both took seconds."""
    begun = time.perf_counter()
    n = 10**8
    assert valid_pairs(n, n, n, WindowDimension(padding_low=n - 1))[0] == n * (n + 1) // 2
    n = 16384
    assert valid_pairs(n, n, n, WindowDimension(stride=n - 1, base_dilation=n)) == (n, True, n)
    assert time.perf_counter() - begun < 1
