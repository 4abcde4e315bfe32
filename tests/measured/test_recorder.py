"""When the profiler runs in a process that is sampled: a clock that the test turns, a profiler that takes its time."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hlo_count.lowering import profiler
from hlo_count.measured.recording import recorder as recording
from hlo_count.measured.recording.recorder import FIRST, SHARE, Recorder


class Simulated:
    """A process in which a second of what the profiler records takes `rate` seconds to write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, rate: float) -> None:
        self.now = 0.0
        self.rate = rate
        self.opened: float | None = None
        numbers = itertools.count()

        def start(_: Path) -> None:
            self.opened = self.now

        def stop() -> Path:
            self.now += 0.0005 + self.rate * (self.now - self.opened)
            return folder / f"{next(numbers)}.xplane.pb"

        monkeypatch.setattr(profiler, "start", start)
        monkeypatch.setattr(profiler, "stop", stop)
        monkeypatch.setattr(profiler, "wait_for_arrays", lambda: None)
        for clock in ("perf_counter", "process_time", "thread_time"):
            monkeypatch.setattr(recording.time, clock, lambda: self.now)
        monkeypatch.setattr(recording.os, "cpu_count", lambda: 1)
        monkeypatch.setattr(recording.threading, "Thread", lambda **_: _Nothing())  # the test takes the turns
        self.recorder = Recorder(folder, after_compile=True)

    def compiled(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.recorder._compiled(seconds)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += max(min(self.recorder._turn(), until - self.now), 1e-6)


class _Nothing:
    def start(self) -> None:
        pass


@pytest.mark.parametrize("rate", [0.001, 0.5, 10.0])
def test_all_windows_together_cost_their_share(monkeypatch, tmp_path, rate):
    """Each is begun only where its cost, if it is what the last was in its time, fits into the share of the time then:
    the last may cost as often more as it is longer. The process started three seconds before its first compile."""
    simulated = Simulated(monkeypatch, tmp_path, rate)
    simulated.now += 3.0
    simulated.compiled()
    simulated.run(200.0)
    simulated.recorder.stop()
    wall, recorder = simulated.now, simulated.recorder
    assert recorder.cost <= max(SHARE * wall, FIRST * rate) + 0.01  # the first window, and two that are tried
    traced = recorder.recorded / wall
    # What is affordable: all of it where a second costs less than its share, else the share over what a second costs.
    # Half of that is the least, as the longest window may still be waiting to be affordable.
    assert traced > 0.5 * min(1.0, SHARE / rate)
    assert len(recorder.files) == len(recorder.windows)


def test_what_was_compiled_is_recorded_from_its_first_run_in_a_short_window(monkeypatch, tmp_path):
    simulated = Simulated(monkeypatch, tmp_path, 0.001)
    simulated.compiled()
    simulated.run(30.0)
    recorder = simulated.recorder
    simulated.rate = 10.0  # what is compiled now is a loop of tiny kernels
    simulated.compiled()
    assert recorder._open is not None and recorder._until == simulated.now + FIRST
    before = recorder.cost
    simulated.run(2.0)
    # The window that was open when it compiled held a second of compiling too, here as dear as the rest.
    assert len(recorder.windows) >= 2 and recorder.cost - before < 10.0 * (30.0 + 1.0)


def test_nothing_is_recorded_before_a_first_compile(monkeypatch, tmp_path):
    simulated = Simulated(monkeypatch, tmp_path, 0.001)
    simulated.now += 5.0
    simulated.recorder._begin()
    assert simulated.opened is None
    simulated.compiled()
    assert simulated.opened == simulated.now
