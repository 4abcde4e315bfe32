"""Files are written whole or not at all, and say so to no one else meanwhile."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hlo_count.whole_file import replace_text, replacing


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("before")

    def broken_off() -> None:
        with replacing(file) as whole:
            whole.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_the_place_is_taken_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    with replacing(file) as whole:
        whole.write_text("all of it")
        assert not file.exists()
    assert file.read_text() == "all of it"
    assert os.listdir(tmp_path) == ["kept.txt"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_it_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    replace_text(tmp_path / "kept.txt", "text")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1
