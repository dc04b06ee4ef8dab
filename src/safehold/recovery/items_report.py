"""Exact accounting: what becomes of each item, by name, from a plan and everything that it was made from.

    DIR/items.jsonl          for machines: a line for each item, gap and stream (docs/items-report.md)
    DIR/report.txt           for the operator: counts by kind, and every account of which something is not exact
    DIR/accounts/NAME.txt    for each person, in plain words and their language: nothing but their own

`write_items` is the one way in; `recover plan --items`, `recover run --items` and `salvage` call it. It reads all once
more, one stream at a time, and writes as it goes: what is in memory is one stream, a bounded part of the log, and some
hundred bytes an account.

Witnesses, beside what a plan reads: devices' tokens in an identity (`ahead/…`), the last after-report, and what a
salvage has found. A witness names what a stream lacks, or tells of revs beyond its end; it makes nothing exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from safehold.formats.blob import BLOB_PREFIX, OVERHEAD_BYTES, parse_object
from safehold.model.change import Op
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.blobs import Blobs
from safehold.ports.disk import Disk
from safehold.ports.vault import Vault, VaultDown
from safehold.recovery.after import AfterReport
from safehold.recovery.blobs import restore
from safehold.recovery.chains import StreamKey
from safehold.recovery.find import Find
from safehold.recovery.items_ledger import (
    AHEAD_PREFIX,
    MAIL,
    Counts,
    ItemState,
    Known,
    Line,
    StreamLedger,
    What,
    account_of,
)
from safehold.recovery.items_reading import ItemSources, ItemsReading, ReadStream
from safehold.recovery.items_text import GrowingFile, TextPart, Texts
from safehold.recovery.plan import Plan
from safehold.recovery.report import Progress, silent

JSON_NAME = "items.jsonl"

#: The source of what a salvage tells of and that is on no stream: a change on good pages, a row of a torn core.
SALVAGE = "salvage"

_encode = msgspec.json.Encoder().encode


class ItemsWritten(msgspec.Struct):
    """What was written: counts by kind, those of identities apart, and how many accounts have a text."""

    folder: str
    items: dict[Kind, Counts]
    accounts: int
    streams: int


def write_items(
    plan: Plan,
    sources: ItemSources,
    disk: Disk,
    folder: str,
    *,
    last: AfterReport | None = None,
    progress: Progress = silent,
) -> ItemsWritten:
    """Account for every item of a plan that was read in full (no glance), into a folder whose files are made anew.

    `sources` are those that the plan was made from, what was salvaged among them; `last` is the report of the last
    recovery. Make the folder for its owner alone before: it names what people keep.
    """
    assert not plan.glanced, "a glance has not read what it speaks of"
    return _Writing(plan, sources, disk, folder, last).write(progress)


class _Token(msgspec.Struct, frozen=True):
    """What an identity keeps of a device's proof: see service/ahead.py."""

    path: str
    rev: int
    device: str


class _Mail(msgspec.Struct, frozen=True):
    lang: str = "en"


class BlobsThere:
    """Which large bodies can be had: by the vaults' listings, made when first asked, beside the core, or found."""

    def __init__(self, vaults: Sequence[Vault], blobs: Blobs | None, find: Find | None = None) -> None:
        self._find = find
        self._vaults = vaults
        self._blobs = blobs
        self._sizes: dict[bytes, int] | None = None

    def __call__(self, name: bytes, size: int, digest: bytes) -> bool:
        if self._sizes is None:
            self._sizes = self._listed()
        if self._sizes.get(name, -1) >= size + OVERHEAD_BYTES:
            return True
        if self._find is not None and self._find.has_body(name, digest):
            return True
        return self._blobs is not None and restore(self._blobs, name, size, digest)

    def _listed(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for vault in self._vaults:
            try:
                for info in vault.list(BLOB_PREFIX):
                    name = parse_object(info.name)
                    if name is not None:
                        found[name] = max(found.get(name, 0), info.size)
            except VaultDown:
                continue
        return found


class _Writing:
    def __init__(
        self,
        plan: Plan,
        sources: ItemSources,
        disk: Disk,
        folder: str,
        last: AfterReport | None,
    ) -> None:
        self._plan = plan
        self._sources = sources
        self._disk = disk
        self._folder = folder
        self._last = last
        self._there = BlobsThere(sources.vaults, sources.blobs, sources.find)
        self._tokens: dict[bytes, list[_Token]] = {}
        self._sums = {kind: Counts() for kind in RESTORE_ORDER}

    def write(self, progress: Progress) -> ItemsWritten:
        texts = Texts(self._disk, self._folder, self._plan)
        lines = GrowingFile(self._disk, f"{self._folder}/{JSON_NAME}", anew=True)
        streams = 0
        try:
            for read in ItemsReading(self._plan, self._sources).streams():
                part = texts.part(read.key, read.name, self._language(read.ledger))

                def emit(line: Line, part: TextPart = part) -> None:
                    lines.add(_encode(line) + b"\n")
                    part.add(line)

                counts = self._stream(read, emit)
                self._sums[read.key[1]].add(counts)
                texts.write(part, counts)
                streams += 1
                progress("account for", streams, len(self._plan.streams), "streams")
            for line in self._end():
                lines.add(_encode(line) + b"\n")
        finally:
            lines.close()
        texts.finish(self._sums, self._earlier())
        return ItemsWritten(self._folder, self._sums, texts.accounts, streams)

    # -- one stream

    def _stream(self, read: ReadStream, emit: Callable[[Line], None]) -> Counts:
        key, log, ledger = read.key, read.replay, read.ledger
        if key[1] is Kind.IDENTITY:
            self._remember(key[0], ledger)
        counts = account_of(log, key, ledger, self._there, emit, self._known(key))
        head = log.chains.head(key).rev
        sealed = log.chains.sealed.get(key)
        end = max(head, 0 if sealed is None else sealed.rev)
        beyond = self._beyond(key, ledger, end)
        if beyond is not None:
            rev, witness = beyond
            line = Line(What.REVS, log.name_of(key[0]), key[0].hex(), key[1], state=ItemState.UNKNOWN)
            line.first, line.last, line.witness = end + 1, rev, witness
            counts.beyond = rev - end
            emit(line)
        own = Line(What.STREAM, log.name_of(key[0]), key[0].hex(), key[1])
        own.head, own.at, own.counts, own.source = head, ledger.last_at, counts, " and ".join(read.sources)
        emit(own)
        return counts

    def _remember(self, account: bytes, ledger: StreamLedger) -> None:
        tokens = []
        for name, body in ledger.told.items():
            if name.startswith(AHEAD_PREFIX):
                try:
                    tokens.append(msgspec.json.decode(body, type=_Token))
                except msgspec.MsgspecError:
                    continue
        if tokens:
            self._tokens[account] = tokens

    def _language(self, ledger: StreamLedger) -> str | None:
        """What the owner has chosen for letters; None where this stream does not say."""
        body = ledger.told.get(MAIL)
        if body is None:
            return None
        try:
            return msgspec.json.decode(body, type=_Mail).lang
        except msgspec.MsgspecError:
            return None

    # -- witnesses

    def _beyond(self, key: StreamKey, ledger: StreamLedger, end: int) -> tuple[int, str] | None:
        """The furthest rev after the stream's end that anything tells of, and what does."""
        paths = set(ledger.paths.values())
        told = [
            (token.rev, f"a token of {token.device}") for token in self._tokens.get(key[0], ()) if token.path in paths
        ]
        if self._sources.find is not None:
            told += [(head.rev, "what was salvaged") for head in self._sources.find.heads(key)]
        furthest = max(told, default=(0, ""))
        return furthest if furthest[0] > end else None

    def _known(self, key: StreamKey) -> dict[int, Known]:
        """Puts by rev that are on no stream, and that what was salvaged tells of."""
        found: dict[int, Known] = {}
        find = self._sources.find
        if find is None or key[1] is Kind.IDENTITY:
            return found
        for item in find.known_items(key):
            there = find.has_body(b"", item.digest)
            found[item.rev] = Known(
                item.collection, item.name, item.rev, item.at, item.digest, item.size, SALVAGE, there
            )
        for survivor in find.page_changes(key):
            change = survivor.change
            if change.op is Op.PUT:
                there = change.body is not None or find.has_body(change.blob or b"", change.digest)
                found[change.rev] = Known(
                    change.collection, change.name, change.rev, change.at, change.digest, change.size, SALVAGE, there
                )
        return found

    # -- what is told once

    def _earlier(self) -> list[Line]:
        """What the last recovery's report names as lost, by account name."""
        found = []
        for part in self._last.affected if self._last is not None else ():
            for loss in part.lost:
                if loss.name is not None and part.id:
                    line = Line(What.EARLIER, part.account, part.id, loss.kind, loss.collection, loss.name)
                    line.state, line.newest_rev = ItemState.LOST, loss.revs[-1] if loss.revs else 0
                    line.source = f"the report of the recovery at {self._last.at}" if self._last is not None else ""
                    found.append(line)
        return found

    def _end(self) -> Iterator[Line]:
        erased = {account.hex() for account in self._plan.erased}
        for line in self._earlier():
            if line.id not in erased:
                yield line
        if self._plan.report.unknown_seconds:
            yield Line(What.END, state=ItemState.UNKNOWN, seconds=self._plan.report.unknown_seconds)
