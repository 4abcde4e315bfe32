"""Run every block of code that the documents show: `python docs/run_blocks.py [DOCUMENT...]`.

Each document in a folder of its own, in which the things stand that documents speak of: `scene.py` makes them. Before
a block, `<!-- given: FILE` and its text puts a file there, `<!-- given` and Python defines names, and
`<!-- in a repository -->` makes one of the folder; a reader sees none of them.

| block | what is done with it |
|---|---|
| python, pycon | with `>>>` as a doctest; after `<!-- file: NAME -->` it is that file; else executed |
| sh, console | by bash, `$` and output left out |
| yaml | the steps of a workflow by bash, an action's own steps among them |
| toml | parsed |
| text, or none | shown output, which is for the tests of what makes it |

`<!-- slow -->` stands before what compiles for a minute and is run with `--slow`, and `<!-- run by .ci/run -->` before
what that script runs as it is typed. Files of tests are run by pytest; whether they pass or fail as the document says
is for the document's own test.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
_BLOCK = re.compile(r"((?:^<!--(?:(?!-->).)*-->\n\s*)*)^```(\w*)[^\n]*\n(.*?)^```$", re.S | re.M)
_COMMENT = re.compile(r"<!-- ?(given|file|in a repository|slow|run by \.ci/run)(?:: ?(\S+))?(?:\n| )(.*?)-->", re.S)
_ELSEWHERE = "run by .ci/run"
_TIMEOUT = 600


@dataclass(frozen=True)
class Block:
    """What stands between fences, with the comments before it as (kind, name, text)."""

    document: str
    line: int
    language: str
    text: str
    comments: tuple[tuple[str, str, str], ...]


def blocks(document: str) -> list[Block]:
    """Those of a document, a path from the repository's root."""
    text = (ROOT / document).read_text()
    return [
        Block(document, text.count("\n", 0, m.start(2)) + 1, m[2], m[3], tuple(_COMMENT.findall(m[1])))
        for m in _BLOCK.finditer(text)
    ]


def documents() -> list[str]:
    return ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]


class Reader:
    """Somebody who types what a document shows, in a folder of his own."""

    def __init__(self, folder: Path, names: dict[str, Any]) -> None:
        self.folder = folder
        self.names = names

    def type(self, block: Block) -> None:
        """Raises whatever goes wrong."""
        kinds = {kind for kind, _, _ in block.comments}
        for kind, name, text in block.comments:
            if kind == "given" and name:
                self._write(name, text)
            elif kind == "in a repository":
                import scene

                scene.repository(self.folder)
            elif kind == "given":
                exec(compile(text, f"{block.document}: given", "exec"), self.names)
            elif kind == "file":
                self._write(name, block.text)
                if Path(name).name.startswith("test_"):
                    self._bash(f"python -m pytest -q -p no:cacheprovider {name} || [ $? = 1 ]")
        if kinds & {"file", _ELSEWHERE}:
            return
        getattr(self, f"_{block.language or 'text'}")(block)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _python(self, block: Block) -> None:
        if ">>>" not in block.text:
            exec(compile("\n" * block.line + block.text, block.document, "exec"), self.names)
            return
        test = doctest.DocTestParser().get_doctest(block.text, self.names, block.document, block.document, block.line)
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        if runner.run(test, out=said.append, clear_globs=False).failed:
            raise AssertionError("".join(said))
        self.names.update(test.globs)  # of which it has its own

    _pycon = _python

    def _sh(self, block: Block) -> None:
        self._bash(block.text)

    def _console(self, block: Block) -> None:
        typed = re.findall(r"^\$ ((?:.*\\\n)*.*)", block.text, re.M)
        self._bash("\n".join(typed))

    def _bash(self, text: str) -> None:
        import scene

        env = {**os.environ, **scene.environment(self.folder)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            *(), cwd=self.folder, env=env, capture_output=True, text=True, timeout=_TIMEOUT,
        )  # fmt: skip
        if done.returncode:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            raise AssertionError(f"exit code {done.returncode} of\n{text}\n{said}")

    def _yaml(self, block: Block) -> None:
        import scene

        scene.run_workflow(block.text, self.folder)

    def _toml(self, block: Block) -> None:
        tomllib.loads(block.text)

    def _text(self, block: Block) -> None:
        """Shown, not typed."""


def type_all(document: str, *, slow: bool) -> int:
    """How many blocks of a document go wrong; each is printed."""
    import scene

    begun, failed, found = sum(os.times()[:4]), 0, blocks(document)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.chdir(folder)
        sys.path.insert(0, name)
        reader = Reader(folder, scene.names(folder))
        for block in found:
            if not slow and any(kind == "slow" for kind, _, _ in block.comments):
                continue
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    reader.type(block)
            except Exception:  # whatever a block does wrong is for the reader of this output
                failed += 1
                print(f"{block.document}:{block.line}: {block.language}\n{traceback.format_exc()[-3000:]}")
        os.chdir(ROOT)
    print(f"{document}: {len(found)} blocks, {sum(os.times()[:4]) - begun:.1f} s of a processor", flush=True)
    return failed


def _in_a_process(document: str, *, slow: bool) -> int:
    command = [sys.executable, __file__, document, *(["--slow"] if slow else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout if done.returncode < 2 else done.stdout + done.stderr, end="", flush=True)
    return done.returncode


def _is_of_the_tests(document: str) -> bool:
    """Whether all that it shows is run by tests/test_docs.py already."""
    shown = [block for block in blocks(document) if block.language not in ("", "text")]
    return document.count("/") < 2 and all(">>>" in block.text for block in shown)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("documents", nargs="*", metavar="DOCUMENT", help="README.md, docs/diff.md; all unless given")
    parser.add_argument("--slow", action="store_true", help="those too that compile for a minute")
    parser.add_argument("--workers", type=int, default=2, help="how many documents at once (2)")
    options = parser.parse_args()
    if len(options.documents) == 1:
        sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(HERE)]
        return 1 if type_all(options.documents[0], slow=options.slow) else 0
    chosen = options.documents or [each for each in documents() if not _is_of_the_tests(each)]
    with ThreadPoolExecutor(options.workers) as pool:
        codes = [*pool.map(lambda document: _in_a_process(document, slow=options.slow), chosen)]
    print(f"{sum(map(bool, codes))} of {len(codes)} documents failed")
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
