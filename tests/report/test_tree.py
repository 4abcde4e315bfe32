"""Trees of scopes and calls: every level adds up, what is alike is one row, rows are ranked by what dominates."""

from __future__ import annotations

from pathlib import Path

import fixture_files
import pytest

import hlo_count as hc
from hlo_count.report.contributor_rows import REST, contributor_rows, default_key
from hlo_count.report.dominant import dominant
from hlo_count.report.scopes import scope_path
from hlo_count.report.tree import Node, condensed, cost_tree
from hlo_count.visitors.cost import Cost

STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))
N = 64


def program(*lines: str, before: str = "") -> str:
    """Instructions %1, %2, ... after a parameter %x of f32[64], with scopes given as `opcode @ op_name`."""
    body = []
    last = "x"
    for number, line in enumerate(lines):
        text, _, name = line.partition(" @ ")
        metadata = f', metadata={{op_name="{name}"}}' if name else ""
        body.append(f"  %i.{number} = {text.replace('PREVIOUS', '%' + last)}{metadata}")
        last = f"i.{number}"
    body[-1] = body[-1].replace("  %", "  ROOT %", 1)
    return f"HloModule m\n{before}\nENTRY %main (x: f32[64]) -> f32[64] {{\n  %x = f32[64] parameter(0)\n" + "\n".join(
        [*body, "}"]
    )


def add(name: str) -> str:
    return f"f32[64] add(PREVIOUS, PREVIOUS) @ {name}"


def looped() -> str:
    """An add, a copy of it, and a loop of five trips whose body copies."""
    body = """
%cond (c: (s32[], f32[64])) -> pred[] {
  %c = (s32[], f32[64]) parameter(0)
  %n = s32[] get-tuple-element(%c), index=0
  %five = s32[] constant(5)
  ROOT %less = pred[] compare(%n, %five), direction=LT
}

%body (b: (s32[], f32[64])) -> (s32[], f32[64]) {
  %b = (s32[], f32[64]) parameter(0)
  %n.1 = s32[] get-tuple-element(%b), index=0
  %one = s32[] constant(1)
  %next = s32[] add(%n.1, %one)
  %v = f32[64] get-tuple-element(%b), index=1
  %w = f32[64] copy(%v)
  ROOT %t = (s32[], f32[64]) tuple(%next, %w)
}
"""
    return program(
        add("jit(f)/layer/add"),
        "f32[64] copy(PREVIOUS)",
        "s32[] constant(0)",
        "(s32[], f32[64]) tuple(PREVIOUS, %i.1)",
        "(s32[], f32[64]) while(PREVIOUS), condition=%cond, body=%body @ jit(f)/solver/while",
        "f32[64] get-tuple-element(PREVIOUS), index=1",
        before=body,
    )


def nodes(root: Node) -> list[Node]:
    found = [root]
    for node in found:
        found += node.children
    return found


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.relative_to(fixture_files.FIXTURES).parts))
def test_every_level_adds_up_in_every_fixture(path: Path) -> None:
    report = hc.count(path)
    for key in ("scope", "stack"):
        whole = cost_tree(report, key)
        for tree in (whole, condensed(whole)):
            assert tree.cost == report.total
            for node in nodes(tree):
                assert node.cost == Cost.sum([node.own, *(child.cost for child in node.children)])
                assert Cost.sum(node.by_runs.values()).amounts == node.cost.amounts
        rows = contributor_rows(report, (key,), 4, 9)
        for at, row in enumerate(rows):
            below = []
            for other in rows[at + 1 :]:
                if other.depth <= row.depth:
                    break
                below += [other.cost] if other.depth == row.depth + 1 else []
            for counter in ("flops", "bytes", "network_bytes"):
                assert not below or sum(getattr(cost, counter) for cost in below) == getattr(row.cost, counter)
        assert sum(row.cost.flops for row in rows if not row.depth) == report.flops
        assert sum(row.cost.bytes for row in rows if not row.depth) == report.bytes


def test_numbered_siblings_are_one_row_and_their_children_too() -> None:
    lines = [add(f"jit(f)/block_{n}/{part}/add") for n in range(12) for part in ("mlp", "attention")]
    report = hc.count(program(*lines, add("jit(f)/head/add")))
    (top,) = condensed(cost_tree(report)).children
    assert [(child.label, child.cost.flops) for child in top.children] == [("block_* ×12", 24 * N), ("head", N)]
    assert {child.label: child.cost.flops for child in top.children[0].children} == {"mlp": 12 * N, "attention": 12 * N}
    assert len(cost_tree(report).children[0].children) == 13  # the whole tree keeps them apart


def test_two_siblings_and_two_numbers_stay_apart() -> None:
    report = hc.count(program(*(add(f"jit(f)/{name}/add") for name in ("h0", "h1", "a1_1", "a2_2", "a3_3"))))
    (top,) = condensed(cost_tree(report)).children
    assert {child.label for child in top.children} == {"h0", "h1", "a1_1", "a2_2", "a3_3"}


def test_a_number_may_stand_anywhere_in_a_name() -> None:
    """As Keras names the layers of an EfficientNet, and of three dimensions."""
    names = [f"block{n}{part}_conv" for n in range(2, 6) for part in "ab"] + [f"conv3d_{n}" for n in range(3)]
    report = hc.count(program(*(add(f"jit(f)/{name}/add") for name in names)))
    (top,) = condensed(cost_tree(report)).children
    assert {child.label: child.cost.flops for child in top.children} == {
        "block*a_conv ×4": 4 * N, "block*b_conv ×4": 4 * N, "conv3d_* ×3": 3 * N,
    }  # fmt: skip


def test_a_wrapper_stands_with_what_it_wraps() -> None:
    report = hc.count(program(add("jit(f)/model/net/a/add"), add("jit(f)/model/net/b/add")))
    (top,) = condensed(cost_tree(report)).children
    assert (top.label, {child.label for child in top.children}) == ("f/model/net", {"a", "b"})


def test_scopes_are_inferred_as_places_are() -> None:
    """A copy that the compiler put in belongs to what it was made from; what loops do, to the loop."""
    report = hc.count(looped())
    found = report.by("scope")
    assert set(found) == {"f/layer", "f/solver"}
    assert found["f/layer"].bytes == 2 * (4 * N + 4 * N)  # the add, and the copy of what it made
    assert found["f/solver"].bytes >= 5 * 2 * 4 * N


def test_runs_are_those_of_the_parts_that_count() -> None:
    """Five copies and six comparisons in a loop, an add beside it: the loop runs five times, the whole once."""
    by_name = {node.name: node.runs for node in nodes(cost_tree(hc.count(looped())))}
    assert (by_name["f"], by_name["layer"], by_name["solver"]) == (1, 1, 5)
    text = program(add("jit(f)/a/add"), add("jit(f)/b/add"))
    assert all(node.runs == 1 for node in nodes(cost_tree(hc.count(text))))
    assert "runs: how often a row's parts run" in str(hc.count(text))


def test_a_program_of_integers_is_ranked_by_them() -> None:
    text = """HloModule m

ENTRY %main (x: f32[], k: s32[4096]) -> (f32[], s32[4096]) {
  %x = f32[] parameter(0)
  %k = s32[4096] parameter(1)
  %few = f32[] add(%x, %x), metadata={op_name="jit(f)/few/add"}
  %many = s32[4096] multiply(%k, %k), metadata={op_name="jit(f)/many/mul"}
  %more = s32[4096] multiply(%many, %many), metadata={op_name="jit(f)/more/mul"}
  %most.1 = s32[4096] multiply(%more, %more), metadata={op_name="jit(f)/most/mul"}
  %most.2 = s32[4096] multiply(%most.1, %most.1), metadata={op_name="jit(f)/most/mul"}
  ROOT %t = (f32[], s32[4096]) tuple(%few, %most.2)
}
"""
    report = hc.count(text)
    assert dominant(Cost.ops("int_ops", 10, "integer", "s32") + Cost.ops("flops", 9, "add", "f32")) == "int_ops"
    assert dominant(report.total) == "bytes"  # 8 bytes to an operation
    assert next(iter(report.by("scope"))) == "f/most"
    assert list(report.by("scope"))[-1] == "f/few"


def test_an_operation_takes_no_longer_than_a_byte_on_any_device() -> None:
    """What `dominant` rests on: a vector unit does more than one operation, of two in an FMA, while a byte moves."""
    for device in hc.devices():
        assert hc.required_intensity(device.name, "f32", unit="vector") / 2 > 1, device.name


def test_two_keys_at_once_add_up() -> None:
    report = hc.count(fixture_files.text("cpu", "transformer_step"))
    found = report.by("scope", "class")
    assert Cost.sum(found.values()) == report.total
    assert all(len(name) == 2 for name in found)
    for scope, cost in report.by("scope").items():
        assert Cost.sum(part for (name, _), part in found.items() if name == scope).amounts == cost.amounts
    assert " · matmul" in report.table(by=("scope", "class"))
    with pytest.raises(hc.HloCountError, match="give each key once"):
        report.by("scope", "scope")
    with pytest.raises(hc.HloCountError, match="did you mean 'class'"):
        report.by("scope", "clas")


def test_functions_and_stacks() -> None:
    report = hc.count(fixture_files.text("cpu", "transformer_step"))
    assert Cost.sum(report.by("function").values()) == report.total
    dearest = next(iter(report.by("function")))
    stack = next(iter(report.by("stack", depth=100)))
    assert dearest.split(".")[-1] in stack
    assert [row.name for row in contributor_rows(report, ("stack",), 5, 20) if row.name != REST]


def test_flax_modules_are_a_tree_of_calls() -> None:
    """The table that google/flax#4883 asks for."""
    nn = pytest.importorskip("flax.linen")
    import jax
    import jax.numpy as jnp

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(16)(x)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Block()(Block()(x))

    model = Model()
    x = jax.ShapeDtypeStruct((8, 16), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    report = hc.count(model.apply, params, x)
    if not report.module.source_tables.frames:
        pytest.skip("this version of jax writes one line for each operation, no calls")
    path = next(name for name, cost in report.by("stack", depth=100).items() if cost.flops >= 2 * 2 * 8 * 16 * 16)
    wanted = [part for part in path.split("/") if part.endswith("__call__")]
    assert [name.rpartition("<locals>.")[2] for name in wanted][-3:] == [
        "Model.__call__",
        "Block.__call__",
        "Dense.__call__",
    ]
    sources = [name for name, cost in report.by("source").items() if cost.flops >= 2 * 2 * 8 * 16 * 16]
    assert [Path(name.rpartition(":")[0]).name for name in sources] == ["test_tree.py"]
    assert [name.rpartition("<locals>.")[2] for name in report.by("function")][:1] == ["Block.__call__"]


def test_an_op_name_that_xla_joined_has_the_scopes_of_the_first() -> None:
    assert scope_path("jit(f)/transpose(jvp(mlp))/mul;jit(f)/head/sub") == ("f", "mlp (backward)")
    assert scope_path("jit(f)/while/body/mlp/transpose(jvp())/mul;mlp/transpose(jvp())/add") == ("f", "mlp")
    assert scope_path("jit(f)/a;b/mul") == ("f", "a;b")


def test_the_default_breakdown_is_that_which_tells_most() -> None:
    at = 'source_file="m.py" source_line=7'
    lines = program(*map(add, ("jit(f)/add", "jit(f)/add", "jit(f)/relu/add")))
    assert default_key(hc.count(lines.replace('/add"}', f'/add" {at}}}'))) == "source"  # two of three in no scope
    assert default_key(hc.count(lines)) == "opcode"
    scoped = program(add("jit(f)/mlp/add"), add("jit(f)/mlp/add"), add("jit(f)/add"))
    assert default_key(hc.count(scoped)) == "scope"
    assert default_key(hc.count(program("f32[64] add(PREVIOUS, PREVIOUS)"))) == "opcode"


def test_a_column_for_what_the_program_is_made_of() -> None:
    """Forty integer operations to each number that is read and written."""
    body = ["%hash (p: s32[64]) -> s32[64] {", "  %p = s32[64] parameter(0)"]
    body += [f"  %m.{n} = s32[64] multiply(%{f'm.{n - 1}' if n else 'p'}, %p)" for n in range(39)]
    body += ["  ROOT %m = s32[64] multiply(%m.38, %p)", "}"]
    text = "HloModule m\n\n" + "\n".join(body)
    text += "\n\nENTRY %main (x: s32[64]) -> s32[64] {\n  %x = s32[64] parameter(0)\n"
    text += "  ROOT %y = s32[64] fusion(%x), kind=kLoop, calls=%hash\n}\n"
    report = hc.count(text)
    assert report.int_ops == 40 * N
    assert dominant(report.total) == "int_ops"
    table = report.table(by="opcode").split("\n\n")[-1]
    assert "int ops" in table.splitlines()[0]
    assert "FLOP  " not in table.splitlines()[0]
    assert "2.560 k  100.0" in table
