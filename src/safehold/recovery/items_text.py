"""The accounting in words: a text for the operator, and one for each person in their language, written as it goes.

A person's text holds nothing but their own; how many accounts there are, what the sources are called and where they lie
stand in the operator's. At most MAX_NAMED items of a state and kind are named; `items.jsonl` names all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from safehold.model.kinds import Kind
from safehold.ports.disk import Disk
from safehold.recovery.chains import StreamKey
from safehold.recovery.items_ledger import Counts, ItemState, Line, What
from safehold.recovery.items_words import ItemWords
from safehold.recovery.plan import Plan
from safehold.recovery.selection import SYSTEM

TEXT_NAME, ACCOUNTS = "report.txt", "accounts"
MAX_NAMED = 1000
#: Of each stream that is not exact, in the operator's text.
_OPERATORS_NAMED = 20
_WRITTEN_BYTES = 256 * 1024
#: States in the order in which a person reads of them, and how an item in one is told.
_TOLD = (("older", "item.older"), ("unsure", "item.known"), ("ghost", "item.known"), ("lost", "item"))
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class GrowingFile:
    """A file that is written a piece at a time, from its beginning or, where it is not made `anew`, at its end."""

    def __init__(self, disk: Disk, path: str, *, anew: bool) -> None:
        self._file = disk.open(path, write=True, create=True)
        if anew:
            self._file.truncate(0)
        self._at = self._file.size()
        self._waiting: list[bytes] = []
        self._bytes = 0

    def add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._bytes += len(data)
        if self._bytes >= _WRITTEN_BYTES:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._file.write_at(self._at, data)
        self._at += len(data)
        self._waiting, self._bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._file.sync()
        self._file.close()


class TextPart:
    """What a text says by name of one stream; exact items are counted, not named."""

    def __init__(self, key: StreamKey, name: str) -> None:
        self.key = key
        self.name = name
        self.named: dict[str, list[Line]] = {"older": [], "unsure": [], "ghost": [], "lost": []}

    def add(self, line: Line) -> None:
        if line.what is not What.ITEM or line.state is None or line.state is ItemState.EXACT:
            return
        found = self.named["unsure" if not line.sure else line.state.value]
        if len(found) < MAX_NAMED:
            found.append(line)


class Texts:
    """Both texts. What was written into the folder before is replaced."""

    def __init__(self, disk: Disk, folder: str, plan: Plan) -> None:
        self._disk = disk
        self._folder = folder
        self._plan = plan
        self._files: dict[bytes, str] = {}  # account -> its file's name
        self._taken: set[str] = set()
        self._langs: dict[bytes, str] = {}
        self._hurt: set[bytes] = set()  # accounts of which something is not exact
        disk.make_folders(f"{folder}/{ACCOUNTS}")
        for entry in list(disk.list(f"{folder}/{ACCOUNTS}")):
            if not entry.is_folder and entry.name.endswith(".txt"):
                disk.remove(f"{folder}/{ACCOUNTS}/{entry.name}")
        self._operator = GrowingFile(disk, f"{folder}/{TEXT_NAME}", anew=True)
        self._head()

    @property
    def accounts(self) -> int:
        return len(self._files)

    def _head(self) -> None:
        plan = self._plan
        self._line(f"what becomes of each item, as of {ItemWords.time(plan.made_at)} UTC")
        self._line(f"the core is {plan.core}" + (f" ({plan.core_reason})" if plan.core_reason else ""))
        for source in plan.sources:
            self._line(f"{source.vault}: {source.problem or 'read'}, {source.url}")
        self._line("")
        self._line("what is not exact, by stream:")

    def _line(self, text: str) -> None:
        self._operator.add(f"{text}\n".encode())

    def part(self, key: StreamKey, name: str, lang: str | None) -> TextPart:
        """To be filled with the lines of a stream, then to be written. `lang` where the owner's own is known."""
        if lang is not None:
            self._langs[key[0]] = lang
        return TextPart(key, name)

    def write(self, part: TextPart, counts: Counts) -> None:
        if not counts.all_exact:
            self._hurt.add(part.key[0])
            self._tell_operator(part, counts)
        if part.key[0] != SYSTEM and (part.key[1] is not Kind.IDENTITY or not counts.all_exact):
            self._tell_person(part, counts)

    # -- the operator's

    def _tell_operator(self, part: TextPart, counts: Counts) -> None:
        who = part.name or "the installation"
        self._line(f"{who}, {part.key[1]}: {counts_text(counts)}")
        lines = [line for named in part.named.values() for line in named]
        for line in lines[:_OPERATORS_NAMED]:
            state = "older, perhaps" if not line.sure else str(line.state)
            known = f"rev {line.rev}" if line.rev else "nothing"
            newest = f", newest is rev {line.newest_rev}" if line.newest_rev else ""
            source = f", from {line.source}" if line.source else ""
            self._line(f"  {state}: {_where(line)} ({known} is here{newest}{source})")
        if len(lines) > _OPERATORS_NAMED:
            self._line(f"  and {len(lines) - _OPERATORS_NAMED} more: items.jsonl names all")

    def finish(self, sums: Mapping[Kind, Counts], earlier: Sequence[Line]) -> None:
        """After the last stream: what concerns all."""
        if not self._hurt:
            self._line("  nothing")
        self._line("")
        for kind, counts in sums.items():
            if counts != Counts():
                self._line(f"{kind}: {counts_text(counts)}")
        for line in earlier:
            self._line(f"lost earlier: {line.account} {line.kind} {_where(line)}, says {line.source}")
        unknown = self._plan.report.unknown_seconds
        if unknown:
            self._line(f"what was written in the last {unknown:.0f} s before the end is unknown")
        self._operator.close()
        self._finish_people(earlier)

    # -- each person's

    def _tell_person(self, part: TextPart, counts: Counts) -> None:
        account, kind = part.key
        words = ItemWords(self._langs.get(account, "en"))
        text = [f"{words(f'kind.{kind}')}"]
        if counts == Counts():
            text.append(f"  {words('nothing')}")
        if counts.exact:
            text.append(f"  {words.count('exact', counts.exact)}")
        for state, key in (
            ("older", "item.older"),
            ("unsure", "item.known"),
            ("ghost", "item.known"),
            ("lost", "item"),
        ):
            count = getattr(counts, state)
            if count:
                text.append(f"  {words.count(state, count, most=counts.unsure_older)}")
                text += [f"    {_told(words, key, line)}" for line in part.named[state]]
                more = count - len(part.named[state])
                if more > 0:
                    text.append(f"    {words.count('more', more)}")
        if counts.unknown:
            text.append(f"  {words.count('unknown', counts.unknown)}")
        if counts.beyond:
            text.append(f"  {words.count('beyond', counts.beyond)}")
        self._append(account, part.name, [*text, ""], words)

    def _append(self, account: bytes, name: str, text: Sequence[str], words: ItemWords) -> None:
        known = self._files.get(account)
        if known is None:
            self._files[account] = self._file_name(account, name)
            title = words("title", name=name, time=words.time(self._plan.made_at))
            text = [title, "", *text]
        file = GrowingFile(self._disk, f"{self._folder}/{ACCOUNTS}/{self._files[account]}", anew=known is None)
        file.add("".join(f"{line}\n" for line in text).encode())
        file.close()

    def _file_name(self, account: bytes, name: str) -> str:
        """After the account's name, where that can be a file's and no other account's text bears it."""
        if not _SAFE_NAME.fullmatch(name):
            name = account.hex()
        if name in self._taken:
            name = f"{name}-{account.hex()[:8]}"
        self._taken.add(name)
        return f"{name}.txt"

    def _finish_people(self, earlier: Sequence[Line]) -> None:
        seconds = self._plan.report.unknown_seconds
        by_account: dict[bytes, list[Line]] = {}
        for line in earlier:
            by_account.setdefault(bytes.fromhex(line.id), []).append(line)
        for account in self._files:
            words = ItemWords(self._langs.get(account, "en"))
            text = []
            if account in by_account:
                text += [words("earlier"), *(f"  {_where(line)}" for line in by_account[account][:MAX_NAMED])]
            if seconds:
                text.append(words("end", seconds=f"{seconds:.0f}"))
            if account in self._hurt or seconds:
                text.append(words("keep-devices"))
            elif account not in by_account:
                text.append(words("all-exact"))
            self._append(account, "", text, words)


def counts_text(counts: Counts) -> str:
    """For the operator: only what there is."""
    told: list[tuple[int, Callable[[int], str]]] = [
        (counts.exact, lambda n: f"{n} exact"),
        (counts.unsure, lambda n: f"{n} of which at most {counts.unsure_older} are older"),
        (counts.older, lambda n: f"{n} older"),
        (counts.ghost, lambda n: f"{n} ghost" + "s" * (n != 1)),
        (counts.lost, lambda n: f"{n} lost by name"),
        (counts.unknown, lambda n: f"{n} unknown"),
        (counts.beyond, lambda n: f"{n} beyond the end, of which a witness tells"),
    ]
    return ", ".join(say(count) for count, say in told if count) or "nothing"


def _where(line: Line) -> str:
    return "/".join(part for part in (line.collection, line.name) if part)


def _told(words: ItemWords, key: str, line: Line) -> str:
    at = words.time(line.at)
    return words(key, where=_where(line), at=at, newest=words.time(line.newest_at or line.at))
