"""Nests, that grow: computation in computation."""

from __future__ import annotations

from text_parts import BOTTOM, CALLED, NEVER, ROW, computation, module


def _nest(size: int, *below: str, twice: bool = False, extra: tuple[str, ...] = ()) -> str:
    """`below` are the lines that call computation {0}, on x as y."""
    texts = [*extra, BOTTOM]
    for n in range(1, size + 1):
        lines = [line.format(f"f{n - 1}", x="p", y="y") for line in below]
        last = "y"
        if twice:
            lines += [line.format(f"f{n - 1}", x="y", y="z") for line in below]
            last = "z"
        texts.append(computation(f"f{n}", CALLED, *lines, f"ROOT r = {ROW} negate({last})"))
    lines = [line.format(f"f{size}", x="p", y="y") for line in below]
    return module([CALLED, *lines, f"ROOT r = {ROW} negate(y)"], *texts)


_CALL = f"{{y}} = {ROW} call({{x}}), to_apply={{0}}"
_FUSION = f"{{y}} = {ROW} fusion({{x}}), kind=kLoop, calls={{0}}"
_WHILE = f'{{y}} = {ROW} while({{x}}), condition=never, body={{0}}, backend_config={{{{"known_trip_count":{{{{"n":"1"}}}}}}}}'
_INFERRED = f"{{y}} = {ROW} while({{x}}), condition=never, body={{0}}"
_EITHER = ("i{y} = s32[] constant(0)", f"{{y}} = {ROW} conditional(i{{y}}, {{x}}), branch_computations={{{{{{0}}}}}}")
_BOTH = (
    "i{y} = s32[] parameter(1)",
    f"{{y}} = {ROW} conditional(i{{y}}, {{x}}, {{x}}), branch_computations={{{{{{0}}, {{0}}}}}}",
)
_MAP = f"{{y}} = {ROW} map({{x}}), dimensions={{{{0}}}}, to_apply={{0}}"
_ASYNC = (
    f"s{{y}} = (({ROW}), {ROW}, u32[]) async-start({{x}}), calls={{0}}",
    f"{{y}} = {ROW} async-done(s{{y}})",
)


def nest_of_calls(size: int) -> str:
    return _nest(size, _CALL)


def nest_of_fusions(size: int) -> str:
    return _nest(size, _FUSION)


def nest_of_loops(size: int) -> str:
    return _nest(size, _WHILE, extra=(NEVER,))


def nest_of_inferred_loops(size: int) -> str:
    return _nest(size, _INFERRED, extra=(NEVER,))


def nest_of_conditionals(size: int) -> str:
    return _nest(size, *_EITHER)


def nest_of_async(size: int) -> str:
    return _nest(size, *_ASYNC)


def nest_of_maps(size: int) -> str:
    """Computations that are applied to elements apply others."""
    texts = [computation("f0", "p = f32[] parameter(0)", "ROOT r = f32[] exponential(p)")]
    for n in range(1, size + 1):
        line = f"ROOT r = f32[] map(p), dimensions={{}}, to_apply=f{n - 1}"
        texts.append(computation(f"f{n}", "p = f32[] parameter(0)", line))
    return module([CALLED, f"ROOT r = {ROW} map(p), dimensions={{0}}, to_apply=f{size}"], *texts)


def doubled_calls(size: int) -> str:
    return _nest(size, _CALL, twice=True)


def doubled_fusions(size: int) -> str:
    return _nest(size, _FUSION, twice=True)


def doubled_loops(size: int) -> str:
    return _nest(size, _WHILE, twice=True, extra=(NEVER,))


def doubled_conditionals(size: int) -> str:
    """Both branches are the one below."""
    texts = [BOTTOM.replace("f0 {", "f0 {\n  j = s32[] parameter(1)") if False else BOTTOM]
    for n in range(1, size + 1):
        lines = [CALLED, "i = s32[] constant(1)", f"q = {ROW} negate(p)"]
        line = f"ROOT r = {ROW} conditional(i, p, q), branch_computations={{f{n - 1}, f{n - 1}}}"
        texts.append(computation(f"f{n}", *lines, line))
    return module([CALLED, f"ROOT r = {ROW} call(p), to_apply=f{size}"], *texts)


def named_calls(size: int) -> str:
    """Calls with an op_name each, below which what is called goes on: as many paths as 2 ** size."""
    texts = [computation("f0", CALLED, f'ROOT r = {ROW} exponential(p), metadata={{op_name="exp"}}')]
    for n in range(1, size + 1):
        one = f'a = {ROW} call(p), to_apply=f{n - 1}, metadata={{op_name="a"}}'
        two = f'ROOT r = {ROW} call(a), to_apply=f{n - 1}, metadata={{op_name="b"}}'
        texts.append(computation(f"f{n}", CALLED, one, two))
    call = f'ROOT r = {ROW} call(p), to_apply=f{size}, metadata={{op_name="jit(f)/top"}}'
    return module([CALLED, call], *texts, header="")


def counted_nest(size: int) -> str:
    """Loops of ten trips in loops of ten trips: 10 ** size runs."""
    text = nest_of_loops(size)
    return text.replace('"n":"1"', '"n":"10"')
