"""What a command has to do with the process that it runs in: standard streams that are closed or full, signals."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from hlo_count.compare.temporary_folders import remove_temporary_folders
from hlo_count.harmless import MOST_LINES, for_terminal, printable
from hlo_count.terminal import make_room, painted

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GRACE = 1.0
"""Seconds that Python has to end the command by itself. It cannot while a compiler works, which may take minutes."""


class Ended(BaseException):
    """A signal ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def code(self) -> int:
        """As a shell has it."""
        return 128 + self.number

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else f"ended by {signal.Signals(self.number).name}"


# Streams


def hold_closed_streams() -> None:
    """Open what the caller closed of the three standard streams: else the next file opened would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def write(text: str, stream: TextIO | None) -> OSError | ValueError | None:
    """A text and the end of its line, in signs and colours that the stream has, down to where it leads; what went
    wrong, if any."""
    if stream is None:
        return OSError(errno.EBADF, "it is closed")
    try:
        shown = for_terminal(text, stream)
        if is_terminal(stream):
            make_room()
            shown = painted(shown, stream)
        stream.write(shown + "\n")
        stream.flush()
    except (OSError, ValueError) as problem:  # ValueError: the user's own code closed it
        _give_up(stream)
        return problem
    return None


def say(text: str, most: int = MOST_LINES) -> None:
    """Tell the user on standard error; where that cannot be written, there is nobody to tell."""
    write(printable(text, most), sys.stderr)


def flush_all() -> None:
    """Write out what other code left in the streams. What cannot be written would change the exit code at the end."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _give_up(stream)


def is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _give_up(stream: Any) -> None:
    """Let what is left in a stream go nowhere."""
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


# What ends the process from within

_SHELL = "/bin/sh"
_WITNESS = "trap '' INT TERM HUP; read -r _ || echo \"$0\" >&2"
"""Waits for a line, and says what it was given where none comes: the process that should write it is no more."""
_KILLED = "hlo-count: ended before it was done, as a compiler that runs out of memory ends a process, or the system"
_told: list[tuple[int, int]] = []
"""The witness of this process: where it is told that all is well, and its number."""


@contextmanager
def witnessed() -> Iterator[None]:
    """Let a shell say so in one line where this process is ended by something that Python does not get to see.

    C++ that has no memory left aborts, and Linux kills what takes too much.
    """
    if not (hasattr(os, "posix_spawn") and os.access(_SHELL, os.X_OK)):
        yield
        return
    hears, tells = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, hears, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    try:
        shell = os.posix_spawn(_SHELL, ["sh", "-c", _WITNESS, _KILLED], {}, file_actions=actions)
    except OSError:  # no memory for another process
        os.close(tells)
        yield
        return
    finally:
        os.close(hears)
    _told.append((tells, shell))
    try:
        yield
    finally:
        _all_is_well()


def _all_is_well() -> None:
    """The process ends as it means to."""
    for tells, shell in _told:
        try:
            os.write(tells, b"\n")
            os.close(tells)
            os.waitpid(shell, 0)
        except OSError:  # somebody ended the shell, or waited for all children
            continue
    _told.clear()


# Signals


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Ended`, as Ctrl-C raises KeyboardInterrupt, unless someone else handles them.

    Where Python does not get to it for a while, since a compiler works, the process ends without. Outside the main
    thread, where Python takes no signals, nothing happens.
    """
    numbers = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread() or not numbers:
        yield
        return

    def end(number: int, _: object) -> None:
        raise Ended(number)

    arrived, arrives = os.pipe()
    os.set_blocking(arrives, False)
    over = threading.Event()
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    watched = [*numbers, *([signal.SIGINT] if is_pythons else [])]
    watcher = threading.Thread(target=_watch, args=(arrived, watched, over), daemon=True)
    try:
        watcher.start()
    except RuntimeError:  # no memory for a thread
        os.close(arrived)
        os.close(arrives)
        yield
        return
    woken = signal.set_wakeup_fd(arrives, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        over.set()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(woken)
        os.close(arrives)
        watcher.join()
        os.close(arrived)


def _watch(arrived: int, numbers: list[int], over: threading.Event) -> None:
    """Wait for a signal, and end the process if nobody else does."""
    while byte := os.read(arrived, 1):
        if byte[0] in numbers and not over.wait(_GRACE):
            ended = Ended(byte[0])
            leave(str(ended), ended.code)


def leave(reason: str, code: int) -> NoReturn:
    """End the process at once. Leaving Python in order waits for a compiler, which dumps on into folders removed."""
    say(f"hlo-count: {reason}")
    _all_is_well()
    remove_temporary_folders()
    os._exit(code)
