"""HLO text -> Module.

Text as XLA prints it has one instruction a line: one compiled pattern reads a whole computation. A computation in which
any line does not fit (hand-written text: comments, instructions over several lines or inside others) goes to the
scanner, which reads it token by token.
"""

from __future__ import annotations

import re

from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.excerpts import Excerpt, excerpt
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.infer import settle_shapes
from hlo_count.hlo.lines import Lines, with_newlines
from hlo_count.hlo.module import Module
from hlo_count.hlo.printed import Reader
from hlo_count.hlo.scanner import Scanner
from hlo_count.hlo.structure import check_calls
from hlo_count.hlo.twins import Twins
from hlo_count.hlo.verifier import Verifier
from hlo_count.under_way import under_way

_NAME = re.compile(r"(ENTRY +)?%?([A-Za-z_][\w.\-]*+)", re.A)
_ARRAY = rf"(?:{'|'.join(sorted(DTYPES.keys() - {'token', 'opaque'}))})\[(?:\d{{1,18}}(?:,\d{{1,18}})*+)?+\]"
_ELEMENT = rf"(?:/\*index=\d++\*/)?+{_ARRAY}"
_SHAPE = rf"(?:{_ARRAY}|\((?:{_ELEMENT}(?:, {_ELEMENT})*+)?+\))"
_PARAMETER = rf"[A-Za-z_][\w.\-]*+: {_SHAPE}"
_SIGNATURE = re.compile(rf" \((?:{_PARAMETER}(?:, {_PARAMETER})*+)?+\) -> ({_SHAPE}) \{{", re.A)
"""Of arrays and tuples of them, as XLA prints nearly all; `Scanner.signature` reads the others."""
_BEGINNINGS = ("%", "ENTRY ")
"""Of computations, as XLA prints them."""
_HEADLESS = re.compile(r"(?!ENTRY\b)%?[\w.\-]++\s*+\(")
"""How a computation begins that XLA does not take for the first of a text: what is before it is lost."""
_PARAMETER_NAME = re.compile(r"[A-Za-z_][0-9A-Za-z_.\-]*+: ")
_AFTER_BRACE = re.compile(r"\n\}((?:, *\w++=(?:\"[^\"\n]*+\"|\w++))*+)[ \t]*+(?:\n\s*+|\Z)")
_LIKE_HLO = re.compile(
    r"\b(?:ROOT|ENTRY|HloModule)\b|^[ \t]*+[%}]|=[ \t]*+\(*+[a-z]\w*+\[|\{[ \t]*+$|\0|^[ \t]*+\d++ [{\"]", re.M | re.A
)


def parse(text: str, *, filename: str | None = None, module: str | int | None = None) -> Module:
    """The module that `text` spells: post-optimization or not, a dump, or hand-written.

    It may stand in a log, behind a preamble, in Markdown, or with others, of which `module` names one: by its name, a
    part of it, `NAME#2` for the second of a name, or its number from 1.

    Raises ParseError, with line, column and caret, for text that is no HLO, and HloCountError that lists the modules
    where one has to be chosen; `filename` goes into both messages.
    """
    if "\x00" in text[:4096]:
        raise ParseError(
            "this is binary data, not HLO text; pass a text dump", filename=filename, line=1, column=1, source=""
        )
    return module_of(excerpt(with_newlines(text), filename, module), filename)


def module_of(found: Excerpt, filename: str | None) -> Module:
    """The module of one excerpt. Raises HloCountError, as `parse` does."""
    under_way(f"reading {filename or 'the HLO text'}")
    with no_garbage_collection():
        try:
            module, verifier = _read(found, filename)
            check_calls(module)
            settle_shapes(module)
            verifier.finish()
        except RecursionError:
            raise HloCountError(f"{filename or 'the HLO text'}: instructions or computations nest too deep") from None
    return module


def _read(found: Excerpt, filename: str | None) -> tuple[Module, Verifier]:
    module = Module(found.text, filename, Lines(found.text, found.first_line, found.prefixes))
    text, verifier, scanner = module.text, Verifier(module), Scanner(module)
    reader, twins = Reader(text, module.distinct_lines), Twins(module.computations, text)
    first = at = scanner.scan_header()
    signatures = _Signatures(scanner)
    entry: Computation | None = None
    while at < len(text):
        if entry is not None and not text[text.rfind("\n", 0, at) + 1 : at].strip() and not _LIKE_HLO.search(text, at):
            break  # what follows is the log, or the prose, that the module stands in
        computation, is_entry, end = _printed_computation(
            module, reader, twins, verifier, signatures, at
        ) or scanner.scan_computation(at)
        if is_entry:
            if entry is not None:
                raise scanner.error("a second ENTRY: a module has one", at)
            entry = computation
        at = end if text.startswith(_BEGINNINGS, end) else scanner.skip(end)
    verifier.metadata = twins.metadata
    if not module.name and len(module.computations) > 1 and _HEADLESS.match(text, first):
        raise scanner.error("several computations, and no HloModule before them: is the beginning missing?", first)
    if not module.computations:
        raise scanner.error("no computation: the text ends where the first one should begin", len(text))
    # Without ENTRY the last computation is the entry, as XLA has it.
    module.entry = entry or next(reversed(module.computations.values()))
    module.name = module.name or f"module_{module.entry.name}"
    return module, verifier


def _printed_computation(
    module: Module, reader: Reader, twins: Twins, verifier: Verifier, signatures: _Signatures, at: int
) -> tuple[Computation, bool, int] | None:
    """The computation at `at`, when each of its lines is an instruction; None when it needs the scanner."""
    text = module.text
    header = _NAME.match(text, at)
    line_end = text.find("\n", at)
    if header is None or line_end < 0:
        return None
    result = signatures.result(header.end(), line_end)
    if result is None:
        return None
    start, brace, is_entry = line_end + 1, text.find("\n}", line_end), header[1] is not None
    closing = _AFTER_BRACE.match(text, brace) if brace >= 0 else None
    if closing is None or header[2] in module.computations:
        return None  # The scanner says where the second one stands.
    end = closing.start()
    body = "" if is_entry else text[start:end]
    said = twins.said(body) if body else None
    twin = twins.first(said)
    if said is not None and twin is not None:  # it is verified, and all that counts of it is known
        computation = Computation(module, header[2], reader.again(start, end, twin.printed, said.callees))
        computation.twin = twin
        module.computations[header[2]] = computation
    else:
        try:
            columns = reader.read(start, end, is_entry=is_entry)
        except HloCountError:
            return None  # The scanner meets the same shape and says where it stands.
        if columns is None:
            return None
        computation = Computation(module, header[2], reader.printed(start, end, columns))
        module.computations[header[2]] = computation
        if is_entry:
            computation.make(columns.lines)
        verifier.see(computation, columns)
        twins.add(said, computation, body)
    computation.attribute_text = closing[1]
    verifier.check_result(computation, result, computation.printed.outline.root_kind)
    return computation, is_entry, closing.end()


class _Signatures:
    """What the signatures of computations give, by their text without names of parameters: there are a few dozen."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._results: dict[str, str] = {}

    def result(self, at: int, line_end: int) -> str | None:
        """What stands between the arrow and the brace of ` (a: f32[2]) -> f32[2] {`; "" of ` {`, None of anything
        else."""
        spelled = _PARAMETER_NAME.sub(":", self._scanner.text[at:line_end])
        result = self._results.get(spelled)
        if result is None:
            result = _signature_result(self._scanner.text, at, line_end, self._scanner)
            if result is not None:
                self._results[spelled] = result
        return result


def _signature_result(text: str, at: int, line_end: int, scanner: Scanner) -> str | None:
    plain = _SIGNATURE.fullmatch(text, at, line_end)
    if plain is not None:
        return plain[1]
    inside = text[at:line_end].rstrip(" \t")
    if not inside.endswith("{") or "//" in inside:
        return None
    if inside.strip() == "{":
        return ""
    start = text.find("(", at, line_end)
    if text[at:start].strip():
        return None
    at = scanner.signature(start)[1]
    arrow = text.rindex("->", start, at)
    return text[arrow + 2 : at].strip() if text[at:line_end].strip() == "{" else None
