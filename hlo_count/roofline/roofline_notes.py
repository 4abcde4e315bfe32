"""What a roofline assumes, in sentences."""

from __future__ import annotations

from hlo_count.roofline.workload import Workload
from hlo_count.visitors.unknowns import Unknown

_DIRECT = "dots and convolutions by direct algorithms (no Strassen, no Winograd)"
_SHOWN = 3
_UNMASKED = "the bound leaves out what is zero or thrown away whatever the data are"
_SHARED = "every device is taken to have an equal share of the work, without what they send: compile it to know"
_UNOPTIMIZED = "the text is from before optimization: the bound holds for its operations, some of which may be removed"


def assumptions(workload: Workload, *, has_bound: bool, has_matrix: bool) -> list[str]:
    """Shares of devices, unknowns, algorithms and masks: what would have to be otherwise for other times."""
    walk = workload.walk
    found = []
    if not has_bound:
        found.append(_SHARED)
    elif walk.module.stage == "unoptimized":
        found.append(_UNOPTIMIZED)
    alike: dict[str, list[Unknown]] = {}
    for unknown in walk.unknowns:
        alike.setdefault(unknown.what, []).append(unknown)
    for what, unknowns in alike.items():
        times = f"{len(unknowns)} times {what}; " if len(unknowns) > 1 else ""
        which = "bound is a lower bound of itself" if has_bound else "estimate is too low"
        found.append(f"the {which}: {times}{unknowns[0]}")
    if has_matrix:
        found.append(_DIRECT)
    if has_bound and workload.left_of_products:
        left = [f"{share:.3g} of {_some(names)}" for share, names in workload.left_of_products.items()]
        found.append(f"{_UNMASKED}; of FLOP there are left {_some(left, '; ')}")
    return found


def _some(names: list[str], between: str = ", ") -> str:
    """The first few, and how many others there are."""
    more = f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else ""
    return f"{between.join(names[:_SHOWN])}{more}"
