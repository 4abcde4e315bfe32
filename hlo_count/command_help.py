"""What help shows beside the options: examples of each command, and what a misspelt word may have meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from difflib import get_close_matches

EXAMPLES: dict[str, tuple[str, ...]] = {
    "count": (
        "hlo-count count package.module:function --arg f32[128,784] --arg s32[128]",
        "hlo-count count train.py:step --args-from train.py:arguments --target cpu,tpu:v5e,h100-sxm",
        "hlo-count count dump.txt --by scope,class",
        "hlo-count count dump.txt --max-flops 2GFLOP --json",
    ),
    "demo": ("hlo-count demo --by source",),
    "diff": (
        "hlo-count diff before.txt after.txt --fail-above 5%",
        "hlo-count diff train.py:step --arg f32[128,784] --by scope",
        "hlo-count diff dumps-of-main dumps-of-branch --markdown",
    ),
    "roofline": (
        "hlo-count roofline dump.txt --device h100-sxm --plot roofline.png",
        "hlo-count roofline dump.txt --device all",
    ),
    "report": (
        "hlo-count report dump.txt -o report.html --device h100-sxm",
        "hlo-count report dump.txt -o stacks.folded",
        "hlo-count report dump.txt -o schedule.trace.json --device h100-sxm",
    ),
    "explain": (
        "hlo-count explain dump.txt fusion.3 --device h100-sxm",
        "hlo-count explain dump.txt fusion.3 --svg > fusion.svg",
    ),
    "size": (
        "hlo-count size train.py:step --args-from train.py:arguments --on tpu:v5e,h100-sxm:8",
        "hlo-count size train.py:step --arg f32[128,784] --on h100-sxm --price-per-hour 3.50 --plot sizes.png",
        "hlo-count size model.py:make --on tpu:v5e,h100-sxm --sizes L=2,3,4 --sizes d=64,128,192,256 --at L=96,d=12288",
    ),
    "growth": ("hlo-count growth model.py:make --sizes b=2,3,4 --sizes s=64,128,192,256 --at b=8,s=2048",),
    "trace": (
        "hlo-count trace profile-dir --device h100-sxm",
        "hlo-count trace profile-dir --by source --plot roofline.png",
    ),
    "measure": ("hlo-count measure train.py:step --args-from train.py:arguments --runs 20",),
    "run": ("hlo-count run train.py --steps 100", "hlo-count run --skip 10 --seconds 5 -o profile-dir train.py"),
    "devices": ("hlo-count devices --json",),
    "targets": ("hlo-count targets",),
    "calibrate": (
        "hlo-count calibrate --output here.toml",
        "hlo-count calibrate --from profile-dir --device h100-sxm",
    ),
    "passes": ("hlo-count passes train.py:step --arg f32[128,784] --filter fusion",),
    "job": (
        "hlo-count job xla_dump_dir",
        "hlo-count job xla_dump_dir --name 'jit_train*' --since 2h --by scope --save job.html",
    ),
    "scan": (
        "hlo-count scan dumps '**/*.hlo.gz' -o counts.sqlite",
        "hlo-count scan gs://bucket/dumps -o counts.parquet --workers 8",
    ),
    "query": (
        "hlo-count query counts.sqlite growth --rows 50",
        "hlo-count query counts.sqlite 'SELECT backend, count(*) FROM modules GROUP BY backend' --json",
        "hlo-count query counts.sqlite --save fleet.html",
    ),
}
"""As they can be typed."""

_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
_UNKNOWN = re.compile(r"unrecognized arguments: (.*)")


def with_examples(command: str, more: str) -> str:
    """The end of a command's help."""
    examples = EXAMPLES.get(command, ())
    return "\n".join([*(["examples:", *(f"  {line}" for line in examples), ""] if examples else []), more])


def hint(message: str, parser: argparse.ArgumentParser) -> str:
    """What an error of argparse was about, as what was meant: `, did you mean 'count'?`; "" where nothing is near."""
    choice, unknown = _CHOICE.search(message), _UNKNOWN.search(message)
    if choice is not None:
        wrong, known = [choice[1]], re.findall(r"[\w.-]+", choice[2])
    elif unknown is not None:
        wrong = [word.partition("=")[0] for word in unknown[1].split() if word.startswith("-")]
        known = sorted(flag for action in actions_of(parser) for flag in action.option_strings)
    else:
        return ""
    near = [match for word in wrong for match in get_close_matches(word, known, 1)]
    return f", did you mean {', '.join(map(repr, dict.fromkeys(near)))}?" if near else ""


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """What a parser and its commands take."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions_of(command)
