"""The stored programs cost what arithmetic on their shapes says, on all three backends."""

from __future__ import annotations

import pytest
from fixture_files import compiled_names, entry, load, text, versions
from mosaic_support import READS_MOSAIC

import hlo_count
from fixtures.arithmetic import conv_flops, ring, valid_pairs
from fixtures.registry import BACKENDS, programs

PROGRAMS = {program.name: program for program in programs()}
STORED = [(backend, name) for backend in BACKENDS for name in compiled_names(backend)]


def measured(report: hlo_count.Report, key: str) -> int:
    """A total, or the sum of one counter over op classes: "matmul+convolution.flops"."""
    classes, _, counter = key.rpartition(".")
    if not classes:
        return getattr(report, counter)
    by_class = report.by("class")
    return sum(getattr(by_class[name], counter) for name in classes.split("+") if name in by_class)


def skip_unread_kernels(backend, name):
    if backend != "cpu" and name.startswith("pallas_") and not READS_MOSAIC:
        pytest.skip("the Mosaic dialect of jaxlib 0.4.30 is older than these bodies")


@pytest.mark.parametrize(("backend", "name"), STORED)
def test_counts_are_the_arithmetic_of_the_program(backend, name):
    skip_unread_kernels(backend, name)
    report = hlo_count.count(text(backend, name))
    expected = PROGRAMS[name].expected(backend)
    assert {key: measured(report, key) for key in expected} == expected
    # What is not exact has its reason, and what has a reason is not exact.
    worst = {unknown.status for unknown in report.unknowns}
    assert report.status == ("lower bound" if "lower bound" in worst else "estimate" if worst else "exact")
    assert all(unknown.reason and unknown.remedy for unknown in report.unknowns)


@pytest.mark.parametrize(
    ("backend", "name", "status"),
    [(b, p.name, p.status[b]) for p in PROGRAMS.values() for b in p.status if b in p.backends],
)
def test_status_says_what_is_not_certain(backend, name, status):
    skip_unread_kernels(backend, name)
    if "refused" in entry(backend, name):
        pytest.skip(f"{backend} refuses {name}: {entry(backend, name)['refused']}")
    assert hlo_count.count(text(backend, name)).status == status


@pytest.mark.parametrize(("backend", "name"), STORED)
def test_arguments_are_as_large_as_the_compiler_says(backend, name):
    stored, made = load(backend, name)
    report = hlo_count.count(stored)
    assert report.argument_bytes == made["memory"]["argument"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_program_is_stored_or_its_refusal_explained(backend):
    for program in PROGRAMS.values():
        if backend in program.backends:
            assert ("refused" in entry(backend, program.name)) != (program.name in compiled_names(backend))
            assert entry(backend, program.name)["devices"] == program.devices
    assert len(compiled_names(backend)) >= 25


SCANS = [(version, name) for version in versions() for name in ("scan_matmul", "scan_matmul.before")]


@pytest.mark.parametrize(("version", "name"), SCANS)
def test_each_jax_tells_ten_products_in_a_scan(version, name):
    report = hlo_count.count(text(f"versions/{version}", name))
    assert report.by("class")["matmul"].flops == 10 * 2 * 128**3
    assert report.status == "exact"


@pytest.mark.parametrize("version", versions())
def test_each_jax_tells_a_transform(version):
    report = hlo_count.count(text(f"versions/{version}", "mixture"))
    assert report.by("class")["fft"].flops == 8 * 5 * 1024 * 10


def test_valid_pairs_are_their_closed_forms():
    assert valid_pairs(28, 3, pad=(1, 1)) == 3 * 28 - 2
    assert valid_pairs(28, 3, pad=(2, 2), dilation=2) == 3 * 28 - 2 * 2
    assert valid_pairs(28, 3) == 26 * 3
    assert valid_pairs(28, 2, stride=2) == 28
    # Every real element of a spread input meets every second of the 4 taps, but for the two ends.
    assert valid_pairs(14, 4, pad=(2, 2), holes=2) == 14 * 4 - 2
    assert conv_flops(1, 3, 5, (7, 7)) == 2 * 3 * 5 * 49
    assert (ring(800, 8), ring(800, 8, 2), ring(8196, 8, 2)) == (700, 1400, 14343)
