"""What must hold of a text before anything is counted, as XLA's own parser and verifier have it."""

from hlo_count.hlo.verifier.verify import Verifier

__all__ = ["Verifier"]
