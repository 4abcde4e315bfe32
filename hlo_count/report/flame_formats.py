"""The tree of scopes, or of calls where the text has them, in the formats that flame graph tools read."""

from __future__ import annotations

from collections import defaultdict

from hlo_count.harmless import harmless, json_text
from hlo_count.report.weights import LABELS, SENT_MEASURES, NodePath, Weights

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS = dict.fromkeys(("bytes", *SENT_MEASURES, "peak"), "bytes") | dict.fromkeys(("estimate", "measured"), "seconds")


def speedscope(weights: Weights) -> str:
    """speedscope's JSON (its file-format-spec): a sampled profile for each measure, a sample for each path."""
    by_path = _by_path(weights)
    frames: dict[str, int] = {}
    stacks = [[frames.setdefault(harmless(name, 200), len(frames)) for name in path] for path in by_path]
    profiles = []
    for n, measure in enumerate(weights.measures):
        found = [(stack, values[n]) for stack, values in zip(stacks, by_path.values(), strict=True) if values[n]]
        profiles.append(
            {
                "type": "sampled",
                "name": LABELS[measure],
                "unit": _UNITS.get(measure, "none"),
                "startValue": 0,
                "endValue": sum(value for _, value in found),
                "samples": [stack for stack, _ in found],
                "weights": [value for _, value in found],
            }
        )
    document = {
        "$schema": _SCHEMA,
        "name": harmless(weights.report.name, 200),
        "exporter": "hlo_count",
        "activeProfileIndex": weights.measures.index(weights.main),
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles,
    }
    return json_text(document, None)


def folded(weights: Weights) -> str:
    """Collapsed stacks, as flamegraph.pl reads them: a path, `;` between its parts, and what dominates the total."""
    at = weights.measures.index(weights.main)
    lines = [
        f"{';'.join(harmless(name, 200).replace(';', ',') for name in path)} {int(values[at])}"
        for path, values in _by_path(weights).items()
        if values[at]
    ]
    return "\n".join(lines) + "\n"


def _by_path(weights: Weights) -> dict[NodePath, list[float]]:
    by = "calls" if weights.report.module.source_tables.frames else "scope"
    found: dict[NodePath, list[float]] = defaultdict(lambda: [0] * len(weights.measures))
    for instruction, values in weights.shares:
        into = found[weights.path(by, instruction)]
        for n, value in enumerate(values):
            into[n] += value
    return found
