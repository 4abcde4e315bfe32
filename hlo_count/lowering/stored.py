"""Programs that come as data, not as functions: which of them something is, an export, StableHLO, a jaxpr, HLO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError, last_line
from hlo_count.lowering.quiet import settle_default_backend

MLIR_MAGIC = b"ML\xefR"
_MLIR_TEXT = re.compile(
    rb"\s*+(?:(?://[^\n]*+|[#!]\w++\s*+=[^\n]*+)\s++)*+"
    rb"(?:module\s*+(?:@|attributes\b|\{)|\"builtin\.module\"|func\.func\b|\"func\.func\")"
)


@dataclass(frozen=True, slots=True)
class StableHlo:
    """StableHLO that has not been read yet: MLIR text, MLIR bytecode or a portable artifact."""

    data: bytes
    name: str
    """What messages call it: the file, or "StableHLO"."""


def kind_of(data: bytes) -> str:
    """What bytes hold, by their content: "stablehlo", "exported", "proto" or "text"; loads nothing."""
    if data.startswith(MLIR_MAGIC) or _MLIR_TEXT.match(data):
        return "stablehlo"
    if data[2:4] == b"\0\0" and MLIR_MAGIC in data:  # a flatbuffer begins with a small offset
        return "exported"
    return "proto" if data[:1] == b"\n" and b"\0" in data else "text"


def is_stored(program: Any) -> bool:
    """Whether it is an export, StableHLO or a jaxpr, found without loading what makes them."""
    is_export = isinstance(program, StableHlo) or _is(program, "jax._src.export", "Exported")
    return is_export or is_mlir_module(program) or is_jaxpr(program)


def is_mlir_module(program: Any) -> bool:
    """Whether it is an MLIR module object, such as `lowered.compiler_ir()`."""
    return _is(program, "jaxlib.mlir", "Module")


def _is(program: Any, home: str, *names: str) -> bool:
    return type(program).__name__ in names and type(program).__module__.startswith(home)


def load_stored(data: bytes, name: str) -> Any:
    """The `jax.export.Exported` or the StableHlo in bytes of that kind. Raises HloCountError naming the remedy."""
    if kind_of(data) == "stablehlo":
        return StableHlo(data, name)
    settle_default_backend()
    try:
        from jax import export

        return export.deserialize(bytearray(data))
    except ImportError as problem:
        missing = re.search(r"flatbuffers|absl", str(problem))
        what = {"flatbuffers": "flatbuffers", "absl": "absl-py"}[missing[0]] if missing else "a newer jax"
        raise HloCountError(f"{name}: reading an export needs {what}: pip install {what}") from problem
    except Exception as problem:  # JAX's reader does not check what it reads: whatever damage meets comes out
        import jax

        raise HloCountError(
            f"{name}: not an export that jax {jax.__version__} reads ({last_line(problem)}): "
            f"export again with this jax, or read it with the jax that wrote it"
        ) from problem


def is_jaxpr(program: Any) -> bool:
    """Whether it is what `jax.make_jaxpr` gives: a ClosedJaxpr, from jax 0.11 on a Jaxpr."""
    return _is(program, "jax._src.core", "ClosedJaxpr", "Jaxpr")


def function_of(jaxpr: Any, has_arguments: bool) -> tuple[Any, tuple[Any, ...]]:
    """A function that evaluates a closed jaxpr, and its arguments. Raises HloCountError with the remedy."""
    from jax.extend.core import jaxpr_as_fun

    if has_arguments:
        raise HloCountError("a jaxpr already holds the shapes of its arguments: pass it alone")
    if not hasattr(jaxpr, "consts"):
        raise HloCountError("this jaxpr has lost its constants: pass what jax.make_jaxpr gives")
    run = jaxpr_as_fun(jaxpr)

    def call(*values: Any) -> Any:
        return run(*values)

    call.__name__ = call.__qualname__ = "jaxpr"
    return call, tuple(_struct(aval) for aval in jaxpr.in_avals)


def _struct(aval: Any) -> Any:
    import jax

    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)
