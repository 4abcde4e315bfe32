"""The program that reads the MLIR of kernels, in a process of its own: `lowering.mlir` starts it, and asks it.

jaxlib's reader is C++ that trusts what it is given. Of bodies of kernels with a few bytes changed one in a hundred ends
the process, by a signal or after writing where it may not, and regions nested deep enough end any stack. So it reads
here, where nothing is that anybody needs. It imports nothing of this package, and nothing of jax.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")
"""Stands before each question, and, behind a byte that says whether it is the form or a reason, before each answer."""
MOST_MEMORY = 4 * 2**30
"""Bytes that the process may map. It needs half of one GiB for its libraries."""
SECONDS, SECONDS_PER_BYTE = 2, 1e-5
"""Of the processor, that one body may take: some hundred times what bodies of kernels do."""
MOST_WORDS = 16 * 2**20
"""Bytes of a generic form. It grows with the depth of what nests, line by line: that of a kernel has some thousands."""
_LIBRARIES = "jaxlib.mlir._mlir_libs"


def generic_form(ir: Any, data: bytes) -> str:
    """Where this jaxlib's dialects write attributes otherwise than the version that wrote `data` (`#gpu<dim x>` and
    `#gpu.dim<x>`), they are read as words by a context that does not have them."""
    problems = []
    for with_upstream in (True, False):
        try:
            return _printed(ir, data, with_upstream)
        except Exception as problem:  # of a class that differs by version of jaxlib
            problems.append(problem)
    raise problems[0]


def _printed(ir: Any, data: bytes, with_upstream: bool) -> str:
    with _context(ir, with_upstream):
        module = ir.Module.parse(data)
        asm = module.operation.get_asm(print_generic_op_form=True, enable_debug_info=False, large_elements_limit=16)
        return str(asm)


def _context(ir: Any, with_upstream: bool) -> Any:
    """A context with the dialects that kernels are written in, as far as this jaxlib has them; if asked, MLIR's own."""
    context = ir.Context()
    context.enable_multithreading(False)
    context.allow_unregistered_dialects = True
    registry = ir.DialectRegistry()
    upstream = with_upstream and (
        _library("_jax_mlir_ext") or _library("register_jax_dialects")
    )  # its name since jax 0.8, and before
    if upstream:
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


def _answer(data: bytes) -> tuple[bool, bytes]:
    try:
        from jaxlib.mlir import ir
    except ImportError as problem:
        return False, f"holds MLIR, which jaxlib reads, and that cannot be loaded ({problem})".encode()
    try:
        form = generic_form(ir, data).encode(errors="backslashreplace")
    except Exception as problem:  # of a class that differs by version of jaxlib
        return False, (str(problem) or type(problem).__name__)[:10_000].encode(errors="backslashreplace")
    if len(form) > MOST_WORDS:
        return False, f"holds MLIR of more than {MOST_WORDS >> 20} MiB of words, which is not read".encode()
    return True, form


def _limit(data: bytes) -> None:
    """Memory and time that `data` may take: for what asks for more there is an end that is not the machine's."""
    try:
        import resource
    except ImportError:  # no POSIX: who asks waits for a while only
        return
    seconds = int(time.process_time() + SECONDS + SECONDS_PER_BYTE * len(data)) + 1
    limits = {resource.RLIMIT_AS: MOST_MEMORY, resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: seconds}
    for what, most in limits.items():
        with suppress(ValueError, OSError):  # the system's own limit is lower, or it has none
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer each question, until there are no more."""
    with suppress(ImportError):  # which the answer says
        import jaxlib.mlir.ir  # noqa: F401
    while head := questions.read(LENGTH.size):
        data = questions.read(*LENGTH.unpack(head))
        _limit(data)
        is_form, said = _answer(data)
        answers.write(bytes((is_form,)) + LENGTH.pack(len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    serve(sys.stdin.buffer, own)
