"""A function made ready to run as often as wanted: arguments for shapes, and new ones for those that a run consumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.lower import runnable
from hlo_count.lowering.stages import stage_in

SEED = 0


class Runs:
    """Runs of `fn(*args, **kwargs)`, a function or a `jax.stages.Compiled`, one at a time and each waited for.

    Leaves of the arguments that are `jax.ShapeDtypeStruct`s become arrays, which `made` tells in a sentence.
    """

    def __init__(self, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        import jax

        stage = stage_in(fn)
        if stage is not None and not isinstance(stage, jax.stages.Compiled):
            raise HloCountError(f"a jax.stages.{type(stage).__name__} cannot run: pass its function, or compile() it")
        shapes = [leaf for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, jax.ShapeDtypeStruct)]
        self.made = _SAID if shapes else ""
        self.args, self.kwargs = jax.tree.map(_array, (tuple(args), dict(kwargs)), is_leaf=_is_shape)
        self._call: Callable[..., Any] = fn if stage is not None else runnable(fn, self.args, self.kwargs)
        self._kept: list[Any] | None = None
        """Where a run consumes arguments: all of them, in the host's memory."""

    def warm_up(self) -> None:
        """Compile, and run once. Keeps copies of arguments where a run consumes them."""
        import jax

        leaves = jax.tree.leaves((self.args, self.kwargs))
        kept = [_kept(leaf) for leaf in leaves]
        self.once()
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves):
            self._kept = kept
            self.renew()

    def renew(self) -> None:
        """Make new arguments in place of those that a run consumed; what makes them is no program of JAX."""
        import jax

        if self._kept is None:
            return
        leaves, tree = jax.tree.flatten((self.args, self.kwargs))
        put = [
            jax.device_put(kept, leaf.sharding) if isinstance(leaf, jax.Array) and leaf.is_deleted() else leaf
            for leaf, kept in zip(leaves, self._kept, strict=True)
        ]
        self.args, self.kwargs = jax.block_until_ready(jax.tree.unflatten(tree, put))

    def once(self) -> None:
        """One run, waited for."""
        import jax

        jax.block_until_ready(self._call(*self.args, **self.kwargs))

    def instead(self, compiled: Any) -> Runs | None:
        """The same runs of another executable of the same function; None where that does not take the arguments: its
        static ones are in it."""
        twin = object.__new__(Runs)
        vars(twin).update(vars(self), _call=compiled)
        try:
            twin.once()
        except (TypeError, ValueError):
            return None
        twin.renew()
        return twin


_SAID = (
    "arguments that were given as shapes were made: floats at random from 0 to 1, integers and booleans 0: pass arrays "
    "where the values decide what runs"
)


def _is_shape(leaf: Any) -> bool:
    import jax

    return isinstance(leaf, jax.ShapeDtypeStruct)


def _array(leaf: Any) -> Any:
    """An array for a shape, where its sharding says; anything else as it is."""
    import jax
    import numpy as np

    if not _is_shape(leaf):
        return leaf
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(SEED), leaf.shape) if leaf.shape else jax.random.key(SEED)
    inexact = jax.numpy.issubdtype(leaf.dtype, np.inexact)
    values = np.random.default_rng(SEED).random(leaf.shape, np.float32) if inexact else np.zeros(leaf.shape, bool)
    return jax.device_put(np.asarray(values).astype(leaf.dtype), leaf.sharding)


def _kept(leaf: Any) -> Any:
    """A copy in the host's memory of an array that can be read here."""
    import jax
    import numpy as np

    is_array = isinstance(leaf, jax.Array) and leaf.is_fully_addressable
    return np.array(leaf) if is_array and not jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
