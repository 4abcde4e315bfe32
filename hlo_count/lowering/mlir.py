"""MLIR that stands in a text, as the words that say everything of it: the generic form.

A Pallas kernel is in its custom call as bytecode, one that a compiler wrote as words. The MLIR of jaxlib reads both,
without anything of jax.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from hlo_count.lowering.mlir_depth import MOST_NESTED, nests_too_deep

# The repeats are possessive: a line of definitions can be read in one way.
_WORDS = re.compile(rb'\s*+(?:#\w++\s*+=[^\n]*+\s++)*+(?:module\b|"builtin\.module")')
_PLACE = re.compile(r'^error: (?:"[^"]*":\d+:\d+: )?')
_LIBRARIES = "jaxlib.mlir._mlir_libs"


class MlirError(Exception):
    """MLIR that cannot be read, with the reason in a few words that go on from what holds it."""


@lru_cache(maxsize=64)
def generic_form(data: bytes) -> str:
    """A module as MLIR prints it with every operation alike, one a line, without places in the source.

    `data` is MLIR's bytecode or words. Raises MlirError for what jaxlib cannot read, or where it has no MLIR.
    """
    if not data.startswith(b"ML\xefR") and not _WORDS.match(data):
        raise MlirError("holds no MLIR")
    if not data.startswith(b"ML\xefR") and nests_too_deep(data):
        raise MlirError(f"holds MLIR whose brackets nest more than {MOST_NESTED} deep, which is not read")
    try:
        from jaxlib.mlir import ir
    except ImportError as problem:
        raise MlirError(f"holds MLIR, which jaxlib reads, and that cannot be loaded ({problem})") from None
    with _context(ir):
        try:
            module = ir.Module.parse(data)
        except Exception as problem:  # of a class that differs by version of jaxlib
            raise MlirError(f"holds MLIR that this jaxlib cannot read ({_reason(problem)})") from None
        asm = module.operation.get_asm(print_generic_op_form=True, enable_debug_info=False, large_elements_limit=16)
        return str(asm)


def string_bytes(text: str) -> bytes:
    """The bytes of a string as MLIR prints it, where `\\0A` and `\\n` are signs that cannot stand there (LangRef)."""

    def byte(match: re.Match[bytes]) -> bytes:
        sign = match[1]
        return bytes.fromhex(sign.decode()) if len(sign) == 2 else {b"n": b"\n", b"t": b"\t"}.get(sign, sign)

    return re.sub(rb"\\([0-9A-Fa-f]{2}|.)", byte, text.encode())


def _context(ir: Any) -> Any:
    """A context with the dialects that kernels are written in, as far as this jaxlib has them."""
    context = ir.Context()
    context.allow_unregistered_dialects = True
    registry = ir.DialectRegistry()
    upstream = _library("_jax_mlir_ext") or _library("register_jax_dialects")  # its name since jax 0.8, and before
    if upstream is not None:
        upstream.register_dialects(registry)
    context.append_dialect_registry(registry)
    for dialect in ("_tpu_ext", "_triton_ext", "_mosaic_gpu_ext"):
        if (library := _library(dialect)) is not None:
            library.register_dialect(context)
    context.load_all_available_dialects()
    return context


def _library(name: str) -> Any | None:
    try:
        return import_module(f"{_LIBRARIES}.{name}")
    except ImportError:  # another jaxlib has it elsewhere or not at all: MLIR says what it then cannot read
        return None


def _reason(problem: Exception) -> str:
    """The first error in MLIR's message."""
    lines = str(problem).splitlines() or [type(problem).__name__]
    first = next((line.strip() for line in lines if "error:" in line), lines[0])
    return _PLACE.sub("", first).strip(" :")[:120]
