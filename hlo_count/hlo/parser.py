"""HLO text -> Module.

Text as XLA prints it has one instruction a line: one compiled pattern reads a whole computation. A computation in which
any line does not fit (hand-written text: comments, instructions over several lines or inside others) goes to the
scanner, which reads it token by token.
"""

from __future__ import annotations

import re

from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.infer import settle_shapes
from hlo_count.hlo.module import Module
from hlo_count.hlo.printed import Reader
from hlo_count.hlo.scanner import Scanner
from hlo_count.hlo.structure import check_calls
from hlo_count.hlo.twins import Twins
from hlo_count.hlo.verifier import Verifier

_HEADER_LINE = re.compile(r"(ENTRY +)?%?([\w.\-]+)(?: +\([^\n]*\) *-> *[^\n]*?)? *\{[ \t]*\n")
_AFTER_BRACE = re.compile(r"\n\}((?:, *\w+=(?:\"[^\"\n]*\"|\w+))*)[ \t]*(?:\n\s*|\Z)")


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
            module, verifier = _parse_module(text, filename)
        except RecursionError:
            raise HloCountError(f"{filename or 'the HLO text'}: instructions or computations nest too deep") from None
        check_calls(module)
        settle_shapes(module)
        verifier.finish()
    return module


def _parse_module(text: str, filename: str | None) -> tuple[Module, Verifier]:
    module = Module(text, filename)
    verifier = Verifier(module)
    scanner = Scanner(text, filename, module)
    reader, twins = Reader(text, module.distinct_lines), Twins(module.computations, module.distinct_lines)
    at = scanner.scan_header()
    entry: Computation | None = None
    while at < len(text):
        computation, is_entry, end = _printed_computation(
            module, reader, twins, verifier, at
        ) or scanner.scan_computation(at)
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
    return module, verifier


def _printed_computation(
    module: Module, reader: Reader, twins: Twins, verifier: Verifier, at: int
) -> tuple[Computation, bool, int] | None:
    """The computation at `at`, when each of its lines is an instruction; None when it needs the scanner."""
    text = module.text
    header = _HEADER_LINE.match(text, at)
    if header is None:
        return None
    start, is_entry = header.end(), header[1] is not None
    closing = _AFTER_BRACE.search(text, start - 1)
    if closing is None:
        return None
    try:
        read = reader.read(start, closing.start(), is_entry=is_entry)
    except HloCountError:
        return None  # The scanner meets the same shape and says where it stands.
    if read is None or header[2] in module.computations:
        return None  # The scanner says where the second one stands.
    printed, lines = read
    computation = module.computations[header[2]] = Computation(module, header[2], printed)
    computation.attribute_text = closing[1]
    if is_entry:
        computation.make(lines)
    else:
        computation.twin = twins.first_like(computation, printed, lines)
    if computation.twin is computation:  # what says the same as another is verified with it
        verifier.see(computation, lines)
    verifier.check_result(computation, header[0], lines[printed.root][2])
    return computation, is_entry, closing.end()
