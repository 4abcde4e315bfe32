"""What was pickled by a version is read by all of the same minor number.

`PYTHONPATH=tests python tests/report/test_stored_results.py` writes what is stored anew. Do so when the minor number changes. Where a
test here fails before that, names or fields changed that stored results have: keep them readable.
"""

from __future__ import annotations

import pickle
from importlib.metadata import version
from typing import Any

import fixture_files
import pytest

import hlo_count as hc
from hlo_count.report.breakdown import KEYS

MINOR = ".".join(version("hlo-count").split(".")[:2])
FILE = fixture_files.FIXTURES / "results" / f"{MINOR}.pickle"
PROTOCOL = 4
"""The oldest that all supported versions of Python write by themselves."""


def results() -> dict[str, Any]:
    """One of each kind that travels; settings and what a module does not tell are among it."""
    step, product = (fixture_files.load(*name)[0] for name in (("cpu", "while_dynamic"), ("h100", "attention")))
    loop = hc.count(step).unknowns[0].instruction
    report = hc.count(step, trip_counts={loop: 7})
    other = hc.count(product)
    return {
        "report": report,
        "xla": hc.count(product, convention="xla"),
        "cost": report.total,
        "module": report.module,
        "instruction": report.module.entry.root,
        "diff": hc.diff(hc.count(step), report),
        "roofline": other.roofline("h100-sxm"),
        "what_if": hc.what_if(other, ["h100-sxm", "v5e"]),
    }


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads(FILE.read_bytes())
    return found


@pytest.mark.parametrize("name", results())
def test_it_is_read_and_says_what_it_is(stored: dict[str, Any], name: str) -> None:
    made, found = results()[name], stored[name]
    assert type(found) is type(made)
    assert str(found)
    assert pickle.loads(pickle.dumps(found)) == found or name == "instruction"  # instructions are equal to themselves


def test_all_that_a_report_is_asked_is_answered(stored: dict[str, Any]) -> None:
    report = stored["report"]
    made = results()["report"]
    assert report.module.text == made.module.text
    assert report.settings == made.settings
    assert report.status == "exact"  # the trip count that settles it is among the settings
    assert {"opcode", "class", "source", "instruction"} <= {key for key in KEYS if report.by(key)}
    assert report.to_dict()["name"] == made.name
    assert report.roofline("h100-sxm").estimate > 0
    assert stored["diff"].before.module.text == made.module.text
    assert stored["roofline"].device == hc.device("h100-sxm")


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(pickle.dumps(results(), protocol=PROTOCOL))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
