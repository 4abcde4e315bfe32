"""Blocks that a grid moves, against a walk through its steps."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlo_count.visitors.kernels.block_transfers import Elements, blocks_moved
from hlo_count.visitors.kernels.grid_steps import GridSteps
from hlo_count.visitors.kernels.intervals import Interval, anything, evaluate, known


def walked(places, block, array):
    """Elements moved, and elements touched, of the blocks at places in their order."""
    moved, before, seen = 0, None, set()
    for place in places:
        if place != before:
            sizes = [max(0, min(b, n - at * b)) for at, b, n in zip(place, block, array, strict=True)]
            moved += prod(sizes)
            seen.add((place, prod(sizes)))
        before = place
    return moved, sum(size for _, size in seen)


GRIDS = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@given(GRIDS, st.data())
def test_a_block_is_moved_when_its_index_changes(grid, data):
    coefficients = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * len(grid)), min_size=1, max_size=2))
    array = data.draw(st.lists(st.integers(20, 60), min_size=len(coefficients), max_size=len(coefficients)))
    block = data.draw(st.lists(st.integers(1, 4), min_size=len(coefficients), max_size=len(coefficients)))
    steps = GridSteps(grid)
    indices = []
    for row in coefficients:
        index = known(0)
        for axis, factor in enumerate(row):
            scaled = evaluate("arith.muli", [steps.index(axis), known(factor)])
            index = evaluate("arith.addi", [index, scaled])
        indices.append(index)
    places = [
        tuple(sum(f * at for f, at in zip(row, step, strict=True)) for row in coefficients)
        for step in product(*map(range, grid))
    ]
    moved, touched = walked(places, block, array)
    assert blocks_moved(indices, block, array, grid) == Elements(touched, moved, touched)


def test_the_last_block_moves_what_is_left():
    steps = GridSteps((3,))
    assert blocks_moved([steps.index(0)], (128,), (300,), (3,)) == Elements(300, 300, 300)


def test_an_index_by_data_may_be_another_at_each_step():
    """Rows that data choose, at each step of the second dimension; the first repeats all of them."""
    steps = GridSteps((2, 4, 3))
    row = anything(made_of=[steps.index(1)])
    found = blocks_moved([row, known(0)], (8, 128), (64, 128), (2, 4, 3))
    assert found == Elements(certain=8 * 128, counted=2 * 4 * 8 * 128, touched=4 * 8 * 128, by_data=True)


def test_an_index_with_bounds_is_one_by_data():
    found = blocks_moved([Interval(0, 3)], (8,), (64,), (5,))
    assert (found.certain, found.counted) == (8, 8)  # it depends on no dimension of the grid


def test_ranks_that_differ_are_refused():
    with pytest.raises(ValueError, match="blocks of rank 2 of an array of rank 1"):
        blocks_moved([known(0)], (8, 8), (64,), (5,))


def test_an_element_window_begins_at_its_index():
    steps = GridSteps((3,))
    start = evaluate("arith.muli", [steps.index(0), known(10)])
    assert blocks_moved([start], (16,), (30,), (3,), by_element=True).counted == 16 + 16 + 10
