"""Where an instruction comes from: op_name, file and line, inline and through the tables at the top."""

from __future__ import annotations

import re
from dataclasses import replace

import fixture_files
import pytest

import hlo_count
from hlo_count.hlo import parse
from hlo_count.hlo.metadata import (
    NO_METADATA,
    Frame,
    Metadata,
    SourceTables,
    metadata_apart,
    parse_metadata,
    without_metadata,
)

TABLES = """FileNames
1 "a.py"
2 "dir/b \\"x\\".py"

FunctionNames
1 "f"
2 "Model.__call__"

FileLocations
1 {file_name_id=1 function_name_id=1 line=10 end_line=10 column=2 end_column=4}
2 {file_name_id=2 function_name_id=2 line=20 end_line=21 column=2 end_column=4}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}
"""


def test_tables() -> None:
    assert SourceTables.parse(TABLES).frames == {
        1: ("a.py", 10, "f", 0),
        2: ('dir/b "x".py', 20, "Model.__call__", 1),
    }
    assert SourceTables.parse("").frames == {}


def test_a_stack_has_its_calls_the_innermost_first() -> None:
    tables = SourceTables.parse(TABLES)
    assert tables.stack(2) == [Frame('dir/b "x".py', 20, "Model.__call__"), Frame("a.py", 10, "f")]
    assert tables.stack(9) == []


def test_a_stack_that_goes_round_ends() -> None:
    tables = SourceTables({1: ("a.py", 1, "f", 2), 2: ("a.py", 2, "g", 1)})
    assert tables.stack(1) == [Frame("a.py", 1, "f"), Frame("a.py", 2, "g")]


METADATA = {
    '{op_name="f/add" stack_frame_id=2}': Metadata("f/add", "", 'dir/b "x".py', 20, 2),
    '{op_type="add" op_name="f/add" source_file="c.py" source_line=7}': Metadata("f/add", "add", "c.py", 7),
    '{op_name="x" source_file="c.py" source_line=7 stack_frame_id=1}': Metadata("x", "", "c.py", 7, 1),
    '{op_name="f" stack_frame_id=9}': Metadata("f"),
    '{op_name="a \\"b\\" {c} ) , =/d" stack_frame_id=1}': Metadata('a "b" {c} ) , =/d', "", "a.py", 10, 1),
    # What stands inside a string, or inside braces, is no field.
    '{op_name="source_line=3 op_type=\\"x\\"" source_file="c.py"}': Metadata(
        'source_line=3 op_type="x"', "", "c.py", 0
    ),
    '{deduplicated_name="y source_line=3" op_name="f"}': Metadata("f"),
    '{op_name="f" profile_type={1} size_of_generated_code_in_bytes=42}': Metadata("f"),
    '{op_name="\\303\\251"}': Metadata("é"),
    "{}": NO_METADATA,
    None: NO_METADATA,
}


@pytest.mark.parametrize("text", METADATA)
def test_metadata(text: str | None) -> None:
    assert parse_metadata(text, SourceTables.parse(TABLES)) == METADATA[text]


def test_source() -> None:
    assert Metadata("f", "", "c.py", 7).source == "c.py:7"
    assert NO_METADATA.source == ""


@pytest.mark.parametrize("name", ["transformer_step", "scan_grad"])
def test_tables_and_inline_lines_give_the_same_answer(name: str) -> None:
    """The stored text has tables; the same text with each frame written out has none."""
    text = fixture_files.text("cpu", name)
    module = parse(text)
    assert module.source_tables.frames
    inline = text.replace(module.tables_text, "\n")

    def written_out(found: re.Match[str]) -> str:
        file, line, _, _ = module.source_tables.frames[int(found[1])]
        return f'source_file="{file}" source_line={line}'

    other = parse(re.sub(r"stack_frame_id=(\d+)", written_out, inline))
    assert not other.source_tables.frames
    assert [i.metadata for i in other.instructions()] == [replace(i.metadata, frame=0) for i in module.instructions()]
    assert hlo_count.count(other).by("source") == hlo_count.count(module).by("source")
    assert len(hlo_count.count(module).by("source")) >= 2


@pytest.mark.parametrize("version", fixture_files.versions())
def test_every_version_says_which_line(version: str) -> None:
    report = hlo_count.count(fixture_files.text(f"versions/{version}", "scan_matmul"))
    (dearest, cost), *_ = report.by("source").items()
    assert re.fullmatch(r".*\.py:\d+", dearest)
    assert cost.flops >= 10 * 2 * 128**3


def test_an_odd_op_name_survives_the_compiler() -> None:
    import jax
    import jax.numpy as jnp

    odd = 'é "q" {b} , ) =d \\ tab\tx'

    def f(x):
        with jax.named_scope(odd):
            return jnp.sin(x)

    module = parse(jax.jit(f).lower(jnp.ones(4)).compile().as_text())
    # older versions name the function that they wrap the user's in
    names = {i.metadata.op_name.replace("jit(main)/", "") for i in module.instructions()}
    assert f"jit(f)/{odd}/sin" in names


APART = {
    ', dimensions={0}, metadata={op_name="f/add"}': (", dimensions={0}", ', metadata={op_name="f/add"}'),
    ', sharding={devices=[2]<=[2] metadata={op_name="a"}}, metadata={op_name="}"}, backend_config={"a":"{"}': (
        ', sharding={devices=[2]<=[2] metadata={op_name="a"}}, backend_config={"a":"{"}',
        ', metadata={op_name="}"}',
    ),
    ', custom_call_target=", metadata={", metadata={source_line=3}': (
        None,  # something else may be meant
        ', custom_call_target=", metadata={", metadata={source_line=3}',
    ),
    ", metadata={source_line=3}, metadata={source_line=4}": (
        None,
        ", metadata={source_line=3}, metadata={source_line=4}",
    ),
    ", frontend_attributes={a={b={}}}": (", frontend_attributes={a={b={}}}", None),
    "": ("", None),
}


def test_metadata_of_many_instructions_are_told_from_the_rest() -> None:
    said, metadata = metadata_apart(list(APART))
    assert said == [text if apart is None else apart for text, (apart, _) in APART.items()]
    assert {found for _, found in APART.values() if found is not None} <= set(metadata)
    for text, (apart, _) in APART.items():
        assert apart is None or without_metadata(text) == apart
