"""A module whose names, paths and metadata attack whatever shows them, and what a harmless text is."""

from __future__ import annotations

import re
import unicodedata

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x9b31m\x00\x7f\x85"  # ANSI, OSC, C1, NUL, DEL
    "\u202e\u2066\u200b\u2060\ufeff\u00ad\u2028\u3164\U000e0041"  # directions, zero widths, fillers, tags
    "a\u0301\u0302\u0303\u0304"  # accents above accents
    "\r\n::error file=x::from the text\n ::set-output name=x::y\n##vso[task.setvariable]\t##[error]"
    '<script>alert(1)</script><img src=x>|`code`|**bold**@someone #1 http://x.example www.x.example $\\int$ "; rm -rf ~ #'
)
"""Everything at once, for a string of an attribute."""
FORMULA = '=HYPERLINK("http://x.example")'


def quoted(text: str) -> str:
    """A string as HLO spells it; lines end the one that they stand in."""
    escapes = {"\0": "\\000", "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def hostile_text(size: int = 64, hostile: str = HOSTILE) -> str:
    """A module with a matmul, a loop of unknown length and a custom call of no known target."""
    at = f"metadata={{op_name={quoted(f'jit(f)/{hostile}/dot')} source_file={quoted(f'{hostile}.py')} source_line=7}}"
    loop = f"metadata={{op_name={quoted(f'jit(f)/{hostile}/while')} source_file={quoted(hostile)} source_line=8}}"
    formula = f"metadata={{op_name={quoted(f'{FORMULA}/{hostile}')} source_file={quoted(FORMULA)} source_line=9}}"
    shape = f"f32[{size},{size}]{{1,0}}"
    return f"""HloModule jit_f, frontend_attributes={{x={quoted(hostile)}}}

%cond (c: (s32[], s32[])) -> pred[] {{
  %c = (s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%c), index=0
  %n = s32[] get-tuple-element(%c), index=1
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}}

%body (b: (s32[], s32[])) -> (s32[], s32[]) {{
  %b = (s32[], s32[]) parameter(0)
  %j = s32[] get-tuple-element(%b), index=0
  %m = s32[] get-tuple-element(%b), index=1
  %one = s32[] constant(1)
  %k = s32[] add(%j, %one)
  ROOT %t = (s32[], s32[]) tuple(%k, %m)
}}

ENTRY %main (x: {shape[:-5]}, n: s32[]) -> {shape[:-5]} {{
  %x = {shape} parameter(0), metadata={{op_name={quoted(hostile)}}}
  %n0 = s32[] parameter(1), metadata={{op_name={quoted(hostile)}}}
  %zero = s32[] constant(0)
  %start = (s32[], s32[]) tuple(%zero, %n0)
  %loop = (s32[], s32[]) while(%start), condition=%cond, body=%body, {loop}
  %y = {shape} dot(%x, %x), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, {at}
  %e = {shape} exponential(%y), {formula}
  %r = {shape} all-reduce(%e), replica_groups={{{{0}}}}, to_apply=%sum, {at}
  ROOT %z = {shape} custom-call(%r), custom_call_target={quoted(hostile)}, backend_config={quoted(hostile)}, {at}
}}
""".replace(
        "ENTRY",
        """%sum (p: f32[], q: f32[]) -> f32[] {
  %p = f32[] parameter(0)
  %q = f32[] parameter(1)
  ROOT %s = f32[] add(%p, %q)
}

ENTRY""",
        1,
    )


def offences(text: str) -> list[str]:
    """What in a text would be obeyed or go unseen, by Unicode's own tables; nothing in a harmless one."""
    found = [
        f"U+{ord(char):04X}"
        for char in text
        if char != "\n"
        and (unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or char in "\u3164\ufe0f")
    ]
    found += [f"a command: {line[:40]}" for line in text.split("\n") if line.lstrip().startswith("::")]
    found += re.findall(r"##\w*\[", text)
    return found
