"""What `bench.forecast` rests upon: goals that can be missed, and a page that says so."""

from __future__ import annotations

from typing import Any

from bench import forecast_page
from bench.forecast import judged_of


def restores(factor: float, width: float) -> list[dict[str, Any]]:
    """Ten that took `factor` times what was forecast; the first two are not judged."""
    return [
        {
            "items": 1000 * (1 + n % 2),
            "seconds": 10.0 * factor if n > 1 else 99.0,
            "forecast": 10.0,
            "low": 10.0 / width,
            "high": 10.0 * width,
            "judged": n > 1,
        }
        for n in range(10)
    ]


def test_goals_are_met_or_missed_by_what_is_judged() -> None:
    good = judged_of(restores(1.1, 1.2))
    assert [met for _, _, met in good["goals"]] == [True, True] and good["holds"] == 1.0
    bad = judged_of(restores(1.3, 1.2))
    assert [met for _, _, met in bad["goals"]] == [False, False] and bad["holds"] == 0.0


def test_the_page_has_a_row_for_each_size_and_says_what_was_missed() -> None:
    found = {"machine": "m", "versions": "v", "rounds": 4, "restores": restores(1.3, 1.2)}
    text = forecast_page.section(found | judged_of(found["restores"]))
    assert text.count("**missed**") == 2
    assert "| 1,000 | 4 | 13.00 | 10.00 | 23.1% | 23.1% | 0 of 4 |" in text and "| 2,000 | 4 |" in text
