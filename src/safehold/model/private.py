"""What people have named, on its way into a log: it is left out there, unless whoever reads it has asked for it."""

from __future__ import annotations

#: What stands in its place.
WITHHELD = "(not shown)"


class Private:
    """A text that names a person or a thing of theirs, as an argument of a line of the log.

    As text it says nothing; `shown` is for a log that was set up to tell (`[log] level = "debug"`).
    """

    __slots__ = ("shown",)

    def __init__(self, shown: object) -> None:
        self.shown = shown

    def __str__(self) -> str:
        return WITHHELD

    __repr__ = __str__
