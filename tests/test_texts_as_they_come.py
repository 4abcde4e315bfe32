"""Line ends, encodings and what stands around a module, through every command: the figures are those of the plain text."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixture_files import text

import hlo_count as hc
from hlo_count.cli import main

pytest.importorskip("jinja2", reason="`report` makes a page: with Jinja2, the extra `html`")
PLAIN = text("cpu", "mlp_grad")
OTHER = PLAIN.replace("HloModule ", "HloModule other_", 1)


def mixed(plain: str) -> str:
    """No empty line ends in one of two signs that are one end together."""
    ends = ("\n", "\r\n", "\r")
    return "".join(line + (ends[n % 3] if line else "\r\n") for n, line in enumerate(plain.split("\n")))


def in_a_log(plain: str) -> str:
    lines = [f"I0731 09:30:00.{n:06} 1234 dumper.cc:42] {line}" for n, line in enumerate(plain.split("\n"))]
    return "\n".join(["starting", *lines, "I0731 09:31:00.000000 1234 train.py:7] step 1 loss 0.5", ""])


FORMS: dict[str, Callable[[str], bytes]] = {
    "CR": lambda plain: plain.replace("\n", "\r").encode(),
    "CRLF": lambda plain: plain.replace("\n", "\r\n").encode(),
    "mixed": lambda plain: mixed(plain).encode(),
    "UTF-8 with a mark": lambda plain: plain.encode("utf-8-sig"),
    "UTF-16 LE": lambda plain: b"\xff\xfe" + plain.encode("utf-16-le"),
    "UTF-16 BE with CRLF": lambda plain: b"\xfe\xff" + plain.replace("\n", "\r\n").encode("utf-16-be"),
    "a log": lambda plain: in_a_log(plain).encode(),
    "a log with CRLF": lambda plain: in_a_log(plain).replace("\n", "\r\n").encode(),
    "torch_xla": lambda plain: f"IR {{\n  %0 = f32[] prim::Constant(), value=1\n}}\n\n{plain}".encode(),
    "Markdown": lambda plain: f"# A bug\n\nIt is slow:\n\n```hlo\n{plain}\n```\n\nThanks!\n".encode(),
    "a name in Latin-1": lambda plain: plain.replace("\n", ', frontend_attributes={by="Andr\xe9"}\n', 1).encode(
        "latin-1"
    ),
    "a log that broke a letter": lambda plain: b"loss \xe2\x82\n" + plain.encode() + b"\n\xff\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_command_reads_it(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "module_0001.jit_f.cpu_after_optimizations.txt"
    for folder, data in (("plain", PLAIN.encode()), ("as_it_came", FORMS[form](PLAIN))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
    assert FORMS[form](PLAIN) != PLAIN.encode()

    def printed(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        return re.sub(r"txt:\d+", "txt", capsys.readouterr().out)

    def both(command: str, *options: str) -> tuple[str, str]:
        shown = []
        for folder in ("plain", "as_it_came"):
            monkeypatch.chdir(tmp_path / folder)
            shown.append(printed(command, name, *options))
        return shown[0], shown[1]

    for command in (
        ("count",), ("count", "--by", "scope,opcode"), ("roofline", "--device", "h100-sxm"),
        ("explain", hc.parse(PLAIN).entry.root.name),
    ):  # fmt: skip
        ours, theirs = both(*command)
        assert ours == theirs
    flops = str(hc.count(PLAIN).flops)
    assert printed("diff", str(tmp_path / "plain" / name), name, "--fail-above", "0%")
    printed("report", name, "-o", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").exists()
    assert flops in printed("job", str(tmp_path / "as_it_came"), "--json")
    found = hc.scan(tmp_path / "as_it_came" / name, tmp_path / "counts.csv", ThreadPoolExecutor(1))
    assert flops in "".join(path.read_text() for path in found.files)


@pytest.mark.parametrize("form", FORMS)
def test_one_of_two_is_chosen(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    larger = OTHER.replace("HloModule other_", "HloModule larger_", 1)
    if form == "Markdown":
        both = FORMS[form](PLAIN) + FORMS[form](larger)
    else:
        both = FORMS[form](f"{PLAIN}\n\n{larger}")
    file = tmp_path / "both.txt"
    file.write_bytes(both)
    assert main(["count", str(file)]) == 2
    assert "holds 2 modules" in capsys.readouterr().err
    for command in (["count"], ["roofline", "--device", "h100-sxm"], ["report", "-o", str(tmp_path / "page.html")]):
        assert main([command[0], str(file), *command[1:], "--module", "larger"]) == 0, command
        out, _ = capsys.readouterr()
        assert "larger" in out or command[0] == "report"
