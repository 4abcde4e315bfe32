"""What XLA's parser or verifier refuses is refused, with the line and a caret, fused computations included."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest

import hlo_count as hc
from hlo_count.errors import ParseError
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.verifier import verify

SUM = "sum { a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n\n"


def fused(body: str, shape: str = "f32[4]") -> str:
    """A program whose only kernel is a fusion of `body`, as XLA prints it."""
    return (
        f"HloModule m, entry_computation_layout={{(f32[4]{{0}})->{shape}}}\n\n%f (p: f32[4]) -> {shape} {{\n"
        f"  %p = f32[4]{{0}} parameter(0)\n{body}\n}}\n\nENTRY %e (x: f32[4]) -> {shape} {{\n"
        f"  %x = f32[4]{{0}} parameter(0)\n  ROOT %r = {shape} fusion(%x), kind=kLoop, calls=%f\n}}\n"
    )


def entry(body: str, before: str = "") -> str:
    """A hand-written program of one computation, which the scanner reads."""
    return f"HloModule m\n\n{before}ENTRY e {{\n  x = f32[4] parameter(0)\n{body}\n}}\n"


IN_A_FUSION = {
    "a second instruction of a name": ("  %t = f32[4]{0} tanh(%p)\n  %t = f32[4]{0} sine(%p)\n  ROOT %u = f32[4]{0} add(%t, %t)", "second"),
    "two roots": ("  ROOT %t = f32[4]{0} tanh(%p)\n  ROOT %u = f32[4]{0} sine(%p)", "second ROOT"),
    "an operand that is not there": ("  ROOT %t = f32[4]{0} tanh(%q)", "takes the operand q"),
    "an operand that stands later": ("  %t = f32[4]{0} tanh(%u)\n  %u = f32[4]{0} sine(%p)\n  ROOT %v = f32[4]{0} add(%t, %u)", "stands after it"),
    "an exponential of two": ("  ROOT %t = f32[4]{0} exponential(%p, %p)", "too many operands: 2, it takes 1"),
    "an addition of one": ("  ROOT %t = f32[4]{0} add(%p)", "too few operands: 1, it takes 2"),
    "another size than the operands have": ("  %s = f32[1000000]{0} add(%p, %p)\n  %z = f32[] constant(0)\n  ROOT %t = f32[4]{0} slice(%s), slice={[0:4]}", "states the shape f32\\[1000000\\]"),
    "a literal that is too short": ("  %c = f32[7]{0} constant({1, 2, 3, 4})\n  %d = f32[4]{0} slice(%c), slice={[0:4]}\n  ROOT %t = f32[4]{0} add(%p, %d)", "literal of 4 elements, but f32\\[7\\].* has 7"),
    "a slice without its bounds": ("  ROOT %t = f32[4]{0} slice(%p)", "without slice="),
    "a slice beyond the end": ("  ROOT %t = f32[4]{0} slice(%p), slice={[1:5]}", "of a dimension of 4"),
    "an attribute twice": ("  ROOT %t = f32[4]{0} broadcast(%p), dimensions={0}, dimensions={0}", "dimensions stands twice"),
    "a predecessor that is not there": ("  ROOT %t = f32[4]{0} tanh(%p), control-predecessors={%q}", "waits for q"),
    "types that do not meet": ("  %c = s32[4]{0} convert(%p)\n  ROOT %t = f32[4]{0} add(%p, %c)", "types f32 and s32"),
    "a reshape into more": ("  %c = f32[8]{0} reshape(%p)\n  ROOT %t = f32[4]{0} slice(%c), slice={[0:4]}", "has 4 elements"),
    "a transpose of no order": ("  ROOT %t = f32[4]{0} transpose(%p), dimensions={1}", "is no order"),
}  # fmt: skip

IN_THE_ENTRY = {
    "a fusion without calls": (entry("  ROOT r = f32[4] fusion(x), kind=kLoop"), "without calls="),
    "a call without to_apply": (entry("  ROOT r = f32[4] call(x)"), "without to_apply="),
    "a call of what is not there": (entry("  ROOT r = f32[4] call(x), to_apply={gone}"), "expected the name of a computation"),
    "a call of a name that is not there": (entry("  ROOT r = f32[4] call(x), to_apply=gone"), "does not have"),
    "an fft without its length": (entry("  c = c64[4] convert(x)\n  ROOT r = c64[4] fft(c), fft_type=FFT"), "without fft_length="),
    "an fft without its type": (entry("  ROOT r = c64[3] fft(x), fft_length={4}"), "without fft_type="),
    "a reduction without dimensions": (entry("  z = f32[] constant(0)\n  ROOT r = f32[] reduce(x, z), to_apply=sum", SUM), "without dimensions="),
    "a reduction to another size": (entry("  z = f32[] constant(0)\n  ROOT r = f32[4] reduce(x, z), dimensions={0}, to_apply=sum", SUM), "states the shape f32\\[4\\]"),
    "a window that is not there": (entry("  z = f32[] constant(0)\n  ROOT r = f32[2] reduce-window(x, z), to_apply=sum", SUM), "window= of f32"),
    "a dot of 64 with 32": (
        "HloModule m\n\nENTRY e {\n  a = f32[8,64] parameter(0)\n  b = f32[32,8] parameter(1)\n"
        "  ROOT d = f32[8,8] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}\n}\n",
        "a contracting dimension of 64 meets one of 32",
    ),
    "an element of another shape": (entry("  t = (f32[4], f32[4]) tuple(x, x)\n  ROOT g = f32[8] get-tuple-element(t), index=0"), "states the shape f32\\[8\\]"),
    "an element that is not there": (entry("  t = (f32[4]) tuple(x)\n  ROOT g = f32[4] get-tuple-element(t), index=1"), "index=1 of a tuple of 1"),
    "a callee that gives something else": (entry("  ROOT r = f32[8] call(x), to_apply=g", "g { y = f32[4] parameter(0)\n  ROOT t = f32[4] tanh(y)\n}\n\n"), "but g gives f32\\[4\\]"),
    "a callee that takes something else": (entry("  ROOT r = f32[4] call(x), to_apply=g", "g { y = f32[8] parameter(0)\n  ROOT t = f32[4] slice(y), slice={[0:4]}\n}\n\n"), "whose parameter 0 is f32\\[8\\]"),
    "a device twice in its groups": (entry("  ROOT r = f32[4] all-reduce(x), replica_groups={{0,0}}, to_apply=sum", SUM), "a device twice"),
    "a comparison without a direction": (entry("  ROOT r = pred[4] compare(x, x)"), "without direction="),
}  # fmt: skip


def refusal(text: str) -> str:
    """The error that a text is refused with, or why it is no more than a lower bound; "" where it is exact."""
    try:
        report = hc.count(text)
    except hc.HloCountError as problem:
        return str(problem)
    assert (report.status == "lower bound") == bool(report.unknowns)
    return "; ".join(map(str, report.unknowns))


@pytest.mark.parametrize("case", IN_A_FUSION)
def test_a_fused_computation_is_not_exact(case: str) -> None:
    body, message = IN_A_FUSION[case]
    text = refusal(fused(body))
    assert re.search(message, text)
    assert "Settle it" in text or "\n    " in text  # an unknown, or an error with a caret


@pytest.mark.parametrize("case", IN_THE_ENTRY)
def test_an_entry_is_not_exact(case: str) -> None:
    text, message = IN_THE_ENTRY[case]
    assert re.search(message, refusal(text))


def test_a_signature_that_differs_from_the_root_is_refused() -> None:
    text = fused("  ROOT %t = f32[4]{0} tanh(%p)").replace("%f (p: f32[4]) -> f32[4]", "%f (p: f32[4]) -> f32[8]")
    with pytest.raises(ParseError, match=r"f says that it gives f32\[8\], but its root is f32\[4\]"):
        hc.parse(text)


@pytest.mark.parametrize(
    "stated", ["(f32[4]{0}, f32[4]{0})->f32[4]{0}", "(f32[8]{0})->f32[4]{0}", "(f32[4]{0})->f32[2]{0}"]
)
def test_a_header_of_another_entry_is_refused(stated: str) -> None:
    text = fused("  ROOT %t = f32[4]{0} tanh(%p)").replace("(f32[4]{0})->f32[4]", stated)
    with pytest.raises(ParseError, match="is the text complete"):
        hc.parse(text)


def test_a_dump_that_ends_before_its_entry_is_refused() -> None:
    whole = fused("  ROOT %t = f32[2]{0} slice(%p), slice={[0:2]}", "f32[2]")
    for cut in range(len(whole) - 1):
        if "ENTRY" not in whole[:cut]:
            with pytest.raises(hc.HloCountError):
                hc.parse(whole[:cut].replace("(f32[4]{0})->", "(f32[4]{0}, f32[])->"))


def test_no_view_of_a_text_that_contradicts_itself_is_an_error_of_python() -> None:
    text = fused("  %n = f32[] exponential(%p)\n  ROOT %t = f32[4]{0} broadcast(%n), dimensions={}")
    report = hc.count(text)
    assert report.status == "lower bound"
    for view in (lambda: hc.what_if(report, on=["h100-sxm"]), lambda: report.roofline("h100-sxm")):
        with pytest.raises(hc.HloCountError, match=r"contradicts itself, too much to tell: n states the shape f32\[\]"):
            view()


def test_what_stands_behind_or_before_a_module_that_is_torn_is_refused() -> None:
    whole = fused("  ROOT %t = f32[4]{0} tanh(%p)")
    assert hc.count(whole + "\nthe log goes on\n").transcendentals == 4
    for torn in (
        whole.rstrip() + " }\n",
        whole + "3 {file_location_id=3 parent_frame_id=1}\n",
        whole.partition("\n")[2],
    ):
        with pytest.raises(ParseError):
            hc.parse(torn)


def test_what_xla_takes_is_taken() -> None:
    assert hc.count(fused("  ROOT %t = f32[4]{0} tanh(%p)")).transcendentals == 4
    assert hc.parse(entry("  c = f32[4] constant(1)\n  ROOT r = f32[4] add(x, c)"))  # one number for all elements
    assert hc.parse(entry("  c = bf16[4] convert(x)\n  ROOT r = f32[4] add(x, c)"))  # mixed precision
    assert hc.parse(
        entry(
            "  s = f32[2] slice(x), slice={[0:4:2]}\n  ROOT r = f32[4] pad(s, s1), padding=1_1".replace(
                "s1", "z"
            ).replace("  s =", "  z = f32[] constant(0)\n  s =")
        )
    )


@pytest.mark.parametrize(
    "text",
    ['"-5"', "1.5", "true", '"1_000"', '"five"', "null", '" 5"', '"0x10"', '"+5"', "1e3", "5.0", '"\u0665"', '"\u00b2"',
     "NaN", "9" * 5000, '"5"},"known_trip_count":{"n":"7"', '"5","of":"7"', "[5]", '{"x":5}'],
)  # fmt: skip
def test_a_trip_count_that_is_no_number_of_trips_is_not_believed(text: str) -> None:
    loop = (
        "HloModule m\n\nbody {\n  p = f32[4] parameter(0)\n  ROOT t = f32[4] add(p, p)\n}\n\n"
        'cond {\n  q = f32[4] parameter(0)\n  i = s32[] iota(), iota_dimension=0\n  ROOT c = pred[] custom-call(q), custom_call_target="ask"\n}\n\n'
        "ENTRY e {\n  x = f32[4] parameter(0)\n  ROOT w = f32[4] while(x), condition=cond, body=body, "
        'backend_config={"known_trip_count":{"n":NNN}}\n}\n'
    )
    known = hc.count(loop.replace("NNN", '"5"').replace("  i = s32[] iota(), iota_dimension=0\n", ""))
    assert known.flops == 5 * 4
    report = hc.count(loop.replace("NNN", text).replace("  i = s32[] iota(), iota_dimension=0\n", ""))
    assert (report.flops, report.status) == (4, "lower bound")


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("float32", "-3.40282347e+38"),  # the largest, as XLA prints it: what is half a step above is rounded to it
        ("float32", "3.4028235677973366e38"),
        ("float16", "65519"),
        ("float16", "65520"),
        ("bfloat16", "3.39617e38"),
        ("bfloat16", "3.3962e38"),
    ],
)
def test_a_number_is_a_literal_where_it_rounds_to_a_finite_one(dtype: str, number: str) -> None:
    """As NumPy rounds, which is what XLA does before it looks at the range."""
    with np.errstate(over="ignore"):
        fits = bool(np.isfinite(np.array(float(number)).astype(getattr(ml_dtypes, dtype, dtype))))
    text = f"HloModule m\n\nENTRY e {{\n  ROOT c = {dtype.replace('loat', '')}[] constant({number})\n}}\n"
    if fits:
        assert hc.parse(text).entry.root.opcode == "constant"
    else:
        with pytest.raises(ParseError, match="holds at most"):
            hc.parse(text)


def fusions(number: int, metadata: str = 'op_name="f"') -> str:
    """So many fusions whose bodies differ in names alone; `metadata` is that of the last one's."""
    body = (
        "%f{n} (p.{n}: f32[4]) -> f32[4] {{\n  %p.{n} = f32[4]{{0}} parameter(0)\n"
        "  ROOT %t.{n} = f32[4]{{0}} tanh(%p.{n}), metadata={{{metadata}}}\n}}\n"
    )
    told = ['op_name="f"'] * (number - 1) + [metadata]
    bodies = "".join(body.format(n=n, metadata=each) for n, each in enumerate(told))
    calls = "".join(
        f"  %r.{n} = f32[4]{{0}} fusion(%r.{n - 1}), kind=kLoop, calls=%f{n}\n" for n in range(number)
    ).replace("%r.-1", "%x")
    return (
        f"HloModule m\n\n{bodies}\nENTRY %e (x: f32[4]) -> f32[4] {{\n  %x = f32[4]{{0}} parameter(0)\n{calls}"
        f"  ROOT %c = f32[4]{{0}} copy(%r.{number - 1})\n}}\n"
    )


@pytest.mark.parametrize(
    "metadata", ['op_name="f" op_name="f"', 'op_name="f" scheduling_name="t.2" op_name="f"', "op_name=f"]
)
def test_metadata_is_verified_in_bodies_that_repeat(metadata: str) -> None:
    """By their line, also where a compiler's names are in it that are left out."""
    assert hc.count(fusions(3)).transcendentals == 3 * 4
    text = fusions(3, metadata)
    with pytest.raises(ParseError, match=r"t\.2 has metadata=.*expected fields, each once") as caught:
        hc.count(text)
    assert f":{text[: text.index('%t.2 =')].count(chr(10)) + 1}:" in str(caught.value)


def test_what_says_the_same_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    before = verify.parser_problem

    def counted(instruction: Instruction) -> str:
        asked.append(instruction.name)
        return before(instruction)

    monkeypatch.setattr(verify, "parser_problem", counted)
    numbers = []
    for number in (2, 200):
        asked.clear()
        hc.parse(fusions(number))
        numbers.append(len(asked))
    # parameter and tanh of a body, parameter and copy of the entry, and a fusion of each: of a parameter, of a fusion
    assert numbers == [6 - 1, 6 - 1]  # both parameters say the same
