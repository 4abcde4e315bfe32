"""Unknowns that are one thing: what settles them is pasted back, into Python and into a shell."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.visitors.unknowns import Settlement

BODY = """HloModule m

body {
  p = (s32[], s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] get-tuple-element(p), index=1
  x = f32[8] get-tuple-element(p), index=2
  one = s32[] constant(1)
  next = s32[] add(i, one)
  y = f32[8] add(x, x)
  ROOT t = (s32[], s32[], f32[8]) tuple(next, n, y)
}

condition {
  p = (s32[], s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] get-tuple-element(p), index=1
  ROOT goes_on = pred[] compare(i, n), direction=LT
}

first {
  ROOT x = f32[8] parameter(0)
}

second {
  x = f32[8] parameter(0)
  ROOT y = f32[8] multiply(x, x)
}
"""


def loops(*op_names: str, known: tuple[str, ...] = ()) -> str:
    """Loops in a row whose bound is an argument, of 8 FLOP a trip; those of `known` run 5 times."""
    lines = ["  x0 = f32[8] parameter(0)", "  n = s32[] parameter(1)", "  zero = s32[] constant(0)"]
    lines += ["  five = s32[] constant(5)"]
    for k, op_name in enumerate((*op_names, *known)):
        metadata = (
            f'metadata={{op_name={json.dumps(op_name, ensure_ascii=False)} source_file="model.py" source_line=9}}'
        )
        bound = "n" if k < len(op_names) else "five"
        lines += [
            f"  t{k} = (s32[], s32[], f32[8]) tuple(zero, {bound}, x{k})",
            f"  while.{k} = (s32[], s32[], f32[8]) while(t{k}), condition=condition, body=body, {metadata}",
            f"  x{k + 1} = f32[8] get-tuple-element(while.{k}), index=2",
        ]
    lines[-1] = lines[-1].replace("  x", "  ROOT x", 1)
    return BODY + "\nENTRY main {\n" + "\n".join(lines) + "\n}\n"


def conditionals(*op_names: str) -> str:
    """Conditionals in a row: one branch multiplies 8 numbers, the other passes them on."""
    lines = ["  x0 = f32[8] parameter(0)", "  flag = pred[] parameter(1)"]
    for k, op_name in enumerate(op_names):
        lines.append(
            f"  x{k + 1} = f32[8] conditional(flag, x{k}, x{k}), true_computation=second, false_computation=first, "
            f"metadata={{op_name={json.dumps(op_name, ensure_ascii=False)}}}"
        )
    lines[-1] = lines[-1].replace("  x", "  ROOT x", 1)
    return BODY + "\nENTRY main {\n" + "\n".join(lines) + "\n}\n"


def pasted(call: str, text: Any, n: int) -> hc.Report:
    report: hc.Report = eval(call.replace("…", "text", 1), {"count": hc.count, "text": text, "n": n})
    return report


def shell_words(flags: str) -> list[str]:
    """What a shell makes of them."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {flags}"], capture_output=True, check=True, text=True)
    return done.stdout.split("\0")[:-1]


SHARED: dict[str, tuple[str, str | None]] = {
    "numbers": (loops(*(f"jit(f)/layer_{k}/decode/while" for k in range(12))), "*/while"),
    "numbers, and a loop that is known": (
        loops(*(f"jit(f)/layer_{k}/decode/while" for k in range(12)), known=("jit(f)/head/while",)),
        "*/decode/while",
    ),
    "numbers, and one that differs in a scope alone": (
        loops("jit(f)/layer_0/while", "jit(f)/layer_11/while", known=("jit(f)/head/while",)),
        "*/layer_*/while",
    ),
    "transformations": (loops("jit(f)/jvp(decode)/while", "jit(f)/transpose(jvp(decode))/while"), "*/while"),
    "the same": (loops("jit(f)/while", "jit(f)/while"), "*/while"),
    "the same, alone": (loops("while", "while", known=("jit(f)/while",)), "while"),
    "brackets": (
        loops("jit(f)/at[0]/while", "jit(f)/at[1]/while", known=("jit(f)/at{0}/while", "jit(f)/a/while")),
        "*/at[[]*]/while",
    ),
    "an equals sign": (loops("jit(f)/k=3/while", "jit(f)/k=4/while", known=("jit(f)/j=3/while",)), "*/k=*/while"),
    "quotes and a dollar": (
        loops('jit(f)/it\'s $HOME "1" `x`/while', 'jit(f)/it\'s $HOME "2" `x`/while', known=("jit(f)/a/while",)),
        '*/it\'s $HOME "*" `x`/while',
    ),
    "letters of other scripts": (
        loops("jit(f)/σ1 🙂/while", "jit(f)/σ2 🙂/while", known=("jit(f)/while",)),
        "*/σ* 🙂/while",
    ),
    "another loop inside of the scope": (
        loops("jit(f)/layer_0/while", "jit(f)/layer_1/while", known=("jit(f)/layer_0/vmap()/while",)),
        "*/layer_?/while",
    ),
    "a known loop of the same name": (
        loops("jit(f)/layer_0/while", "jit(f)/layer_2/while", known=("jit(f)/layer_1/while",)),
        None,
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_loops_that_are_one_thing_are_settled_in_one_move(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, pattern = SHARED[case]
    report = hc.count(text)
    (group,) = report.settlements
    assert group.unknowns == tuple(report.unknowns)
    assert len(group.unknowns) >= 2
    assert group.keys == ((pattern,) if pattern else tuple(u.instruction for u in report.unknowns))
    trips = [7] * len(group.unknowns) + [5] * (text.count(" while(") - len(group.unknowns))
    settled = pasted(group.call, text, 7)
    assert (settled.status, settled.flops, settled.unknowns) == ("exact", 8 * sum(trips), [])
    words = [re.sub("=n$", "=7", word) for word in shell_words(group.flags)]
    file = tmp_path / "m.txt"
    file.write_text(text)
    assert main(["count", str(file), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == settled.flops


def test_unlike_loops_are_apart() -> None:
    report = hc.count(loops("jit(f)/encode/while", "jit(f)/decode/while", "jit(f)/decode/while"))
    assert [group.keys for group in report.settlements] == [("while.0",), ("*/decode/while",)]


def test_a_loop_alone_goes_by_its_name() -> None:
    (group,) = hc.count(loops("jit(f)/while")).settlements
    assert (group.call, group.flags) == ('count(…, trip_counts={"while.0": n})', "--trip-count while.0=n")


def test_conditionals_are_settled_in_one_move() -> None:
    text = conditionals("jit(f)/layer_0/cond", "jit(f)/layer_1/cond")
    report = hc.count(text)
    (group,) = report.settlements
    assert (report.status, report.flops) == ("estimate", 16)
    assert group.flags == "--branch '*/cond=1'"
    settled = pasted(group.call, text, 0)
    assert (settled.status, settled.flops) == ("exact", 16)


def test_the_report_shows_them_as_one_row_ready_to_paste() -> None:
    text = loops(*(f"jit(f)/layer_{k}/decode/while" for k in range(12)))
    report = hc.count(text)
    shown = str(report)
    assert "12 unknown:" in shown
    assert shown.count("runs an unknown number of times") == 1
    assert ", and 11 more of the same. Settle them:" in " ".join(shown.split())
    lines = [line.strip() for line in shown.splitlines()]
    assert 'count(…, trip_counts={"*/while": n})' in lines
    assert "--trip-count '*/while=n'" in lines
    (data,) = report.to_dict()["settlements"]
    assert data["instructions"] == [f"while.{k}" for k in range(12)]
    assert len(report.to_dict()["unknowns"]) == 12
    assert "--trip-count &#x27;*/while=n&#x27;" in report._repr_html_()
    with pytest.raises(hc.UnknownCostError, match=r"trip_counts=\{\"\*/while\": n\}"):
        hc.count(text, strict=True)


def test_names_that_fill_several_lines_are_pasted_whole() -> None:
    names = [f"jit(f)/layer_{2 * k}/while" for k in range(30)]
    text = loops(*names, known=tuple(f"jit(f)/layer_{2 * k + 1}/while" for k in range(30)))
    (group,) = hc.count(text).settlements
    call, flags = group.call_lines(80), group.flag_lines(80)
    assert len(call) > 1
    assert len(flags) > 1
    assert all(len(line) <= 80 for line in (*call, *flags))
    assert pasted("\n".join(call), text, 7).flops == 8 * 30 * (7 + 5)
    assert shell_words("\n".join(flags)) == shell_words(group.flags)


def test_a_budget_that_meets_unknowns_says_how_to_settle_them() -> None:
    text = loops("jit(f)/layer_0/while", "jit(f)/layer_1/while")
    with pytest.raises(hc.BudgetExceeded, match="2 unknown") as caught:
        hc.count(text).check(flops="1 GFLOP")
    assert 'count(…, trip_counts={"*/while": n})' in str(caught.value)
    assert str(caught.value).count("runs an unknown number") == 1


# What settles nothing


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trip_counts": {"*/decod/while": 3}}, "'*/decod/while' matches no while of this program"),
        ({"trip_counts": {"while.3": 3}}, "'while.3' matches no while of this program; did you mean while.0"),
        ({"trip_counts": {"jit(f)/layer/while": 3}}, "did you mean jit(f)/layer_0/while or jit(f)/layer_1/while?"),
        ({"branches": {"cond": 1}}, "'cond' matches no conditional of this program; it has none"),
        (
            {"trip_counts": {"*/while": 3, "*/layer_0/while": 4}},
            "'*/layer_0/while' settles nothing: while.0 has its value from '*/while'",
        ),
    ],
)
def test_a_pattern_that_settles_nothing(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(hc.HloCountError) as caught:
        hc.count(loops("jit(f)/layer_0/while", "jit(f)/layer_1/while"), **keywords)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_goes_before_a_pattern_and_an_op_name_needs_no_escape() -> None:
    text = loops("jit(f)/at[0]/while", "jit(f)/at[1]/while")
    assert hc.count(text, trip_counts={"*": 3, "while.1": 10}).flops == 8 * (3 + 10)
    assert hc.count(text, trip_counts={"jit(f)/at[0]/while": 3, "while.1": 10}).flops == 8 * (3 + 10)


# Programs that JAX compiles


@pytest.mark.parametrize("target", ["cpu", "tpu:v5e"])
def test_the_layers_of_a_model(target: str) -> None:
    jax = pytest.importorskip("jax")
    if target not in {t.name for t in hc.targets() if t.available}:
        pytest.skip(f"cannot compile for {target} here")

    def model(x: Any, n: Any) -> Any:
        for k in range(3):
            with jax.named_scope(f"layer_{k}"):
                x = jax.lax.fori_loop(0, n, lambda i, x: x @ x, x)
        return x

    arguments = jax.ShapeDtypeStruct((16, 16), "float32"), jax.ShapeDtypeStruct((), "int32")
    report = hc.count(model, *arguments, target=target)
    (group,) = report.settlements
    assert len(group.unknowns) == 3
    settled = pasted(group.call, report.module, 5)
    assert (settled.status, settled.by("class")["matmul"].flops) == ("exact", 3 * 5 * 2 * 16**3)


# Custom calls


def calls(*named: tuple[str, str], target: str = "mystery", shapes: tuple[str, ...] = ()) -> str:
    """Custom calls that nobody knows, by name and op_name, of 4 numbers each unless `shapes` says otherwise."""
    lines = []
    for n, (name, op_name) in enumerate(named):
        shape = shapes[n] if shapes else "f32[4]"
        lines.append(f"  p{n} = {shape} parameter({n})")
        metadata = f'metadata={{op_name={json.dumps(op_name)} source_file="model.py" source_line=9}}'
        lines.append(f'  {name} = {shape} custom-call(p{n}), custom_call_target="{target}", {metadata}')
    results = ", ".join(name for name, _ in named)
    types = ", ".join(shapes or ["f32[4]"] * len(named))
    return "ENTRY e {\n" + "\n".join([*lines, f"  ROOT t = ({types}) tuple({results})"]) + "\n}"


LAYERS = [(f"flash.{n}", f"jit(f)/layer_{n}/attend/pallas_call") for n in range(12)]
PAGED = [(f"paged.{n}", op_name) for n, (_, op_name) in enumerate(LAYERS)]
KERNELS: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "one": (calls(("flash.1", "jit(f)/attend/pallas_call")), [("flash.1",)]),
    "one of layers": (calls(*LAYERS), [("flash*",)]),
    "two kernels of one place": (calls(*LAYERS, *PAGED, target="tpu_custom_call"), [("flash*",), ("paged*",)]),
    "another place": (
        calls(("flash.1", "jit(f)/a/pallas_call"), ("flash.2", "jit(f)/b/pallas_call")),
        [("flash.1",), ("flash.2",)],
    ),
    "another shape": (calls(*LAYERS[:2], shapes=("f32[4]", "f32[8]")), [("flash.0",), ("flash.1",)]),
    "names that begin alike": (
        calls(*LAYERS[:2], ("flash_more.1", "jit(f)/more/pallas_call")),
        [("*/attend/pallas_call",), ("flash_more.1",)],
    ),
}


@pytest.mark.parametrize("case", KERNELS)
def test_a_kernel_is_settled_by_its_own_name(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, keys = KERNELS[case]
    report = hc.count(text)
    assert report.status == "lower bound"
    assert [group.keys for group in report.settlements] == keys
    assert all(group.can_be_pasted for group in report.settlements)
    settled = hc.count(text, costs={key: 7 for group in keys for key in group})
    number = text.count(" custom-call(")
    assert (settled.status, settled.flops, settled.unknowns) == ("exact", 7 * number, [])
    assert settled.bytes == report.bytes
    words = [re.sub("=FLOP$", "=7", word) for group in report.settlements for word in shell_words(group.flags)]
    file = tmp_path / "m.txt"
    file.write_text(text)
    assert main(["count", str(file), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == 7 * number


def test_the_call_that_settles_a_kernel_can_be_pasted() -> None:
    text = calls(*LAYERS)
    (group,) = hc.count(text).settlements
    assert isinstance(group, Settlement)
    assert group.call == 'count(…, costs={"flash*": FLOP})'
    report = eval(group.call.replace("…", "text", 1), {"count": hc.count, "text": text, "FLOP": 2.5})
    assert report.flops == 12 * 3  # a fraction of a FLOP is rounded up, once for each call
