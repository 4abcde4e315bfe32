"""Files handed out to workers by size, and results as they come; what ends a worker is found and left out."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process

from hlo_count.errors import HloCountError
from hlo_count.fleet.counting_one import Counted, count_all, failed
from hlo_count.fleet.sources import Source

BATCH_BYTES, BATCH_FILES = 2**18, 32
"""What a worker is handed at a time: as many small files as make this much, or a larger one alone."""
_AHEAD = 3
"""Batches a worker that are handed out before the first result: none waits, and few are lost when one ends."""
_AHEAD_ELSEWHERE = 1024
"""The same for an executor that does not say how many workers it has."""
_TRIES = 2
"""Times that a file is counted alone before it is to blame for the end of a process, which somebody may have killed."""

Batch = tuple[Source, ...]


def batches(sources: Iterable[Source]) -> list[Batch]:
    """The largest files first, each alone; small ones together."""
    found: list[Batch] = []
    together: list[Source] = []
    size = 0
    for source in sorted(sources, key=lambda each: (-each.size, each.name)):
        if together and (size + source.size > BATCH_BYTES or len(together) == BATCH_FILES):
            found.append(tuple(together))
            together, size = [], 0
        together.append(source)
        size += source.size
    return [*found, tuple(together)] if together else found


def counted_by_processes(
    sources: Iterable[Source], workers: int | None, seconds: float | None
) -> Iterator[list[Counted]]:
    """The results of processes of our own, as they come; a file takes `seconds` at most.

    Where one ends (the system ran out of memory, or somebody killed it), what was under way is counted again, a file at
    a time: one with which a process ends each time is a row that says so. Raises HloCountError where none starts.
    """
    number = workers or os.cpu_count() or 1
    waiting = deque(batches(sources))
    while waiting:
        lost: list[Batch] = []
        with _pool(min(number, len(waiting))) as pool:
            yield from _results(pool, waiting, seconds, _AHEAD * number, lost)
        yield from _one_by_one([source for batch in lost for source in batch], seconds)


def counted_elsewhere(executor: Executor, sources: Iterable[Source], seconds: float | None) -> Iterator[list[Counted]]:
    """The results of somebody else's executor, as they come; a file takes `seconds` at most.

    A batch that fails there is handed out again, a file at a time. Raises HloCountError where it takes no more work.
    """
    number = getattr(executor, "_max_workers", None)
    ahead = _AHEAD * number if isinstance(number, int) else _AHEAD_ELSEWHERE
    waiting = deque(batches(sources))
    lost: list[Batch] = []
    yield from _results(executor, waiting, seconds, ahead, lost)
    if not waiting:
        waiting, lost = deque((source,) for batch in lost for source in batch), []
        yield from _results(executor, waiting, seconds, ahead, lost)
    if waiting:
        raise HloCountError(
            "the executor's workers ended; what was counted is kept: scan again with another one, or with none, when "
            "processes that end are replaced"
        )
    for batch in lost:
        yield [_gone(source) for source in batch]


def _results(
    executor: Executor, waiting: deque[Batch], seconds: float | None, ahead: int, lost: list[Batch]
) -> Iterator[list[Counted]]:
    """Take from `waiting` until nothing is left, or the executor is broken. What was under way then, and batches whose
    workers failed, are in `lost`."""
    under_way: dict[Future[list[Counted]], Batch] = {}
    broken = False
    try:
        while under_way or (waiting and not broken):
            while waiting and not broken and len(under_way) < ahead:
                try:
                    under_way[executor.submit(count_all, waiting[0], seconds)] = waiting[0]
                except BrokenExecutor:
                    broken = True
                except Exception as problem:  # every engine has errors of its own for this
                    raise _shut_down(problem) from None
                else:
                    waiting.popleft()
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                batch = under_way.pop(future)
                try:
                    results = future.result()
                except BrokenExecutor:
                    broken = True
                    lost.append(batch)
                except CancelledError as problem:
                    raise _shut_down(problem) from None
                except Exception:  # a worker of an engine that goes on without it: the file is tried again
                    lost.append(batch)
                else:
                    yield results
    finally:
        for future in under_way:
            future.cancel()


def _shut_down(problem: BaseException) -> HloCountError:
    what = str(problem).partition("\n")[0] or type(problem).__name__
    return HloCountError(f"the executor takes no work ({what}); what was counted is kept: scan again with another")


def _one_by_one(sources: Iterable[Source], seconds: float | None) -> Iterator[list[Counted]]:
    """Files of which one ended a process, each in turn alone in one."""
    waiting: deque[Batch] = deque((source,) for source in sources)
    tries = dict.fromkeys(waiting, 0)
    while waiting:
        lost: list[Batch] = []
        with _pool(1) as pool:
            yield from _results(pool, waiting, seconds, 1, lost)
        for batch in lost:
            tries[batch] += 1
            if tries[batch] < _TRIES:
                waiting.appendleft(batch)
            else:
                yield [_gone(source) for source in batch]


def _gone(source: Source) -> Counted:
    return failed(
        source, f"{source.name}: the process that counted it ended, as one does that runs out of memory", again=True
    )


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share nothing with this one, whose threads and compilers a fork would tear apart.

    An end before the end, such as Ctrl-C, waits for none of them.
    """
    others = {child.pid for child in active_children()}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            pool.submit(os.getpid).result()
        except BrokenExecutor:
            raise HloCountError(
                "no process starts to count in: a script calls scan below `if __name__ == '__main__':`, as Python's "
                "own pools want it"
            ) from None
        own = [child for child in active_children() if child.pid not in others]
        try:
            yield pool
        except BaseException:
            for child in own:
                child.kill()
            raise


def _begin() -> None:
    """In a process of the pool: Ctrl-C is for the one that started it, and so is its end, however that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(parent: int) -> None:
    connection.wait([parent])
    os._exit(1)
