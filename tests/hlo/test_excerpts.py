"""Modules in logs, in Markdown, behind a preamble, several in one text: found, named, chosen, with their lines."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import hlo_count
from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo import parse


def module(name: str, opcode: str = "add") -> str:
    """Eight elements in a fusion: 8 of the negation, 8 of `opcode`. The text has 12 lines; the root is on its 11th."""
    return f"""HloModule {name}, is_scheduled=true, entry_computation_layout={{(f32[8]{{0}})->f32[8]{{0}}}}

%f (a: f32[8]) -> f32[8] {{
  %a = f32[8]{{0}} parameter(0)
  ROOT %n = f32[8]{{0}} negate(%a)
}}

ENTRY %e (p: f32[8]) -> f32[8] {{
  %p = f32[8]{{0}} parameter(0)
  %q = f32[8]{{0}} {opcode}(%p, %p)
  ROOT %r = f32[8]{{0}} fusion(%q), kind=kLoop, calls=%f, metadata={{op_name="jit(f)/HloModule b"}}
}}
"""


A, B = module("jit_a"), module("jit_b", "multiply")


def prefixed(text: str, prefix: Callable[[int], str]) -> str:
    return "".join(f"{prefix(n)}{line}".rstrip() + "\n" for n, line in enumerate(text.splitlines()))


def interleaved(*texts: str) -> str:
    """Their lines in turns."""
    return "".join("\n".join(lines) + "\n" for lines in zip(*(text.splitlines() for text in texts), strict=True))


def absl(n: int, place: str = "pass.cc:12", thread: int = 123) -> str:
    return f"I1127 00:00:1700000000.{n:06} {thread:7} {place}] "


TORCH_XLA = """[ScheduleSyncTensorsGraph]
TensorsGraphInfo:
  mark_step (/home/u/torch_xla/core/xla_model.py:949)
  <module> (train.py:3)

Root Hashes: (b12)
Graph Hash: c3d

## BEGIN_GRAPH
"""
MARKDOWN = "# Slow\n\nSee HloModule jit_a, which is slow:\n\n```hlo\n"

# A text that holds the module A, and the line of the file on which A begins
AROUND = {
    "nothing": (A, 1),
    "a comment": ("// dumped by hand\n\n" + A, 3),
    "a preamble": ("Compiling jit_a ...\nwarning: x = 3\n" + A, 3),
    "a log's first line": (absl(1) + A + absl(2) + "done\nstep 1 loss=0.3\n", 1),
    "a logger's line": ("2024-01-02 03:04:05,678 INFO train: " + A + "2024-01-02 03:04:06,001 INFO train: step 2\n", 1),
    "each line of a log": (absl(0, "other.cc:3") + "note\n" + prefixed(A, absl), 2),
    "a log with lines of another place": (
        interleaved(prefixed(A, absl), prefixed("note\n" * 12, lambda n: absl(n, "x.cc:3"))),
        1,
    ),
    "times": (
        "2024-01-02T03:04:05.1Z start\n"
        + prefixed(A, lambda n: f"2024-01-02T03:04:{n:02}.{n}Z ")
        + "2024-01-02T04:00:00.0Z end\n",
        2,
    ),
    "a rank": (prefixed(A, lambda n: "[rank0]: "), 1),
    "srun": (prefixed(A, lambda n: "0: "), 1),
    "mpirun": (prefixed(A, lambda n: "[1,0]<stdout>:"), 1),
    "docker": (prefixed(A, lambda n: "trainer-1  | "), 1),
    "seconds since the start": (prefixed(A, lambda n: f"[{n * 7.5:12.6f}] "), 1),
    "colours": ("\x1b[36m(f pid=12)\x1b[0m hi\n" + prefixed(A, lambda n: "\x1b[36m(f pid=12)\x1b[0m "), 2),
    "a quotation": ("She wrote:\n" + prefixed(A, lambda n: "> "), 2),
    "Markdown": (MARKDOWN + A + "```\n\nAnd `x = f(3)`, class A {\n", 6),
    "a fence of tildes": ("~~~\n" + A + "~~~\n", 2),
    "a list in Markdown": (f"- here:\n\n  ```\n{prefixed(A, lambda n: '  ')}  ```\n", 4),
    "torch_xla": (TORCH_XLA + A + "\n\n## END_GRAPH\n", 10),
    "what is printed after it": (A + "step 1 loss = 0.3 {'a': 1}\n[1.0, 2.0]\n", 1),
    "a standard output of XLA": ("*** Begin module_1.jit_a.after.txt ***\n" + A + "\n*** End module_1.jit_a ***\n", 2),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_module_is_found_with_its_lines(name: str) -> None:
    text, first = AROUND[name]
    found = parse(text)
    assert found.name == "jit_a"
    lines = [first + n * (2 if "another" in name else 1) for n in (3, 4, 8, 9, 10)]
    assert [i.line for i in found.instructions()] == lines
    assert hlo_count.count(text).total == hlo_count.count(A).total


@pytest.mark.parametrize("name", AROUND)
def test_an_error_shows_the_line_as_the_file_has_it(name: str) -> None:
    text, first = AROUND[name]
    text = text.replace("f32[8]{0} negate", "q17[8]{0} negate")
    with pytest.raises(ParseError) as raised:
        parse(text, filename="log.txt")
    error = raised.value
    assert (error.line, error.filename) == (first + (8 if "another" in name else 4), "log.txt")
    assert error.source == re.sub(r"\x1b\[\d+m", "", text).splitlines()[error.line - 1]
    assert error.source[error.column - 1 :].startswith("q17[8]")


SEVERAL = {
    "one after another": A + B,
    "with separators": A + "\n// -----\n\n" + B,
    "the streams of two ranks": interleaved(prefixed(A, lambda n: "[rank0]: "), prefixed(B, lambda n: "[rank1]: ")),
    "two threads of a log": interleaved(prefixed(A, absl), prefixed(B, lambda n: absl(n, thread=77))),
    "two fences": MARKDOWN + A + "```\ntext {\n```\n" + B + "```\n",
    "graphs of torch_xla": "\n".join([TORCH_XLA + A + "\n## END_GRAPH", TORCH_XLA + B + "\n## END_GRAPH\n"]),
    "messages of a log": absl(1) + A + absl(2, "other.cc:7") + B + absl(3) + "done\n",
}


@pytest.mark.parametrize("name", SEVERAL)
def test_one_of_several_is_chosen(name: str) -> None:
    text = SEVERAL[name]
    with pytest.raises(HloCountError, match="log.txt: holds 2 modules, jit_a ") as raised:
        parse(text, filename="log.txt")
    assert "\n" not in str(raised.value)
    assert "--module" in str(raised.value)
    for number, (called, opcode) in enumerate((("jit_a", "add"), ("jit_b", "multiply")), start=1):
        for wanted in (called, called[-2:], f"{called}#1", f"#{number}", number, str(number)):
            found = parse(text, module=wanted)
            assert (found.name, found.entry.instructions[1].opcode) == (called, opcode)
            assert text.splitlines()[found.entry.root.line - 1].endswith('b"}')
        heading = next(n for n, line in enumerate(text.splitlines(), start=1) if f"HloModule {called}, is" in line)
        assert f"{called} (line {heading})" in str(raised.value)


def test_modules_of_one_name_are_told_apart() -> None:
    text = A + module("jit_a", "divide") + B
    with pytest.raises(HloCountError, match=r"jit_a#1 \(line 1\), jit_a#2 \(line 13\), jit_b \(line 25\)"):
        parse(text)
    with pytest.raises(HloCountError, match=r"2 modules are called 'jit_a': jit_a#1 \(line 1\), jit_a#2 \(line 13\)"):
        parse(text, module="jit_a")
    assert parse(text, module="jit_a#2").entry.instructions[1].opcode == "divide"
    for wanted in ("jit_c", "jit_a#3", "#4", "0", 0, 10**30, ""):
        with pytest.raises(HloCountError, match="no module is called"):
            parse(text, module=wanted)


def test_dumps_on_standard_output_are_chosen_by_the_names_of_their_files() -> None:
    names = ["module_0001.jit_a.before_optimizations.txt", "module_0001.jit_a.cpu_after_optimizations.txt"]
    texts = [A, module("jit_a", "divide")]
    text = "".join(f"*** Begin {n} ***\n{t}\n*** End {n} ***\n" for n, t in zip(names, texts, strict=True))
    for wanted in (names[1], "after_opt"):
        assert parse(text, module=wanted).entry.instructions[1].opcode == "divide"


def test_texts_without_a_header() -> None:
    entry = "ENTRY e {\n p = f32[2] parameter(0)\n ROOT r = f32[2] add(p, p)\n}\n"
    assert parse("text\n```\n" + entry + "```\ntext\n").entry.root.line == 5
    with pytest.raises(HloCountError, match=r"holds 2 modules, #1 \(line 1\), #2 \(line 6\)"):
        parse(entry + "// -----\n" + entry)
    assert parse(entry + "// -----\n" + entry, module=2).entry.root.line == 8


def test_a_comment_separates_nothing_inside_one_module() -> None:
    """XLA's parser takes `// -----` for the comment that it is."""
    for where in ("\n%f", "\nENTRY"):
        assert len(parse(A.replace(where, "// -----" + where)).computations) == 2
        two = A.replace(where, "// -----" + where) + "// -----\n" + B
        assert [len(parse(two, module=number).computations) for number in (1, 2)] == [2, 2]


def test_what_is_no_heading() -> None:
    for line in ("/* HloModule z, x=1\nENTRY q */\n", "// HloModule z, x=1\n"):
        assert parse(A.replace("\n%f", f"\n{line}%f")).name == "jit_a"
    assert parse("aHloModule z, x=1\n" + A).name == "jit_a"


def test_one_that_is_chosen_must_be_there() -> None:
    assert parse(A, module="jit_a").name == "jit_a"
    with pytest.raises(HloCountError, match=r"no module is called 'jit_b'; there is jit_a \(line 1\)"):
        parse(A, module="jit_b")


def test_what_follows_a_module_is_no_hlo() -> None:
    for tail in ("  ROOT x = f32[3] add(a)\n", "}\n", "%g {\n", "\0\0\0\n", "g { ROOT p = f32[2] parameter(0) "):
        with pytest.raises(ParseError):
            parse(A + tail)
    with pytest.raises(ParseError):  # without ENTRY, what follows may be the rest of it
        parse(A.replace("ENTRY ", "") + "the end\n")


def test_a_module_that_is_cut_off_in_a_log_is_no_other_one() -> None:
    for cut in (40, 150, 300):
        with pytest.raises(HloCountError, match="holds 2 modules"):
            parse(A + B[:cut])
        with pytest.raises(ParseError):
            parse(A + B[:cut], module="jit_b")


def test_many_modules_are_listed_in_one_line() -> None:
    with pytest.raises(HloCountError, match="holds 500 modules, .* 488 more") as raised:
        parse("".join(module(f"m{n}") for n in range(500)))
    assert len(str(raised.value)) < 500
