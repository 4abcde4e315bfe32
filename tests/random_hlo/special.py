"""Linear algebra, Fourier transforms, random numbers, normalization."""

from __future__ import annotations

from random_hlo.builder import SIZES, Array, Body, Step, braces


def fft_op(b: Body) -> None:
    kind = b.choices.pick(("FFT", "IFFT", "RFFT", "IRFFT"))
    lengths = [b.choices.pick(SIZES) for _ in range(b.choices.integer(1, 3))]
    outer = tuple(b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 1)))
    whole, half = (*outer, *lengths), (*outer, *lengths[:-1], lengths[-1] // 2 + 1)
    x = b.value(Array("f32" if kind == "RFFT" else "c64", half if kind == "IRFFT" else whole))
    shape = Array("f32" if kind == "IRFFT" else "c64", half if kind == "RFFT" else whole)
    b.emit("fft", shape, [x], f"fft_type={kind}", f"fft_length={braces(lengths)}", infers=True)


def linalg_op(b: Body) -> None:
    outer = tuple(b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 2)))
    n, m = b.choices.pick(SIZES), b.choices.pick(SIZES)
    a = b.value(Array(b.choices.pick(("f32", "f64")), (*outer, n, n)))
    if b.choices.chance(50):
        b.emit("cholesky", a.shape, [a], "lower=true", infers=True)
    else:
        right = b.value(a.array.of(dims=(*outer, n, m)))
        side = "left_side=true, lower=true, transpose_a=NO_TRANSPOSE"
        b.emit("triangular-solve", right.shape, [a, right], side, infers=True)


def random_op(b: Body) -> None:
    kind = b.choices.integer(0, 2)
    if kind == 0:
        limits = [b.value(Array("f32")), b.value(Array("f32"))]
        b.emit("rng", b.array("f32"), limits, "distribution=rng_uniform")
    elif kind == 1:
        b.emit("rng-get-and-update-state", Array("u64", (2,)), [], "delta=4096")
    else:
        state = b.value(Array("u64", (2,)))
        shapes = (Array("u64", (2,)), b.array("u32"))
        b.emit("rng-bit-generator", shapes, [state], "algorithm=rng_three_fry")


def batch_norm_op(b: Body) -> None:
    x = b.any(("f32",), (2, 4))
    feature = [b.value(Array("f32", (x.array.dims[1],))) for _ in range(4)]
    numbers = "epsilon=0.001, feature_index=1"
    kind = b.choices.integer(0, 2)
    if kind == 0:
        shape = (x.shape, feature[0].shape, feature[0].shape)
        b.emit("batch-norm-training", shape, [x, *feature[:2]], numbers, infers=True)
    elif kind == 1:
        b.emit("batch-norm-inference", x.shape, [x, *feature], numbers, infers=True)
    else:
        shape = (x.shape, feature[0].shape, feature[0].shape)
        b.emit("batch-norm-grad", shape, [x, *feature[:3], b.value(x.shape)], numbers, infers=True)


STEPS: tuple[Step, ...] = (fft_op, linalg_op, random_op, batch_norm_op)
