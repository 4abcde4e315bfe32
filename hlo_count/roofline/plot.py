"""The roofline drawn with matplotlib (the extra `plot`): ceilings, memory slopes, the program and its
kernels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import plot_label
from hlo_count.roofline.plane import Point, RooflinePlane
from hlo_count.roofline.resources import MATRIX, SPECIAL, VECTOR

SUFFIXES = (".png", ".svg", ".pdf")
INCHES = (9.0, 5.6)
DPI = 160
DARK, GREY, LIGHT = "#1a1a1a", "#6e6e6e", "#c4c4c4"
PROGRAM, KERNEL = "#b3241c", "#4a7db3"  # differ in lightness too, so that they do in grey
STYLES = {MATRIX: "-", VECTOR: (0, (6, 2)), SPECIAL: (0, (1.5, 1.5))}
ROOM = 1.25  # how many times its own height a label keeps free
BESIDE = 12  # points between a mark and its label, from which on a line joins them


Box = tuple[float, float, float, float]
"""Left, bottom, right and top."""


def plot(plane: RooflinePlane, path: Path) -> Path:
    """Draw into `path`, whose suffix is .png, .svg or .pdf; returns it."""
    with new_figure(path, INCHES, DPI) as figure:
        draw(figure.add_subplot(), plane)
    return path


@contextmanager
def new_figure(path: Path | None, inches: tuple[float, float], dpi: float) -> Iterator[Any]:
    """A matplotlib figure to draw on, which then is saved into `path`, where there is one.

    Raises HloCountError for a suffix that is none of SUFFIXES, without matplotlib, and where it cannot be written.
    """
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise HloCountError(f"{path}: a plot is a file in {', '.join(SUFFIXES)}; give it one of these suffixes")
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise HloCountError("plots need matplotlib: pip install 'hlo-count[plot]'") from None
    with rc_context({"text.usetex": False}):  # names are no TeX, which can read files
        figure = Figure(figsize=inches, dpi=dpi, layout="constrained")
        FigureCanvasAgg(figure)  # measures the labels, whatever the file's format
        yield figure
        if path is not None:
            save(figure, path)


def save(figure: Any, path: Path) -> None:
    """A figure into a file, and its folder made if need be. Raises HloCountError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as problem:
        raise HloCountError(f"{path}: the plot cannot be written ({problem.strerror or problem})") from None


def draw(axes: Any, plane: RooflinePlane) -> None:
    """Draw onto matplotlib axes."""
    roofs, lines, program, shown = plane.ceilings, plane.slopes, plane.program, plane.kernels
    everything = [*shown, *([program] if program else [])]
    if not roofs or not lines:
        axes.set_axis_off()
        axes.text(0.5, 0.5, plot_label(plane.empty), ha="center", va="center", transform=axes.transAxes)
        return
    top = roofs[0].rate
    ridges = [top / bandwidth for _, bandwidth in lines]
    low = min([p.intensity for p in everything] + [min(ridges) / 30])
    high = max([p.intensity for p in everything] + [max(ridges) * 8])
    low, high = low / 3, high * 3
    bottom = min([p.rate for p in everything] + [roofs[-1].rate])
    highest = max([p.rate for p in everything] + [top])  # a time below the bound stands above every ceiling
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom / 4, highest * 3))
    unit = "FLOP" if plane.counted == "flops" else "evaluations of special functions"
    axes.set_xlabel(f"arithmetic intensity, {unit} per byte of main memory")
    axes.set_ylabel("FLOP/s" if unit == "FLOP" else f"{unit} per second")
    axes.set_title(plot_label(plane.title), fontsize=10, loc="left")
    axes.grid(True, which="major", color=LIGHT, linewidth=0.4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)

    labels = _Labels(axes)
    fastest = max(bandwidth for _, bandwidth in lines)
    for roof in roofs:
        axes.plot([roof.rate / fastest, high], [roof.rate] * 2, color=DARK, linestyle=STYLES[roof.unit], linewidth=1.3)
    for n, (_, bandwidth) in enumerate(lines):
        width = 1.6 if n == len(lines) - 1 else 0.9
        axes.plot([low, top / bandwidth], [low * bandwidth, top], color=GREY, linewidth=width)
    if shown:
        largest = max(p.seconds for p in shown)
        for point in shown:
            size = 30 + 260 * point.seconds / largest
            axes.scatter(point.intensity, point.rate, s=size, color=KERNEL, alpha=0.75, edgecolor="white", zorder=3)
            labels.occupy(point, size)
    if program is not None:
        axes.scatter(program.intensity, program.rate, s=150, marker="D", color=PROGRAM, edgecolor="white", zorder=4)
        labels.occupy(program, 150)
    for roof in roofs:
        labels.line_end(high, roof.rate, f"{roof.label} {_rate(roof.rate)}")
        labels.cross(roof.rate / fastest, roof.rate, high, roof.rate)
    for name, bandwidth in lines:
        labels.along(low, bandwidth, top, f"{name} {_rate(bandwidth, 'B/s')}")
    for _, bandwidth in lines:
        labels.cross(low, low * bandwidth, top / bandwidth, top)
    if program is not None:
        labels.beside(program, PROGRAM, bold=True)
    else:
        text = "no point for the program: it moves no bytes of main memory"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    for point in shown:
        labels.beside(point, DARK)


class _Labels:
    """Puts labels where nothing stands yet; boxes are in pixels of the figure."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.taken: list[Box] = []
        self.lines: list[Box] = []
        self.apart: list[Box] = []
        """Marks and labels, which lines from other marks to their labels keep off."""
        self.pixels = axes.figure.dpi / 72
        axes.figure.canvas.draw()  # settles where the axes stand,
        axes.figure.set_layout_engine("none")  # and they stay there
        self.renderer = axes.figure.canvas.get_renderer()

    def at(self, x: float, y: float) -> tuple[float, float]:
        found: tuple[float, float] = self.axes.transData.transform((x, y))
        return found

    def occupy(self, point: Point, area: float) -> None:
        x, y = self.at(point.intensity, point.rate)
        half = math.sqrt(area) / 2 * self.pixels
        mark = (x - half, y - half, x + half, y + half)
        self.taken.append(mark)
        self.apart.append(mark)

    def line_end(self, x: float, y: float, text: str) -> None:
        """At the right end of a ceiling, just above it, below where that is taken, or further left."""
        right, height = self.at(x, y)
        offsets = [(dx, dy, va) for dx in (-4, -90, -180) for dy, va in ((2, "bottom"), (-3, "top"))]
        self._put(text, [(right, height, dx, dy, "right", va) for dx, dy, va in offsets], DARK, 0)

    def cross(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Keep what is placed from here on off a line."""
        (left, low), (right, high) = self.at(x0, y0), self.at(x1, y1)
        self.lines += _along(left, low, right, high)

    def along(self, low: float, bandwidth: float, top: float, text: str) -> None:
        """Along a slope, as far left as there is room."""
        steps = [low * (top / bandwidth / low) ** (n / 24) for n in range(1, 22)]
        x0, y0 = self.at(low, low * bandwidth)
        x1, y1 = self.at(low * 10, low * 10 * bandwidth)
        angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
        floor = self.axes.get_ylim()[0]
        places = [(*self.at(x, x * bandwidth), 0, 3, "left", "bottom") for x in steps if x * bandwidth > 1.5 * floor]
        self._put(text, places, GREY, angle)

    def beside(self, point: Point, color: str, *, bold: bool = False) -> None:
        """Beside a point, at the nearest of some places that is free, of lines too if there is one."""
        x, y = self.at(point.intensity, point.rate)
        sides = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom")]
        sides += [(0, -1, "center", "top"), (1, 1, "left", "bottom"), (1, -1, "left", "top")]
        sides += [(-1, 1, "right", "bottom"), (-1, -1, "right", "top")]
        places = [
            (x, y, dx * far, dy * far, ha, va)
            for far in (10, 13, 16, 20, 24, 30, 36, 44, 52, 64, 76, 96, 120)
            for dx, dy, ha, va in sides
        ]
        for over_lines in (False, True):
            if self._put(point.label, places, color, 0, bold=bold, line=True, over_lines=over_lines):
                return

    def _put(
        self,
        text: str,
        places: Iterable[tuple[float, float, float, float, str, str]],
        color: str,
        angle: float,
        *,
        bold: bool = False,
        line: bool = False,
        over_lines: bool = False,
    ) -> bool:
        """At the first of the places that is free, and whether there was one; `over_lines`: ceilings and slopes
        may pass behind the label."""
        window = self.axes.get_window_extent()
        taken = self.taken if over_lines else [*self.taken, *self.lines]
        for x, y, dx, dy, ha, va in places:
            data = self.axes.transData.inverted().transform((x, y))
            label = self.axes.annotate(
                plot_label(text),
                data,
                xytext=(dx, dy),
                textcoords="offset points",
                ha=ha,
                va=va,
                color=color,
                fontsize=8,
                fontweight="bold" if bold else "normal",
                rotation=angle,
                rotation_mode="anchor",
                zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1} if over_lines else None,
            )
            boxes = _boxes(label, self.renderer, angle)
            inside = all(
                b[0] >= window.x0 and b[2] <= window.x1 + 1 and b[1] >= window.y0 and b[3] <= window.y1 for b in boxes
            )
            leader = self._leader(x, y, boxes[0]) if line else []
            free = not any(_meet(a, b) for a in boxes for b in taken)
            crossed = [b for b in self.apart if not _meet(b, (x, y, x, y))]  # but for what covers the mark itself
            if inside and free and not any(_meet(a, b) for a in leader for b in crossed):
                self.taken += [*boxes, *leader]
                self.apart += boxes
                return True
            label.remove()
            if leader:
                self.axes.lines[-1].remove()
        return False

    def _leader(self, x: float, y: float, box: Box) -> list[Box]:
        """A line from a point to the nearest side of its label, where that is not just beside it; what it covers."""
        to_x, to_y = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
        if math.hypot(to_x - x, to_y - y) <= BESIDE * self.pixels:
            return []
        ends = self.axes.transData.inverted().transform([(x, y), (to_x, to_y)])
        self.axes.plot(*ends.T, color=GREY, linewidth=0.5, zorder=2.5)
        return _along(x, y, to_x, to_y)


def _along(x0: float, y0: float, x1: float, y1: float) -> list[Box]:
    """The boxes that cover a line: one if it is level, else small ones along it."""
    number = max(2, int(math.hypot(x1 - x0, y1 - y0) / 4)) if y1 != y0 else 1
    steps = [(x0 + n / number * (x1 - x0), y0 + n / number * (y1 - y0)) for n in range(number + 1)]
    return [(min(a, c), min(b, d) - 1, max(a, c), max(b, d) + 1) for (a, b), (c, d) in pairwise(steps)]


def _boxes(label: Any, renderer: Any, angle: float) -> list[Box]:
    """The boxes that cover a label; a sloping one is covered by small ones along it."""
    label.set_rotation(0)
    flat = _text_box(label, renderer)
    if not angle:
        return [flat]
    label.set_rotation(angle)
    length, height = flat[2] - flat[0], (flat[3] - flat[1]) * ROOM
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x0, y0 = flat[0], flat[1]
    number = max(2, round(length / height * 1.5))
    found = []
    for n in range(number + 1):
        along = length * n / number
        x, y = x0 + along * cos - height / 2 * sin, y0 + along * sin + height / 2 * cos
        found.append((x - height / 2, y - height / 2, x + height / 2, y + height / 2))
    return found


def _text_box(label: Any, renderer: Any) -> Box:
    from matplotlib.text import Text

    label.update_positions(renderer)
    box = Text.get_window_extent(label, renderer)
    return (box.x0, box.y0, box.x1, box.y1)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _rate(value: float, unit: str = "") -> str:
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit or '/s'}"
    return f"{value:.3g} {unit or '/s'}"
