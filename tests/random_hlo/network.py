"""Collectives, copies, and what passes between devices or to the host."""

from __future__ import annotations

from random_hlo.builder import FLOATS, INTEGERS, TOKEN, Array, Body, Shape, Step, braces, spell


def collective_op(b: Body) -> None:
    x = b.any(("f32", "bf16", "s32"), (1, 3))
    g = b.choices.pick((1, 2, 4))
    groups = f"replica_groups={braces(()) if b.choices.chance(20) else '{' + braces(range(g)) + '}'}"
    kind = b.choices.integer(0, 6)
    reduced = f"to_apply={b.program.scalar_body(x.array.dtype)}" if kind in (0, 1, 2) else ""
    wide = x.array.of(dims=(x.array.dims[0] * g, *x.array.dims[1:]))
    if kind == 0:
        b.emit("all-reduce", x.shape, [x], groups, reduced)
    elif kind == 1:
        pair = [x, b.any((x.array.dtype,))]
        start = b.emit("all-reduce-start", tuple(v.shape for v in pair), pair, groups, reduced)
        b.emit("all-reduce-done", start.shape, [start])
    elif kind == 2:
        b.emit("reduce-scatter", x.shape, [b.value(wide)], groups, "dimensions={0}", reduced)
    elif kind == 3:
        b.emit("all-gather", wide, [x], groups, "dimensions={0}")
    elif kind == 4:
        start = b.emit("all-gather-start", (x.shape, wide), [x], groups, "dimensions={0}")
        b.emit("all-gather-done", wide, [start])
    elif kind == 5:
        pieces = [x] + [b.value(x.shape) for _ in range(g - 1)]
        b.emit("all-to-all", tuple(p.shape for p in pieces), pieces, groups)
    else:
        b.emit("collective-broadcast", x.shape, [x], groups)


def permute_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    pairs = "source_target_pairs={{0,1},{1,0}}"
    if b.choices.chance(50):
        b.emit("collective-permute", x.shape, [x], pairs)
    else:
        start = b.emit("collective-permute-start", (x.shape, x.shape, Array("u32"), Array("u32")), [x], pairs)
        b.emit("collective-permute-done", x.shape, [start])


def device_op(b: Body) -> None:
    b.emit(b.choices.pick(["partition-id", "replica-id"]), Array("u32"), infers=True)


def host_op(b: Body) -> None:
    """Tokens, and what passes between the device and its host or another device."""
    token = b.emit("after-all", TOKEN, infers=True)
    x = b.any(FLOATS + INTEGERS)
    kind = b.choices.integer(0, 3)
    if kind == 0:
        b.emit("infeed", (x.shape, TOKEN), [token])
    elif kind == 1:
        b.emit("outfeed", TOKEN, [x, token], f"outfeed_shape={spell(x.shape)}")
    elif kind == 2:
        sent = b.emit("send", (x.shape, Array("u32"), TOKEN), [x, token], "channel_id=1")
        b.emit("send-done", TOKEN, [sent], "channel_id=1")
        received = b.emit("recv", (x.shape, Array("u32"), TOKEN), [token], "channel_id=2")
        b.emit("recv-done", (x.shape, TOKEN), [received], "channel_id=2")
    else:
        b.emit("add-dependency", x.shape, [x, token], infers=True)


def copy_start_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    start = b.emit("copy-start", (x.shape, x.shape, Array("u32")), [x])
    b.emit("copy-done", x.shape, [start])


def domain_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    kinds = 'domain={kind="sharding", entry={maximal device=0}, exit={maximal device=1}}'
    b.emit("domain", x.shape, [x], kinds)


def custom_call_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    shape: Shape = b.array() if b.choices.chance(60) else (b.array(), b.array())
    target = f'custom_call_target="{b.choices.pick(["foo", "__cublas$gemm", "Sharding"])}"'
    b.emit("custom-call", shape, [x, b.any(FLOATS)], target)


STEPS: tuple[Step, ...] = (
    collective_op,
    permute_op,
    device_op,
    host_op,
    copy_start_op,
    domain_op,
    custom_call_op,
)
