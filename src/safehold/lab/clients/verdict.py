"""Who deleted: a person, or the server by losing something.

A person deletes on a device, removes a collection, undoes what came since some time, or lets go of what a device has
proved to be lost. All of these are told here when they are meant, before the server hears of them: so whatever a power
loss makes of the request, a later absence may be its doing. What is brought back (by an undo) is nobody's delete any
more. Every other item that a device deletes was deleted by the server's loss.
"""

from __future__ import annotations

from collections.abc import Iterable

Key = tuple[str, str]  # a collection's path below /dav/, and the item's name


class Persons:
    """What persons wished to be gone."""

    def __init__(self) -> None:
        self._items: set[Key] = set()
        self._ever: set[Key] = set()
        self._collections: set[str] = set()

    def delete(self, path: str, name: str) -> None:
        self._items.add((path, name))
        self._ever.add((path, name))

    def remove(self, path: str) -> None:
        self._collections.add(path)

    def undo(self, before: Iterable[Key], after: Iterable[Key]) -> None:
        """An undo, by what was there before it and after it."""
        before, after = set(before), set(after)
        self._items |= before - after
        for path, name in after - before:
            self._items.discard((path, name))
            self._collections.discard(path)

    def wished(self, path: str, name: str) -> bool:
        return path in self._collections or (path, name) in self._items

    def ever_wished(self, path: str, name: str) -> bool:
        """Whether somebody deleted it once, whatever became of that."""
        return path in self._collections or (path, name) in self._ever
