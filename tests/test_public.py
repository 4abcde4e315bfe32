"""The public surface: its names, their signatures, and that types come with the package."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import hlo_count as hc

ROOT = Path(__file__).resolve().parent.parent
SIGNATURES = {
    "count": "fn / *args target convention trip_counts branches costs compiler_options strict mesh in_specs kwargs **named",
    "count_parameters": "params",
    "parse": "text filename",
    "device": "name",
    "devices": "",
    "targets": "",
    "required_intensity": "device dtype unit",
    "custom_call": "*targets override",
    "rule": "*opcodes override",
    "diff": "first *rest **keywords",
    "passes": "fn *args target pass_filter kwargs **named",
    "calibrate": "path",
    "read_dumps": "directory module pattern",
    "read_trace": "path device",
    "track": "folder device",
    "measure": "fn / *args runs device kwargs **named",
}
"""The parameters that the guide relies on, in their order; others may stand beside them."""
REPORT = {
    "flops", "transcendentals", "int_ops", "other_ops", "bytes", "bytes_read", "bytes_written", "network_bytes",
    "intensity", "status", "unknowns", "parameters", "argument_bytes", "output_bytes", "compulsory_bytes", "peak_bytes",
    "at_most", "settlements", "settled", "by", "roofline", "to_dict", "to_json", "to_pandas", "reconcile", "check",
    "explain", "save", "dot",
}  # fmt: skip


def test_all_names_exist_and_are_sorted() -> None:
    assert list(hc.__all__) == sorted(hc.__all__, key=lambda name: (not name[0].isupper(), name))
    assert all(hasattr(hc, name) for name in hc.__all__)
    assert set(hc.__all__) <= set(dir(hc))


def test_all_holds_the_surface() -> None:
    assert set(SIGNATURES) <= set(hc.__all__)
    assert {"Module", "Computation", "Instruction", "Report", "Cost", "HloCountError", "ParseError"} <= set(hc.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    given = inspect.signature(getattr(hc, name)).parameters
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [marks.get(p.kind, "") + p.name for p in given.values()]
    wanted = [word for word in SIGNATURES[name].split() if word != "/"]
    assert [n for n in names if n in wanted] == wanted


def test_keywords_of_count_do_not_take_the_function_s_place() -> None:
    (first, *_) = inspect.signature(hc.count).parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_ONLY  # so that a function may have a keyword argument `fn`


def test_a_report_has_the_surface() -> None:
    assert set(dir(hc.Report)) >= REPORT


@pytest.mark.parametrize("name", ["count", "parse", "device", "devices", "targets", "custom_call", "rule", "Report"])
def test_public_names_are_documented_and_typed(name: str) -> None:
    value = getattr(hc, name)
    assert inspect.getdoc(value)
    assert inspect.isclass(value) or "return" in value.__annotations__


def test_unknown_names_raise() -> None:
    with pytest.raises(AttributeError, match="module 'hlo_count' has no attribute 'cuont'"):
        _ = hc.cuont


def test_errors_are_one_family() -> None:
    errors = [getattr(hc, name) for name in hc.__all__ if name.endswith(("Error", "Exceeded"))]
    assert len(errors) >= 6
    assert all(issubclass(error, hc.HloCountError) for error in errors)
    assert issubclass(hc.BudgetExceeded, AssertionError)


def test_types_come_with_the_package() -> None:
    assert (ROOT / "hlo_count" / "py.typed").exists()
    assert "py.typed" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_a_user_s_code_type_checks(tmp_path: Path) -> None:
    code = """
import hlo_count as hc

report: hc.Report = hc.count("text", trip_counts={"while.1": 3})
flops: int = report.flops
by_opcode: dict[str, hc.Cost] = report.by("opcode")
module: hc.Module = hc.parse("text")
instructions: list[hc.Instruction] = [i for c in module.computations.values() for i in c]


@hc.custom_call("my_kernel")
def my_kernel(call: hc.Instruction) -> hc.Cost:
    return hc.Cost.ops("flops", call.shape.size, "matmul", "f32", "matrix")
"""
    path = tmp_path / "user.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
