"""MLIR that stands in a text, as the words that say everything of it: the generic form.

A Pallas kernel is in its custom call as bytecode, one that a compiler wrote as words. The MLIR of jaxlib reads both,
in a process of its own that may end of what it reads (`mlir_reader`), and is kept for the next.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path

from hlo_count.lowering import mlir_reader
from hlo_count.lowering.mlir_depth import MOST_NESTED, nests_too_deep

PATIENCE = 60.0
"""Seconds to wait for an answer. The process ends itself long before, where the system lets it."""
# The repeats are possessive: a line of definitions can be read in one way.
_WORDS = re.compile(rb'\s*+(?:#\w++\s*+=[^\n]*+\s++)*+(?:module\b|"builtin\.module")')
_PLACE = re.compile(r'^error: (?:"[^"]*":\d+:\d+: )?')
_OURS = "holds MLIR"


class MlirError(Exception):
    """MLIR that cannot be read, with the reason in a few words that go on from what holds it."""


@lru_cache(maxsize=64)
def generic_form(data: bytes) -> str:
    """A module as MLIR prints it with every operation alike, one a line, without places in the source.

    `data` is MLIR's bytecode or words. Raises MlirError for what jaxlib cannot read, or where it has no MLIR.
    """
    is_words = _WORDS.match(data) is not None
    if not is_words and not data.startswith(b"ML\xefR"):
        raise MlirError("holds no MLIR")
    if is_words:
        _expect_shallow(data)
    form = _READER.ask(data)
    _expect_shallow(form)
    return form.decode(errors="replace")


def _expect_shallow(words: bytes) -> None:
    if nests_too_deep(words):
        raise MlirError(f"holds MLIR whose brackets nest more than {MOST_NESTED} deep, which is not read")


class _Reader:
    """The process that reads; another one after one that ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        """The process that started it: one that is forked from that has no part in what they say."""
        self._lock = threading.Lock()

    def ask(self, data: bytes) -> bytes:
        """The generic form. Raises MlirError."""
        with self._lock:
            process = self._started()
            alarm = threading.Timer(PATIENCE, process.kill)
            alarm.start()
            try:
                is_form, said = _asked(process, data)
            except (OSError, EOFError):
                waits = alarm.is_alive()
                process.kill()
                code = process.wait()
                slow = f"holds MLIR that takes longer than {PATIENCE:g} s to read"
                raise MlirError(_ended(code) if waits else slow) from None
            finally:
                alarm.cancel()
        if not is_form:
            problem = said.decode(errors="replace")
            theirs = f"holds MLIR that this jaxlib cannot read ({_reason(problem)})"
            raise MlirError(problem if problem.startswith(_OURS) else theirs)
        return said

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if not sys.executable or getattr(sys, "frozen", False):
            raise MlirError("holds MLIR, which a Python of its own reads, and none is known here")
        paths = os.pathsep.join(path for path in sys.path if path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(mlir_reader.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
        except OSError as problem:
            raise MlirError(f"holds MLIR, which a process of its own reads, and none starts ({problem})") from None
        self._owner = os.getpid()
        return self._process

    def close(self) -> None:
        """End the process, which waits for nothing but questions."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.communicate()
            self._process = None


_READER = _Reader()
atexit.register(_READER.close)


def _asked(process: subprocess.Popen[bytes], data: bytes) -> tuple[bool, bytes]:
    """Whether it is the form, and the form or the reason. Raises OSError or EOFError where the process ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(mlir_reader.LENGTH.pack(len(data)) + data)
    process.stdin.flush()
    head = process.stdout.read(1 + mlir_reader.LENGTH.size)
    if len(head) <= mlir_reader.LENGTH.size:
        raise EOFError
    (length,) = mlir_reader.LENGTH.unpack(head[1:])
    said = process.stdout.read(length) if length <= mlir_reader.MOST_WORDS else b""
    if len(said) < length:
        raise EOFError
    return bool(head[0]), said


def _ended(code: int) -> str:
    if -code == getattr(signal, "SIGXCPU", None):
        return f"holds MLIR that takes longer than {mlir_reader.SECONDS} s to read, which is not waited for"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"holds MLIR that ends the process which reads it ({how}): damaged, or nested too deep"


def string_bytes(text: str) -> bytes:
    """The bytes of a string as MLIR prints it, where `\\0A` and `\\n` are signs that cannot stand there (LangRef)."""

    def byte(match: re.Match[bytes]) -> bytes:
        sign = match[1]
        return bytes.fromhex(sign.decode()) if len(sign) == 2 else {b"n": b"\n", b"t": b"\t"}.get(sign, sign)

    return re.sub(rb"\\([0-9A-Fa-f]{2}|.)", byte, text.encode())


def _reason(problem: str) -> str:
    """The first error in MLIR's message."""
    lines = problem.splitlines()
    first = next((line.strip() for line in lines if "error:" in line), lines[0])
    return _PLACE.sub("", first).strip(" :")[:120]
