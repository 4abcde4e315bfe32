"""Finding a device profile: by name, by alias, by target, or by file; the shipped ones and the user's own.

Searched in this order: the files and directories of the path list `HLO_COUNT_DEVICES`, the user's
configuration directory (where `calibrate` writes `local.toml`), the profiles shipped with hlo_count. An
earlier profile hides a later one of the same name.
"""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from hlo_count.errors import DeviceError
from hlo_count.harmless import harmless
from hlo_count.roofline import profile_file
from hlo_count.roofline.device import SHIPPED, Device
from hlo_count.roofline.device_table import device_table

SEARCH_PATH_VARIABLE = "HLO_COUNT_DEVICES"


def device(name: str | Path | Device) -> Device:
    """The profile called `name`: its name, an alias (what jax calls the device), a target that compiles for it
    ("tpu:v5e:2x4", "h100-sxm:8"), or a path to a .toml file.

    Names are compared without regard to case. Raises DeviceError with the near names for an unknown one, and for
    a malformed profile in a file of that name; other malformed ones on the search path are left out, with a warning.
    """
    if isinstance(name, Device):
        return name
    if isinstance(name, Path) or name.endswith(".toml"):
        return profile_file.load_profile(Path(name))
    name = _without_topology(name)
    wanted = _normal(name)
    found = _profiles(wanted)
    for known in found.values():
        if wanted == _normal(known.name):
            return known
    for known in found.values():
        if wanted in map(_normal, known.aliases):
            return known
    raise DeviceError(_unknown(name, found))


class DeviceList(list[Device]):
    """A list of devices that prints as a table."""

    def __str__(self) -> str:
        return device_table([device.to_row() for device in self])

    __repr__ = __str__


def devices() -> DeviceList:
    """Every profile that `device` finds by name, as a list that prints as a table: by backend and name, the user's own
    after the shipped; malformed ones are left out, with a warning."""
    return DeviceList(sorted(_profiles().values(), key=lambda d: (not d.is_shipped, d.backend, d.name)))


def shipped_as(kind: str) -> Device | None:
    """The shipped profile of the device that jax calls `kind`, None where there is none."""
    shipped = (_load(path, path.stat().st_mtime_ns) for path in SHIPPED.glob("*.toml"))
    return next((d for d in shipped if _normal(kind) in map(_normal, d.aliases)), None)


def user_directory() -> Path | None:
    """Where the user's own profiles lie; None without platformdirs, which knows the place per system."""
    try:
        from platformdirs import user_config_path
    except ImportError:
        return None
    return user_config_path("hlo-count", appauthor=False) / "devices"


def _without_topology(name: str) -> str:
    """The device that a target names: "v5e" of "tpu:v5e:2x4*2", "h100-sxm" of "h100-sxm:8"; any other name as it is."""
    kind, *rest = re.sub(r"\*\d+$", "", name).split(":")
    return rest[0] if rest and kind in ("tpu", "gpu", "cuda") else kind


def _unknown(name: str, found: dict[str, Device]) -> str:
    if _normal(name) in ("local", "cpu"):
        return (
            f"there is no profile {name!r} of this machine yet: run `hlo-count calibrate` "
            "or hlo_count.calibrate(), which measures it in a minute"
        )
    shown = {_normal(n): n for d in found.values() for n in (d.name, *d.aliases)}
    near = difflib.get_close_matches(_normal(name), shown, n=4, cutoff=0.5)
    held = [key for key in shown if _normal(name) in key and key not in near]
    names = [shown[key] for key in (*near, *held[:4])] or [d.name for d in found.values()]
    return f"no device {name!r}: did you mean {', '.join(names)}? `hlo-count devices` lists all"


def _normal(name: str) -> str:
    return " ".join(name.lower().replace("_", "-").split())


def _profiles(wanted: str = "") -> dict[str, Device]:
    """Profiles by normalized name; the first on the search path wins. One mistake does not take all others away,
    unless it is in the file of the name that is wanted."""
    found: dict[str, Device] = {}
    for path in _files():
        try:
            loaded = _load(path, path.stat().st_mtime_ns)
        except DeviceError as problem:
            if _normal(path.stem) == wanted:
                raise
            warnings.warn(harmless(f"{path}: this profile is left out: {problem}"), stacklevel=4)
            continue
        found.setdefault(_normal(loaded.name), loaded)
    return found


def _files() -> Iterator[Path]:
    for entry in filter(None, os.environ.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep)):
        path = Path(entry).expanduser()
        if not path.exists():
            raise DeviceError(f"{SEARCH_PATH_VARIABLE}: {entry} does not exist")
        yield from sorted(path.glob("*.toml")) if path.is_dir() else [path]
    own = user_directory()
    if own is not None and own.is_dir():
        yield from sorted(own.glob("*.toml"))
    yield from sorted(SHIPPED.glob("*.toml"))


@lru_cache(maxsize=256)
def _load(path: Path, modified_ns: int) -> Device:
    """Profiles are re-read when their file changes: the modification time is part of the key."""
    return profile_file.load_profile(path)
