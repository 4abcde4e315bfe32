"""Lines of source are the user's own: the innermost call outside installed packages."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import pytest
from source_tables import source_tables

import hlo_count as hc
from hlo_count.hlo.metadata import SourceTables
from hlo_count.hlo.own_code import VARIABLE, is_library

FLAX = "/home/me/.venv/lib/python3.11/site-packages/flax/linen/linear.py"
LIBRARIES = [
    FLAX,
    "/usr/lib/python3/dist-packages/numpy/core.py",
    "/usr/lib/python3.12/functools.py",
    "/opt/conda/lib/python3.10/contextlib.py",
    r"C:\Users\me\venv\Lib\site-packages\jax\_src\lax.py",
    "<frozen importlib._bootstrap>",
    "/home/me/.venv/bin/hlo-count",
    r"C:\Users\me\venv\Scripts\pytest",
]
OWN = [
    "/home/me/model.py",
    "/home/me/bin/train.py",
    "model.py",
    "/home/lib/python/model.py",
    "/tmp/ipykernel_7/12.py",
    "<stdin>",
    "",
]


@pytest.mark.parametrize(("file", "found"), [*((f, True) for f in LIBRARIES), *((f, False) for f in OWN)])
def test_what_is_installed(file: str, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert is_library(file) == found


def program(*files: str) -> str:
    """A dot whose stack holds a call in each of the files, the outermost first."""
    parts = [
        "HloModule m\n",
        source_tables(*((file, f"f{n}", 10 * n) for n, file in enumerate(files, 1))),
        "ENTRY %main (x: f32[4,4]) -> f32[4,4] {",
        "  %x = f32[4,4]{1,0} parameter(0)",
        "  ROOT %y = f32[4,4]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}, "
        f'metadata={{op_name="jit(f)/dot" stack_frame_id={len(files)}}}',
        "}",
    ]
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("files", "patterns", "source"),
    [
        (("train.py", "model.py", FLAX), None, "model.py:20"),
        (("train.py", FLAX, "model.py"), None, "model.py:30"),
        ((FLAX, FLAX), None, f"{FLAX}:20"),  # nobody's own: the innermost
        (("/home/me/.venv/bin/hlo-count", FLAX), None, f"{FLAX}:20"),  # as of a program that a package ships
        (("train.py", "model.py", FLAX), "", f"{FLAX}:30"),
        (("train.py", "/repo/mylib/net.py"), f"*/other/*{os.pathsep}*/mylib/*", "train.py:10"),
    ],
)
def test_the_line_of_an_instruction(
    files: tuple[str, ...], patterns: str | None, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if patterns is not None:
        monkeypatch.setenv(VARIABLE, patterns)
    report = hc.count(program(*files))
    assert list(report.by("source")) == [source]
    assert [f.file for f in report.explain("y").stack] == list(dict.fromkeys(reversed(files))) or len(set(files)) == 1


def test_calls_that_go_round_end() -> None:
    tables = SourceTables({1: (FLAX, 1, "f", 2), 2: (FLAX, 2, "g", 1), 3: (FLAX, 3, "h", 2)})
    assert [tables.own(frame) for frame in (1, 2, 3)] == [1, 2, 3]


def chosen(x: jax.Array) -> jax.Array:
    return jax.lax.cond(x.sum() > 0, lambda: jnp.sin(x), lambda: x)


def test_a_branch_under_vmap_has_the_calls_that_led_to_it() -> None:
    """JAX names the line that compiles the program as the caller of such a branch."""

    def batched(x: jax.Array) -> jax.Array:
        return jax.vmap(chosen)(x)

    report = hc.count(batched, jax.ShapeDtypeStruct((4, 4), jnp.float32))
    if not report.module.source_tables.frames:
        pytest.skip("this JAX writes no stacks")
    (sine,) = (i for i in report.module.instructions() if i.opcode == "sine")
    names = [frame.function.rpartition(".")[2] for frame in sine.stack]
    assert names[:3] == ["<lambda>", "chosen", "batched"]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(5, 9, 1)], ["f.<locals>.<lambda>", "f", "main"]),  # its lines hold the branch's
        ([(2, 2, 1)], ["f.<locals>.<lambda>", "f", "main"]),  # the only one: of a function that is defined above
        ([(2, 2, 3), (5, 9, 1)], ["f.<locals>.<lambda>", "f", "main"]),
        ([(5, 5, 1), (5, 9, 1)], ["f.<locals>.<lambda>", "f", "main"]),
        ([(5, 9, 3), (5, 9, 1)], ["f.<locals>.<lambda>"]),  # called by g or by main: not known
        ([], ["f.<locals>.<lambda>", "main"]),
    ],
)
def test_calls_that_are_lost_are_found_where_they_are_certain(
    calls: list[tuple[int, int, int]], expected: list[str]
) -> None:
    """Of f, by its first and last line and its caller: 1 is main, 3 is g. A branch in line 7, inside f, names main."""
    places = [(1, 30, 30), (3, 7, 7), (4, 40, 40), *((2, first, last) for first, last, _ in calls)]
    callers = [0, 1, 1, *(caller for _, _, caller in calls)]
    parts = [
        'FileNames\n1 "m.py"\n\nFunctionNames\n1 "main"\n2 "f"\n3 "f.<locals>.<lambda>"\n4 "g"\n\nFileLocations',
        *(
            f"{n} {{file_name_id=1 function_name_id={function} line={line} end_line={end} column=1 end_column=2}}"
            for n, (function, line, end) in enumerate(places, 1)
        ),
        "\nStackFrames",
        *(f"{n} {{file_location_id={n} parent_frame_id={caller + 1}}}" for n, caller in enumerate(callers, 1)),
    ]
    assert [frame.function for frame in SourceTables.parse("\n".join(parts)).stack(2)] == expected
