"""The dumps in a log: what XLA prints with `--xla_dump_to=-`, each behind the name that its file would have."""

from __future__ import annotations

from pathlib import Path

from hlo_count.hlo.excerpts import excerpts
from hlo_count.hlo.lines import with_newlines
from hlo_count.lowering.dump_folder import DumpFolder, sorted_out
from hlo_count.lowering.dump_names import dump_of
from hlo_count.lowering.files import decoded, read_file

_MARK = b"*** Begin module_"


def holds_dumps(log: Path) -> bool:
    """Whether a path is that of a file with dumps in it, each behind its name. Raises HloCountError where it cannot be
    read."""
    return log.is_file() and _MARK in read_file(log)


def logged_dumps(log: Path, into: Path) -> DumpFolder:
    """The compiles whose dumps a log holds, as files in the folder `into`.

    Of what the log calls them nothing is opened but what XLA would call a dump: no folder, nothing outside of `into`.
    """
    files = []
    for found in excerpts(with_newlines(decoded(read_file(log), str(log)))):
        file = into / Path(found.file).name
        if found.file and file.name == found.file and dump_of(file) is not None:
            file.write_text(found.text, encoding="utf-8")
            files.append(file)
    return sorted_out(log, files)
