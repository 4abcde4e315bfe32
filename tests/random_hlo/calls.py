"""Fusions, calls, loops, branches, asynchronous computations."""

from __future__ import annotations

from random_hlo.builder import FLOATS, Array, Body, Shape, Step, Value, binary
from random_hlo.elementwise import binary_op
from random_hlo.movement import broadcast_op, dynamic_slice_op, reshape_op, slice_op


def async_op(b: Body) -> None:
    """A computation that is started and waited for: sugared, or spelled out as in older texts."""
    callee, parameters, root = subprogram(b)
    operands = [b.value(p.shape) for p in parameters]
    shape = (tuple(p.shape for p in parameters), root.shape, Array("u32"))
    kind = b.choices.integer(0, 2)
    if kind == 0:  # XLA prints it sugared, so nothing but one instruction may stand in it, without control edges
        wrapper = Body(b.program, "wrapped", b.depth + 1, ordered=False)
        inner = [wrapper.parameter(p.shape) for p in parameters]
        callee = wrapper.close(wrapper.emit("call", root.shape, inner, f"to_apply={callee}"))
        start = b.emit("async-start", shape, operands, f"calls={callee}")
        b.emit("async-done", root.shape, [start])
    elif kind == 1:
        start = b.emit("call-start", shape, operands, f"to_apply={callee}")
        start = b.emit("call-update", shape, [start]) if b.choices.chance(30) else start
        b.emit("call-done", root.shape, [start])
    else:
        start = b.emit("fusion-start", shape, operands, "kind=kLoop", f"calls={callee}")
        b.emit("fusion-done", root.shape, [start])


def subprogram(b: Body, stem: str = "sub") -> tuple[str, list[Value], Value]:
    """A computation of a few instructions: its name, its parameters and its root."""
    body = Body(b.program, stem, b.depth + 1)
    body.grow(b.choices.integer(1, 4))
    root = b.choices.pick(body.values[-3:])
    if isinstance(root.shape, str):  # nothing that is called gives back a bare token
        root = body.any(FLOATS)
    elif b.choices.chance(25):
        parts = [v for v in body.values if isinstance(v.shape, Array)][-3:]
        root = body.emit("tuple", tuple(v.shape for v in parts), parts)
    return body.close(root), body.parameters, root


def fusion_op(b: Body) -> None:
    callee, parameters, root = subprogram(b, "fused")
    kind = b.choices.pick(("kLoop", "kLoop", "kInput", "kOutput", "kCustom"))
    b.emit("fusion", root.shape, [b.value(p.shape) for p in parameters], f"kind={kind}", f"calls={callee}")


def fused_slices(b: Body) -> None:
    """A fusion whose parameters are sliced, updated in place, spread out, or handed to a fusion inside."""
    program, body = b.program, Body(b.program, "fused", b.depth + 1)
    x = body.parameter(body.array("f32", 2, small=True))
    for _ in range(b.choices.integer(1, 4)):
        b.choices.pick([slice_op, dynamic_slice_op, broadcast_op, reshape_op, binary_op, nested_op])(body)
    if b.choices.chance(30):
        body.write("constant", Array("f32", (3,)), "{1, 2, 3}")
    root = b.choices.pick(body.values[-2:])
    if b.choices.chance(40):
        parts = [v for v in body.values if isinstance(v.shape, Array)][-3:]
        root = body.emit("tuple", tuple(v.shape for v in parts), parts)
    callee = body.close(root)
    operands = [b.value(x.shape), *(b.value(p.shape) for p in body.parameters[1:])]
    b.emit("fusion", root.shape, operands, "kind=kLoop", f"calls={program.percent}{body.name}")
    assert callee.endswith(body.name)


def nested_op(b: Body) -> None:
    """A fusion in a fusion, whose result may be sliced at once."""
    inner = Body(b.program, "inner", b.depth + 1)
    x = b.any(("f32",), (1, 2))
    y = inner.parameter(x.shape)
    root = inner.emit("negate", y.shape, [y]) if b.choices.chance(60) else slice_of(inner, y)
    fused = b.emit("fusion", root.shape, [x], "kind=kLoop", f"calls={inner.close(root)}")
    if b.choices.chance(50):
        slice_of(b, fused)


def slice_of(b: Body, x: Value) -> Value:
    bounds = ", ".join("[0:1]" for _ in x.array.dims)
    return b.emit("slice", x.array.of(dims=(1,) * len(x.array.dims)), [x], f"slice={{{bounds}}}")


def fused_tuple(b: Body) -> None:
    """A fusion that takes a tuple."""
    body = Body(b.program, "fused", b.depth + 1)
    shapes: list[Shape] = [body.array("f32", 2, small=True) for _ in range(b.choices.integer(1, 3))]
    packed = body.parameter(tuple(shapes))
    for n in b.choices.subset(range(len(shapes))):
        element = body.emit("get-tuple-element", shapes[n], [packed], f"index={n}")
        b.choices.pick([slice_of, lambda on, x: on.emit("negate", x.shape, [x])])(body, element)
    root = body.values[-1]
    b.emit("fusion", root.shape, [b.value(packed.shape)], "kind=kLoop", f"calls={body.close(root)}")


def call_op(b: Body) -> None:
    callee, parameters, root = subprogram(b)
    b.emit("call", root.shape, [b.value(p.shape) for p in parameters], f"to_apply={callee}", infers=True)


def while_op(b: Body) -> None:
    """A counted loop over a tuple of the counter and some arrays."""
    c, limit = b.choices, b.choices.integer(0, 20)
    carried: list[Shape] = [Array("s32"), *(b.array("f32") for _ in range(c.integer(0, 2)))]
    condition, body = Body(b.program, "condition", b.depth + 1), Body(b.program, "body", b.depth + 1)
    state = condition.parameter(tuple(carried))
    count = condition.emit("get-tuple-element", Array("s32"), [state], "index=0")
    stop = condition.write("constant", Array("s32"), str(limit))
    test = condition.emit("compare", Array("pred"), [count, stop], "direction=LT")
    state = body.parameter(tuple(carried))
    values = [body.emit("get-tuple-element", s, [state], f"index={n}") for n, s in enumerate(carried)]
    one = body.write("constant", Array("s32"), "1")
    following = [body.emit("add", Array("s32"), [values[0], one]), *(binary(body, v, v) for v in values[1:])]
    root = body.emit("tuple", tuple(carried), following)
    trips = f'backend_config={{"known_trip_count":{{"n":"{limit}"}}}}' if c.chance(50) else ""
    zero = b.write("constant", Array("s32"), "0")
    start = b.emit("tuple", tuple(carried), [zero, *(b.value(s) for s in carried[1:])])
    regions = [f"condition={condition.close(test)}", f"body={body.close(root)}"]
    b.emit("while", tuple(carried), [start], *regions, *([trips] if trips else []), infers=True)


def conditional_op(b: Body) -> None:
    x = b.any(("f32",))
    branches, by_index = [], b.choices.chance(50)
    for _ in range(b.choices.integer(1, 4) if by_index else 2):
        body = Body(b.program, "branch", b.depth + 1)
        result = body.parameter(x.shape)
        for _ in range(b.choices.integer(0, 2)):
            result = binary(body, result, result)
        if b.choices.chance(20):
            result = body.emit("custom-call", x.shape, [result], 'custom_call_target="foo"')
        branches.append(body.close(result))
    chooser = b.value(Array("s32" if by_index else "pred"))
    named = ["branch_computations={" + ", ".join(branches) + "}"]
    if not by_index:
        named = [f"true_computation={branches[0]}", f"false_computation={branches[1]}"]
        named = named[::-1] if b.choices.chance(30) else named
    b.emit("conditional", x.shape, [chooser, *[x] * len(branches)], *named, infers=True)


STEPS: tuple[Step, ...] = (async_op, fusion_op, fused_slices, fused_tuple, call_op, while_op, conditional_op)
