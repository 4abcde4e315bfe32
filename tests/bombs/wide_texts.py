"""Texts that grow in width: many of a kind in one place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chain_texts import _counting
from text_parts import ADD, BOTTOM, CALLED, ROW, computation, listed, module, tuple_of


def wide_entry(size: int) -> str:
    """Parameters that go out again as they are or worked on."""
    lines = [f"p{n} = {ROW} parameter({n})" for n in range(size)]
    lines += [f"q{n} = {ROW} exponential(p{n})" for n in range(size)]
    return module([*lines, f"ROOT r = {tuple_of([ROW] * size)} tuple({listed('q', size)})"])


def wide_tuple_parameter(size: int) -> str:
    shape = tuple_of([ROW] * size)
    lines = [f"p = {shape} parameter(0)", *(f"g{n} = {ROW} get-tuple-element(p), index={n}" for n in range(size))]
    lines += [f"q{n} = {ROW} exponential(g{n})" for n in range(size)]
    return module([*lines, f"ROOT r = {shape} tuple({listed('q', size)})"])


def aliases(size: int) -> str:
    """Every argument is donated to its output."""
    pairs = ", ".join(f"{{{n}}}: ({n}, {{}}, may-alias)" for n in range(size))
    text = wide_entry(size)
    return text.replace("is_scheduled=true", f"is_scheduled=true, input_output_alias={{ {pairs} }}", 1)


def aliases_of_a_tuple(size: int) -> str:
    pairs = ", ".join(f"{{{n}}}: (0, {{{n}}}, may-alias)" for n in range(size))
    text = wide_tuple_parameter(size)
    return text.replace("is_scheduled=true", f"is_scheduled=true, input_output_alias={{ {pairs} }}", 1)


def wide_concatenate(size: int) -> str:
    lines = [f"p{n} = {ROW} parameter({n})" for n in range(size)]
    return module([*lines, f"ROOT r = f32[{64 * size}] concatenate({listed('p', size)}), dimensions={{0}}"])


def one_operand_many_times(size: int) -> str:
    return module([CALLED, f"ROOT r = f32[{64 * size}] concatenate({', '.join(['p'] * size)}), dimensions={{0}}"])


def many_users(size: int) -> str:
    lines = [f"q{n} = {ROW} exponential(p)" for n in range(size)]
    return module([CALLED, *lines, f"ROOT r = {tuple_of([ROW] * size)} tuple({listed('q', size)})"])


def wide_fusion(size: int) -> str:
    return _fused(size, [f"q{n} = {ROW} exponential(p{n})" for n in range(size)])


def updating_fusion(size: int) -> str:
    head = ["u = f32[1] constant({1})", "i = s32[] constant(0)"]
    return _fused(size, [f"q{n} = {ROW} dynamic-update-slice(p{n}, u, i)" for n in range(size)], head)


def _fused(size: int, lines: list[str], head: Sequence[str] = ()) -> str:
    """One kernel that makes q0, q1, … of as many parameters."""
    parameters = [f"p{n} = {ROW} parameter({n})" for n in range(size)]
    shape = tuple_of([ROW] * size)
    body = computation("f", *head, *parameters, *lines, f"ROOT r = {shape} tuple({listed('q', size)})")
    return module([*parameters, f"ROOT r = {shape} fusion({listed('p', size)}), kind=kLoop, calls=f"], body)


def wide_loop(size: int) -> str:
    """A loop that slices and updates each of what it carries."""
    state = tuple_of(["s32[]", *[ROW] * size])
    body = [f"p = {state} parameter(0)", "i = s32[] get-tuple-element(p), index=0", "one = s32[] constant(1)"]
    body += ["j = s32[] add(i, one)"]
    for n in range(size):
        body.append(f"g{n} = {ROW} get-tuple-element(p), index={n + 1}")
        body.append(f"s{n} = f32[8] dynamic-slice(g{n}, i), dynamic_slice_sizes={{8}}")
        body.append(f"d{n} = {ROW} dynamic-update-slice(g{n}, s{n}, i)")
    body.append(f"ROOT r = {state} tuple(j, {listed('d', size)})")
    condition = [f"p = {state} parameter(0)", "i = s32[] get-tuple-element(p), index=0", "n = s32[] constant(5)"]
    condition.append("ROOT r = pred[] compare(i, n), direction=LT")
    lines = [f"q = {state} parameter(0)", "z = s32[] constant(0)"]
    lines += [f"g{n} = {ROW} get-tuple-element(q), index={n + 1}" for n in range(size)]
    lines += [f"t = {state} tuple(z, {listed('g', size)})", f"ROOT w = {state} while(t), condition=c, body=b"]
    return module(lines, computation("c", *condition), computation("b", *body))


def branches(size: int) -> str:
    texts = [
        computation(f"b{n}", CALLED, f"ROOT r = f32[64] {'negate' if n % 2 else 'exponential'}(p)") for n in range(size)
    ]
    call = f"ROOT r = {ROW} conditional(i, {', '.join(['p'] * size)}), branch_computations={{{listed('b', size)}}}"
    return module([CALLED, "i = s32[] parameter(1)", call], *texts)


def branches_by_device(size: int) -> str:
    """A branch for each device."""
    texts = [
        computation(f"b{n}", CALLED, f"ROOT r = f32[64] {'negate' if n % 2 else 'exponential'}(p)") for n in range(size)
    ]
    call = f"ROOT r = {ROW} conditional(i, {', '.join(['p'] * size)}), branch_computations={{{listed('b', size)}}}"
    lines = [CALLED, "d = u32[] partition-id()", "i = s32[] convert(d)", call]
    return module(lines, *texts, header=f", is_scheduled=true, num_partitions={size}")


def one_branch_many_times(size: int) -> str:
    call = (
        f"ROOT r = {ROW} conditional(i, {', '.join(['p'] * size)}), branch_computations={{{', '.join(['f0'] * size)}}}"
    )
    return module([CALLED, "i = s32[] parameter(1)", call], BOTTOM)


def unknown_conditionals(size: int) -> str:
    texts = [BOTTOM, computation("g", CALLED, f"ROOT r = {ROW} negate(p)")]
    names = ["p", *(f"c{n}" for n in range(size))]
    call = "conditional(i, {0}, {0}), branch_computations={{f0, g}}"
    lines = [f"{name} = {ROW} {call.format(before)}" for before, name in pairwise(names)]
    return module([CALLED, "i = s32[] parameter(1)", *lines, f"ROOT r = {ROW} negate(c{size - 1})"], *texts)


def unknown_calls(size: int) -> str:
    """Custom calls that nobody knows, each of another target."""
    names = ["p", *(f"c{n}" for n in range(size))]
    lines = [
        f'{name} = {ROW} custom-call({before}), custom_call_target="t{n}", metadata={{op_name="jit(f)/s{n}/t"}}'
        for n, (before, name) in enumerate(pairwise(names))
    ]
    return module([CALLED, *lines, f"ROOT r = {ROW} negate(c{size - 1})"])


def unknown_loops(size: int) -> str:
    condition = computation(
        "c", f"p = (s32[], s32[], {ROW}) parameter(0)", 'ROOT r = pred[] custom-call(p), custom_call_target="?"'
    )
    state = f"(s32[], s32[], {ROW})"
    names = ["p", *(f"w{n}" for n in range(size))]
    lines = [
        f'{name} = {state} while({before}), condition=c, body=b, metadata={{op_name="jit(f)/l{n}/while"}}'
        for n, (before, name) in enumerate(pairwise(names))
    ]
    return module(
        [f"p = {state} parameter(0)", *lines, f"ROOT r = {ROW} get-tuple-element(w{size - 1}), index=2"],
        condition,
        _counting()[0],
    )


def waiting(size: int) -> str:
    """The last waits for all, and each for the one before."""
    lines = [f"q{n} = {ROW} exponential(p){f', control-predecessors={{q{n - 1}}}' if n else ''}" for n in range(size)]
    last = f"ROOT r = {ROW} negate(p), control-predecessors={{{listed('q', size)}}}"
    return module([CALLED, *lines, last])


def scopes(size: int) -> str:
    """A scope and a source line for each."""
    lines = [
        f'q{n} = {ROW} exponential(p), metadata={{op_name="jit(f)/s{n}/exp" source_file="m.py" source_line={n}}}'
        for n in range(size)
    ]
    return module([CALLED, *lines, f"ROOT r = {tuple_of([ROW] * size)} tuple({listed('q', size)})"])


def deep_scope(size: int) -> str:
    """An op_name of as many components, and one of as many transformations."""
    deep, wrapped = "/".join(f"s{n}" for n in range(size)), "jvp(" * size + "f" + ")" * size
    lines = [f'a = {ROW} exponential(p), metadata={{op_name="jit(f)/{deep}/exp"}}']
    lines += [f'b = {ROW} exponential(a), metadata={{op_name="jit(f)/{wrapped}/exp"}}']
    lines += [f'c = {ROW} exponential(b), metadata={{op_name="jit(f)/{"(" * size}/exp"}}']
    return module([CALLED, *lines, f"ROOT r = {ROW} negate(c)"])


def without_source(size: int) -> str:
    """Nothing near says where it comes from but the first."""
    names = ["c0", *(f"c{n}" for n in range(1, size))]
    lines = [f'c0 = {ROW} exponential(p), metadata={{op_name="jit(f)/a/exp" source_file="m.py" source_line=1}}']
    lines += [f"{name} = {ROW} exponential({before})" for before, name in pairwise(names)]
    return module([CALLED, *lines, f"ROOT r = {ROW} negate(c{size - 1})"])


def shared_tuples(size: int) -> str:
    """A tuple of a tuple twice, again and again: 2 ** depth leaves, here in as many lines as leaves."""
    lines, shape, last, depth = [], ROW, "p", max(1, size.bit_length() - 1)
    for n in range(depth):
        shape = f"({shape}, {shape})"
        lines.append(f"t{n} = {shape} tuple({last}, {last})")
        last = f"t{n}"
    return module([CALLED, *lines, f"ROOT r = {shape} opt-barrier({last})"])


def nested_tuple(size: int) -> str:
    """A tuple in a tuple in a tuple: the shapes take as much text as their depth squared, so few of them."""
    depth = max(1, int(size**0.5))
    lines, shape, last = [], ROW, "p"
    for n in range(depth):
        shape = f"({shape})"
        lines.append(f"t{n} = {shape} tuple({last})")
        last = f"t{n}"
    return module([CALLED, *lines, f"ROOT r = {shape} copy({last})"])


def outputs_and_temporaries(size: int) -> str:
    lines = ["t0 = f32[64] reverse(p), dimensions={0}"]
    lines += [f"t{n} = {ROW} reverse(t{n - 1}), dimensions={{0}}" for n in range(1, size)]
    outs = range(0, size, 4)
    lines += [f"o{n} = f32[128] concatenate(t{n}, p), dimensions={{0}}" for n in outs]
    shape = tuple_of(["f32[128]" for _ in outs])
    return module([CALLED, *lines, f"ROOT r = {shape} tuple({', '.join(f'o{n}' for n in outs)})"])


def overlapping(size: int) -> str:
    """Values that all live until the end, of a size each."""
    lines = [f"q{n} = f32[{64 + n}] iota(), iota_dimension=0" for n in range(size)]
    lines += [f"s{n} = f32[1] slice(q{n}), slice={{[0:1]}}" for n in range(size)]
    return module([*lines, f"ROOT r = f32[{size}] concatenate({listed('s', size)}), dimensions={{0}}"])


def many_computations(size: int) -> str:
    texts = [
        computation(f"f{n}", f"p = f32[{n + 1}] parameter(0)", f"ROOT r = f32[{n + 1}] exponential(p)")
        for n in range(size)
    ]
    lines = [f"p{n} = f32[{n + 1}] parameter({n})" for n in range(size)]
    lines += [f"q{n} = f32[{n + 1}] fusion(p{n}), kind=kLoop, calls=f{n}" for n in range(size)]
    shape = tuple_of([f"f32[{n + 1}]" for n in range(size)])
    return module([*lines, f"ROOT r = {shape} tuple({listed('q', size)})"], *texts)


def collectives(size: int) -> str:
    """Collectives of another grouping each."""
    lines = [
        f"q{n} = {ROW} all-reduce(p), replica_groups={{{{{n % 8},{(n + 1) % 8}}}}}, channel_id={n + 1}, "
        "use_global_device_ids=true, to_apply=add"
        for n in range(size)
    ]
    return module(
        [CALLED, *lines, f"ROOT r = {tuple_of([ROW] * size)} tuple({listed('q', size)})"],
        ADD,
        header=", is_scheduled=true, num_partitions=8",
    )


def fused_collectives(size: int) -> str:
    texts = [
        computation(
            f"f{n}",
            CALLED,
            f"ROOT r = {ROW} all-reduce(p), replica_groups={{{{0,1,2,3,4,5,6,7}}}}, channel_id={n + 1}, "
            "use_global_device_ids=true, to_apply=add",
        )
        for n in range(size)
    ]
    lines = [f"q{n} = {ROW} fusion(p), kind=kCustom, calls=f{n}" for n in range(size)]
    return module(
        [CALLED, *lines, f"ROOT r = {tuple_of([ROW] * size)} tuple({listed('q', size)})"],
        ADD,
        *texts,
        header=", is_scheduled=true, num_partitions=8",
    )


def permutes(size: int) -> str:
    """One permute whose pairs are a ring of as many devices."""
    pairs = ",".join(f"{{{n},{(n + 1) % size}}}" for n in range(size))
    line = f"ROOT r = {ROW} collective-permute(p), source_target_pairs={{{pairs}}}, channel_id=1"
    return module([CALLED, line], header=f", is_scheduled=true, num_partitions={size}")


def listed_groups(size: int) -> str:
    """Groups of one device each, all of them in the text."""
    text = ",".join(f"{{{n}}}" for n in range(size))
    line = (
        f"ROOT r = {ROW} all-reduce(p), replica_groups={{{text}}}, channel_id=1, use_global_device_ids=true, "
        "to_apply=add"
    )
    return module([CALLED, line], ADD, header=f", is_scheduled=true, num_partitions={size}")


def loops(size: int) -> str:
    """Loops one after another, each of another bound, that only running them tells."""
    texts, lines = [], [CALLED]
    state = f"(s32[], {ROW})"
    last = "p"
    for n in range(size):
        texts.append(
            computation(
                f"c{n}",
                f"p = {state} parameter(0)",
                "i = s32[] get-tuple-element(p), index=0",
                "h = s32[] multiply(i, i)",
                f"n = s32[] constant({n + 4})",
                "ROOT r = pred[] compare(h, n), direction=LT",
            )
        )
        texts.append(
            computation(
                f"b{n}",
                f"p = {state} parameter(0)",
                "i = s32[] get-tuple-element(p), index=0",
                f"x = {ROW} get-tuple-element(p), index=1",
                "one = s32[] constant(1)",
                "j = s32[] add(i, one)",
                f"y = {ROW} exponential(x)",
                f"ROOT r = {state} tuple(j, y)",
            )
        )
        lines += [
            f"z{n} = s32[] constant(0)",
            f"t{n} = {state} tuple(z{n}, {last})",
            f"w{n} = {state} while(t{n}), condition=c{n}, body=b{n}",
            f"x{n} = {ROW} get-tuple-element(w{n}), index=1",
        ]
        last = f"x{n}"
    return module([*lines, f"ROOT r = {ROW} negate({last})"], *texts)


def conjunction(size: int) -> str:
    """A loop that goes on while as many conditions hold."""
    state = f"(s32[], {ROW})"
    condition = [f"p = {state} parameter(0)", "i = s32[] get-tuple-element(p), index=0", "k = s32[] constant(10)"]
    condition += ["a0 = pred[] compare(i, k), direction=LT"]
    for n in range(1, size):
        condition += [
            f"k{n} = s32[] constant({n + 10})",
            f"l{n} = pred[] compare(i, k{n}), direction=LT",
            f"a{n} = pred[] and(a{n - 1}, l{n})",
        ]
    condition.append(f"ROOT r = pred[] copy(a{size - 1})")
    body = [
        f"p = {state} parameter(0)",
        "i = s32[] get-tuple-element(p), index=0",
        f"x = {ROW} get-tuple-element(p), index=1",
        "one = s32[] constant(1)",
        "j = s32[] add(i, one)",
        f"y = {ROW} exponential(x)",
        f"ROOT r = {state} tuple(j, y)",
    ]
    lines = [CALLED, "z = s32[] constant(0)", f"t = {state} tuple(z, p)"]
    lines += [f"w = {state} while(t), condition=c, body=b", f"ROOT r = {ROW} get-tuple-element(w), index=1"]
    return module(lines, computation("c", *condition), computation("b", *body))
