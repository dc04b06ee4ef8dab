"""Whose word counts: the keys that the installation's root has certified, as the ends of objects tell them.

A frame names no key. It is tried with the key in the ends of the object that it lies in, and where these are lost, with
every certified key that any object at hand bears: there are few.
"""

from __future__ import annotations

from safehold.formats.frame import LOG_TYPES, RawFrame, verify_frame
from safehold.formats.keys import Role, certificate_holds
from safehold.formats.run import RunHeader, object_digest
from safehold.formats.segment import SegmentHeader
from safehold.model.errors import Damaged

#: Keys and objects that are remembered; more would be a flood, not an installation.
MAX_KEYS = 4096
MAX_OBJECTS = 1_000_000


class Certified:
    """What has been learned of an installation's writers, keepers and objects."""

    def __init__(self, installation: bytes) -> None:
        self.installation = installation
        self._roles: dict[bytes, set[Role]] = {}
        self._ends: dict[tuple[bytes, bytes, bytes, bytes], bool] = {}
        self._objects: dict[bytes, RunHeader] = {}  # by what their frames carry as `prev`
        self._segments: dict[int, dict[int, int]] = {}  # timeline -> segment -> its first frame

    def know(self, public: bytes, role: Role) -> None:
        """A key that is known to be certified from elsewhere: the installation's own."""
        self._roles.setdefault(public, set()).add(role)

    def vouched(self, end: SegmentHeader | RunHeader) -> bool:
        """Whether an end is of this installation, and the key in it certified. What it says is remembered then."""
        key = (end.installation, end.writer_public, end.root_public, end.certificate)
        if key not in self._ends:
            if len(self._ends) >= MAX_KEYS:
                return False
            self._ends[key] = self._judge(end)
        if not self._ends[key]:
            return False
        if isinstance(end, SegmentHeader):
            self._segments.setdefault(end.timeline, {})[end.number] = end.first
        elif len(self._objects) < MAX_OBJECTS:
            self._objects[object_digest(end)] = end
        return True

    def signs(self, frame: RawFrame, end: SegmentHeader | RunHeader | None) -> bool:
        """Whether a key that may has signed this frame. `end` is that of the object it lies in, where that is known."""
        in_log = frame.header.type in LOG_TYPES
        likely = self._objects.get(frame.header.prev) if not in_log else None
        first = [each.writer_public for each in (likely, end) if each is not None]
        rest = (public for public, roles in self._roles.items() if not in_log or Role.WRITER in roles)
        return any(
            _signed(frame, public)
            for public in dict.fromkeys((*first, *rest))
            if public in self._roles and (not in_log or Role.WRITER in self._roles[public])
        )

    def given_up(self, frame: RawFrame, segment: SegmentHeader) -> bool:
        """Whether a later segment begins with a number that is not above this frame's: it was written once more there,
        and this one never acknowledged."""
        later = [first for number, first in self._segments.get(segment.timeline, {}).items() if number > segment.number]
        return bool(later) and frame.header.number >= min(later)

    def _judge(self, end: SegmentHeader | RunHeader) -> bool:
        if end.installation != self.installation:
            return False
        found = {
            role
            for role in Role
            if certificate_holds(self.installation, end.root_public, end.writer_public, end.certificate, role)
        }
        if isinstance(end, SegmentHeader):
            found &= {Role.WRITER}
        if found:
            self._roles.setdefault(end.writer_public, set()).update(found)
        return bool(found)


def _signed(frame: RawFrame, public: bytes) -> bool:
    try:
        verify_frame(frame, public)
    except Damaged:
        return False
    return True
