"""MLIR in a text is read without jax, or the reason is one line."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import pytest
from fixture_files import text
from mosaic_support import needs_mosaic

from hlo_count.lowering import mlir, mlir_reader
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


@pytest.fixture
def another_reader():
    """What it is told is the reader's only, and the next test has one of its own."""
    mlir._READER.close()
    yield
    mlir._READER.close()


def test_without_the_mlir_of_jaxlib_it_says_so(monkeypatch, tmp_path, another_reader):
    (tmp_path / "jaxlib").mkdir()
    (tmp_path / "jaxlib" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MlirError, match="which jaxlib reads, and that cannot be loaded"):
        generic_form(WORDS + b"\n")


def test_a_dialect_that_a_jaxlib_has_not_is_only_missed_where_it_is_used(monkeypatch):
    monkeypatch.setattr(mlir_reader, "_library", lambda name: None)
    from jaxlib.mlir import ir

    assert "module" in mlir_reader.generic_form(ir, b"module {\n}\n\n")


def nested(depth: int) -> bytes:
    """Bytecode of regions in regions."""
    from jaxlib.mlir import ir

    with ir.Context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        module = ir.Module.create()
        block = module.body
        for _ in range(depth):
            with ir.InsertionPoint(block):
                block = ir.Operation.create("a.b", regions=1).regions[0].blocks.append()
        written = io.BytesIO()
        module.operation.write_bytecode(written)
        return written.getvalue()


def test_what_ends_its_reader_ends_nothing_else():
    """Bytecode may be damaged so that jaxlib's C++ aborts, or nest so deep that its stack ends."""
    assert '"a.b"' in generic_form(nested(50))
    with pytest.raises(MlirError, match=r"nest more than 500 deep|ends the process which reads it"):
        generic_form(nested(1000))
    for _ in range(2):
        with pytest.raises(MlirError, match=r"ends the process which reads it \(signal \d+\)"):
            mlir._READER.ask(b"module {" + b'"a.b"() ({' * 50_000)
        assert '"func.func"() <{' in mlir._READER.ask(WORDS).decode()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(60)", "takes longer than 0.3 s"),
        ("import sys; sys.exit(3)", r"ends the process which reads it \(exit code 3\)"),
        ("print('no answer', flush=True); input()", "ends the process|takes longer"),
    ],
)
def test_a_reader_that_does_not_answer_is_not_waited_for(program, reason, monkeypatch, tmp_path, another_reader):
    script = tmp_path / "reader.py"
    script.write_text(program)
    monkeypatch.setattr(mlir_reader, "__file__", str(script))
    monkeypatch.setattr(mlir, "PATIENCE", 0.3)
    with pytest.raises(MlirError, match=reason):
        mlir._READER.ask(WORDS)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
def test_a_body_has_a_limit_of_time_and_memory(monkeypatch, tmp_path, another_reader):
    """Some damaged bodies are read for ever. The limits are of the processor, not of the clock."""
    script = tmp_path / "reader.py"
    script.write_text(
        "import sys\nfrom hlo_count.lowering import mlir_reader\n"
        "mlir_reader.SECONDS = 0\n"
        "def read(ir, data):\n"
        "    while data.startswith(b'module {}'): pass\n"
        "    return len(bytearray(2**40)) * 'x'\n"
        "mlir_reader.generic_form = read\n"
        "mlir_reader.serve(sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    monkeypatch.setattr(mlir_reader, "__file__", str(script))
    with pytest.raises(MlirError, match="takes longer than 2 s to read"):
        mlir._READER.ask(b"module {}")
    with pytest.raises(MlirError, match="cannot read .MemoryError"):
        mlir._READER.ask(b"module { }")


@needs_mosaic
def test_counting_a_kernel_of_a_text_loads_no_jax():
    """The MLIR of jaxlib is loaded in another process, where a body stands in the text, and nothing of jax with it."""
    script = (
        "import sys; import hlo_count; report = hlo_count.count(sys.stdin.read()); "
        "print(report.flops, 'jaxlib.mlir.ir' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script],
        input=text("tpu-v5e", "pallas_matmul"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{2 * 512 * 128 * 512} False False\n"


@pytest.mark.parametrize("attribute", ["#gpu<dim x>", "#gpu.dim<x>"])
def test_attributes_of_another_version_s_dialects_are_read_as_words(attribute):
    """MLIR writes enumerations in the second way since 2026; each jaxlib reads one of them."""
    form = generic_form(
        f'module {{\n  "stable_mosaic_gpu.gpu.block_id"() {{dimension = {attribute}}} : () -> ()\n}}'.encode()
    )
    assert f"dimension = {attribute}" in form
