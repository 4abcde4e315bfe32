"""Integer arrays that a module determines, through copies, tuples, loops and calls."""

from __future__ import annotations

import pytest

from hlo_count.hlo.array_integers import integers_of
from hlo_count.hlo.parser import parse

LITERAL = "s8[1,2,3]{2,1,0} constant({ /*i0=0*/ { { 0, -1, 2 }, { 3, 4, 5 } } })"
ARRAY = (0, -1, 2, 3, 4, 5)
CARRIED = "(s32[], s8[1,2,3], s8[1,2,3])"
LOOP = f"""HloModule m

body {{
  p = {CARRIED} parameter(0)
  i = s32[] get-tuple-element(p), index=0
  kept = s8[1,2,3] get-tuple-element(p), index=1
  asked = s8[1,2,3] copy(kept)
  other = s8[1,2,3] get-tuple-element(p), index=2
  changed = s8[1,2,3] add(other, asked)
  ROOT t = {CARRIED} tuple(i, kept, changed)
}}

condition {{
  p = {CARRIED} parameter(0)
  i = s32[] get-tuple-element(p), index=0
  ROOT r = pred[] compare(i, i), direction=LT
}}

ENTRY e {{
  zero = s32[] constant(0)
  c = {LITERAL}
  start = (s8[1,2,3], s8[1,2,3], u32[]) copy-start(c)
  done = s8[1,2,3] copy-done(start)
  t = {CARRIED} tuple(zero, done, c)
  loop = {CARRIED} while(t), condition=condition, body=body
  behind = s8[1,2,3] get-tuple-element(loop), index=1
  ROOT flat = s8[2,3] reshape(behind)
}}
"""


@pytest.mark.parametrize(
    ("computation", "name", "expected"),
    [
        ("e", "c", ARRAY),
        ("e", "done", ARRAY),
        ("e", "flat", ARRAY),
        ("body", "asked", ARRAY),
        ("body", "other", None),  # the loop changes it
        ("body", "changed", None),
    ],
)
def test_an_array_is_followed_to_its_constant(computation, name, expected):
    assert integers_of(parse(LOOP).computations[computation].by_name[name]) == expected


def entry(*lines: str) -> str:
    return "ENTRY e {\n" + "\n".join(f"  {line}" for line in lines) + "\n}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (entry("s = s32[] constant(7)", "ROOT r = s32[3] broadcast(s), dimensions={}"), (7, 7, 7)),
        (entry("ROOT r = s32[12] constant({...})"), None),
        (entry("ROOT r = s32[2] parameter(0)"), None),
        (entry(f"c = {LITERAL}", "ROOT r = s8[3,2] reshape(c)"), ARRAY),
        (entry(f"c = {LITERAL}", "ROOT r = s8[3,2] bitcast(c)"), None),  # in which order, the layouts say
        (entry(f"c = {LITERAL}", "ROOT r = s8[1,2,3] negate(c)"), None),
    ],
)
def test_what_an_array_is_made_of(text, expected):
    assert integers_of(parse(text).entry.root) == expected


def test_what_the_text_leaves_out_may_be_known_to_who_compiled_it():
    module = parse(entry("c = s32[12] constant({...})", "ROOT r = s32[12] copy(c)"))
    module.integers = {"c": tuple(range(12))}
    assert integers_of(module.entry.root) == tuple(range(12))
