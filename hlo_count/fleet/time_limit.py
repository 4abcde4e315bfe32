"""An end to work that takes too long, in whatever thread an engine gives to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 600.0
"""What one file may take: some GB of text, where a core reads more than a MB of it a second."""

STEPS = 100
"""In which an exception that is sent has come: Python raises it at the next."""


class TooLong(BaseException):
    """Raised in the midst of the work: no `except Exception` may take it for a fault of what it counts."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TooLong here when the work within has not ended after `seconds`.

    Python raises it between two steps of the interpreter, in main threads and others (a signal reaches the main thread
    alone, and engines work in others): work within one call of C code ends when that call does.
    """
    if seconds is None:
        yield
        return
    import ctypes  # the command line reads SECONDS alone

    thread = ctypes.c_ulong(threading.get_ident())
    over = sent = came = False
    lock = threading.Lock()

    def end() -> None:
        nonlocal sent
        with lock:
            if not over:
                sent = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TooLong:
        came = True
        raise
    finally:
        timer.cancel()
        with lock:
            over = True
        # One that is under way comes here and not later. It cannot be called back: Python 3.11 looks for it for ever
        # then, and a function that is profiled does not go on. It may have come before, on the way to this generator,
        # which is closed then and not gone on with: so there is an end to waiting for it.
        for _ in range(STEPS if sent and not came else 0):
            time.sleep(0)
