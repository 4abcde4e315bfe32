"""The user's scopes in an op_name, as people read them."""

from __future__ import annotations

import re
from functools import lru_cache

_PLUMBING = frozenset(
    (
        "while body cond closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat remat2 "
        "rematted_computation body_pred cond_pred shmap_body shard_map pjit jit(main)"
    ).split()
)
"""Components of an op_name that JAX's control flow adds: they name no scope of the user's."""
_COMPONENT = re.compile(r"(?:[^/()\[\]]+|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\[[^\]]*\])+")
_JOINED = re.compile(r";(?=p?jit\()|;(?=([^/;]+)/)")
_TRANSFORM = re.compile(r"\w+\(")
_EMPTY_TRANSFORM = re.compile(r"(?:\w+\()+\)+$")


def _first_of_joined(op_name: str) -> str:
    """The first of several op_names in one: the next is whole, `jit(f)/a/mul;jit(f)/b/add`, or goes on from a scope
    that they share, `jit(f)/a/mul;a/add`. Any other `;` is a part of a name."""
    for found in _JOINED.finditer(op_name):
        first = op_name[: found.start()]
        if found[1] is None or found[1] in first.split("/"):
            return first
    return op_name


def scope(op_name: str) -> tuple[str, ...]:
    """The components of an op_name that are scopes: without the primitive at its end and control flow's plumbing.

    Of several op_names that XLA joined with `;` where it made one instruction of theirs, those of the first.
    """
    return _scopes(_without_primitive(op_name))


def _without_primitive(op_name: str) -> str | tuple[str, ...]:
    """What stands before it, as a path, or as its components where `/` may stand inside of one."""
    path, _, primitive = op_name.rpartition("/")
    if primitive and ";" not in op_name and _BRACKETS.isdisjoint(primitive):
        return path
    return tuple(_COMPONENT.findall(_first_of_joined(op_name))[:-1])


_BRACKETS = frozenset("()[]")


@lru_cache(maxsize=4096)
def _scopes(path: str | tuple[str, ...]) -> tuple[str, ...]:
    parts = _COMPONENT.findall(path) if isinstance(path, str) else path
    return tuple(
        [p for p in parts if p not in _PLUMBING and not p.startswith("branch_") and not _EMPTY_TRANSFORM.match(p)]
    )


def readable(component: str) -> str:
    """`jit(step)` as step, `jvp(block)` as block, `transpose(jvp(block))` as "block (backward)"."""
    backward = component.startswith("transpose(")
    inner = component
    while (transform := _TRANSFORM.match(inner)) and inner.endswith(")"):
        inner = inner[transform.end() : -1]
    return f"{inner} (backward)" if backward else inner


def scope_path(op_name: str) -> tuple[str, ...]:
    """The scopes of an op_name from the outermost inward, readable."""
    return _readable_scopes(_without_primitive(op_name))


@lru_cache(maxsize=4096)
def _readable_scopes(path: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(readable, _scopes(path)))
