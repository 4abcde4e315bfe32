"""Windows against their definition: every output and every tap tried."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_count.hlo.attributes import WindowDimension
from hlo_count.visitors.lattice import Term, solutions
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


@settings(max_examples=1500)
@given(small, small, small, dimensions)
def test_valid_pairs(size: int, taps: int, outputs: int, window: WindowDimension) -> None:
    counts = [sum(lands(size, t, o, window) is not None for t in range(taps)) for o in range(outputs)]
    expected = sum(counts), all(count == 1 for count in counts), sum(map(bool, counts))
    assert valid_pairs(size, taps, outputs, window) == expected


@settings(max_examples=1500)
@given(small, small, small, dimensions)
def test_touched(size: int, taps: int, outputs: int, window: WindowDimension) -> None:
    pairs = {(lands(size, t, o, window), t) for t in range(taps) for o in range(outputs)}
    real = [(element, tap) for element, tap in pairs if element is not None]
    assert touched(size, taps, outputs, window) == (len({e for e, _ in real}), len({t for _, t in real}))


@settings(max_examples=1500)
@given(*[st.integers(-9, 9).filter(bool)] * 3, *[st.integers(0, 9)] * 3, st.integers(-40, 40))
def test_solutions(a: int, b: int, c: int, xs: int, ys: int, zs: int, total: int) -> None:
    found = [(x, y, z) for x in range(xs) for y in range(ys) for z in range(zs) if a * x + b * y + c * z == total]
    assert solutions(Term(a, xs), Term(b, ys), Term(c, zs), total) == (len(found), len({x for x, _, _ in found}))


def test_windows_of_any_size() -> None:
    n = 10**30
    everything = WindowDimension(padding_low=n - 1)  # a running sum: 1 + 2 + … + n pairs
    assert valid_pairs(n, n, n, everything) == (n * (n + 1) // 2, False, n)
    assert touched(n, n, n, everything) == (n, n)
    of_a_batch = WindowDimension(stride=n - 1, base_dilation=n)  # products of a batch, as TPU prints them
    assert valid_pairs(n, n, n, of_a_batch) == (n, True, n)
    holes = WindowDimension(base_dilation=3, window_dilation=5, stride=2)
    outputs = (3 * n - 2 - 5 * 5 - 1) // 2 + 1  # of three taps side by side one meets an element
    assert valid_pairs(n, 6, outputs, holes)[0] == 2 * outputs
