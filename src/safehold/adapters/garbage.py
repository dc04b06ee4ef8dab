"""How often the interpreter looks for cycles of garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: New objects between two looks, where many are made that all stay.
_COLLECT_AFTER = 200_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """For work that makes much that stays and hardly any cycles: each look would go through all of it again."""
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
