"""Measure the machine at hand through JAX and write the device profile `local`.

What a bound needs is the best that the machine can do, so each figure is the fastest of all samples, of
earlier calibrations of the same machine too; beside it stands what is typical, for estimates, with the spread.
Samples are taken in rounds over all programs, so that a disturbance of some seconds spoils a round and not a
figure.
"""

from __future__ import annotations

import math
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hlo_count.errors import DeviceError
from hlo_count.progress import Progress
from hlo_count.roofline import machine, profile_file
from hlo_count.roofline.calibration_samples import OTHERS, Samples, keep_fastest, profile_document
from hlo_count.roofline.calibration_suite import Machine, suite
from hlo_count.roofline.catalog import user_directory
from hlo_count.roofline.device import Device
from hlo_count.roofline.timed_kernels import Kernel, wait_for
from hlo_count.whole_file import replace_text

SAMPLE_SECONDS = 0.004  # a sample is long against the clock's resolution and a thread's wake-up
LEAST_ROUNDS = 3
BUSY = 0.1  # of the processors, from which on the share of others shows in what is typical

HEADER = """Measured by hlo_count.calibrate(). Each figure is the fastest sample seen, since a bound must hold
on this machine's best day; typical_ is the median of the same program's samples and spread_percent their
interquartile range over the median. 1 FMA = 2 FLOP."""


def calibrate(*, path: str | Path | None = None, seconds: float = 55, progress: bool = True) -> Device:
    """Measure this machine's JAX device and write the profile `local`; returns it as a `Device`.

    `path` is the file to write, by default `local.toml` in the user's configuration directory, where
    `hlo_count.device("local")` finds it. Where it already holds a profile of this machine, made with the same
    jaxlib, the faster ceilings of both are kept, and what was typical at the quieter time. Where others use a tenth of
    the processors meanwhile, a warning says so, and the profile has their share. `seconds` limits the time
    spent, compilation included (three rounds are always made). With `progress` a bar is shown on standard
    error where tqdm is installed.

    Raises DeviceError when `path` does not end in .toml or cannot be written, when there is no directory to write
    to, when what is there is no TOML file (all this before anything is measured), or when nothing could be measured.
    """
    target = _target(path)
    earlier = profile_file.read_document(target) if target.exists() else {}
    with _writing(target):
        tempfile.TemporaryFile(dir=target.parent).close()
    start = time.perf_counter()
    facts = machine.facts()
    others = machine.OtherWork()
    here = Machine.at_hand()
    with Progress(progress, f"calibrating {here.kind}", " programs") as bar:
        kernels: list[Kernel] = []
        for kernel in suite(here):
            kernels.append(kernel)
            bar.advance(f"compiled {kernel.of}")
        samples = time_kernels(kernels, seconds - (time.perf_counter() - start), bar.advance)
    document = profile_document(samples, here)
    document["calibration"] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "device_kind": here.kind,
        "seconds": round(time.perf_counter() - start, 1),
        "rounds": len(samples[0].rounds),
        **_busy(others.share()),
        **_left_out(kernels),
    }
    keep_fastest(document, earlier)
    text = profile_file.to_toml(document, HEADER)
    result = profile_file.from_document(tomllib.loads(text), target)
    write_profile(target, text)
    return result


def _busy(share: float | None) -> dict[str, float]:
    """What the profile says of the others at work while it was measured; warns where they spoil what is typical."""
    if share is None:
        return {}
    if share > BUSY:
        warnings.warn(
            f"the machine was busy while it was measured (others used {share:.0%} of its processors): ceilings may be "
            "too low for a sound bound, and typical rates too low for estimates; calibrate again when it is quiet",
            stacklevel=3,
        )
    return {OTHERS: round(100 * share, 1)}


def time_kernels(
    kernels: Iterable[Kernel], seconds: float, advance: Callable[[str], None] = lambda _: None
) -> list[Samples]:
    """Time every kernel in rounds until `seconds` are over; those the compiler has shortened are skipped."""
    all_samples = [Samples(kernel=kernel) for kernel in kernels if not kernel.missing]
    if not all_samples:
        raise DeviceError("nothing to measure: the compiler has simplified every program away")
    deadline = time.perf_counter() + seconds
    for samples in all_samples:
        samples.runs_per_sample = _runs_per_sample(samples.kernel)
    done = 0
    longest = 0.0
    while done < LEAST_ROUNDS or time.perf_counter() + longest < deadline:
        begun = time.perf_counter()
        for samples in all_samples:
            _one_visit(samples)
            advance(f"round {done + 1}: {samples.kernel.of}")
        longest = max(longest, time.perf_counter() - begun)
        done += 1
    return all_samples


def _runs_per_sample(kernel: Kernel) -> int:
    """As many runs as fill a sample, from the faster of two runs after a first one that warms up."""
    _timed(kernel, 1)
    once = min(_timed(kernel, 1), _timed(kernel, 1))
    return max(1, min(1000, math.ceil(SAMPLE_SECONDS / once)))


def _one_visit(samples: Samples) -> None:
    """Up to four samples in a row, fewer of a long one, after some runs that find the caches and threads as
    others left them."""
    kernel, runs = samples.kernel, samples.runs_per_sample
    begun = time.perf_counter()
    while time.perf_counter() - begun < SAMPLE_SECONDS:
        _timed(kernel, 1)
    taken = [_timed(kernel, runs)]
    while len(taken) < 4 and sum(taken) * runs < 3 * SAMPLE_SECONDS:
        taken.append(_timed(kernel, runs))
    samples.seconds += taken
    samples.rounds.append(min(taken))


def _timed(kernel: Kernel, runs: int) -> float:
    """Seconds per run, over `runs` runs back to back (each waited for, if the kernel says so)."""
    begun = time.perf_counter()
    for _ in range(runs):
        result = kernel.run()
        if kernel.wait:
            wait_for(result)
    wait_for(result)
    return (time.perf_counter() - begun) / runs


def _left_out(kernels: list[Kernel]) -> dict[str, str]:
    gone = {f"{kernel.figure} (only {kernel.missing} left)": None for kernel in kernels if kernel.missing}
    return {"left_out_as_simplified_by_the_compiler": "; ".join(gone)} if gone else {}


def _target(path: str | Path | None) -> Path:
    if path is not None:
        target = Path(path)
        if target.suffix != ".toml":
            raise DeviceError(f"{target}: a profile is a TOML file and known by its suffix: give it .toml")
        return target
    own = user_directory()
    if own is None:
        raise DeviceError(
            "the user's configuration directory is not known without platformdirs: "
            "pip install 'hlo-count[calibrate]', or say where to write: path=..."
        )
    return own / "local.toml"


def write_profile(target: Path, text: str) -> None:
    """Whole or not at all. Raises DeviceError where it cannot be written."""
    with _writing(target):
        replace_text(target, text)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Makes the directory of `target`; what the system has against writing there is a DeviceError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DeviceError(
            f"{target}: cannot be written: {error.strerror}; say where else: path=..., or --output FILE.toml"
        ) from error
