"""The numbers and plots of docs/sizing-up.md, taken here: `python docs/sizing_up.py [--device local] [--write]`.

Each block of the guide between `<!-- NAME -->` and `<!-- end -->` is what the function NAME of this file returned on
the machine that the guide names. They are shown, and plots go to a folder of their own; `--write` puts both into docs/.
Needs a calibrated device (`hlo-count calibrate`) and the extra `plot`.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure
from tabulate import tabulate

import hlo_count as hc
from hlo_count.roofline.roofline_table import seconds as in_words
from hlo_count.roofline.throughput import MULTIPLY_ADD, MULTIPLY_MAXIMUM, VectorPipeline

HERE = Path(__file__).resolve().parent
PAGE = HERE / "sizing-up.md"
IMAGES = HERE / "img"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="local", help="the profile of this machine")
    parser.add_argument("--write", action="store_true", help="put them into the guide, in place of what it has")
    options = parser.parse_args()
    device = hc.device(options.device)
    images = IMAGES if options.write else Path("sizing-up")
    images.mkdir(exist_ok=True)

    def replaced(block: re.Match[str]) -> str:
        taken = BLOCKS[block[2]](device, images)
        if not options.write:
            print(f"{block[2]}\n\n{taken}\n", flush=True)
        return f"{block[1]}{taken}\n{block[3]}"

    page = BLOCK.sub(replaced, PAGE.read_text())
    if options.write:
        PAGE.write_text(page)
    return 0


# Measuring


def measured(function: Callable[..., Any], *args: Any) -> float:
    """Seconds of one call: the median of samples that are each long against a thread's waking up."""
    run = jax.jit(function)
    jax.block_until_ready(run(*args))
    once = min(_timed(run, args, 1) for _ in range(3))
    runs = max(1, min(1000, round(0.005 / once)))
    return statistics.median(_timed(run, args, runs) for _ in range(60))


def _timed(run: Callable[..., Any], args: tuple[Any, ...], runs: int) -> float:
    begun = time.perf_counter()
    for _ in range(runs):
        jax.block_until_ready(run(*args))
    return (time.perf_counter() - begun) / runs


def ones(*shape: int) -> jax.Array:
    return jnp.ones(shape, jnp.float32)


def table(headers: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def compared(device: Any, programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]) -> str:
    """Programs side by side: counted, bounded, measured."""
    rows = []
    times = []
    for name, (function, args) in programs.items():
        report = hc.count(function, *args)
        roofline = report.roofline(device)
        times.append(measured(function, *args))
        rows.append(
            [
                name,
                f"{report.flops:,}",
                f"{report.bytes:,}",
                f"{report.intensity:.3g}",
                in_words(roofline.bound),
                in_words(roofline.estimate),
                in_words(times[-1]),
                roofline.bottleneck,
            ]
        )
    headers = ["", "FLOP", "bytes", "FLOP/B", "at least", "estimate", "measured", "limited by"]
    ratio = f"The first takes {times[0] / times[1]:.3g} times as long as the second." if len(times) == 2 else ""
    return "\n\n".join(filter(None, [table(headers, rows), ratio]))


# The blocks


def machine(device: Any, _: Path) -> str:
    facts = device.calibration
    return (
        f"{facts.get('processor', device.description)}, {facts.get('cores', '?')} cores, "
        f"jax {facts.get('jax', jax.__version__)}: f32 matmul {device.peak('f32').value / 1e9:.3g} GFLOP/s, "
        f"memory {device.bandwidth().value / 1e9:.3g} GB/s."
    )


def parameters(device: Any, _: Path) -> str:
    a = b = ones(1000, 1000)
    count = hc.count_parameters({"B": b})
    return f"Both have {count:,} parameters.\n\n" + compared(
        device, {"A @ B": (jnp.matmul, (a, b)), "A + B": (jnp.add, (a, b))}
    )


def foo(a: jax.Array, b: jax.Array) -> jax.Array:
    c = jnp.float32(0)
    for i in range(100):
        c = jnp.maximum(a[i] * b[i], c)
    return c


def bar(a: jax.Array) -> jax.Array:
    c = jnp.float32(0)
    for _ in range(100):
        c = c + a
    return c


def twice(a: jax.Array) -> jax.Array:
    """What a compiler does remove: work that was done before."""
    return jnp.sin(a) + jnp.sin(a)


def compilation(device: Any, _: Path) -> str:
    programs = {
        "foo": (foo, (ones(100), ones(100))),
        "bar": (bar, (jnp.float32(1),)),
        "twice": (twice, (ones(100, 100),)),
    }
    rows = []
    for name, (function, args) in programs.items():
        before = hc.count(jax.jit(function).lower(*args).as_text("hlo"))
        after = hc.count(function, *args)
        classes = ", ".join(f"{n.flops:,} {c}" for c, n in after.by("class").items() if n.flops)
        rows.append(
            [
                name,
                f"{before.flops:,}",
                f"{before.transcendentals:,}",
                f"{after.flops:,}",
                f"{after.transcendentals:,}",
                classes,
            ]
        )
    headers = ["", "FLOP before", "special before", "FLOP after", "special after", "what is left"]
    return table(headers, rows)


def equal_flops(device: Any, _: Path) -> str:
    n = 100
    size = 2 * n**3
    return compared(
        device,
        {
            f"{size:,} additions": (jnp.add, (ones(size), ones(size))),
            f"{n}×{n} matmul": (jnp.matmul, (ones(n, n), ones(n, n))),
        },
    )


def intensity(device: Any, images: Path) -> str:
    sizes = (16, 32, 64, 128, 256, 512, 1024, 2048)
    points = []
    for n in sizes:
        report = hc.count(jnp.matmul, ones(n, n), ones(n, n))
        points.append((report.intensity, report.flops / measured(jnp.matmul, ones(n, n), ones(n, n)), f"{n}³"))
    add = hc.count(jnp.add, ones(2**22), ones(2**22))
    points.append((add.intensity, add.flops / measured(jnp.add, ones(2**22), ones(2**22)), "A + B"))
    levels = [m for m in device.memory if m.bandwidth is not None]
    draw(
        images / "intensity.png",
        "matmuls and an addition, measured",
        [(f"f32 matmul {device.peak('f32').value / 1e9:.3g} GFLOP/s", device.peak("f32").value)],
        [(f"{m.name} {m.bandwidth.value / 1e9:.3g} GB/s", m.bandwidth.value) for m in levels],
        points,
    )
    rows = [
        [m.name, f"{m.bandwidth.value / 1e9:.3g} GB/s", f"{hc.required_intensity(device, 'f32', memory=m.name):.3g}"]
        for m in levels
    ]
    rows = [[*row, f"{n}×{n}"] for row, n in zip(rows, _ridge_sizes(device, levels), strict=True)]
    return (
        table(["operands in", "bandwidth", "ridge, FLOP/B", "square matmul that reaches it"], rows)
        + "\n\n![Measured FLOP/s against arithmetic intensity](img/intensity.png)"
    )


def _ridge_sizes(device: Any, levels: list[Any]) -> Iterator[int]:
    from hlo_count.roofline.ridge import ridge_matmul

    for level in levels:
        yield ridge_matmul(device, "f32", memory=level.name)


def sum_and_max(device: Any, _: Path) -> str:
    def sums(a: jax.Array, b: jax.Array) -> jax.Array:
        return (a * b).sum()

    def maxima(a: jax.Array, b: jax.Array) -> jax.Array:
        return (a * b).max()

    size = 2**18
    args = (ones(size), ones(size))
    rows = []
    for registers in (16, 32):
        unit = VectorPipeline(registers=registers, latency=4, issue_width=2)
        rows.append(
            [
                f"{registers} registers",
                f"{float(unit.fraction_of_peak(MULTIPLY_ADD)):.3g}",
                f"{float(unit.fraction_of_peak(MULTIPLY_MAXIMUM)):.3g}",
                f"{float(unit.speedup(MULTIPLY_ADD, MULTIPLY_MAXIMUM)):.3g}",
            ]
        )
    predicted = table(["latency 4, two issues a cycle", "sum keeps busy", "max keeps busy", "sum / max"], rows)
    return f"Predicted:\n\n{predicted}\n\nMeasured, {size:,} elements:\n\n" + compared(
        device, {"max(A · B)": (maxima, args), "sum(A · B)": (sums, args)}
    )


def a100(_: Any, images: Path) -> str:
    from hlo_count.roofline.ridge import ridge_matmul

    device = hc.device("a100-sxm-40gb")
    kinds = [
        ("FP32 without FMA", "f32", "vector", False),
        ("FP32 FMA", "f32", "vector", True),
        ("TF32 tensor cores", "tf32", "matrix", True),
        ("BF16 tensor cores", "bf16", "matrix", True),
    ]
    rows, roofs = [], []
    for name, dtype, unit, fma in kinds:
        peak = device.peak(dtype, unit, fma=fma).value
        ridge = hc.required_intensity(device, dtype, unit, **({} if fma else {"fma": False}))
        matmul = ridge_matmul(device, dtype, unit) if fma else None
        roofs.append((f"{name} {peak / 1e12:.4g} TFLOP/s", peak))
        rows.append([name, f"{peak / 1e12:.4g}", f"{ridge:.1f}", f"{matmul}×{matmul}" if matmul else ""])
    bandwidth = device.bandwidth().value
    draw(images / "a100.png", "A100 SXM, 40 GB", roofs, [(f"HBM2 {bandwidth / 1e9:.4g} GB/s", bandwidth)], [])
    return (
        table(["", "TFLOP/s", "ridge, FLOP/B", "square matmul that reaches it"], rows)
        + "\n\n![The A100's ceilings](img/a100.png)"
    )


def transformer(device: Any, images: Path) -> str:
    def block(x: jax.Array, p: dict[str, jax.Array]) -> jax.Array:
        q, k, v = jnp.split(x @ p["qkv"], 3, -1)
        x = x + jax.nn.softmax(q @ k.T / 16) @ v @ p["out"]
        return x + jax.nn.gelu(x @ p["up"]) @ p["down"]

    shapes = {"qkv": (256, 768), "out": (256, 256), "up": (256, 1024), "down": (1024, 256)}
    params = {name: ones(*shape) / 256 for name, shape in shapes.items()}
    report = hc.count(block, ones(512, 256), params)
    roofline = report.roofline(device)
    taken = measured(block, ones(512, 256), params)
    roofline.plot(images / "transformer.png", seconds=taken, kernels=4)
    text = "\n".join(line for line in str(roofline).splitlines() if not line.startswith("-")).rstrip()
    return (
        f"```\n{text}\n```\n\nMeasured: {in_words(taken)}, {100 * roofline.hfu(taken):.0f} % of the matmul peak.\n\n"
        "![A transformer block](img/transformer.png)"
    )


BLOCKS: dict[str, Callable[[Any, Path], str]] = {
    function.__name__: function
    for function in (machine, parameters, compilation, equal_flops, intensity, transformer, sum_and_max, a100)
}


def draw(
    path: Path,
    title: str,
    roofs: list[tuple[str, float]],
    slopes: list[tuple[str, float]],
    points: list[tuple[float, float, str]],
) -> None:
    """Ceilings and slopes of a device, with measured points (FLOP/B, FLOP/s, name)."""
    figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    top = max(rate for _, rate in roofs)
    ridge = top / slopes[-1][1]
    low = min([x for x, _, _ in points] + [ridge / 300]) / 2
    high = max([x for x, _, _ in points] + [ridge * 10]) * 3
    fastest = max(bandwidth for _, bandwidth in slopes)
    bottom = min([y for _, y, _ in points] + [min(rate for _, rate in roofs) / 30]) / 2
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top * 2.5))
    axes.set_xlabel("arithmetic intensity, FLOP per byte")
    axes.set_ylabel("FLOP/s")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(True, color="#d0d0d0", linewidth=0.4)
    styles = ["-", (0, (6, 2)), (0, (3, 2)), (0, (1, 1.5))]
    for (name, rate), style in zip(sorted(roofs, key=lambda r: -r[1]), styles, strict=False):
        axes.plot([rate / fastest, high], [rate, rate], color="#1a1a1a", linestyle=style, linewidth=1.3)
        axes.annotate(name, (high, rate), (-4, 3), textcoords="offset points", ha="right", fontsize=8)
    for _, bandwidth in slopes:
        axes.plot([low, top / bandwidth], [low * bandwidth, top], color="#6e6e6e", linewidth=1.2)
    for x, y, name in points:
        axes.scatter(x, y, s=45, color="#b3241c", edgecolor="white", zorder=3)
        axes.annotate(name, (x, y), (6, -9), textcoords="offset points", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.draw_without_rendering()  # settles the angle of a slope on the page
    for n, (name, bandwidth) in enumerate(slopes):
        at = low * (1.15 if low * bandwidth > bottom else bottom / bandwidth / low * 1.15) * 3.2**n
        (x0, y0), (x1, y1) = axes.transData.transform([(at, at * bandwidth), (10 * at, 10 * at * bandwidth)])
        angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
        place = {"rotation": angle, "rotation_mode": "anchor", "textcoords": "offset points"}
        axes.annotate(name, (at, at * bandwidth), (-2, 3), fontsize=8, color="#4a4a4a", **place)
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
