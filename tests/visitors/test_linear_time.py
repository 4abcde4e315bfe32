"""What is asked of a module grows as the module does: counted in lines of Python that run, not by the clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

import hlo_count
from hlo_count.hlo import parse
from hlo_count.report.report import Report
from hlo_count.roofline.work_by_unit import Works
from hlo_count.visitors.compulsory import certain_bytes, compulsory_bytes
from hlo_count.visitors.peak import peak_bytes

ROW = "f32[64]"  # 256 bytes
LONG = 100_000


def entry(lines: list[str], before: str = "") -> str:
    return "\n".join(["HloModule m, is_scheduled=true", before, "ENTRY e {", *lines, "}"])


def rows(count: int) -> str:
    return "(" + ", ".join([ROW] * count) + ")"


def chain(links: int, first: str = "p") -> list[str]:
    names = [first, *(f"c{n}" for n in range(links))]
    return [f"  {name} = {ROW} negate({before})" for before, name in pairwise(names)]


def test_a_fused_chain_of_a_hundred_thousand() -> None:
    """Half of its result is taken, so that half of its argument is read."""
    body = [f"  p = {ROW} parameter(0)", *chain(LONG), f"  s = f32[32] slice(c{LONG - 1}), slice={{[0:32]}}"]
    fused = "\n".join(["f {", *body, "  ROOT r = f32[32] negate(s)", "}"])
    call = [f"  p = {ROW} parameter(0)", "  ROOT r = f32[32] fusion(p), kind=kLoop, calls=f"]
    report = hlo_count.count(entry(call, fused))
    assert report.flops == 0  # negations are no arithmetic on the exponent or the fraction
    assert report.other_ops == LONG * 64 + 32
    assert (report.bytes_read, report.bytes_written) == (128, 128)  # a slice is all that is read of the parameter
    assert compulsory_bytes(report.walk) == certain_bytes(report.walk) == 128 + 128
    assert peak_bytes(report.module).total == 256 + 128
    assert report.roofline("h100-sxm").bound > 0


def test_a_chain_of_a_hundred_thousand_kernels_lives_in_its_output() -> None:
    report = hlo_count.count(
        entry([f"  p = {ROW} parameter(0)", *chain(LONG), f"  ROOT r = {ROW} negate(c{LONG - 1})"])
    )
    assert compulsory_bytes(report.walk) == 2 * 256
    assert peak_bytes(report.module).temporaries == 0
    assert report.roofline("h100-sxm").estimate > 0


def test_a_chain_of_a_hundred_thousand_names_is_its_argument() -> None:
    names = ["p", *(f"b{n}" for n in range(LONG))]
    lines = [f"  {name} = {ROW} bitcast({before})" for before, name in pairwise(names)]
    report = hlo_count.count(entry([f"  p = {ROW} parameter(0)", *lines, f"  ROOT c = {ROW} copy({names[-1]})"]))
    assert compulsory_bytes(report.walk) == 2 * 256


def nest(depth: int) -> str:
    """Fusions that each call the one below twice: 2 ** depth innermost negations."""
    texts = [f"f0 {{\n  p = {ROW} parameter(0)\n  ROOT r = {ROW} exponential(p)\n}}"]
    for n in range(1, depth + 1):
        two = "\n".join(f"  {x} = {ROW} fusion({of}), kind=kLoop, calls=f{n - 1}" for x, of in ("ap", "ba"))
        texts.append(f"f{n} {{\n  p = {ROW} parameter(0)\n{two}\n  ROOT r = {ROW} add(a, b)\n}}")
    call = f"  ROOT r = {ROW} fusion(p), kind=kLoop, calls=f{depth}"
    return entry([f"  p = {ROW} parameter(0)", call], "\n".join(texts))


def test_a_nest_of_fusions_is_looked_through_once_for_each() -> None:
    depth = 60
    report = hlo_count.count(nest(depth))
    works = Works(report.walk)
    root = report.module.entry.root
    (evaluations,) = [n for key, n in works.counted(root, lambda _: True).items() if key[0] == "special"]
    assert evaluations == 64 * 2**depth
    assert works.least(root, lambda _: True)[("special", "f32", "exponential")] == 64 * 2**depth
    assert compulsory_bytes(report.walk) == 2 * 256
    assert len(hlo_count.what_if(report)) > 1


def nested(kind: str, depth: int) -> str:
    """Computations that each call the one before it, by a line of its own."""
    head = "(x: f32[8]) -> f32[8] {\n  %x = f32[8]{0} parameter(0)\n"
    leaf = f"{head}  ROOT %r = f32[8]{{0}} exponential(%x)\n}}\n"
    never = "%never (x: f32[8]) -> pred[] {\n  %x = f32[8]{0} parameter(0)\n  ROOT %r = pred[] constant(false)\n}\n"
    texts = [f"%c0 {leaf}%other {leaf}{never}"]
    for n in range(1, depth + 1):
        below = f"%c{n - 1}"
        line = {
            "call": f"call(%x), to_apply={below}",
            "fusion": f"fusion(%x), kind=kLoop, calls={below}",
            "while": f"while(%x), condition=%never, body={below}",
            "conditional": f"conditional(%p, %x, %x), true_computation={below}, false_computation=%other",
        }[kind]
        predicate = "  %p = pred[] constant(true)\n" if kind == "conditional" else ""
        texts.append(f"%c{n} {head}{predicate}  ROOT %r = f32[8]{{0}} {line}\n}}\n")
    top = f"ENTRY %e {head}  ROOT %r = f32[8]{{0}} call(%x), to_apply=%c{depth}\n}}\n"
    return "HloModule m\n\n" + "\n".join([*texts, top])


# How the steps grow


def steps(work: Callable[[], object]) -> int:
    """The lines of Python that run meanwhile."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def outputs_and_temporaries(size: int) -> str:
    """Every fourth temporary makes an output of twice its size that lives to the end, as parameters of a step do."""
    lines = [f"  p = {ROW} parameter(0)", f"  t0 = {ROW} reverse(p), dimensions={{0}}"]
    lines += [f"  t{n} = {ROW} reverse(t{n - 1}), dimensions={{0}}" for n in range(1, size)]
    outs = range(0, size, 4)
    lines += [f"  o{n} = f32[128] concatenate(t{n}, p), dimensions={{0}}" for n in outs]
    result = "(" + ", ".join(["f32[128]" for _ in outs]) + ")"
    return entry([*lines, f"  ROOT r = {result} tuple({', '.join(f'o{n}' for n in outs)})"])


def leaves(size: int) -> str:
    """A tuple taken apart, each element copied and updated in place, and put together."""
    lines = [f"  p = {rows(size)} parameter(0)", "  i = s32[] constant(0)", "  u = f32[8] constant({1,1,1,1,1,1,1,1})"]
    for n in range(size):
        lines.append(f"  g{n} = {ROW} get-tuple-element(p), index={n}")
        lines.append(f"  d{n} = {ROW} dynamic-update-slice(g{n}, u, i)")
    return entry([*lines, f"  ROOT t = {rows(size)} tuple({', '.join(f'd{n}' for n in range(size))})"])


def carried(size: int) -> str:
    """The same in a loop of five trips."""
    state = f"(s32[], {', '.join([ROW] * size)})"
    body = [
        "b {",
        f"  p = {state} parameter(0)",
        "  i = s32[] get-tuple-element(p), index=0",
        "  one = s32[] constant(1)",
    ]
    body += ["  j = s32[] add(i, one)", "  u = f32[8] constant({1,1,1,1,1,1,1,1})"]
    for n in range(size):
        body.append(f"  g{n} = {ROW} get-tuple-element(p), index={n + 1}")
        body.append(f"  d{n} = {ROW} dynamic-update-slice(g{n}, u, i)")
    body += [f"  ROOT t = {state} tuple(j, {', '.join(f'd{n}' for n in range(size))})", "}"]
    condition = ["c {", f"  p = {state} parameter(0)", "  i = s32[] get-tuple-element(p), index=0"]
    condition += ["  n = s32[] constant(5)", "  ROOT l = pred[] compare(i, n), direction=LT", "}"]
    lines = [f"  q = {state} parameter(0)", f"  ROOT w = {state} while(q), condition=c, body=b"]
    return entry(lines, "\n".join([*body, *condition]))


def wide_fusion(size: int) -> str:
    """One fusion that updates a slice of each of its operands in place."""
    body = ["f {", "  i = s32[] constant(0)", "  u = f32[8] constant({1,1,1,1,1,1,1,1})"]
    for n in range(size):
        body.append(f"  p{n} = {ROW} parameter({n})")
        body.append(f"  d{n} = {ROW} dynamic-update-slice(p{n}, u, i)")
    body += [f"  ROOT t = {rows(size)} tuple({', '.join(f'd{n}' for n in range(size))})", "}"]
    lines = [f"  q{n} = {ROW} parameter({n})" for n in range(size)]
    call = f"  ROOT r = {rows(size)} fusion({', '.join(f'q{n}' for n in range(size))}), kind=kLoop, calls=f"
    return entry([*lines, call], "\n".join(body))


def roofs(report: Report) -> object:
    return report.roofline("h100-sxm").rows


FAMILIES = {f.__name__: f for f in (outputs_and_temporaries, leaves, carried, wide_fusion)}
QUESTIONS: dict[str, Callable[[Report], object]] = {
    "compulsory": lambda report: compulsory_bytes(report.walk),
    "certain": lambda report: certain_bytes(report.walk),
    "peak": lambda report: peak_bytes(report.module),
    "roofline": roofs,
    "reconcile": lambda report: report.reconcile(),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_four_times_the_module_takes_four_times_the_steps(family: str, question: str) -> None:
    taken = []
    for size in (150, 600):
        report = hlo_count.count(parse(FAMILIES[family](size)))
        taken.append(steps(lambda report=report: QUESTIONS[question](report)))
    assert taken[1] < 5.5 * taken[0]  # 4 times, and a logarithm; quadratic would be 16 times


@pytest.mark.parametrize("kind", ["call", "fusion", "while", "conditional"])
def test_counting_a_nest_four_times_as_deep_takes_four_times_the_steps(kind: str) -> None:
    assert hlo_count.count(nested(kind, 3)).transcendentals == (0 if kind == "while" else 8)  # which never runs
    taken = [steps(lambda depth=depth: hlo_count.count(nested(kind, depth))) for depth in (100, 400)]
    assert taken[1] < 4.2 * taken[0]  # 4 times, less what is asked of any module
