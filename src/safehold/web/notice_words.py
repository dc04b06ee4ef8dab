"""A notice in words: the same sentences on the page, in the feed and in a letter."""

from __future__ import annotations

from safehold.service.notices import MASS_DELETE, RESTORED, Notice
from safehold.web.words import Words


def notice_text(notice: Notice, words: Words, title: str = "") -> str:
    """What happened, in a sentence or two. `title` is what the person calls the collection, where that is known.

    Names of items are not in it: they are for who has signed in.
    """
    facts = notice.facts
    collection = title or notice.collection or (words.kind(notice.kind) if notice.kind else words("somewhere"))
    told = {"collection": collection, "device": str(facts.get("device") or words("some-device")), "what": notice.what}
    if notice.what == RESTORED:
        counts = {key: words.number(facts.get(key, 0)) for key in ("exact", "older", "lost")}
        text = words("notice.restored", **counts)
        unknown = facts.get("unknown_seconds")
        if isinstance(unknown, int | float) and unknown > 0:
            text += " " + words("notice.unknown-seconds", time=words.duration(unknown))
        return text
    key = words.key("notice", notice.what)
    return words.count(key, notice.count, **told)


def may_undo(notice: Notice) -> bool:
    """Whether going back to the moment before it brings back what it tells of."""
    return notice.what == MASS_DELETE and isinstance(notice.facts.get("before"), int)
