"""Facts of records as they are found: signed, and so meant; but of whatever release, and so looked at before use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from safehold.vault.evidence import VAULTS

#: A text out of a record is shown up to here.
MOST_TEXT = 300
_SHOWN_FACTS = 12


def number(facts: Mapping[str, Any], key: str) -> int | float | None:
    value = facts.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def count(facts: Mapping[str, Any], key: str) -> int:
    """0 where it is not there."""
    value = number(facts, key)
    return 0 if value is None else int(value)


def text(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return clipped(value) if isinstance(value, str) else ""


def flag(facts: Mapping[str, Any], key: str) -> bool | None:
    value = facts.get(key)
    return value if isinstance(value, bool) else None


def items(facts: Mapping[str, Any], key: str) -> list[Any]:
    value = facts.get(key)
    return value if isinstance(value, list) else []


def parts(facts: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = facts.get(key)
    return value if isinstance(value, dict) else {}


def maps(facts: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [each for each in items(facts, key) if isinstance(each, dict)]


def clipped(value: str) -> str:
    """One line of printable text."""
    plain = "".join(c if c.isprintable() else " " for c in value)
    return plain if len(plain) <= MOST_TEXT else plain[: MOST_TEXT - 1] + "…"


def in_short(facts: Mapping[str, Any]) -> str:
    """Facts of a kind that has no section of its own: what is single as it is, of what is many how many."""
    return "; ".join(list(_short(facts))[:_SHOWN_FACTS])


def _short(facts: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(facts):
        value = facts[key]
        if key == VAULTS or value is None or value in ("", [], {}):
            continue
        yield f"{key}: {len(value) if isinstance(value, list | dict) else clipped(str(value))}"
