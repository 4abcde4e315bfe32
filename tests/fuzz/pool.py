"""The texts that are damaged."""

from __future__ import annotations

from functools import cache

import fixture_files

LONGEST = 16_000
"""Characters of a text: longer ones take longer to read, and are made of the same."""
FOLDERS = ("cpu", "tpu-v5e", "h100")


@cache
def printed() -> tuple[str, ...]:
    """What three compilers and several versions of JAX printed, the shorter of it, but for what only a newer XLA
    than that of jaxlib 0.10.2 takes (`order=`)."""
    texts = [fixture_files.text(folder, name) for folder in FOLDERS for name in fixture_files.compiled_names(folder)]
    for version in fixture_files.versions():
        for path in sorted((fixture_files.FIXTURES / "versions" / version).glob("*.hlo.gz")):
            texts.append(fixture_files.text(f"versions/{version}", path.name.removesuffix(".hlo.gz")))
    return tuple(text for text in texts if len(text) <= LONGEST and "order=TOTAL" not in text)
