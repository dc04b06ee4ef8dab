"""An undo as whoever asked for it sees it: what was added, changed and removed by name, and how it is undone itself."""

from __future__ import annotations

from safehold.model.commands import Outcome, Undo, UndoneItem
from safehold.model.kinds import Kind
from safehold.model.point import point_text
from safehold.service.undo_plan import ADDED, CHANGED, LEFT, REMOVED

#: As `Undone.named` names them.
ACTIONS = (ADDED, CHANGED, REMOVED, LEFT)


class Undone:
    """The parts of one undo together. The first says of all of it what it does."""

    def __init__(self, first: Outcome) -> None:
        self.lines = first.undone
        self.revs = first.revs
        self.before: dict[Kind, int] = dict(first.before)
        self.parts = 1
        self.more = first.more

    def next(self, command: Undo) -> Undo:
        """What does the next part: the same, by revs, since the confirmation was about all of it."""
        return Undo(
            account=command.account,
            actor=command.actor,
            revs=self.revs,
            kind=command.kind,
            path=command.path,
            name=command.name,
            deep=command.deep,
            deleted_only=command.deleted_only,
            confirmed=True,
        )

    def add(self, outcome: Outcome) -> None:
        self.before = outcome.before | self.before
        self.parts += 1
        self.more = outcome.more

    @property
    def point(self) -> str:
        """The moment that was gone back to."""
        return point_text(self.revs)

    @property
    def point_before(self) -> str:
        """The moment before the undo: going back to it undoes it. "" where nothing was changed."""
        return point_text(self.before)

    def named(self) -> dict[str, list[str]]:
        """Paths by action: an item as `contacts/default/a.vcf`, a collection with a slash at its end."""
        found: dict[str, list[str]] = {action: [] for action in ACTIONS}
        for line in self.lines:
            found[line.action].append(path_of(line))
        return found


def path_of(line: UndoneItem) -> str:
    return f"{line.path}/{line.name}"
