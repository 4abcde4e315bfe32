"""What stands on the command line, made into Python: functions by name, arguments by shape."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError

_DTYPES = {
    "pred": "bool",
    "bf16": "bfloat16",
    **{f"f{n}": f"float{n}" for n in (16, 32, 64)},
    **{f"s{n}": f"int{n}" for n in (2, 4, 8, 16, 32, 64)},
    **{f"u{n}": f"uint{n}" for n in (2, 4, 8, 16, 32, 64)},
    "c64": "complex64",
    "c128": "complex128",
    **{
        f"f8{kind}": f"float8_{kind}"
        for kind in ("e4m3fn", "e5m2", "e4m3b11fnuz", "e4m3fnuz", "e5m2fnuz", "e3m4", "e4m3")
    },
    "f8e8m0fnu": "float8_e8m0fnu",
    "f4e2m1fn": "float4_e2m1fn",
}
"""HLO's names of element types, and NumPy's."""
_EMPTY = re.compile(rf"\b({'|'.join(_DTYPES)})\[\s*\]")
"""A scalar as HLO spells it, `f32[]`, which is no Python."""


def looks_like_function(text: str) -> bool:
    """Whether it names a function (`package.module:function`, `file.py:function`), not a file."""
    return ":" in text and not Path(text).exists()


def resolve(text: str) -> Any:
    """The object that `package.module:function` or `file.py:function` names. Raises HloCountError."""
    place, _, path = text.rpartition(":")
    if not place or not path:
        raise HloCountError(f"{text}: a function is written package.module:function or path/to/file.py:function")
    module = _module(place, text)
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            names = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            near = get_close_matches(part, names, 3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise HloCountError(f"{text}: {place} has no function {part!r}{hint}")
        found = getattr(found, part)
    return found


def _module(place: str, text: str) -> Any:
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise HloCountError(f"{text}: there is no file {place}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        sys.path.insert(0, str(path.resolve().parent))
        spec.loader.exec_module(module)
        return module
    sys.path.insert(0, "")
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (place == problem.name or place.startswith(problem.name + ".")):
            raise HloCountError(
                f"{text}: there is no module {problem.name!r} here; run where it can be imported, or name its file: "
                f"path/to/file.py:function"
            ) from None
        raise


def argument(text: str) -> Any:
    """`f32[128,784]`, `f32[]` as jax.ShapeDtypeStructs; numbers, strings, lists, tuples and dicts as they are."""
    try:
        tree = ast.parse(_EMPTY.sub(r"\1", text.strip()), mode="eval").body
    except SyntaxError:
        raise HloCountError(_refusal(text)) from None
    return _value(tree, text)


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=elements):
            return [_value(element, text) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, text) for element in elements)
        case ast.Dict(keys=keys, values=values):
            return {_value(k, text): _value(v, text) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.Subscript(value=ast.Name(id=dtype), slice=dimensions) if dtype in _DTYPES:
            sizes = _value(dimensions, text)
            sizes = sizes if isinstance(sizes, tuple) else (sizes,)
            if all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in sizes):
                return _struct(sizes, dtype)
        case ast.Name(id=name) if name in _DTYPES:
            return _struct((), name)
    raise HloCountError(_refusal(text))


def _struct(sizes: tuple[int, ...], dtype: str) -> Any:
    import jax
    import jax.numpy as jnp
    import ml_dtypes

    name = _DTYPES[dtype]
    numpy_type = getattr(jnp, name, None) or getattr(ml_dtypes, name, None)
    if numpy_type is None:
        raise HloCountError(f"{dtype}: this jax has no element type {name}")
    return jax.ShapeDtypeStruct(sizes, jnp.dtype(numpy_type))


def _refusal(text: str) -> str:
    meant = _OTHER_NAME.sub(lambda found: _meant(found[0]), text)
    near = f"did you mean {meant!r}? " if meant != text else ""
    return (
        f"--arg {text!r} is no argument: {near}write a shape such as f32[128,784] or s32 (a scalar), a number, or a "
        f"list, tuple or dict of these"
    )


def _meant(name: str) -> str:
    """The element type that a name may be for; as it is where none is near."""
    if name in _DTYPES or name in ("None", "True", "False"):
        return name
    return _MEANT.get(name.lower()) or next(iter(get_close_matches(name, _DTYPES, 1, 0.75)), name)


_OTHER_NAME = re.compile(r"[A-Za-z]\w*")
_MEANT = {
    **{name: short for short, name in _DTYPES.items()},
    "float": "f32",
    "double": "f64",
    "half": "f16",
    "int": "s32",
    "long": "s64",
    "boolean": "pred",
    **{f"fp{bits}": f"f{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"s{bits}" for bits in (8, 16, 32, 64)},
}
"""Element types by the names that NumPy, PyTorch and C have for them."""


def assignments(given: list[str] | None, option: str) -> dict[str, str]:
    """`name=value` as often as it was given."""
    found = {}
    for text in given or []:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise HloCountError(f"{option} {text!r}: write NAME=VALUE")
        found[name] = value
    return found


def whole_number(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise HloCountError(f"{option}: {text!r} is no whole number") from None


def number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise HloCountError(f"{option}: {text!r} is no number") from None


def branch(text: str) -> int | list[float]:
    """The index of a branch, or with commas the probability of each: `1`, `0.9,0.1`."""
    try:
        return [float(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError:
        raise HloCountError(
            f"--branch: {text!r} is neither the index of a branch nor the probability of each, such as 0.9,0.1"
        ) from None


def compiler_options(given: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` with true, false, numbers, and words as they stand; the first = is the one, and --NAME is NAME."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip("- "):
            raise HloCountError(f"--compiler-option {text!r}: write NAME=VALUE")
        found[name.strip().lstrip("-")] = _typed(value.strip())
    return found


def _typed(value: str) -> bool | int | float | str:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            pass
    return value


def mesh(text: str | None) -> dict[str, int] | None:
    """`data=4,model=2` as axis names and sizes."""
    if text is None:
        return None
    return {n: whole_number(v, "--mesh") for n, v in assignments(text.split(","), "--mesh").items()}


def partition_spec(text: str) -> Any:
    """`data,None,model` or `data+model,` as a PartitionSpec; an empty text as a replicated one."""
    from jax.sharding import PartitionSpec

    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    axes = [None if p in ("None", "-", "") else tuple(p.split("+")) if "+" in p else p for p in parts]
    return PartitionSpec(*axes)
