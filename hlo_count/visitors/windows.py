"""How many (window element, output) pairs of one dimension land on real input: padding and holes are none."""

from __future__ import annotations

from functools import lru_cache

from hlo_count.hlo.attributes import WindowDimension


@lru_cache(maxsize=1024)
def valid_pairs(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, bool, int]:
    """Over one dimension of `size` elements, a window of `taps` and `outputs` positions of it.

    Gives the pairs that land on a real element, whether every output has exactly one, and how many outputs have any.
    """
    counts = [hits(output * window.stride - window.padding_low, size, taps, window) for output in range(outputs)]
    return sum(counts), all(count == 1 for count in counts), sum(map(bool, counts))


def hits(start: int, size: int, taps: int, window: WindowDimension) -> int:
    """Real elements under a window that starts at position `start` of the dilated, padded dimension."""
    step, dilation = window.window_dilation, window.base_dilation
    limit = (size - 1) * dilation
    if limit < 0:
        return 0
    if step % dilation:
        return sum(1 for n in range(taps) if 0 <= start + n * step <= limit and (start + n * step) % dilation == 0)
    if start % dilation:
        return 0
    first = max(0, -(start // step))
    last = min(taps - 1, (limit - start) // step)
    return max(0, last - first + 1)
