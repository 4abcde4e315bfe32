"""Every report as data is as docs/report.schema.json says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fixture_files
import pytest
from hostile import hostile_text

import hlo_count as hc
from hlo_count.cli import main

jsonschema = pytest.importorskip("jsonschema", reason="schemas are checked with jsonschema")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))


@pytest.fixture(scope="module")
def validator() -> Any:
    kind = jsonschema.validators.validator_for(SCHEMA)
    kind.check_schema(SCHEMA)
    return kind(SCHEMA)


def problems(validator: Any, document: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("path", STORED[::5], ids=lambda path: "/".join(path.relative_to(fixture_files.FIXTURES).parts))
def test_stored_programs(path: Path, validator: Any) -> None:
    assert problems(validator, json.loads(hc.count(path).to_json())) == []


@pytest.mark.parametrize(
    "report",
    [
        lambda: hc.count(hostile_text()),
        lambda: hc.count(hostile_text(), convention="xla"),
        lambda: hc.count("e { ROOT p = f32[4] parameter(0) }"),
    ],
    ids=["unknowns", "the convention of XLA", "nothing"],
)
def test_reports_of_all_kinds(report: Any, validator: Any) -> None:
    assert problems(validator, json.loads(report().to_json())) == []


def test_it_allows_nothing_else(validator: Any) -> None:
    document = json.loads(hc.count(hostile_text()).to_json())
    assert problems(validator, document | {"more": 1})
    assert problems(validator, document | {"flops": -1})
    assert problems(validator, {name: value for name, value in document.items() if name != "peak_bytes"})
    assert set(SCHEMA["properties"]) == set(document) | {"rows"}


def test_a_breakdown_that_was_asked_for(tmp_path: Path, validator: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / "dump.txt"
    dump.write_text(fixture_files.text("cpu", "mlp_grad"))
    assert main(["count", str(dump), "--json", "--by", "scope,class"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert problems(validator, document) == []
    assert document["rows"]["by"] == ["scope", "class"]
    assert sum(row["flops"] for row in document["rows"]["rows"]) == document["flops"]
    assert all(len(row["names"]) == 2 for row in document["rows"]["rows"])
