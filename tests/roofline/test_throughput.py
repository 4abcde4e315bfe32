"""Registers, latency and issue width: how much of the vector peak an operation reaches."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlo_count.errors import DeviceError
from hlo_count.roofline.catalog import device
from hlo_count.roofline.throughput import (
    MULTIPLY_ADD,
    MULTIPLY_MAXIMUM,
    VectorOperation,
    VectorPipeline,
)


@pytest.mark.parametrize(
    ("registers", "in_flight", "fraction", "speedup"),
    [
        # latency 4, two issues a cycle: 8 in flight fill the unit
        (16, (8, 5), (1, Fraction(5, 8)), Fraction(16, 5)),  # 2 slots x 8/5 = 3.2 times
        (32, (16, 10), (1, 1), 2),  # only the slots differ
        (8, (4, 2), (Fraction(1, 2), Fraction(1, 4)), 4),  # 2 slots x (4/8) / (2/8)
    ],
)
def test_sum_of_products_against_max_of_products(registers, in_flight, fraction, speedup):
    pipeline = VectorPipeline(registers=registers, latency=4, issue_width=2)
    both = (MULTIPLY_ADD, MULTIPLY_MAXIMUM)
    assert tuple(map(pipeline.in_flight, both)) == in_flight
    assert tuple(map(pipeline.fraction_of_peak, both)) == fraction
    assert pipeline.speedup(*both) == speedup


@pytest.mark.parametrize(("name", "speedup"), [("cpu-avx2", 3.2), ("cpu-avx512", 2.0)])
def test_profiles_carry_their_pipeline(name, speedup):
    assert float(device(name).pipeline.speedup(MULTIPLY_ADD, MULTIPLY_MAXIMUM)) == speedup


sizes = st.integers(1, 64)
pipelines = st.builds(VectorPipeline, registers=sizes, latency=sizes, issue_width=sizes)
operations = st.builds(VectorOperation, slots=sizes, registers=sizes)


@given(pipelines, operations)
def test_a_fraction_of_peak_is_one_exactly_when_the_pipeline_can_be_filled(pipeline, operation):
    fraction = pipeline.fraction_of_peak(operation)
    assert 0 <= fraction <= 1
    needed = pipeline.latency * pipeline.issue_width * operation.registers
    assert (fraction == 1) == (pipeline.registers >= needed)


@given(pipelines, operations, sizes)
def test_more_registers_never_hurt(pipeline, operation, more):
    wider = VectorPipeline(
        registers=pipeline.registers + more, latency=pipeline.latency, issue_width=pipeline.issue_width
    )
    assert wider.fraction_of_peak(operation) >= pipeline.fraction_of_peak(operation)


@given(pipelines, operations)
def test_steps_never_exceed_the_issue_slots(pipeline, operation):
    assert pipeline.steps_per_cycle(operation) * operation.slots <= pipeline.issue_width


def test_an_operation_that_does_not_fit_is_an_error():
    pipeline = VectorPipeline(registers=2, latency=4, issue_width=2)
    with pytest.raises(DeviceError, match="3 registers are needed and 2 are there"):
        pipeline.speedup(MULTIPLY_ADD, MULTIPLY_MAXIMUM)
    with pytest.raises(DeviceError, match="latency >= 1"):
        VectorPipeline(registers=16, latency=0, issue_width=2)
