"""Texts of a few lines with large numbers in them: `size` is a number, and what is asked must not take longer for it."""

from __future__ import annotations

from text_parts import ADD, BOTTOM, CALLED, ROW, Bomb, computation, module

GLOBAL = "channel_id=1, use_global_device_ids=true"
MAX = computation(
    "max", "x = f32[] parameter(0)", "y = f32[] parameter(1)", "ROOT r = pred[] compare(x, y), direction=GE"
)


def _reduced(groups: str, size: int, *, header: str = "num_partitions", ids: str = GLOBAL) -> str:
    line = f"ROOT r = {ROW} all-reduce(p), replica_groups={groups}, {ids}, to_apply=add"
    return module([CALLED, line], ADD, header=f", is_scheduled=true, {header}={size}")


def one_group(size: int) -> str:
    return _reduced(f"[1,{size}]<=[{size}]", size)


def pairs_of_devices(size: int) -> str:
    return _reduced(f"[{size // 2},2]<=[2,{size // 2}]T(1,0)", size)


def mesh_axis(size: int) -> str:
    return _reduced(f"mesh['a'={size // 4},'b'=4] {{'a'}}", size)


def mesh_sub_axis(size: int) -> str:
    return _reduced(f"mesh['a'={size // 4},'b'=4] {{'a':(2)2,'b'}}", size)


def mesh_in_another_order(size: int) -> str:
    return _reduced(f"mesh['a'={size // 4},'b'=4], device_ids=([{size // 4},4]T(1,0)) {{'b'}}", size)


def all_devices_unnamed(size: int) -> str:
    return _reduced("{}", size)


def all_replicas(size: int) -> str:
    return _reduced("{}", size, header="replica_count", ids="channel_id=1")


def replicas_of_partitions(size: int) -> str:
    """Groups of replicas, each with all of its partitions."""
    text = _reduced("{{0},{1}}", 2, header="replica_count", ids="channel_id=1")
    return text.replace("replica_count=2", f"replica_count=2, num_partitions={size}")


def permute_of_replicas(size: int) -> str:
    """Two partitions of each replica, one of which sends."""
    line = f"ROOT r = {ROW} collective-permute(p), source_target_pairs={{{{0,1}}}}, channel_id=1"
    return module([CALLED, line], header=f", is_scheduled=true, replica_count={size}, num_partitions=2")


def permute_of_partitions(size: int) -> str:
    line = f"ROOT r = {ROW} collective-permute(p), source_target_pairs={{{{0,1}},{{1,0}}}}"
    return module([CALLED, line], header=f", is_scheduled=true, replica_count=2, num_partitions={size}")


def branch_by_device(size: int) -> str:
    other = computation("g", CALLED, f"ROOT r = {ROW} negate(p)")
    lines = [CALLED, "d = u32[] partition-id()", "z = u32[] constant(0)", "q = pred[] compare(d, z), direction=EQ"]
    lines += [f"ROOT r = {ROW} conditional(q, p, p), true_computation=f0, false_computation=g"]
    return module(lines, BOTTOM, other, header=f", is_scheduled=true, num_partitions={size}")


def _convolved(size: int, kernel: int, window: str, out: int) -> str:
    lines = [f"p = f32[1,{size},1] parameter(0)", f"k = f32[{kernel},1,1] parameter(1)"]
    line = f"ROOT r = f32[1,{out},1] convolution(p, k), window={{{window}}}, dim_labels=b0f_0io->b0f"
    return module([*lines, line])


def convolution(size: int) -> str:
    return _convolved(size, 3, "size=3 pad=1_1", size)


def large_kernel(size: int) -> str:
    return _convolved(size, size, f"size={size} pad={size - 1}_{size - 1}", 2 * size - 1)


def strided(size: int) -> str:
    return _convolved(size, size // 2, f"size={size // 2} stride=7", (size - size // 2) // 7 + 1)


def dilated_kernel(size: int) -> str:
    """Holes in the kernel larger than the input."""
    kernel = size // 8
    return _convolved(16, kernel, f"size={kernel} pad={32 * kernel}_{32 * kernel} rhs_dilate=17", 16 + 47 * kernel + 16)


def dilated_input(size: int) -> str:
    kernel = size // 8
    grown = 3 * (size - 1) + 1
    return _convolved(
        size, kernel, f"size={kernel} stride=2 lhs_dilate=3 rhs_dilate=5", (grown - 5 * (kernel - 1) - 1) // 2 + 1
    )


def batch_as_convolution(size: int) -> str:
    """A batch dimension that TPU's compiler prints as one of a convolution."""
    lines = [f"p = f32[{size},8,8] parameter(0)", f"k = f32[{size},8,8] parameter(1)"]
    window = f"size={size} stride={size - 1} lhs_dilate={size}"
    line = f"ROOT r = f32[{size},8,8] convolution(p, k), window={{{window}}}, dim_labels=0bf_0oi->0bf"
    return module([*lines, line])


def _reduced_windows(size: int, window: str, out: int) -> str:
    lines = [f"p = f32[{size}] parameter(0)", "z = f32[] constant(0)"]
    return module([*lines, f"ROOT r = f32[{out}] reduce-window(p, z), window={{{window}}}, to_apply=add"], ADD)


def pooling(size: int) -> str:
    return _reduced_windows(size, "size=3 stride=2", (size - 3) // 2 + 1)


def prefix_sum(size: int) -> str:
    return _reduced_windows(size, f"size={size} pad={size - 1}_0", size)


def dilated_windows(size: int) -> str:
    taps = size // 16
    grown = 3 * (size - 1) + 1
    return _reduced_windows(
        size, f"size={taps} stride=2 lhs_dilate=3 rhs_dilate=7", (grown - 7 * (taps - 1) - 1) // 2 + 1
    )


def wide_holes(size: int) -> str:
    """Neighbours in a window that lie further apart than the input is long."""
    taps = size // 16
    pad = 100 * taps
    return _reduced_windows(16, f"size={taps} pad={pad}_{pad} rhs_dilate=33", 16 + 2 * pad - 33 * (taps - 1))


def chosen_in_windows(size: int) -> str:
    half = size // 2
    lines = [f"p = f32[{2 * half}] parameter(0)", f"s = f32[{half}] parameter(1)", "z = f32[] constant(0)"]
    line = f"ROOT r = f32[{2 * half}] select-and-scatter(p, s, z), window={{size=2 stride=2}}, select=max, scatter=add"
    return module([*lines, line], MAX, ADD)


def huge_constants(size: int) -> str:
    """Arrays that follow from a line: nothing of them is worked out element by element."""
    lines = [
        f"i = s32[{size}] iota(), iota_dimension=0",
        "c = s32[] constant(3)",
        f"b = s32[{size}] broadcast(c), dimensions={{}}",
        f"s = s32[{size}] add(i, b)",
        f"p = s32[{2 * size}] pad(s, c), padding=0_{size}",
        f"o = s32[{2 * size}] reverse(p), dimensions={{0}}",
        "l = s32[1] slice(o), slice={[7:8]}",
        "ROOT r = s32[] reshape(l)",
    ]
    return module(lines)


def fused_constants(size: int) -> str:
    lines = [
        f"i = s32[{size}] iota(), iota_dimension=0",
        "c = s32[] constant(3)",
        f"b = s32[{size}] broadcast(c), dimensions={{}}",
        f"ROOT s = s32[{size}] multiply(i, b)",
    ]
    return module([f"ROOT r = s32[{size}] fusion(), kind=kLoop, calls=f"], computation("f", *lines))


def library(size: int) -> str:
    """Sorting, transforming, factorizing."""
    lines = [
        f"p = f32[4,{size}] parameter(0)",
        f"c = c64[4,{size}] parameter(1)",
        f"m = f32[{size},{size}] parameter(2)",
        f"s = f32[4,{size}] sort(p), dimensions={{1}}, to_apply=max",
        "t = (f32[4,7], s32[4,7]) topk(p), k=7, largest=true",
        f"f = c64[4,{size}] fft(c), fft_type=FFT, fft_length={{{size}}}",
        f"y = f32[{size},{size}] cholesky(m), lower=true",
        f"d = f32[4,{size}] dot(p, m), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}",
        f"ROOT r = (f32[4,{size}], c64[4,{size}], f32[{size},{size}], f32[4,{size}]) tuple(s, f, y, d)",
    ]
    return module(lines, MAX)


def _loop(trips: str, size: int, *inside: str, state: str = f"(s32[], {ROW})", whole: str = ROW) -> str:
    body = [f"p = {state} parameter(0)", "i = s32[] get-tuple-element(p), index=0"]
    body += [f"x = {whole} get-tuple-element(p), index=1", "one = s32[] constant(1)", "j = s32[] add(i, one)", *inside]
    condition = [f"p = {state} parameter(0)", "i = s32[] get-tuple-element(p), index=0", f"n = s32[] constant({size})"]
    condition += [trips]
    lines = [f"x = {whole} parameter(0)", "z = s32[] constant(0)", f"t = {state} tuple(z, x)"]
    lines += [f"w = {state} while(t), condition=c, body=b", f"ROOT r = {whole} get-tuple-element(w), index=1"]
    return module(lines, computation("c", *condition), computation("b", *body))


_BELOW = "ROOT r = pred[] compare(i, n), direction=LT"


def trips(size: int) -> str:
    return _loop(_BELOW, min(size, 2**30), f"y = {ROW} exponential(x)", f"ROOT r = (s32[], {ROW}) tuple(j, y)")


def _sliced_loop(size: int, *index: str) -> str:
    size = min(size, 2**28)
    whole, state = f"f32[{4 * size}]", f"(s32[], f32[{4 * size}])"
    inside = [*index, "u = f32[4] dynamic-slice(x, k), dynamic_slice_sizes={4}", "v = f32[4] exponential(u)"]
    inside += [f"y = {whole} dynamic-update-slice(x, v, k)", f"ROOT r = {state} tuple(j, y)"]
    return _loop(_BELOW, size, *inside, state=state, whole=whole)


def slices_in_a_loop(size: int) -> str:
    """A part of four elements each trip."""
    return _sliced_loop(size, "four = s32[] constant(4)", "k = s32[] multiply(i, four)")


def overlapping_slices_in_a_loop(size: int) -> str:
    return _sliced_loop(size, "three = s32[] constant(3)", "k = s32[] multiply(i, three)")


def slices_of_a_table_in_a_loop(size: int) -> str:
    """Where each trip slices is no line: the remainder of a square."""
    return _sliced_loop(size, "q = s32[] multiply(i, i)", "m = s32[] constant(1009)", "k = s32[] remainder(q, m)")


def endless(size: int) -> str:
    """A loop that only running it tells anything of, for longer than anyone waits."""
    state = f"(s32[], {ROW})"
    last = f"ROOT r = {state} tuple(h, x)"
    inside = ("five = s32[] constant(5)", "g = s32[] multiply(i, five)", "h = s32[] add(g, one)", last)
    return _loop("ROOT r = pred[] compare(i, n), direction=NE", min(size, 2**30), *inside)


NUMBERS: dict[str, Bomb] = {
    f.__name__: f
    for f in (
        one_group,
        pairs_of_devices,
        mesh_axis,
        mesh_sub_axis,
        mesh_in_another_order,
        all_devices_unnamed,
        all_replicas,
        replicas_of_partitions,
        permute_of_replicas,
        permute_of_partitions,
        branch_by_device,
        convolution,
        large_kernel,
        strided,
        dilated_kernel,
        dilated_input,
        batch_as_convolution,
        pooling,
        prefix_sum,
        dilated_windows,
        wide_holes,
        chosen_in_windows,
        huge_constants,
        fused_constants,
        library,
        trips,
        slices_in_a_loop,
        overlapping_slices_in_a_loop,
    )
}
