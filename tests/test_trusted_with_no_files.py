"""Whatever a text names, no output of it opens, lists, imports or runs that: held to what Python audits (sys.audit)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fuzz.outputs import OUTPUTS
from source_tables import source_tables

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.fleet.questions import QUESTIONS

pytest.importorskip("jinja2", reason="pages are among the outputs: made with Jinja2, the extra `html`")
_AUDITED = ("open", "os.listdir", "os.scandir", "os.chdir", "os.remove", "os.rename", "os.mkdir", "import", "exec",
            "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo",
            "urllib.Request", "sqlite3.connect", "ctypes.dlopen", "glob.glob", "shutil.copyfile")  # fmt: skip
"""What would reach out of the process by a name: Python's table of audit events."""
SECRET = "hlo_count_secret"
"""In every name that the text says: nothing else is called so."""


@dataclass
class Watch:
    """Writes down what is reached for while it is on. A hook of Python's stays for good, so there is one."""

    on: bool = False
    reached: list[str] = field(default_factory=list)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on or event not in _AUDITED:
            return
        said = [os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in arguments]
        if any(SECRET in each or each.startswith("/etc/passwd") for each in said):
            self.reached.append(f"{event}({', '.join(said)})"[:300])


WATCH = Watch()
sys.addaudithook(WATCH.hook)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that a text may say, in and out of the project that the current folder is in."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    outside = tmp_path / f"{SECRET}_outside.py"
    outside.write_text("API_KEY = 'outside'\n" * 20)
    (project / f"{SECRET}_link.py").symlink_to(outside)
    (project / f"{SECRET}.txt").write_text("API_KEY = 'no source'\n" * 20)
    (project / f".{SECRET}.py").write_text("API_KEY = 'hidden'\n" * 20)
    (project / f".{SECRET}").mkdir()
    (project / f".{SECRET}" / "in.py").write_text("API_KEY = 'in a hidden folder'\n" * 20)
    (project / f"{SECRET}_link_to_hidden.py").symlink_to(project / f".{SECRET}.py")
    return [
        str(outside), f"../{SECRET}_outside.py", f"{SECRET}_link.py", f"{SECRET}.txt", f".{SECRET}.py", f".{SECRET}/in.py",
        f"{SECRET}_link_to_hidden.py", "/etc/passwd", f"~/{SECRET}.py", f"file:///{SECRET}.py", f"https://{SECRET}.example/x.py",
        f"\\\\\\\\{SECRET}\\\\share\\\\x.py", f"{SECRET}\\000.py", f"{SECRET}_module", f"/dev/../{SECRET}.py", f"$({SECRET})",
    ]  # fmt: skip


@pytest.fixture
def watched(names: list[str]) -> Iterator[Watch]:
    WATCH.reached.clear()
    WATCH.on = True
    yield WATCH
    WATCH.on = False


def text(name: str, size: int = 64) -> str:
    """A module that says a name wherever one may stand."""
    shape = f"f32[{size},{size}]{{1,0}}"
    of = f'metadata={{op_name="jit(f)/{name}" source_file="{name}" source_line=3}}'
    return f"""HloModule jit_f, frontend_attributes={{file="{name}"}}

{source_tables((name, name, 3))}ENTRY %main (x: {shape[:-5]}) -> {shape[:-5]} {{
  %x = {shape} parameter(0), {of}
  %y = {shape} dot(%x, %x), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, {of}
  %f = {shape} exponential(%y), metadata={{op_name="g" stack_frame_id=1}}
  %c = {shape} custom-call(%f), custom_call_target="{name}", backend_config="{{\\"file\\": \\"{SECRET}.py\\"}}", {of}
  ROOT %z = {shape} add(%c, %y), frontend_attributes={{import="{SECRET}_module"}}, {of}
}}
"""


COMMANDS: dict[str, list[str]] = {
    "count": ["count", "TEXT", "--by", "source,scope,function"],
    "count, arguments": ["count", "TEXT", "--arguments"],
    "a budget": ["count", "TEXT", "--max-flops", "1", "--max-bytes", "1", "--max-peak-bytes", "1"],
    "JSON": ["count", "TEXT", "--json"],
    "diff": ["diff", "TEXT", "OTHER", "--by", "source"],
    "diff as Markdown": ["diff", "TEXT", "OTHER", "--markdown", "--fail-above", "1%"],
    "roofline": ["roofline", "TEXT", "--device", "h100-sxm"],
    "report": ["report", "TEXT", "--device", "h100-sxm", "-o", "OUT.html"],
    "explain": ["explain", "TEXT", "y", "--device", "h100-sxm"],
    "graph": ["explain", "TEXT", "y", "--dot"],
    "job": ["job", "DUMPS", "--save", "OUT.job.html"],
    "passes": ["passes", "DUMPS"],
}


def test_what_would_be_seen_is_seen(watched: Watch, names: list[str]) -> None:
    """Else nothing would be tested below."""
    for reach in (lambda: Path(names[0]).read_text(), lambda: __import__(f"{SECRET}_module"), lambda: open("/etc/passwd").close()):  # fmt: skip
        before = len(watched.reached)
        with suppress(ImportError, OSError):
            reach()
        assert len(watched.reached) > before


def test_no_output_reaches_for_what_a_text_names(watched: Watch, names: list[str], tmp_path: Path) -> None:
    for name in names:
        report = hc.count(text(name))
        shown = [str(output(report)) for output in OUTPUTS.values()]
        shown.append(hc.diff(report, hc.count(text(name, 128))).markdown())
        assert not [each for each in shown if "API_KEY" in each or "root:x:0" in each], name
    assert watched.reached == []


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_reaches_for_what_a_text_names(
    command: str, watched: Watch, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(names):
        folder = tmp_path / f"run{number}"
        (folder / "dumps").mkdir(parents=True)
        (folder / "text.txt").write_text(text(name))
        (folder / "other.txt").write_text(text(name, 128))
        (folder / "dumps" / "module_0001.jit_f.before_optimizations.txt").write_text(text(name))
        (folder / "dumps" / "module_0001.jit_f.cpu_after_optimizations.txt").write_text(text(name, 128))
        places = {"TEXT": "text.txt", "OTHER": "other.txt", "DUMPS": "dumps"}
        arguments = [str(folder / places[word]) if word in places else word for word in COMMANDS[command]]
        arguments = [str(folder / word.lower()) if word.startswith("OUT") else word for word in arguments]
        assert main(arguments) in (0, 1)
        out, err = capsys.readouterr()
        assert "API_KEY" not in out + err
        assert "root:x:0" not in out + err
    assert watched.reached == []


def test_no_database_reaches_for_what_texts_name(watched: Watch, names: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / f"{number}.txt").write_text(text(name))
    found = hc.scan(folder, tmp_path / "counts.sqlite", ThreadPoolExecutor(1))
    shown = [str(found.query(question)) for question in QUESTIONS]
    assert main(["query", str(tmp_path / "counts.sqlite"), "--save", str(tmp_path / "page.html")]) == 0
    assert not [each for each in (*shown, (tmp_path / "page.html").read_text()) if "API_KEY" in each]
    assert watched.reached == []


def test_what_is_no_regular_file_is_not_waited_for(watched: Watch, names: list[str]) -> None:
    """A pipe without an end, a device, a file that is too large: named as sources of the project, none is read."""
    for kind in ("pipe", "large"):
        path = Path(f"not_{kind}.py")
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_text("API_KEY = 1\n" * 100_000)
        report = hc.count(text(str(path)))
        assert "API_KEY" not in _budget(report)
    for device in ("/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/mem"):
        assert _budget(hc.count(text(device)))


def _budget(report: hc.Report) -> str:
    with pytest.raises(hc.BudgetExceeded) as exceeded:
        report.check(flops=1, bytes=1, peak_bytes=1)
    return str(exceeded.value)


def test_a_source_of_the_project_is_shown(names: list[str]) -> None:
    Path("step.py").write_text("# 1\n# 2\nloss = model(x)\n")
    assert "loss = model(x)" in _budget(hc.count(text("step.py")))
