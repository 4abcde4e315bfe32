"""The networkx views: dataflow of a computation, calls of a module and how often they happen."""

from __future__ import annotations

import networkx as nx
import pytest

from hlo_count.hlo import parse
from tests import fixture_files

TEXT = """HloModule m

add {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT s = f32[] add(a, b)
}

body {
  p = (s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  x = f32[8] get-tuple-element(p), index=1
  one = s32[] constant(1)
  j = s32[] add(i, one)
  y = f32[8] multiply(x, x), control-predecessors={j}
  ROOT t = (s32[], f32[8]) tuple(j, y)
}

condition {
  p = (s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] constant(6)
  ROOT r = pred[] compare(i, n), direction=LT
}

data_condition {
  p = (s32[], f32[8]) parameter(0)
  x = f32[8] get-tuple-element(p), index=1
  zero = f32[] constant(0)
  total = f32[] reduce(x, zero), dimensions={0}, to_apply=add
  ROOT r = pred[] compare(total, zero), direction=GT
}

yes {
  ROOT x = f32[8] parameter(0)
}

no {
  x = f32[8] parameter(0)
  ROOT y = f32[8] negate(x)
}

ENTRY main {
  x = f32[8] parameter(0)
  flag = pred[] parameter(1)
  zero = s32[] constant(0)
  t = (s32[], f32[8]) tuple(zero, x)
  counted = (s32[], f32[8]) while(t), condition=condition, body=body
  endless = (s32[], f32[8]) while(counted), condition=data_condition, body=body
  y = f32[8] get-tuple-element(endless), index=1
  ROOT z = f32[8] conditional(flag, y, y), true_computation=yes, false_computation=no
}
"""


def test_dataflow_of_a_computation() -> None:
    body = parse(TEXT).computations["body"]
    graph = body.graph
    assert set(graph) == set(body.by_name)
    assert graph.nodes["j"]["instruction"] is body["j"]
    assert list(graph.predecessors("j")) == ["i", "one"]
    assert {(a, b) for a, b, control in graph.edges(data="control") if control} == {("j", "y")}
    assert nx.ancestors(graph, "y") == {"p", "i", "x", "one", "j"}
    assert body.graph is graph


def test_an_operand_used_twice_is_one_edge() -> None:
    graph = parse(TEXT).computations["body"].graph
    assert graph.number_of_edges("x", "y") == 1
    assert list(graph.predecessors("y")) == ["x", "j"]


def test_how_often_callees_run() -> None:
    module = parse(TEXT)
    graph = module.call_graph
    runs = {(d["instruction"].name, d["role"]): d["runs"] for _, _, d in graph.edges(data=True)}
    assert runs == {
        ("counted", "body"): 6,
        ("counted", "condition"): 7,
        ("endless", "body"): None,
        ("endless", "condition"): None,
        ("total", "to_apply"): 1,
        ("z", "true_computation"): None,
        ("z", "false_computation"): None,
    }
    # Two call sites of one body are two edges.
    assert graph.number_of_edges("main", "body") == 2
    assert [name for name, entry in graph.nodes(data="entry") if entry] == ["main"]


@pytest.mark.parametrize("backend", ["cpu", "h100", "tpu-v5e"])
@pytest.mark.parametrize("name", ["scan_nested", "transformer_step", "switch"])
def test_graphs_of_compiled_programs(backend: str, name: str) -> None:
    module = parse(fixture_files.text(backend, name))
    calls = module.call_graph
    assert nx.is_directed_acyclic_graph(calls)
    assert nx.descendants(calls, module.entry.name) | {module.entry.name} == set(module.computations)
    for computation in module.computations.values():
        graph = computation.graph
        assert nx.is_directed_acyclic_graph(graph)
        order = {name: index for index, name in enumerate(computation.by_name)}
        assert all(order[a] < order[b] for a, b in graph.edges)  # a scheduled text is in topological order
        values = sum(1 for *_, control in graph.edges(data="control") if not control)
        assert values == sum(len(set(i.operands)) for i in computation)


def test_runs_along_a_path_multiply() -> None:
    """The inner body of a scan of 5 inside a loop of 3 runs 15 times."""
    module = parse(fixture_files.text("tpu-v5e", "scan_nested"))
    bodies = {caller: runs for caller, _, role, runs in _loops(module.call_graph) if role == "body"}
    inner = next(caller for caller in bodies if caller != module.entry.name)
    assert bodies[module.entry.name] * bodies[inner] == 15


def _loops(graph: nx.MultiDiGraph) -> list[tuple[str, str, str, int]]:
    return [(a, b, d["role"], d["runs"]) for a, b, d in graph.edges(data=True) if d["role"] in ("body", "condition")]
