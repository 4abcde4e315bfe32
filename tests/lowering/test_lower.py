"""Functions, jitted functions and jax.stages objects become HLO text for the machine at hand."""

from __future__ import annotations

import functools
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hlo_count.errors import HloCountError
from hlo_count.lowering import lower

X = jax.ShapeDtypeStruct((8, 16), jnp.float32)
W = jax.ShapeDtypeStruct((16, 32), jnp.float32)


def matmul(x, w):
    return jnp.tanh(x @ w)


def parameters(text):
    """The shapes of the entry computation's parameters."""
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->", text)[1]
    return re.findall(r"[a-z]+\d*\[[\d,]*\]", layout)


class Layer:
    def __call__(self, x, *, w):
        return x @ w

    def apply(self, x, w):
        return x @ w


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "name"),
    [
        (matmul, (X, W), {}, "matmul"),
        (matmul, (X,), {"w": W}, "matmul"),
        (jax.jit(matmul), (X, W), {}, "matmul"),
        (functools.partial(matmul, w=np.ones((16, 32), np.float32)), (X,), {}, "matmul"),
        (Layer(), (X,), {"w": W}, "Layer"),
        (Layer().apply, (X, W), {}, "apply"),
        (matmul, (np.ones((8, 16), np.float32), jnp.ones((16, 32))), {}, "matmul"),
    ],
    ids=["function", "keyword", "jitted", "partial", "callable object", "method", "concrete arrays"],
)
@pytest.mark.parametrize("optimized", [True, False])
def test_whatever_is_a_function_is_lowered_under_its_name(fn, args, kwargs, name, optimized):
    program = lower(fn, args, kwargs, optimized=optimized)
    assert program.name == f"jit_{name}"
    assert program.text.startswith(f"HloModule jit_{name}")
    assert (program.backend, program.num_devices, program.mesh) == (jax.default_backend(), 1, ())
    assert program.target is None
    assert program.jax_version == jax.__version__
    assert program.optimized is optimized
    assert (program.compiled is not None) is optimized
    assert "test_lower.py" in program.text
    assert 'op_name="' in program.text


def test_pytrees_and_python_scalars_are_parameters():
    def step(params, scale):
        return params["w"] * scale + params["b"]

    params = {"w": X, "b": jax.ShapeDtypeStruct((16,), jnp.float32)}
    assert parameters(lower(step, (params, 2.0)).text) == ["f32[16]", "f32[8,16]", "f32[]"]


def test_stages_are_taken_as_they_are():
    traced = jax.jit(matmul).trace(X, W)
    lowered = jax.jit(matmul).lower(X, W)
    compiled = lowered.compile()
    assert lower(compiled).text == compiled.as_text()
    assert lower(compiled).compiled is compiled
    for stage in (traced, lowered):
        assert lower(stage).optimized
        assert parameters(lower(stage, optimized=False).text) == ["f32[8,16]", "f32[16,32]"]


@pytest.mark.parametrize("stage", ["trace", "lower"])
def test_stages_take_no_arguments(stage):
    with pytest.raises(HloCountError, match="already holds its arguments"):
        lower(getattr(jax.jit(matmul), stage)(X, W), (X, W))


def test_a_compiled_takes_neither_arguments_nor_a_target_nor_gives_back_what_it_was():
    compiled = jax.jit(matmul).lower(X, W).compile()
    with pytest.raises(HloCountError, match="Compiled already holds its arguments"):
        lower(compiled, (X, W))
    with pytest.raises(HloCountError, match="bound to its devices"):
        lower(compiled, mesh={"data": 1})
    with pytest.raises(HloCountError, match="lost its unoptimized program"):
        lower(compiled, optimized=False)


def test_static_arguments_stay_static_and_donated_arrays_stay_alive():
    @functools.partial(jax.jit, static_argnums=1, static_argnames="power", donate_argnums=0)
    def scaled(x, times, *, power):
        return x * times**power

    x = jnp.ones((8, 16))
    program = lower(scaled, (x, 3), {"power": 2})
    assert parameters(program.text) == ["f32[8,16]"]
    assert "input_output_alias" in program.text
    assert not x.is_deleted()


def test_an_error_in_the_function_is_jax_s_own():
    def branch(x):
        return x if x.sum() > 0 else -x

    with pytest.raises(jax.errors.TracerBoolConversionError):
        lower(branch, (X,))
    with pytest.raises(TypeError, match="takes 2 positional"):
        lower(lambda x, w: x @ w, (X, W, X))


def test_what_is_no_function_is_said_to_be_none():
    with pytest.raises(HloCountError, match=r"expected a function.*got int"):
        lower(3)


def test_a_changed_global_is_seen():
    scale = {"by": 2}

    def scaled(x):
        return x * scale["by"] if scale["by"] > 1 else x

    assert "multiply" in lower(scaled, (X,), optimized=False).text
    scale["by"] = 1
    assert "multiply" not in lower(scaled, (X,), optimized=False).text


def test_source_lines_are_the_user_s():
    text = lower(jnp.dot, (X, W)).text
    assert "test_lower.py" in text
    assert "hlo_count/lowering" not in text


def test_compiler_options_reach_the_compiler():
    with pytest.raises(Exception, match="no_such_option"):
        lower(matmul, (X, W), compiler_options={"no_such_option": True})


def test_the_persistent_cache_gives_no_other_caller_s_source_lines(tmp_path):
    script = f"""
import jax, jax.numpy as jnp
from hlo_count.lowering import lower
jax.config.update("jax_compilation_cache_dir", {str(tmp_path)!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
x = jnp.ones((64, 64))
def f(x): return jnp.tanh(x @ x)
jax.jit(f)(x)
before = dict(jax.config.values)
exec(compile("\\n" * 99 + "def f(x): return jnp.tanh(x @ x)", "elsewhere.py", "exec"))
text = lower(f, (x,)).text
assert "elsewhere.py" in text and "line=100" in text, text
assert dict(jax.config.values) == before
import os
files = len(os.listdir({str(tmp_path)!r}))
jax.jit(lambda x: jnp.cos(x @ x))(x)
assert len(os.listdir({str(tmp_path)!r})) > files  # the user's cache still works
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
