"""Attributes of instructions: the text after the operands, split into names and values, and the values read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError

_SLICE = re.compile(r"\[\s*(\d+)\s*:\s*(\d+)\s*(?::\s*(\d+)\s*)?\]", re.A)
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _nested(depth: int) -> str:
    """A pattern of balanced brackets of any kind, up to `depth` levels, strings skipped.

    Its repeats are possessive: a bracket that is never closed is given up at once, not tried in every way.
    """
    inner = rf"(?:[^\"'(){{}}\[\]]|{_STRING}|'[^']*+')*+"
    for _ in range(depth):
        inner = rf"(?:[^\"'(){{}}\[\]]++|{_STRING}|'[^']*+'|[({{\[]{inner}[)}}\]])*+"
    return rf"[({{\[]{inner}[)}}\]]"


_VALUE = re.compile(rf",\s*([\w\-]+)=((?:[^,\"({{\[]++|{_STRING}|{_nested(5)})*+)", re.S)

_BRACKET_OR_STRING = re.compile("[\"'(\\[{]")


def split_attributes(text: str) -> dict[str, str]:
    """`, a=1, b={x, "y,"}` as {"a": "1", "b": '{x, "y,"}'}; strings and brackets of any kind are kept whole.

    Raises HloCountError for an attribute that stands twice.
    """
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _VALUE.match(text, at)
        if match is not None and (match.end() >= end or text[match.end()] == ","):
            name, value, at = match[1], match[2], match.end()
        else:
            name, value, at = _split_deep(text, at)
        if name in found:
            raise HloCountError(f"the attribute {name} stands twice")
        found[name] = _strip_comments(value.strip())
    return found


def attribute_of(text: str, name: str) -> str | None:
    """One of the attributes that `split_attributes` gives, without the others where that is soon told; None for none.

    Raises HloCountError, as it does.
    """
    if name not in text:
        return None
    at = text.find(f", {name}=")
    if at >= 0 and _BRACKET_OR_STRING.search(text, 0, at) is None:
        match = _VALUE.match(text, at)
        if match is not None and text[match.end() : match.end() + 1] in ("", ","):
            return _strip_comments(match[2].strip())
    return split_attributes(text).get(name)


def _strip_comments(value: str) -> str:
    return without_comments(value) if "/*" in value and '"' not in value else value


def without_comments(text: str) -> str:
    """The text without what stands between `/*` and `*/`."""
    parts: list[str] = []
    at = 0
    while (opened := text.find("/*", at)) >= 0 and (closed := text.find("*/", opened + 2)) >= 0:
        parts.append(text[at:opened])
        at = closed + 2
    return "".join([*parts, text[at:]])


def _split_deep(text: str, at: int) -> tuple[str, str, int]:
    """One attribute whose brackets nest deeper than the pattern goes (JSON backend configs, mostly)."""
    start = text.find("=", at)
    if start < 0:
        return text[at:].removeprefix(",").strip(), "", len(text)
    name = text[at:start].removeprefix(",").strip()
    end = skip_value(text, start + 1)
    return name, text[start + 1 : end], max(end, at + 1)


_INTERESTING = re.compile(r"[\"'(){}\[\],]")


def skip_value(text: str, at: int) -> int:
    """The index of the comma (outside strings and brackets) that ends the value at `at`, or the end of the text."""
    depth = 0
    while True:
        found = _INTERESTING.search(text, at)
        if found is None:
            return len(text)
        char = found[0]
        if char in "\"'":
            at = skip_string(text, found.start())
            continue
        if char in "({[":
            depth += 1
        elif char in ")}]":
            depth -= 1
            if depth < 0:
                return found.start()
        elif depth == 0:
            return found.start()
        at = found.end()


_STRING_ENDS = {quote: re.compile(rf"[^{quote}\\]*+(?:\\.[^{quote}\\]*+)*+{quote}", re.S) for quote in "\"'"}


def skip_string(text: str, at: int) -> int:
    """The index after the string that opens at `at`; the end of the text where it is not closed."""
    found = _STRING_ENDS[text[at]].match(text, at + 1)
    return found.end() if found is not None else len(text)


_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.S)
_CONTROL = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def unquote(text: str) -> str:
    """A quoted string's content, with C's escapes resolved (`\\303\\251` is é); text without quotes as it is."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    if "\\" not in text:
        return text[1:-1]
    return _ESCAPE.sub(_unescaped, text[1:-1].encode("utf-8", "surrogatepass")).decode("utf-8", "replace")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    octal, hexadecimal, char = escape.groups()
    if char is not None:
        return _CONTROL.get(char, char)
    return bytes([int(octal, 8) & 255 if octal else int(hexadecimal, 16)])


_INTEGER = re.compile(r"-?\d+", re.A)


def int_list(text: str | None) -> tuple[int, ...]:
    """`{0,2,1}` as (0, 2, 1); None as ()."""
    return tuple(map(int, _INTEGER.findall(text))) if text else ()


_ALIAS = re.compile(r"\{([\d,\s]*)\}\s*:\s*\(\s*(\d+)\s*,\s*\{([\d,\s]*)\}", re.A)


def alias_pairs(text: str | None) -> list[tuple[tuple[int, ...], int, tuple[int, ...]]]:
    """`{ {0}: (1, {}, may-alias) }` as (path in the output, number of the operand, path in the operand)."""
    return [(int_list(out), int(number), int_list(path)) for out, number, path in _ALIAS.findall(text or "")]


@dataclass(frozen=True, slots=True)
class WindowDimension:
    """One spatial dimension of a window: size, stride, padding, dilations, and whether it is reversed."""

    size: int = 1
    stride: int = 1
    padding_low: int = 0
    padding_high: int = 0
    base_dilation: int = 1
    window_dilation: int = 1
    reversed: bool = False


_WINDOW_FIELD = re.compile(r"(?<!\w)(\w++)=\s*+([^\s}]++)")


def parse_window(text: str | None, rank: int = 0) -> tuple[WindowDimension, ...]:
    """`{size=3x3 pad=1_1x-1_2 stride=2x2}` by dimension, fields in any order; `rank` trivial ones for no text."""
    fields = dict(_WINDOW_FIELD.findall(text)) if text else {}
    if not fields:
        return (WindowDimension(),) * rank

    def numbers(name: str, default: int) -> list[int]:
        return [int(part) for part in fields[name].split("x")] if name in fields else [default] * count

    count = len(next(iter(fields.values())).split("x"))
    sizes = numbers("size", 1)
    strides, base, window = numbers("stride", 1), numbers("lhs_dilate", 1), numbers("rhs_dilate", 1)
    # XLA takes a list of reversals that is too short.
    reversal = (numbers("rhs_reversal", 0) + [0] * count)[:count]
    pads = [tuple(map(int, pad.split("_"))) for pad in fields.get("pad", "x".join(["0_0"] * count)).split("x")]
    return tuple(
        WindowDimension(sizes[i], strides[i], pads[i][0], pads[i][1], base[i], window[i], bool(reversal[i]))
        for i in range(count)
    )


def parse_padding(text: str | None) -> list[tuple[int, int, int]]:
    """`0_3x1_1_2` as (low, high, interior) of each dimension."""
    edges = [[*map(int, part.split("_")), 0] for part in text.split("x")] if text else []
    return [(low, high, interior) for low, high, interior, *_ in edges]


def parse_slice(text: str | None) -> list[tuple[int, int, int]]:
    """`{[0:2], [1:9:4]}` as (start, limit, stride) of each dimension."""
    return [(int(start), int(limit), int(stride or 1)) for start, limit, stride in _SLICE.findall(text or "")]


def parse_config(text: str | None) -> dict[str, Any] | None:
    """A backend config as a dict, when it is JSON (bare or as a quoted string); None when it is anything else.

    The texts of 2019 have JSON whose keys stand without quotes: `{selected_algorithm:7,alpha:1}`.
    """
    if not text:
        return None
    value = _json(text)
    if isinstance(value, str):
        value = _json(value) or _json(_BARE_KEY.sub(r'"\1":', value))
    return value if isinstance(value, dict) else None


_BARE_KEY = re.compile(r"(?<=[{,])\s*([A-Za-z_]\w*)\s*:")


def _json(text: str) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
