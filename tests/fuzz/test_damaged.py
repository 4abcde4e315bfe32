"""Damaged texts: refused, or a lower bound, or the figures that XLA has of them; never an error that is not ours."""

from __future__ import annotations

import itertools

import pytest
from xla_reference import VERIFIES

from fuzz.judge import Judge
from fuzz.mutants import Mutant, Mutator, computation_starts
from fuzz.outputs import OUTPUTS
from fuzz.pool import printed

pytestmark = pytest.mark.skipif(not VERIFIES, reason="this jaxlib does not let us ask XLA's verifier")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_texts(seed: int) -> None:
    judge = Judge()
    judged = (judge.judge(mutant) for mutant in itertools.islice(Mutator(printed(), seed).mutants(), 250))
    assert [str(finding) for finding in judged if finding is not None] == []
    assert judge.tally["exact"] > 30, "mutants that are all refused tell nothing"
    assert judge.tally["refused"] > 50, "mutants that are all taken tell nothing"


def test_texts_cut_off_before_any_computation() -> None:
    judge = Judge()
    cut = [Mutant(text[:at], (text,), "cut") for text in printed() for at in computation_starts(text)]
    found = [judge.judge(mutant) for mutant in cut]
    assert len(cut) > 800
    assert [str(finding) for finding in found if finding is not None] == []


@pytest.mark.parametrize("seed", range(2))
def test_texts_cut_off_anywhere(seed: int) -> None:
    judge = Judge()
    found = [judge.judge(mutant) for mutant in itertools.islice(Mutator(printed(), seed).truncations(), 250)]
    assert [str(finding) for finding in found if finding is not None] == []


@pytest.mark.parametrize("seed", range(2))
def test_every_output_and_comparison_of_damaged_texts(seed: int) -> None:
    judge = Judge()
    mutants = list(itertools.islice(Mutator(printed(), seed).mutants(), 30))
    found = [judge.judge_outputs(mutant) for mutant in mutants]
    assert [str(finding) for finding in found if finding is not None] == []
    assert judge.tally["shown"] > 5
    assert len(OUTPUTS) > 10
