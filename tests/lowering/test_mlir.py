"""MLIR in a text is read without jax, or the reason is one line."""

from __future__ import annotations

import base64
import re
import subprocess
import sys

import pytest
from fixture_files import text
from mosaic_support import needs_mosaic

from hlo_count.lowering import mlir
from hlo_count.lowering.mlir import MlirError, generic_form
from hlo_count.lowering.stored import kind_of

WORDS = b"module {\n  func.func @main(%a: i32) {\n    return\n  }\n}"


def body_of_a_fixture() -> bytes:
    found = re.search(r'"body":"([^"]*)"', text("tpu-v5e", "pallas_matmul"))
    assert found is not None
    return base64.b64decode(found[1])


@pytest.mark.parametrize("lines", [b"#a= " * 200, b"#a = #b\n" * 200, b"#a =\n" * 200, b" " * 2000])
def test_definitions_before_no_module_are_read_in_one_way(lines):
    """A pattern that tries each line in two ways takes 2^200 steps."""
    with pytest.raises(MlirError, match="holds no MLIR"):
        generic_form(lines + b"x")
    assert kind_of(lines + b"x") == "text"
    assert kind_of(lines.replace(b"#b", b"3") + b"\nmodule {}") == "stablehlo" or b"\n" not in lines


@needs_mosaic
def test_words_and_bytecode_become_one_form():
    assert '"func.func"() <{' in generic_form(WORDS)
    read = generic_form(body_of_a_fixture())
    assert '"stable_mosaic.tpu.matmul"(' in read
    assert "loc(" not in read


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "holds no MLIR"),
        (b"HloModule m", "holds no MLIR"),
        (b"ML\xefR", "holds MLIR that this jaxlib cannot read"),
        (b"module {\n  foo.bar\n}", "holds MLIR that this jaxlib cannot read (Dialect `foo' not found"),
        (b'module { "a.b"() {x = #tpu.core_type<quantum>} : () -> () }', "holds MLIR that this jaxlib cannot read"),
    ],
)
def test_what_is_not_read_has_its_reason_in_a_line(data, reason):
    with pytest.raises(MlirError) as refused:
        generic_form(data)
    assert str(refused.value).startswith(reason)
    assert "\n" not in str(refused.value)


def test_bytecode_that_is_cut_off_or_damaged_is_refused():
    whole = body_of_a_fixture()
    for damaged in (whole[: len(whole) // 2], whole[:200] + b"\xff" * 50 + whole[250:]):
        with pytest.raises(MlirError):
            generic_form(damaged)


def test_without_the_mlir_of_jaxlib_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib.mlir", None)
    with pytest.raises(MlirError, match="which jaxlib reads, and that cannot be loaded"):
        generic_form(WORDS + b"\n")


def test_a_dialect_that_a_jaxlib_has_not_is_only_missed_where_it_is_used(monkeypatch):
    monkeypatch.setattr(mlir, "_library", lambda name: None)
    assert "module" in generic_form(b"module {\n}\n\n")


@needs_mosaic
def test_counting_a_kernel_of_a_text_loads_no_jax():
    """The MLIR of jaxlib is loaded where a body stands in the text, and nothing of jax with it."""
    script = (
        "import sys; import hlo_count; report = hlo_count.count(sys.stdin.read()); "
        "print(report.flops, 'jaxlib.mlir.ir' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script],
        input=text("tpu-v5e", "pallas_matmul"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{2 * 512 * 128 * 512} True False\n"
