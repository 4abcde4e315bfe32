"""How long XLA compiled in this process: what JAX tells those who listen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

_COMPILED = "/backend_compile_duration"
_LISTENERS: list[Callable[[float], None]] = []


def listen(listener: Callable[[float], None]) -> Callable[[], None]:
    """Call `listener` with the seconds of each compile from now on; what is given back ends that."""
    _registered()
    _LISTENERS.append(listener)
    return lambda: _LISTENERS.remove(listener)


@cache
def _registered() -> None:
    """JAX takes listeners and gives none back on all versions: it gets one, once."""
    from jax import monitoring

    def tell(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith(_COMPILED):
            for listener in list(_LISTENERS):
                listener(duration_secs)

    monitoring.register_event_duration_secs_listener(tell)
