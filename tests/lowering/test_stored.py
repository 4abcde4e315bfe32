"""Exports, StableHLO, jaxprs and serialized HLO count as the function that they came from."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import ShapeDtypeStruct as Struct

import hlo_count as hc
from hlo_count import cli
from hlo_count.errors import HloCountError
from hlo_count.lowering import stored
from hlo_count.lowering.mlir_depth import MOST_NESTED, nests_too_deep
from hlo_count.lowering.program import optimized_text
from tests.targets.environment import compiled_for

try:
    from jax import export
except ImportError as problem:  # jax 0.4.30 has it only where absl is
    pytest.skip(f"jax.export needs a package more: {problem}", allow_module_level=True)

X, W = Struct((64, 32), jnp.float32), Struct((32, 32), jnp.float32)
MATMUL = 5 * 2 * 64 * 32 * 32


def layers(x, w):
    def step(carry, _):
        return jnp.tanh(carry @ w), None

    return jax.lax.scan(step, x, None, length=5)[0].sum()


def _exported(platforms=("cpu", "tpu", "cuda")):
    return export.export(jax.jit(layers), platforms=platforms)(X, W)


def _module():
    return jax.jit(layers).lower(X, W).compiler_ir("stablehlo")


def _bytecode():
    buffer = io.BytesIO()
    _module().operation.write_bytecode(buffer)
    return buffer.getvalue()


def _proto():
    return jax.jit(layers).lower(X, W).compile().runtime_executable().hlo_modules()[0].as_serialized_hlo_module_proto()


def _field(data, number=1):
    length, head = len(data), bytearray([number << 3 | 2])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes([*head, length]) + data


STORED = {
    "exported": _exported,
    "module": _module,
    "text": lambda: str(_module()),
    "bytecode": _bytecode,
    "artifact": lambda: bytes(_exported(("cpu",)).mlir_module_serialized),
    "jaxpr": lambda: jax.make_jaxpr(layers)(X, W),
}


@pytest.mark.parametrize("form", STORED)
@pytest.mark.parametrize("target", compiled_for("cpu", "tpu:v5e", "h100-sxm"))
def test_counts_as_its_function(form, target):
    report = hc.count(STORED[form](), target=target)
    assert report.total == hc.count(layers, X, W, target=target).total
    assert report.by("class")["matmul"].flops == MATMUL
    assert report.status == "exact"


def test_source_lines_survive():
    text = _module().operation.get_asm(enable_debug_info=True)
    for program in (_module(), text, _bytecode(), _exported(("cpu",))):
        assert any("test_stored.py" in place for place in hc.count(program).by("source"))


def test_proto_is_its_text():
    text = hc.count(jax.jit(layers).lower(X, W).compile().as_text()).to_dict()
    for data in (_proto(), _field(_proto()), _field(_field(_proto()))):  # HloModuleProto, HloProto, HloSnapshot
        assert hc.count(data).to_dict() == text


def test_export_over_eight_devices():
    program = """
import jax, jax.numpy as jnp, numpy as np, hlo_count as hc
from jax import export
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
put = lambda *spec: NamedSharding(mesh, P(*spec))
x, w = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 32), (32, 16)))
made = export.export(jax.jit(lambda x, w: x @ w, in_shardings=(put("data"), put(None, "model"))))(x, w)
report = hc.count(made)
print(report.num_devices, report.by("class")["matmul"].flops)
try:
    hc.count(made, target=jax.devices()[:2])
except hc.TargetError as error:
    print(error)
"""
    import os

    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[:1] == [f"8 {2 * (64 // 4) * 32 * (16 // 2)}"], done.stderr
    assert "needs 8 devices and 2 x cpu has 2" in lines[1]


def test_symbolic_export_takes_shapes():
    (size,) = export.symbolic_shape("b")
    made = export.export(jax.jit(lambda x, w: x @ w))(Struct((size, 32), jnp.float32), W)
    assert hc.count(made, Struct((48, 32), jnp.float32), W).by("class")["matmul"].flops == 2 * 48 * 32 * 32
    with pytest.raises(hc.HloCountError, match="symbolic shapes .*pass shapes"):
        hc.count(made)


def test_diff_and_passes():
    wide = export.export(jax.jit(layers))(Struct((128, 32), jnp.float32), W)
    assert hc.diff(_exported(), wide).change.flops == hc.count(wide).flops - hc.count(layers, X, W).flops
    assert hc.diff(_module()).after.total == hc.count(layers, X, W).total
    assert hc.passes(_module()).after == hc.passes(layers, X, W).after


FILES = {"m.mlir": lambda: str(_module()).encode(), "m.mlirbc": _bytecode, "module.hlo.pb": lambda: _field(_proto())}


@pytest.mark.parametrize("name", FILES)
def test_command_line(name, tmp_path, capsys):
    path = tmp_path / name.replace("m.", "no_ending_")  # by content, not by name
    path.write_bytes(FILES[name]())
    assert cli.main(["count", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == hc.count(layers, X, W).flops
    assert cli.main(["diff", str(path), str(path), "--fail-above", "0%"]) == 0
    capsys.readouterr()
    assert cli.main(["count", str(path), "--arg", "f32[2]"]) == 2
    assert "takes no arguments" in capsys.readouterr().err


def test_serialized_export(tmp_path, capsys):
    pytest.importorskip("flatbuffers")
    path = tmp_path / "exported.bin"
    path.write_bytes(_exported(("cpu",)).serialize())
    assert cli.main(["count", str(path), "--target", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == hc.count(layers, X, W).flops
    path.write_bytes(path.read_bytes()[:-600])
    assert cli.main(["count", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def _too_new():
    artifact = bytearray(_exported(("cpu",)).mlir_module_serialized)
    artifact[4] = 63 << 1 | 1  # the version of the encoding, behind the magic number
    return bytes(artifact)


BAD = {
    "too new": (_too_new, r"cannot read StableHLO [\d.]+, .*update jaxlib"),
    "damaged bytecode": (lambda: _bytecode()[:300], "write it again"),
    "damaged proto": (lambda: _proto()[:-40], "damaged"),
    "profile": (lambda: _field(b"\x08\x01" + _field(b"/host:CPU\0", 2)), "without an HLO module"),
    "empty": (lambda: b"", "empty|no HLO|HloModule"),
    "unparsable": (lambda: b"module {\n  func.func @main() { stablehlo.nothing }\n}", r":2:\d+: "),
    "dynamic": (
        lambda: b"func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> { return %x : tensor<?xf32> }",
        "dynamic shapes",
    ),
    "no main": (lambda: b"module { func.func @f() { return } }", 'no function "main"'),
    "eight devices": (lambda: b"module attributes {mhlo.num_partitions = 8 : i32} {}", "for 8 devices.*pass"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_to_do(case, tmp_path, capsys):
    make, said = BAD[case]
    path = tmp_path / "program"
    path.write_bytes(make())
    with pytest.raises(hc.HloCountError, match=said):
        hc.count(path)
    assert cli.main(["count", str(path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"hlo-count: {path}")
    assert len(message.splitlines()) == 1


def test_another_platform_and_calling_convention():
    import dataclasses

    with pytest.raises(hc.TargetError, match=r"for tpu .* compiled for cpu: .*tpu:v5e, or .*platforms=\['cpu'\]"):
        hc.count(_exported(("tpu",)), target="cpu")
    with pytest.raises(hc.HloCountError, match="calling convention version 99.*export it again"):
        hc.count(dataclasses.replace(_exported(), calling_convention_version=99))
    with pytest.raises(hc.HloCountError, match="pass it alone"):
        hc.count(_exported(), X, W)
    with pytest.raises(hc.HloCountError, match="pass it alone"):
        hc.count(jax.make_jaxpr(layers)(X, W), X, W)


def test_text_loads_no_jax(tmp_path):
    path = tmp_path / "text"
    path.write_text("HloModule m\nENTRY e { ROOT p = f32[2] parameter(0) }\n")
    program = (
        f"from hlo_count import cli; import sys; cli.main(['count', {str(path)!r}]); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


def test_kinds_are_told_by_content():
    assert stored.kind_of(b"// a comment\n#loc = loc(unknown)\nmodule @m {}") == "stablehlo"
    assert stored.kind_of(b"HloModule module") == "text"


def test_a_proto_says_how_many_devices_run_it():
    """Field 15, the device assignment: how many replicas (1) and partitions (2), and of each partition its devices."""
    assert hc.count(_proto()).num_devices == 1
    devices = b"".join(_field(_field(bytes([n]), 1), 3) for n in range(1, 8))  # beside the one it has
    assert hc.count(_proto() + _field(b"\x08\x01\x10\x08" + devices, 15)).num_devices == 8


def test_a_program_whose_text_only_its_serialized_form_has():
    """As the CUDA plugin of JAX before 0.9 has it for GPUs that are not there."""
    compiled = jax.jit(lambda x, w: x @ w).lower(Struct((4, 8), jnp.float32), Struct((8, 2), jnp.float32)).compile()
    executable = compiled.runtime_executable()
    (module,) = executable.hlo_modules()
    data = module.as_serialized_hlo_module_proto()
    for _ in range(3):  # with its configuration, as an executable, with its options
        data = _field(data)

    class Executable:
        def serialize(self):
            return data

    class Textless:
        input_shardings = output_shardings = ()

        def as_text(self):
            return None

        def runtime_executable(self):
            return Executable()

    text = optimized_text(Textless())
    assert hc.count(text).flops == hc.count(compiled).flops == 2 * 4 * 8 * 2


NESTED = {
    "types": lambda n: f"module {{ func.func public @main(%a: {'tuple<' * n}f32{'>' * n}) {{ return }} }}",
    "attributes": lambda n: f"module attributes {{a = {'[' * n}{']' * n}}} {{ }}",
    "modules": lambda n: "module {" * n + "}" * n,
    "what is not closed": lambda n: "module {" + "(" * n,
    "behind a string of a backslash": lambda n: (
        'module attributes {a = "\\\\"} { "b.c"() {k = ' + "[" * n + "]" * n + '} : () -> () "d"() }'
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_mlir_that_would_end_the_process_is_not_read(name):
    """MLIR's parser calls itself for each bracket: 20,000 of them are a segmentation fault."""
    with pytest.raises(HloCountError, match=f"^StableHLO: its brackets nest more than {MOST_NESTED} deep"):
        hc.count(NESTED[name](20_000))


def test_how_deep_mlir_nests_is_not_how_long_it_is():
    line = b'  %1 = stablehlo.add %0, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("f((((")\n'
    text = b"module {\n" + line * 20_000 + b"}\n"
    assert not nests_too_deep(text)
    assert not nests_too_deep(b"(" * MOST_NESTED + b")" * MOST_NESTED)
    assert nests_too_deep(b"(" * (MOST_NESTED + 1) + b")" * (MOST_NESTED + 1))
