"""Which files a text can have read, and which it cannot: none that the user did not mean to show."""

from __future__ import annotations

import builtins
import io
import linecache
import os
import pickle
import sys
from pathlib import Path

import pytest
from hostile import hostile_text

import hlo_count as hc
from hlo_count.report.source_lines import SourceLines, project_root

SECRET = "the line that a text asks for"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "inner").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    (root / "model.py").write_text(f"first\n  {SECRET}  \n")
    monkeypatch.chdir(root / "inner")
    return root


def line(file: object, number: object = 2) -> str:
    return SourceLines(traced_here=False).of(f"{file}:{number}")


def test_a_file_of_the_project(project: Path) -> None:
    assert line(project / "model.py") == SECRET
    assert line("../model.py") == SECRET
    assert line(project / "inner" / ".." / "model.py") == SECRET
    assert [line(project / "model.py", n) for n in ("0", "3", "-1", "x", "²", "9" * 5000)] == [""] * 6
    assert SourceLines(traced_here=False).of("") == ""


def test_a_file_elsewhere(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text((project / "model.py").read_text())
    assert line(outside) == ""
    assert line("../../outside.py") == ""
    (project / "link.py").symlink_to(outside)
    (project / "linked").symlink_to(tmp_path)
    (tmp_path / "inward.py").symlink_to(project / "model.py")
    assert line(project / "link.py") == ""
    assert line(project / "linked" / "outside.py") == ""
    assert line(tmp_path / "inward.py") == SECRET  # it is the project's, whatever leads there
    # Python's own reader looks in all folders that modules come from.
    monkeypatch.syspath_prepend(tmp_path)
    assert linecache.getline("outside.py", 2).strip() == SECRET
    assert line("outside.py") == ""
    assert line(outside) == ""


@pytest.mark.parametrize("name", [".env", ".git/config", ".hidden/model.py", ".model.py", "secret.txt", "model"])
def test_what_is_no_source(name: str, project: Path) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((project / "model.py").read_text())
    assert line(path) == ""


def test_what_is_no_file(project: Path) -> None:
    os.mkfifo(project / "pipe.py")  # reading it would wait for ever
    (project / "folder.py").mkdir()
    (project / "zero.py").symlink_to("/dev/zero")
    (project / "round.py").symlink_to(project / "round.py")
    (project / "large.py").write_text("\n" * 2**20 + "x")
    names = ("pipe.py", "folder.py", "zero.py", "round.py", "large.py", "none.py", "nul\0.py", "x" * 5000 + ".py")
    assert [line(project / name) for name in names] == [""] * len(names)
    assert [line(name) for name in ("/dev/stdin", "/proc/self/environ", "/etc/passwd", "~", "")] == [""] * 5


def test_without_a_project_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text("first\nsecond\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    assert project_root() is None
    assert line(tmp_path / "model.py") == ""


def test_the_nearest_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a/b/c", "a/.git"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a" / "b" / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path / "a" / "b" / "c")
    assert project_root() == tmp_path.resolve() / "a" / "b"
    monkeypatch.chdir(tmp_path / "a")
    assert project_root() == tmp_path.resolve() / "a"


def test_a_program_that_was_traced_here_shows_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its modules lie; its text alone, or the same report in another process, shows none of them."""
    (tmp_path / "traced_module.py").write_text("def f(x):\n    return x @ x  # the product\n")
    (tmp_path / "not_loaded.py").write_text("first\nsecond\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import jax
    import traced_module  # type: ignore[import-not-found]

    report = hc.count(traced_module.f, jax.ShapeDtypeStruct((8, 8), "float32"))
    places = {report.places.of(i) for i, _, _ in report.entries}
    (source,) = (place for place in places if place.startswith(traced_module.__file__))
    assert report.source_lines.of(source) == "return x @ x  # the product"
    assert report.source_lines.of(f"{tmp_path / 'not_loaded.py'}:2") == ""
    with pytest.raises(hc.BudgetExceeded, match="the product"):
        report.check(flops=1)
    again = pickle.loads(pickle.dumps(report))
    for other in (hc.count(report.module.text), again):
        assert other.source_lines.of(source) == ""
        with pytest.raises(hc.BudgetExceeded) as caught:
            other.check(flops=1)
        assert "the product" not in str(caught.value)


def test_counting_a_text_opens_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that the text names is opened by anything that is counted, shown, compared or checked."""
    bait = project / "bait.py"
    text = hostile_text(hostile=str(bait)[:-3])
    report, other = hc.count(text), hc.count(hostile_text(128, hostile=str(bait)[:-3]))

    def shown() -> list[str]:
        loaded = {*sys.modules}
        texts = [
            str(report),
            report._repr_html_(),
            report.to_json(),
            str(report.reconcile()),
            str(hc.diff(report, other)),
        ]
        texts += [hc.diff(report, other).markdown(), str(report.roofline("h100-sxm")), str(hc.what_if(report))]
        with pytest.raises(hc.BudgetExceeded) as caught:
            report.check(flops=1, bytes=1, peak_bytes=1)
        assert not {
            m for m in {*sys.modules} - loaded if not m.startswith(("hlo_count.", "networkx", "numpy", "json"))
        } & {"bait", "pickle", "jax"}
        return [*texts, str(caught.value)]

    shown()  # what is loaded and read once is
    opened: list[str] = []

    def watched(opener):  # type: ignore[no-untyped-def]
        def open_(file, *args, **keywords):  # type: ignore[no-untyped-def]
            opened.append(str(file))
            return opener(file, *args, **keywords)

        return open_

    bait.write_text("\n" * 6 + SECRET + "\n")
    for place, name in ((os, "open"), (builtins, "open"), (io, "open")):
        monkeypatch.setattr(place, name, watched(getattr(place, name)))
    del report.source_lines
    texts = shown()
    monkeypatch.undo()
    assert SECRET in texts[-1]  # of the project, and asked for
    named = [file for file in opened if "bait" in file]
    assert named == [str(bait)]
