"""The part that a find has in a plan: which streams gain by it, and what it means for a core that is sound.

All streams are read once without it, as ever, while a `Probe` watches for what it has. Those that gain are then put
together anew (joining.py) and take the place of what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from safehold.model.change import Change
from safehold.model.counting import count_text
from safehold.model.stream import Head
from safehold.recovery.chains import Chains, StreamKey
from safehold.recovery.examine import Finding, State
from safehold.recovery.find import Find
from safehold.recovery.joining import Joiner, Other
from safehold.recovery.origin import Origin, feed, ignore
from safehold.recovery.replay import Replay, Witness


class Gaining:
    """`log` is the replay of what is read, which `probe` has to see."""

    def __init__(self, find: Find, origin: Origin, log: Replay, witness: Witness | None) -> None:
        self._find = find
        self._origin = origin
        self._log = log
        self._witness = witness
        self._others: list[Other] = []
        self._joiners: list[Joiner] = []
        self.probe = find.probe()
        #: The streams that gain, and what each is put together from.
        self.joined: dict[StreamKey, tuple[str, ...]] = {}
        #: How far a sound core has streams, where that is further than anything else.
        self.core_heads: dict[StreamKey, Head] = {}

    def gain(self) -> None:
        """Put the streams together that the find has more of, or that miss something which it may have."""
        chains, find = self._log.chains, self._find
        keys = set(self.probe.unseen(chains.bases))
        keys.update(key for key in find.keys if not chains.whole(key) or self._is_further(key, chains.head(key)))
        for bare in (chains.named, chains.ghosts):
            for key, changes in bare.items():
                if any(find.body_of(change.digest) is not None for change in changes.values()):
                    keys.add(key)
        self._join(keys)

    def _is_further(self, key: StreamKey, head: Head) -> bool:
        """Whether anything that was found remembers more of a stream."""
        return any(seen.rev > head.rev for seen in self._find.heads(key))

    def _join(self, keys: Iterable[StreamKey]) -> None:
        log = self._log
        wanted = [key for key in keys if key[0] not in log.erased]
        if not wanted:
            return
        joiner = self._origin.joiner(wanted, self._find, self._witness, self.core_heads)
        for key in joiner.keys:
            if key[0] in log.erased:
                continue
            mended = joiner.stream(key)
            log.forget_stream(key)
            feed(log, key, mended.base, mended.pieces, ignore)
            log.end(key, mended.head, mended.short)
            self.joined[key] = mended.sources
        self._others += joiner.others
        self._joiners.append(joiner)

    def beside(self, found: Finding, own: Chains) -> Finding:
        """What that means for a core that is sound: where it lacks something of these streams, one is built anew.

        What that core alone has goes into the new one; `own` are its chains.
        """
        if found.state is State.WHOLE or not self.joined:
            return found
        log = self._log
        if found.state is State.BEHIND:
            found = msgspec.structs.replace(found, state=State.PARTIAL, reason=f"{found.reason}, or a salvage has more")
        if found.state in (State.PARTIAL, State.OTHER):
            further = {key: head for key, head in own.heads.items() if head.rev > log.chains.head(key).rev}
            self.core_heads = {key: head for key, head in further.items() if key[0] not in log.erased}
            self._join(self.core_heads)
        return found

    def changes(self) -> Iterator[Change]:
        """Those of the streams that gain, as they were put together."""
        last = {key: joiner for joiner in self._joiners for key in joiner.keys}
        for key in self.joined:
            for piece in last[key].stream(key).pieces:
                yield piece.change

    def has_body(self, blob: bytes, digest: bytes) -> bool:
        return self._find.has_body(blob, digest)

    def told(self) -> list[str]:
        """Histories that streams did not go on with, in words."""
        found = []
        for other in self._others:
            who = f"{self._log.name_of(other.key[0]) or 'the installation'}, {other.key[1]}"
            found.append(
                f"{who}: {count_text(other.changes, 'change')} from rev {other.fork} on, of timeline {other.timeline} "
                f"({other.source}), left out: the history that this belongs to was not gone on with"
            )
        return found
