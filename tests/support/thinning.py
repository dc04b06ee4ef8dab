"""How many write points a test strikes: some in the ordinary suite, each in the long runs, which .ci/run has too."""

from __future__ import annotations

import pytest


def every(step: int) -> pytest.MarkDecorator:
    """Gives the test `step`: one point in so many is struck, and each with --long or -m long."""
    each = pytest.param(1, id="each", marks=pytest.mark.long)
    return pytest.mark.parametrize("step", [pytest.param(step, id=f"one-in-{step}"), each])
