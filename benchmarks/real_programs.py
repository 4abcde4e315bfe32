"""What is measured on programs that people run: their texts against XLA, and counting beside compiling."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import jax
from unrolled_step import unrolled_step

import hlo_count as hc

ROOT = Path(__file__).resolve().parent.parent
SHORTEST = 1.0
"""CPU seconds of lowering and compiling from which on a program is in the table."""

Seconds = Callable[..., float]
"""What a function takes with these arguments."""


def models(file: Path, repeat: int, seconds: Seconds, xla: Callable[[str], None]) -> dict[str, Any]:
    """By figure the median and the worst over the programs of a `.jsonl.gz` of {"name", "hlo"}, in times of what `xla`
    takes on each; those that XLA's parser refuses are counted and left out."""
    found: dict[str, dict[str, float]] = {}
    refused = 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        programs = {program["hlo"]: program["name"] for program in map(json.loads, lines)}
    for text, name in programs.items():
        try:
            xla(text)
        except Exception as problem:  # of a class that jaxlib does not export
            print(f"{name}: refused by XLA: {problem}", file=sys.stderr)
            refused += 1
            continue
        found[name] = _times_of_xla(text, repeat, seconds, xla)
    sizes = [text.count(" = ") for text, name in programs.items() if name in found]
    worst = max(found, key=lambda name: found[name]["count + print"])
    return {
        "programs": len(found),
        "refused": refused,
        "instructions": [min(sizes), max(sizes)],
        "worst": worst,
        **{
            figure: {"median": round(median(values), 3), "worst": round(max(values), 3)}
            for figure in ("count", "count + print")
            for values in [[each[figure] for each in found.values()]]
        },
    }


def _times_of_xla(text: str, repeat: int, seconds: Seconds, xla: Callable[[str], None]) -> dict[str, float]:
    unit = count = both = float("inf")
    for _ in range(repeat):
        unit = min(unit, seconds(xla, text))
        count = min(count, seconds(hc.count, text))
        both = min(both, seconds(lambda: str(hc.count(text))))
    return {"count": count / unit, "count + print": both / unit}


def functions(repeat: int, seconds: Seconds) -> dict[str, dict[str, float]]:
    """By program the CPU seconds of lowering and compiling it for this machine's CPU, and of counting what was compiled
    with its table printed."""
    found = {}
    for name, function, arguments in _programs():
        kept: list[jax.stages.Compiled] = []
        compiling = seconds(lambda f=function, a=arguments, k=kept: k.append(jax.jit(f).lower(*a).compile()))
        if compiling < SHORTEST:
            print(f"{name}: compiles in {compiling:.2f} s, left out", file=sys.stderr)
            continue
        counting = min(seconds(lambda c=kept[0]: str(hc.count(c))) for _ in range(repeat))
        size = hc.count(kept[0]).module.num_instructions
        found[name] = {"instructions": size, "compiling": round(compiling, 2), "counting": round(counting, 3)}
    return found


def _programs() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """The training step of the other tables, and networks that were published, forward and with gradients."""
    step, arguments = unrolled_step(8)
    yield "transformer, training step", step, arguments
    sys.path.insert(0, str(ROOT))
    from fixtures import models

    for name, (apply, given) in (
        ("ResNet-50", models.resnet50()),
        ("ViT-B/16", models.vit_b16()),
        ("GPT-2 small", models.gpt2_small(128)),
    ):
        yield f"{name}, forward", apply, given
        yield f"{name}, gradients", jax.grad(_summed(apply), allow_int=True), given


def _summed(apply: Callable[..., Any]) -> Callable[..., Any]:
    return lambda parameters, x: apply(parameters, x).sum()
