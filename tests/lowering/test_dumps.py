"""The module after every pass, as XLA leaves it in a directory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from hlo_count.lowering import dump_passes, lower

X = jax.ShapeDtypeStruct((64, 64), jnp.float32)


def f(x):
    return jnp.tanh(x @ x) + 1


def after(directory):
    """The names of the passes that left a module."""
    return [path.name.split(".after_")[1].split(".")[0] for path in sorted(directory.glob("*.after_*.txt"))]


def test_every_pass_leaves_its_module(tmp_path):
    directory = tmp_path / "new" / "dumps"
    dumped, plain = (make() for make in (lambda: dump_passes(f, (X,), None, directory), lambda: lower(f, (X,))))
    assert dumped.name == plain.name == "jit_f"
    passes = after(directory)
    assert "pipeline-start" in passes
    assert any("fusion" in name for name in passes)
    for path in directory.glob("*.after_*.txt"):
        assert path.read_text().startswith("HloModule jit_f"), path


def test_a_filter_leaves_fewer(tmp_path):
    dump_passes(f, (X,), None, tmp_path / "all")
    dump_passes(f, (X,), None, tmp_path / "some", pass_filter="fusion")
    assert 0 < len(after(tmp_path / "some")) < len(after(tmp_path / "all"))


def test_a_second_compile_of_the_same_function_dumps_again(tmp_path):
    jitted = jax.jit(f)
    for name in ("one", "two"):
        dump_passes(jitted, (X,), None, tmp_path / name)
    assert after(tmp_path / "one") == after(tmp_path / "two") != []


def test_options_of_the_user_are_kept(tmp_path):
    with pytest.raises(Exception, match="no_such_option"):
        dump_passes(f, (X,), None, tmp_path, compiler_options={"no_such_option": True})
