"""What no formula can make sense of is an error that names the module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hlo_count.errors import HloCountError
from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import NotAnArrayError

_SENSELESS = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def making_sense_of(module: Module) -> Iterator[None]:
    """Turn what goes wrong while figures are made of a module into HloCountError.

    The parser takes what XLA's takes: shapes that contradict each other, such as those of a call and its callee, too.
    """
    try:
        yield
    except (*_SENSELESS, NotAnArrayError) as problem:
        where = f"{module.filename or 'the HLO text'}: {module.name}"
        for computation, index, contradiction in module.contradictions:
            name = computation.instructions[index].name
            raise HloCountError(f"{where} contradicts itself, too much to tell: {name} {contradiction}") from problem
        raise HloCountError(
            f"{where} contradicts itself, or hlo_count has a bug ({type(problem).__name__}: {problem}); "
            "does XLA accept the text?"
        ) from problem
