"""The least JAX that something needs."""

from __future__ import annotations

import re


def too_old(what: str, least: str) -> str:
    """What to tell where the installed JAX is older than `least`, such as "0.4.38"; else ""."""
    import jax

    if _numbers(jax.__version__) >= _numbers(least):
        return ""
    return f"{what} need JAX {least} or newer, and this is {jax.__version__}: upgrade jax and jaxlib"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
