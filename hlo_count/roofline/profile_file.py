"""Profile files: TOML to `Device`, checked field by field, and back to TOML.

A figure is an inline table: one number whose key ends in its unit, and the source beside it:
`bf16 = { tflop_per_s = 989, source = "..." }`. A measured one adds `typical_<the same key>` and
`spread_percent`; `unsure = true` marks a figure that no source confirms. A rate of which no ceiling is known states
`typical_…` alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hlo_count.errors import DeviceError
from hlo_count.hlo.opcodes import TRANSCENDENTAL
from hlo_count.roofline.device import (
    PRECISIONS,
    Device,
    Figure,
    MemoryLevel,
    Network,
    Precision,
)
from hlo_count.roofline.fallback import MATRIX_KEYS, SPECIAL_KEYS, VECTOR_KEYS, is_integer
from hlo_count.roofline.routines import ROUTINES
from hlo_count.roofline.throughput import VectorPipeline

T = TypeVar("T")

FLOP_RATE = {"mflop_per_s": 1e6, "gflop_per_s": 1e9, "tflop_per_s": 1e12, "pflop_per_s": 1e15}
OP_RATE = {"mop_per_s": 1e6, "gop_per_s": 1e9, "top_per_s": 1e12, "pop_per_s": 1e15}
BANDWIDTH = {"mb_per_s": 1e6, "gb_per_s": 1e9, "tb_per_s": 1e12}
SIZE = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "mb": 1e6, "gb": 1e9}
TIME = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3}
CLOCK = {"mhz": 1e6, "ghz": 1e9}
COUNT = {"count": 1.0}

BACKENDS = ("cpu", "gpu", "tpu")
MEMORY_KINDS = ("cache", "scratchpad", "main")
SPECIAL_OPS = ("any", *sorted(TRANSCENDENTAL))
VECTOR_OPS = ("fma", "add", "multiply", "divide", "minmax", "sum_product", "max_product")


def load_profile(path: Path) -> Device:
    """The device that the TOML file at `path` describes. Raises DeviceError naming file, key and remedy."""
    return from_document(read_document(path), path)


def read_document(path: Path) -> dict[str, Any]:
    """The TOML document in the file at `path`, not checked yet. Raises DeviceError when it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: what is no TOML, no UTF-8, or too long a number
        raise DeviceError(f"{path}: not a TOML file: {error}") from error


def from_document(document: Mapping[str, Any], path: Path) -> Device:
    """The device of a parsed profile; `path` is named in errors. Figures are those of one jax device."""
    root = _Table(dict(document), path.name, "")
    devices = root.integer("devices_per_chip", default=1)
    result = Device(
        name=root.text("name"),
        backend=root.choice("backend", BACKENDS),
        description=root.text("description"),
        aliases=root.texts("aliases"),
        arch=root.text("arch", default=""),
        devices_per_chip=devices,
        matrix={key: rates.figure(key, _rate_units(key)) / devices for rates, key in root.keys("matrix", MATRIX_KEYS)},
        vector={
            key: _vector(rates.table(key), _rate_units(key), devices) for rates, key in root.keys("vector", VECTOR_KEYS)
        },
        special={key: _special(rates.table(key), devices) for rates, key in root.keys("special", SPECIAL_KEYS)},
        precision={key: _precision(levels.table(key)) for levels, key in root.keys("precision", PRECISIONS)},
        memory=tuple(_memory(table, devices) for table in root.tables("memory")),
        network=root.optional("network", lambda table: _network(table, devices)),
        dcn=root.optional("dcn", lambda table: _network(table, devices)),
        launch_overhead=root.figure_or_none("launch_overhead", TIME),
        call_overhead=root.figure_or_none("call_overhead", TIME),
        dispatch_overhead=root.figure_or_none("dispatch_overhead", TIME),
        split_overhead=root.figure_or_none("split_overhead", TIME),
        routine={key: rates.figure(key, OP_RATE) / devices for rates, key in root.keys("routine", ROUTINES)},
        clock=root.figure_or_none("clock", CLOCK),
        cores=_shared(root.figure_or_none("cores", COUNT), devices),
        shared_memory_per_core=root.figure_or_none("shared_memory_per_core", SIZE),
        pipeline=root.optional("pipeline", _pipeline),
        price_per_hour=root.number("price_per_hour") / devices if "price_per_hour" in root.values else None,
        calibration=root.optional("calibration", _facts) or {},
        path=path,
    )
    _check_memory(root, result)
    root.done()
    return result


def _rate_units(key: str) -> dict[str, float]:
    return OP_RATE if is_integer(key) else FLOP_RATE


def _shared(figure: Figure | None, devices: int) -> Figure | None:
    return None if figure is None else figure / devices


def _vector(table: _Table, units: dict[str, float], devices: int) -> dict[str, Figure]:
    figures = {op: table.figure(op, units) / devices for op in table.known(VECTOR_OPS)}
    if "add" not in figures:
        table.fail("add", "is missing: the rate of lone operations (half of FMA's, where a slot does either)")
    table.done()
    return figures


def _special(table: _Table, devices: int) -> dict[str, Figure]:
    figures = {op: table.figure(op, OP_RATE) / devices for op in table.known(SPECIAL_OPS)}
    if "any" not in figures:
        table.fail("any", "is missing: the rate of the fastest special function")
    table.done()
    return figures


def _precision(table: _Table) -> Precision:
    result = Precision(
        runs_as=table.choice("runs_as", MATRIX_KEYS),
        passes=table.integer("passes", default=1),
        source=table.text("source"),
    )
    table.done()
    return result


def _memory(table: _Table, devices: int) -> MemoryLevel:
    def of_one(key: str, units: dict[str, float]) -> Figure | None:
        return _shared(table.figure_or_none(key, units), devices)

    result = MemoryLevel(
        name=table.text("name"),
        kind=table.choice("kind", MEMORY_KINDS),
        size=of_one("size", SIZE),
        bandwidth=of_one("bandwidth", BANDWIDTH),
        read=of_one("read", BANDWIDTH),
        write=of_one("write", BANDWIDTH),
    )
    table.done()
    return result


def _check_memory(root: _Table, result: Device) -> None:
    kinds = [level.kind for level in result.memory]
    if kinds.count("main") != 1 or kinds[-1] != "main":
        root.fail("memory", 'needs exactly one level of kind "main", the last: HBM or DRAM')
    if result.calibration:
        return  # sizes are the operating system's
    sizes = [
        (at, level.name, level.size.value)
        for at, level in enumerate(result.memory)
        if level.kind != "scratchpad" and level.size is not None
    ]
    for (_, near, held), (at, far, size) in pairwise(sizes):
        if size < held / 2:  # not just less: the private caches of many cores may hold more than the one they share
            root.fail(f"memory[{at}].size", f"{far} holds less than {near} before it: main memory comes last")


def _network(table: _Table, devices: int) -> Network:
    links = table.figure_or_none("links", COUNT)
    domain = table.figure_or_none("domain", COUNT)
    result = Network(
        name=table.text("name"),
        bandwidth=table.figure("bandwidth", BANDWIDTH) / devices,
        links=None if links is None else int(links.value),
        latency=table.figure_or_none("latency", TIME),
        domain=None if domain is None else int(domain.value) * devices,
    )
    table.done()
    return result


def _pipeline(table: _Table) -> VectorPipeline:
    table.text("source")
    result = VectorPipeline(
        registers=table.integer("registers"),
        latency=table.integer("latency_cycles"),
        issue_width=table.integer("issue_per_cycle"),
    )
    table.done()
    return result


def _facts(table: _Table) -> dict[str, str | float]:
    """Free-form text and numbers: when, where and with what a profile was measured."""
    facts: dict[str, str | float] = {}
    for key, value in table.values.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            table.fail(key, f"must be text or a number, not {value!r}")
        facts[key] = value
    return facts


class _Table:
    """A TOML table that knows where it stands, so that every complaint names file and key."""

    def __init__(self, values: dict[str, Any], filename: str, where: str) -> None:
        self.values = values
        self.filename = filename
        self.where = where
        self.read: set[str] = set()

    def fail(self, key: str, problem: str) -> NoReturn:
        place = ".".join(part for part in (self.where, key) if part)
        raise DeviceError(f"{self.filename}: {place}: {problem}")

    def done(self) -> None:
        """Complain about a key that nothing has asked for: a typing error must not go unnoticed."""
        for key in self.values:
            if key not in self.read:
                self.fail(key, f"is no key of a profile; known here: {', '.join(sorted(self.read))}")

    def _get(self, key: str) -> Any:
        self.read.add(key)
        return self.values.get(key)

    def table(self, key: str) -> _Table:
        value = self._get(key)
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, not {value!r}")
        return _Table(value, self.filename, ".".join(part for part in (self.where, key) if part))

    def optional(self, key: str, build: Callable[[_Table], T]) -> T | None:
        self.read.add(key)
        return build(self.table(key)) if key in self.values else None

    def tables(self, key: str) -> list[_Table]:
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.fail(key, f"must be a list of tables, written [[{key}]]")
        return [_Table(item, self.filename, f"{key}[{at}]") for at, item in enumerate(value)]

    def keys(self, key: str, known: tuple[str, ...]) -> Iterator[tuple[_Table, str]]:
        """(table, key) of each entry of the optional table `key`, all of whose keys must be known."""
        self.read.add(key)
        if key in self.values:
            table = self.table(key)
            for entry in table.known(known):
                yield table, entry
            table.done()

    def known(self, allowed: tuple[str, ...]) -> list[str]:
        for key in self.values:
            if key not in allowed:
                self.fail(key, f"is not known here: one of {', '.join(allowed)}")
        return list(self.values)

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self._get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip():
            self.fail(key, "is missing" if value is None else f"must be text, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(key, f"must be a list of texts, not {value!r}")
        return tuple(value)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            self.fail(key, f"must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def integer(self, key: str, *, default: int | None = None) -> int:
        value = self._get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.fail(key, "is missing" if value is None else f"must be a whole number from 1 up, not {value!r}")
        return value

    def figure_or_none(self, key: str, units: dict[str, float]) -> Figure | None:
        self.read.add(key)
        return self.figure(key, units) if key in self.values else None

    def figure(self, key: str, units: dict[str, float]) -> Figure:
        table = self.table(key)
        stated = [unit for unit in table.values if unit.removeprefix("typical_") in units]
        if len({unit.removeprefix("typical_") for unit in stated}) != 1:
            self.fail(key, f"needs one number with its unit as the key: {', '.join(units)}")
        unit = stated[0].removeprefix("typical_")
        if unit not in table.values and unit in TIME:
            self.fail(key, f"needs {unit} = …, the least time, beside the typical one")
        # Without a ceiling nothing is bounded by it: only estimates use what is typical.
        value = table.number(unit) if unit in table.values else float("inf")
        typical = table.number(f"typical_{unit}", default=value)
        if unit in TIME and typical < value:
            table.fail(f"typical_{unit}", f"{typical:g} is less than {unit} = {value:g}, which is the least time")
        if unit not in TIME and typical > value:
            table.fail(f"typical_{unit}", f"{typical:g} is more than {unit} = {value:g}, which is the peak")
        spread = table.number("spread_percent", default=-1.0)
        unsure = table._get("unsure") or False
        if not isinstance(unsure, bool):
            table.fail("unsure", f"must be true or false, not {unsure!r}")
        source = table.text("source")
        table.done()
        return Figure(
            value=value * units[unit],
            typical=typical * units[unit],
            source=source,
            spread=None if spread < 0 else spread / 100,
            unsure=unsure,
        )

    def number(self, key: str, *, default: float | None = None) -> float:
        value = self._get(key)
        if value is None and default is not None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < float("inf"):
            self.fail(key, f"must be a finite number from 0 up, not {value!r}")
        if value == 0 and not key.startswith("spread"):
            self.fail(key, "must be more than 0; leave out a figure that is not known")
        return float(value)


def to_toml(document: Mapping[str, Any], header: str = "") -> str:
    """`document` as TOML: scalars first, then a section per table, figures as inline tables."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    lines += [f"{key} = {_value(value)}" for key, value in document.items() if not _is_section(value)]
    for key, value in document.items():
        if isinstance(value, list) and _is_section(value):
            for item in value:
                lines += ["", f"[[{key}]]", *_entries(item, "")]
        elif _is_section(value):
            lines += ["", f"[{key}]", *_entries(value, "")]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and "source" not in value


def _entries(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict) and "source" not in value:
            yield from _entries(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return repr(value)
