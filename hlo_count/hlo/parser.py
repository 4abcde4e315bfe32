"""HLO text -> Module.

Text as XLA prints it has one instruction a line: one compiled pattern reads a whole computation. A computation in which
any line does not fit (hand-written text: comments, instructions over several lines or inside others) goes to the
scanner, which reads it token by token.
"""

from __future__ import annotations

import re

from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.infer import settle_shapes
from hlo_count.hlo.module import Computation, Module
from hlo_count.hlo.scanner import Scanner
from hlo_count.hlo.structure import check_calls, check_elements

# The repeats are possessive: no part of a line can be read in two ways, so nothing is gained by trying again.
_P1 = r"[^()\n]*+(?:\([^()\n]*+\)[^()\n]*+)*+"
_P2 = rf"[^()\n]*+(?:\({_P1}\)[^()\n]*+)*+"
_P3 = rf"[^()\n]*+(?:\({_P2}\)[^()\n]*+)*+"
_P4 = rf"[^()\n]*+(?:\({_P3}\)[^()\n]*+)*+"
# An operand that is a whole instruction, `f32[] constant(2)`, has a word before its parenthesis: the scanner's.
_OPERANDS = rf"[^()\n]*+(?:(?<![a-z0-9\-])\({_P2}\)[^()\n]*+)*+"
_SHAPE = rf"[a-z][^ (\n]*+|[a-z][^ (\n]*\{{[^{{}}\n]*+\}}|\({_P4}\)"
_ATTRIBUTES = r", *[\w\-]++=[^\n]*[^\s,]|"

INSTRUCTION_LINE = re.compile(
    rf"^[ \t]++(ROOT )?+%?+([\w.\-]++) = ({_SHAPE}) ([a-z][\w\-]*+)\(({_OPERANDS})\)({_ATTRIBUTES})[ \t]*+$", re.M
)
_HEADER_LINE = re.compile(r"(ENTRY +)?%?([\w.\-]+)(?: +\([^\n]*\) *-> *[^\n]*?)? *\{[ \t]*\n")
_AFTER_BRACE = re.compile(r"\n\}((?:, *\w+=(?:\"[^\"\n]*\"|\w+))*)[ \t]*(?:\n\s*|\Z)")
_COMMENT = re.compile(r"/\*(?!index=\d+\*/)")


def parse(text: str, *, filename: str | None = None) -> Module:
    """The module that `text` spells: post-optimization or not, a dump, or hand-written.

    Raises ParseError, with line, column and caret, for text that is no HLO; `filename` goes into its message.
    """
    if "\x00" in text[:4096]:
        raise ParseError(
            "this is binary data, not HLO text; pass a text dump", filename=filename, line=1, column=1, source=""
        )
    with no_garbage_collection():
        try:
            module = _parse_module(text, filename)
        except RecursionError:
            raise HloCountError(f"{filename or 'the HLO text'}: instructions or computations nest too deep") from None
        check_calls(module)
        settle_shapes(module)
        check_elements(module)
    return module


def _parse_module(text: str, filename: str | None) -> Module:
    module = Module(text, filename)
    scanner = Scanner(text, filename, module)
    at = scanner.scan_header()
    entry: Computation | None = None
    while at < len(text):
        computation, is_entry, end = _printed_computation(module, text, at) or scanner.scan_computation(at)
        if is_entry:
            if entry is not None:
                raise scanner.error("a second ENTRY: a module has one", at)
            entry = computation
        at = scanner.skip(end)
    if not module.computations:
        raise scanner.error("no computation: the text ends where the first one should begin", len(text))
    # Without ENTRY the last computation is the entry, as XLA has it.
    module.entry = entry or next(reversed(module.computations.values()))
    module.name = module.name or f"module_{module.entry.name}"
    return module


def _printed_computation(module: Module, text: str, at: int) -> tuple[Computation, bool, int] | None:
    """The computation at `at`, when each of its lines is an instruction; None when it needs the scanner."""
    header = _HEADER_LINE.match(text, at)
    if header is None:
        return None
    start = header.end()
    closing = _AFTER_BRACE.search(text, start - 1)
    if closing is None:
        return None
    stop = closing.start()
    found = INSTRUCTION_LINE.findall(text, start, stop)
    if not found or len(found) != text.count("\n", start, stop) + 1 or _has_comment(text, start, stop):
        return None
    computation = Computation(module, header[2], printed=found, offset=start)
    try:
        computation.kinds  # noqa: B018  reads each shape once
    except HloCountError:
        return None  # The scanner meets the same shape and says where it stands.
    computation.attribute_text = closing[1]
    if computation.name in module.computations:
        return None  # The scanner says where the second one stands.
    module.computations[computation.name] = computation
    return computation, header[1] is not None, closing.end()


def _has_comment(text: str, start: int, stop: int) -> bool:
    """Whether there is a comment other than `/*index=5*/`, which lists print."""
    if text.find("//", start, stop) >= 0:
        return True
    at = text.find("/*", start, stop)
    return at >= 0 and _COMMENT.search(text, at, stop) is not None
