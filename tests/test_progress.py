"""Bars stand on standard error where they are asked for, and change nothing."""

from __future__ import annotations

import sys

import pytest

from hlo_count.progress import Progress, one_by_one


def test_a_bar_says_what_and_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    with Progress(True, "scan", "file", 3) as bar:
        bar.advance("a.txt", by=2)
        assert bar._bar.n == 2
        bar._bar.refresh()  # which tqdm does by itself when some time has passed
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "scan" in shown.err
    assert "2/3" in shown.err
    assert "a.txt" in shown.err


@pytest.mark.parametrize("wanted", [True, False])
def test_items_come_in_their_order_with_a_bar_or_without(
    wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)  # not installed
    assert list(one_by_one("abc", wanted, "job", "module")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
