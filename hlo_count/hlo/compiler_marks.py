"""What only one backend's compiler writes into a text."""

from __future__ import annotations

_MARKS = (
    ("tpu", (":T(",)),  # tiles: in the first line, where any are
    ("cpu", ('"outer_dimension_partitions"', '"fusion_config"', "__ynn_fusion", "__onednn$")),
    ("gpu", ('"operation_queue_id"', '"fusion_backend_config"', '"__cublas', '"__cudnn', '"__gpu$', '"__triton')),
    ("gpu", ("fingerprint_before_lhs=", 'scheduling_name="')),
    ("tpu", ('"window_config"', '"tpu_custom_call"')),
)
"""Strings that only one backend's compiler writes."""


def marked_backend(text: str) -> str:
    """Which backend's compiler wrote a text: tpu, gpu, cpu; unknown where it has none of their marks."""
    return next((backend for backend, marks in _MARKS if any(_holds(text, mark) for mark in marks)), "unknown")


def _holds(text: str, mark: str) -> bool:
    """Whether a mark stands in the text and not in a comment."""
    at = text.find(mark)
    while at >= 0:
        line = text.rfind("\n", 0, at) + 1
        in_line_comment = text.find("//", line, at) >= 0
        if not in_line_comment and text.rfind("/*", 0, at) <= text.rfind("*/", 0, at):
            return True
        at = text.find(mark, at + 1)
    return False
