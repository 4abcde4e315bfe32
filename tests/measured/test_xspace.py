"""The file format, against the reader that comes with JAX."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
from measured.conftest import needs_thunks

from hlo_count.measured.traces.xspace import XSpace

ProfileData = getattr(jax.profiler, "ProfileData", None)


@needs_thunks
@pytest.mark.skipif(ProfileData is None, reason="this jax has no jax.profiler.ProfileData to compare with")
def test_every_event_is_that_of_jax_s_own_reader(folder: Path):
    (file,) = folder.rglob("*.xplane.pb")
    ours = [
        (plane.name, line.name, event.metadata.name, event.start, event.end - event.start, event.stats)
        for plane in XSpace(file).planes
        for line in plane.lines
        for event in plane.events(line, lambda _: True)
    ]
    theirs = [
        (plane.name, line.name, event.name, event.start_ns, event.duration_ns, dict(event.stats))
        for plane in ProfileData.from_file(str(file)).planes
        for line in plane.lines
        for event in line.events
    ]
    assert len(ours) == len(theirs) > 1000
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[:3] == other[:3] and mine[5] == other[5]
        assert mine[3:5] == pytest.approx([1000 * time for time in other[3:5]], abs=1000)  # it rounds to nanoseconds
    for plane, other in zip(XSpace(file).planes, ProfileData.from_file(str(file)).planes, strict=True):
        said = dict(other.stats)
        assert plane.stats.keys() == said.keys()
        # of bytes we keep where they lie
        assert all(value == said[name] for name, value in plane.stats.items() if not isinstance(value, tuple))
