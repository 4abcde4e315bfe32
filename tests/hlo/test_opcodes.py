"""The table of opcodes, held against XLA's own parser."""

from __future__ import annotations

import pytest

from hlo_count.hlo.opcodes import COLLECTIVE_STARTS, ELEMENTWISE, OPCODES, elementwise_of, halved, having

NOT_IN_XLA_YET = {"exp2", "log2", "shuffle", "collective-reduce"}
"""Of other versions than those that can be installed."""


def refusal(line: str) -> str:
    """Why XLA's parser does not take an instruction; "" where it does."""
    hlo = pytest.importorskip("jaxlib._hlo", reason="this jaxlib has no parser of its own to ask")
    try:
        hlo.hlo_module_from_text(f"HloModule m\nENTRY e {{\n  p = f32[] parameter(0)\n  ROOT r = f32[] {line}\n}}\n")
    except Exception as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("name", sorted(name for name in ELEMENTWISE if not OPCODES[name].needs))
def test_an_elementwise_opcode_takes_as_many_operands_as_xla_says(name: str) -> None:
    most = OPCODES[name].most
    assert most is not None
    if name in NOT_IN_XLA_YET and refusal(f"{name}(p)"):
        pytest.skip("this XLA does not know it")
    assert not refusal(f"{name}({', '.join(['p'] * most)})")
    assert f"expects {most} operands" in refusal(f"{name}({', '.join(['p'] * (most + 1))})")


def test_elementwise_opcodes_take_one_to_three_operands() -> None:
    assert elementwise_of(1) | elementwise_of(2) | elementwise_of(3) == ELEMENTWISE
    assert elementwise_of(3) == {"clamp", "select"}


def test_halves() -> None:
    assert halved("all-gather-start") == ("all-gather", "start")
    assert halved("slice-done") == ("slice", "done")
    assert halved("async-update") == ("", "update")
    assert halved("add") == ("", "")
    assert {"all-gather-start", "all-reduce-start", "collective-permute-start"} == COLLECTIVE_STARTS


def test_a_word_that_is_no_trait_is_an_error() -> None:
    with pytest.raises(KeyError, match="elementwize"):
        having("elementwize")
