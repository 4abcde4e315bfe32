"""The ready questions to a scan, as what stands in the texts answers them."""

from __future__ import annotations

import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile import HOSTILE, hostile_text, offences
from job.job_texts import dumped, flops, step

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.fleet.questions import ask
from hlo_count.fleet.tables import QUESTIONS

CALLS = """HloModule calls, is_scheduled=true
ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %y = f32[8]{0} custom-call(%x), custom_call_target="theirs"
  %z = f32[8]{0} copy(%y)
  ROOT %w = f32[8]{0} custom-call(%z), custom_call_target="theirs"
}
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dumps")
    for at, rows in enumerate((4, 8, 12)):  # later dumps of one name are larger
        path = dumped(folder, at, step(rows=rows))
        os.utime(path, (1_700_000_000 + 86_400 * at,) * 2)
    dumped(folder, 3, step(rows=1, name="jit_small"), name="jit_small")
    (folder / "calls.txt").write_text(CALLS)
    (folder / "cut.txt").write_text(step()[:300])
    return hc.scan(folder, folder / "counts.sqlite", ThreadPoolExecutor(1)).database


def test_dearest_modules(database: Path) -> None:
    found = ask(database, "dearest_modules")
    at = found.columns.index("flops")
    assert [row[at] for row in found.rows] == [flops(12), flops(8), flops(4), flops(1), 0]


def test_growth(database: Path) -> None:
    (row,) = ask(database, "growth").to_dict()["rows"]
    assert (row["name"], row["modules"], row["since"]) == ("jit_step", 3, "2023-11-14")
    assert (row["flops"], row["times_flops"]) == (flops(12), 3)


def test_waste_is_what_moves_bytes_without_an_operation(database: Path) -> None:
    found = {row["class"]: row["bytes"] for row in ask(database, "waste").to_dict()["rows"]}
    assert found["movement"] >= 2 * 8 * 4  # the copy reads and writes 8 floats
    assert "matmul" not in found


def test_the_bytes_of_a_fusion_are_no_waste(tmp_path: Path) -> None:
    (tmp_path / "fused.txt").write_text(
        "HloModule fused\n%body (p: f32[8]) -> f32[8] {\n  %p = f32[8]{0} parameter(0)\n"
        "  ROOT %e = f32[8]{0} add(%p, %p)\n}\nENTRY %main (x: f32[8]) -> f32[8] {\n  %x = f32[8]{0} parameter(0)\n"
        "  %f = f32[8]{0} fusion(%x), kind=kLoop, calls=%body\n  ROOT %c = f32[8]{0} copy(%f)\n}\n"
    )
    found = hc.scan(tmp_path, tmp_path / "c.sqlite", ThreadPoolExecutor(1))
    assert found.query("waste").rows == (("movement", 2 * 8 * 4.0, 1),)  # the copy reads and writes 8 floats


def test_times_are_dates(database: Path) -> None:
    shown = str(ask(database, "SELECT modified, size FROM modules WHERE modified = 1700000000 LIMIT 1"))
    assert "2023-11-14 22:13:20" in shown
    assert "1 T" in str(ask(database, "SELECT 1e12 AS modified"))  # no file is of the year 33,658


def test_files_are_told_apart_at_any_width(database: Path) -> None:
    """What all of them lie in is said once; of dumps the ends are alike as well."""
    shown = str(ask(database, "SELECT file, name, flops, bytes FROM modules WHERE error IS NULL"))
    assert f"file: below {database.parent}" in shown
    firsts = [line.split()[0] for line in shown.splitlines()[1:6]]
    assert len(set(firsts)) == 5
    assert {each[:7] for each in firsts} == {"module_", "calls"}
    one = str(ask(database, "SELECT file, name FROM modules WHERE name = 'calls'"))
    assert "below" not in one


def test_the_questions_say_how_many_rows_answer_them(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(database)]) == 0
    rows = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()[1:] if line[0] != " "}
    assert rows == {name: str(len(ask(database, name, None).rows)) for name in QUESTIONS}
    assert main(["query", str(tmp_path / "none.sqlite")]) == 2
    assert "none.sqlite: there is no such file: hlo-count scan" in capsys.readouterr().err


def test_a_peak_has_the_unit_that_it_has_in_a_report(database: Path) -> None:
    found = ask(database, f"SELECT peak_bytes FROM modules WHERE flops = {flops(12)}")
    text = next(path.read_text() for path in database.parent.glob("module_0002*"))
    assert found.cells[0][0] in str(hc.count(text))
    assert ask(database, "SELECT 3 * 1024 * 1024 AS peak_bytes").cells == (("3 MiB",),)


def test_what_moves_beyond_what_must(database: Path) -> None:
    rows = ask(database, "beyond_compulsory").to_dict()["rows"]
    assert all(row["beyond"] == row["bytes"] - row["compulsory_bytes"] for row in rows)
    assert [row["beyond"] for row in rows] == sorted((row["beyond"] for row in rows), reverse=True)


def test_unknowns_and_what_has_no_formula(database: Path) -> None:
    (row,) = ask(database, "most_unknowns").to_dict()["rows"]
    assert (row["what"], row["instructions"], row["modules"]) == ("custom-call theirs", 2, 1)
    (row,) = ask(database, "no_formula").to_dict()["rows"]
    assert (row["what"], Path(row["for_example"]).name) == ("custom-call theirs", "calls.txt")


def test_errors_and_sources(database: Path) -> None:
    (row,) = ask(database, "errors").to_dict()["rows"]
    assert Path(row["file"]).name == "cut.txt"
    rows = ask(database, "dearest_sources").to_dict()["rows"]
    product = sum(2 * n * 4 * 2 for n in (4, 8, 12, 1))
    assert (rows[0]["source"], rows[0]["flops"], rows[0]["modules"]) == ("model.py:7", product, 4)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_a_table_of_100_columns(name: str, database: Path) -> None:
    assert max(map(len, str(ask(database, name)).splitlines())) <= 100


def test_the_commands(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "counts.csv"
    assert main(["scan", str(database.parent), "-o", str(out), "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert "5 modules in" in said.out
    assert f"1 failed: hlo-count query {out}.scan errors" in said.err
    assert main(["query", f"{out}.scan"]) == 0
    assert "dearest_modules" in capsys.readouterr().out
    assert main(["query", f"{out}.scan", "dearest_modules", "--rows", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["rows"]), answer["more"]) == (2, True)
    assert main(["query", f"{out}.scan", "SELECT sum(flops) AS flops FROM modules"]) == 0
    assert str(sum(map(flops, (4, 8, 12, 1)))) in capsys.readouterr().out


BAD = {
    "no such question": ("dearest_module", "did you mean 'dearest_modules'?"),
    "SQL that is none": ("SELECT a FROM nowhere", "no such table: nowhere"),
    "a statement that changes": ("DELETE FROM modules", "no question 'DELETE FROM modules'"),
    "one that hides": ("WITH x AS (SELECT 1) DELETE FROM modules", "attempt to write a readonly database"),
    "two statements": ("SELECT 1; SELECT 2", "one statement at a time"),
}


@pytest.mark.parametrize(("question", "message"), BAD.values(), ids=BAD)
def test_questions_that_are_none(question: str, message: str, database: Path) -> None:
    before = database.read_bytes()
    with pytest.raises(hc.HloCountError, match=message):
        ask(database, question)
    assert database.read_bytes() == before


def test_what_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(hc.HloCountError, match="there is no such file: hlo-count scan FOLDER -o"):
        ask(tmp_path / "nowhere.sqlite", "errors")
    (tmp_path / "c.csv").write_text("a,b\n")
    with pytest.raises(hc.HloCountError, match="this is no SQLite database"):
        ask(tmp_path / "c.csv", "errors")
    sqlite3.connect(tmp_path / "theirs.sqlite").execute("CREATE TABLE a (b)")
    with pytest.raises(hc.HloCountError, match="a database of something else"):
        ask(tmp_path / "theirs.sqlite", "errors")


def test_nothing_in_a_text_is_obeyed(tmp_path: Path) -> None:
    """Names, scopes and sources of a program, in the tables of a job, of two, and of a scan."""
    for folder, size in (("one", 64), ("other", 128)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "text.txt").write_text(hostile_text(size))
        (tmp_path / folder / f"{HOSTILE[:30].replace('/', '').replace(chr(0), '')}.txt").write_text(hostile_text(size))
    one, other = (hc.read_job(tmp_path / folder) for folder in ("one", "other"))
    found = hc.scan(tmp_path, tmp_path / "c.csv", ThreadPoolExecutor(1))
    shown = [*(one.table(by=key) for key in ("source", "scope", "class")), repr(one)]
    shown += [str(one.diff(other)), one.diff(other).markdown(), repr(one.diff(other)), str(found)]
    shown += [str(found.query(name)) for name in QUESTIONS]
    assert [offences(text) for text in shown] == [[]] * len(shown)
    written = "".join(path.read_text() for path in found.files)
    cells = [cell for line in written.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell.strip('" ').startswith(("=", "@"))]


def test_sums_beyond_64_bits(tmp_path: Path) -> None:
    """Ten steps of 2^61 FLOP each: SQLite's own sum of whole numbers would fail."""
    side = 2**20
    text = f"""HloModule large
ENTRY %main (x: f32[{side},{side}]) -> f32[{side},{side}] {{
  %x = f32[{side},{side}]{{1,0}} parameter(0)
  ROOT %y = f32[{side},{side}]{{1,0}} dot(%x, %x), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
}}
"""
    for at in range(10):
        (tmp_path / f"{at}.txt").write_text(text)
    found = hc.scan(tmp_path, tmp_path / "c.sqlite", ThreadPoolExecutor(1))
    flops = 10 * 2 * side**3
    assert flops > 2**63
    assert "23.06 E" in str(found)
    (row,) = found.query("dearest_sources").to_dict()["rows"]
    assert row["flops"] == float(flops)


def test_the_page(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2", reason="a page is made with Jinja2, the extra `html`")
    page = tmp_path / "fleet.html"
    assert main(["query", str(database), "--save", str(page)]) == 0
    assert f"wrote {page}" in capsys.readouterr().err
    text = page.read_text()
    assert all(name.replace("_", " ") in text for name in QUESTIONS)
    assert "5 modules in 6 files, 1 that cannot be counted" in text
    assert "custom-call theirs" in text
    assert "://" not in text  # nothing is fetched
    assert main(["query", str(database), "--save", str(page)]) == 2
    assert "force=True, or --force, replaces it" in capsys.readouterr().err


def test_nothing_on_the_page_is_obeyed(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="a page is made with Jinja2, the extra `html`")
    (tmp_path / "text.txt").write_text(hostile_text(hostile="</script><script>alert(1)</script><img src=x onerror=y>"))
    (tmp_path / "other.txt").write_text(hostile_text())
    found = hc.scan(tmp_path, tmp_path / "c.sqlite", ThreadPoolExecutor(1))
    text = found.save(tmp_path / "fleet.html").read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert offences(text) == []
