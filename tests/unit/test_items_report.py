"""What is told of each item: by state, with revs, times and sources; of whom, to whom, in which language; and to what
memory.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.ports.survivors import KnownItem, Loose, Proof, SalvageSource, StreamKey, Survivor, Witnessed
from safehold.recovery import items_reading, items_text
from safehold.recovery.after import RUN, after_report
from safehold.recovery.find import Find, Salvage
from safehold.recovery.items_ledger import ItemState, Line, What
from safehold.recovery.items_reading import ItemSources
from safehold.recovery.items_report import write_items
from safehold.recovery.items_words import keys
from safehold.recovery.plan import make_plan
from safehold.store.realdisk import RealDisk
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, an_id, card

AHEAD = {"collection": "00", "hash": "00", "at": 0, "let_go": 0, "word": ""}


@pytest.fixture
def history() -> History:
    history = History()
    history.family("ada", "bob")
    return history


class Report:
    """What was written, read back."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        decode = msgspec.json.Decoder(Line).decode
        self.lines = [decode(line) for line in self.text("items.jsonl").splitlines()]

    def text(self, name: str) -> str:
        file = self._disk.open(f"/items/{name}")
        try:
            return file.read_at(0, file.size()).decode()
        finally:
            file.close()

    def people(self) -> set[str]:
        return {entry.name for entry in self._disk.list("/items/accounts")}

    def of(self, account: str, kind: Kind, what: What = What.ITEM) -> list[Line]:
        return [one for one in self.lines if (one.account, one.kind, one.what) == (account, kind, what)]

    def item(self, account: str, kind: Kind, name: str) -> Line:
        (found,) = [line for line in self.of(account, kind) if line.name == name]
        return found


def write(history: History, lost: Collection[int] = (), disk: SimDisk | None = None, **options: Any) -> Report:
    find = options.pop("find", None)
    blobs = options.get("blobs")
    plan = make_plan(history.reader(lost), [history.vault], FakeClock(), sync=("near",), blobs=blobs, find=find)
    sources = ItemSources(history.reader(lost), [history.vault], blobs=options.pop("blobs", None), find=find)
    disk = disk or SimDisk()
    write_items(plan, sources, disk, "/items", **options)
    return Report(disk)


def test_a_whole_log_is_exact_by_name(history: History) -> None:
    found = write(history)
    assert {line.state for line in found.lines if line.what is What.ITEM} == {ItemState.EXACT}
    assert {line.name for line in found.of("ada", Kind.CONTACTS)} == {"0.vcf", "2.vcf", "3.vcf", "4.vcf"}
    line = found.item("ada", Kind.CONTACTS, "0.vcf")
    assert (line.collection, line.rev, line.source, line.size) == (
        "contacts/default", 7, "log", len(card("ada-0", "again")),
    )  # fmt: skip
    assert line.at and not line.newest_rev
    assert found.people() == {"ada.txt", "bob.txt"}
    assert "Everything is here exactly" in found.text("accounts/ada.txt")
    assert "  nothing\n" in found.text("report.txt")


def test_what_a_missing_rev_may_have_done_is_told_as_such(history: History) -> None:
    gone = history.put("ada", Kind.CONTACTS, "new.vcf", card("new"))
    history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    history.seal()  # which says that the missing frame held no other stream
    found = write(history, {history.frame_of(gone)})
    assert found.item("ada", Kind.CONTACTS, "after.vcf").state is ItemState.EXACT
    unsure = [line for line in found.of("ada", Kind.CONTACTS) if not line.sure]
    assert len(unsure) == 4 and {line.state for line in unsure} == {ItemState.OLDER}
    (revs,) = found.of("ada", Kind.CONTACTS, What.REVS)
    assert (revs.first, revs.last, revs.state) == (gone.rev, gone.rev, ItemState.UNKNOWN)
    (stream,) = found.of("ada", Kind.CONTACTS, What.STREAM)
    assert stream.counts is not None
    assert (stream.counts.unsure, stream.counts.unsure_older, stream.counts.unknown) == (4, 1, 1)
    text = found.text("accounts/ada.txt")
    assert "4 are here, and at most 1 of them in an older version" in text and "1 change is missing" in text
    assert "Keep your devices as they are" in text
    assert "missing" not in found.text("accounts/bob.txt") and "at most" not in found.text("accounts/bob.txt")


def test_a_text_is_its_owners_alone_and_in_their_language(history: History) -> None:
    history.put("bob", Kind.IDENTITY, "mail", b'{"address": "bob@example.org", "lang": "es"}')
    lost = [
        history.frame_of(history.put(who, Kind.NOTES, "lost.txt", b"x", blob=who.encode() * 4))
        for who in ("ada", "bob")
    ]
    assert lost
    history.seal()
    found = write(history)
    for who, other in (("ada", "bob"), ("bob", "ada")):
        text = found.text(f"accounts/{who}.txt")
        assert re.search(rf"\b{who}\b", text) and not re.search(rf"\b({other}|near)\b", text)
        assert "files/notes/lost.txt" in text
    assert "whole again" in found.text("accounts/ada.txt")
    assert "Notas" in found.text("accounts/bob.txt") and "Notes" not in found.text("accounts/bob.txt")
    assert "example.org" not in found.text("accounts/bob.txt")


def test_a_large_body_that_is_nowhere_is_a_ghost_or_leaves_an_older_version(history: History) -> None:
    blobs = FakeBlobs()
    blobs.held[b"one"] = b"first"
    old = history.put("ada", Kind.PHOTOS, "a.jpg", b"first", blob=b"one")
    new = history.put("ada", Kind.PHOTOS, "a.jpg", b"second", blob=b"two")
    ghost = history.put("ada", Kind.PHOTOS, "b.jpg", b"third", blob=b"three")
    found = write(history, blobs=blobs)
    line = found.item("ada", Kind.PHOTOS, "a.jpg")
    assert (line.state, line.sure, line.rev, line.newest_rev) == (ItemState.OLDER, True, old.rev, new.rev)
    assert (line.digest, line.at, line.newest_at) == (old.digest.hex(), old.at, new.at)
    line = found.item("ada", Kind.PHOTOS, "b.jpg")
    assert (line.state, line.rev, line.newest_rev, line.digest) == (
        ItemState.GHOST, 0, ghost.rev, ghost.digest.hex(),
    )  # fmt: skip


def test_a_delete_in_between_leaves_no_older_version(history: History) -> None:
    blobs = FakeBlobs()
    blobs.held[b"one"] = b"first"
    history.put("ada", Kind.PHOTOS, "a.jpg", b"first", blob=b"one")
    history.delete("ada", Kind.PHOTOS, "a.jpg")
    history.put("ada", Kind.PHOTOS, "a.jpg", b"second", blob=b"two")
    found = write(history, blobs=blobs)
    assert found.item("ada", Kind.PHOTOS, "a.jpg").state is ItemState.GHOST


def test_a_devices_token_tells_of_what_came_later(history: History) -> None:
    head = history.heads[an_id("ada"), Kind.CONTACTS].rev
    token = AHEAD | {"path": "contacts/default", "rev": head + 3, "device": "phone"}
    history.put("ada", Kind.IDENTITY, "ahead/1", msgspec.json.encode(token))
    history.put("bob", Kind.IDENTITY, "ahead/1", msgspec.json.encode(token | {"rev": 1}))
    found = write(history)
    (beyond,) = [line for line in found.lines if line.witness]
    assert (beyond.account, beyond.first, beyond.last) == ("ada", head + 1, head + 3)
    assert "phone" in beyond.witness
    assert "3 changes came later" in found.text("accounts/ada.txt")


def test_what_the_last_report_names_is_told_again(history: History) -> None:
    gone = history.put("ada", Kind.PHOTOS, "b.jpg", b"third", blob=b"three")
    plan = make_plan(history.reader(), [history.vault], FakeClock())
    last = after_report(plan.report, at=1, how=RUN)
    history.delete("ada", Kind.PHOTOS, "b.jpg")
    found = write(history, last=last)
    (earlier,) = [line for line in found.lines if line.what is What.EARLIER]
    assert (earlier.account, earlier.name, earlier.newest_rev) == ("ada", "b.jpg", gone.rev)
    assert "files/photos/b.jpg" in found.text("accounts/ada.txt")
    assert "b.jpg" not in found.text("accounts/bob.txt")


def test_what_came_after_the_last_witness_is_told_in_seconds(history: History) -> None:
    plan = make_plan(history.reader(), [history.vault], FakeClock(history.at + 7_000_000))
    assert plan.report.unknown_seconds
    disk = SimDisk()
    write_items(plan, ItemSources(history.reader(), [history.vault]), disk, "/items")
    found = Report(disk)
    assert found.lines[-1].what is What.END and found.lines[-1].seconds == plan.report.unknown_seconds
    assert "in the last 7 s" in found.text("accounts/bob.txt")


def test_an_erased_account_is_not_told_of(history: History) -> None:
    history.erase("ada")
    found = write(history)
    assert "ada" not in {line.account for line in found.lines}
    assert found.people() == {"bob.txt"}


def test_written_again_nothing_of_before_is_left(history: History) -> None:
    disk = SimDisk()
    write(history, disk=disk)
    history.erase("ada")
    found = write(history, disk=disk)
    assert found.people() == {"bob.txt"}
    assert found.text("accounts/bob.txt").count("Contacts") == 1


def test_names_that_are_no_file_names_or_are_borne_twice_do_not_meet(history: History) -> None:
    name = msgspec.json.encode({"name": "../ada", "listed": False})
    history.put("bob", Kind.IDENTITY, "profile", name)
    history.account("carl")
    history.put("carl", Kind.IDENTITY, "profile", msgspec.json.encode({"name": "ada", "listed": False}))
    people = write(history).people()
    assert len(people) == 3 and an_id("bob").hex() + ".txt" in people and "ada.txt" in people


# -- what a salvage has found


class FakeSurvivors:
    """What these lists hold."""

    def __init__(self, known: Sequence[KnownItem] = (), page: Sequence[Change] = ()) -> None:
        self._known = known
        self._page = page
        self.bodies: dict[bytes, bytes] = {}
        self.heads: list[Witnessed] = []

    def sources(self) -> Sequence[SalvageSource]:
        return [SalvageSource(1, "/torn/core.db", "core", 100)]

    def keys(self) -> Iterator[StreamKey]:
        return iter({(one.account, one.kind) for one in (*self._known, *self._page, *self.heads)})

    def changes(self, key: StreamKey, proof: Proof) -> Iterator[Survivor]:
        for change in self._page:
            if (change.account, change.kind) == key and proof is Proof.PAGE:
                yield Survivor(change, proof, 1, "page 7")

    def known_items(self, key: StreamKey) -> Iterator[KnownItem]:
        return (item for item in self._known if (item.account, item.kind) == key)

    def witnesses(self, key: StreamKey) -> Iterator[Witnessed]:
        return (head for head in self.heads if (head.account, head.kind) == key)

    def loose_items(self) -> Iterator[Loose]:
        return iter(())

    def asides(self) -> Iterator[Any]:
        return iter(())

    def accounts(self) -> dict[bytes, str]:
        return {}

    def erased_accounts(self) -> frozenset[bytes]:
        return frozenset()

    def body_of(self, digest: bytes) -> bytes | None:
        return self.bodies.get(digest)

    def blob_path(self, name: bytes) -> str | None:
        return None


def found_by(survivors: FakeSurvivors) -> Find:
    return Find([Salvage("/torn", b"state", survivors)])


def known(change: Change) -> KnownItem:
    c = change
    return KnownItem(c.account, c.kind, c.collection, c.name, c.rev, c.digest, c.size, c.media, c.at, 1, "page 3")


def test_a_row_of_a_torn_core_names_what_a_gap_hides(history: History) -> None:
    gone = history.put("ada", Kind.CONTACTS, "new.vcf", card("new"))
    changed = history.put("ada", Kind.CONTACTS, "2.vcf", card("ada-2", "again"))
    history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    lost = {history.frame_of(gone), history.frame_of(changed)}
    found = write(history, lost, find=found_by(FakeSurvivors([known(gone), known(changed)])))
    line = found.item("ada", Kind.CONTACTS, "new.vcf")
    assert (line.state, line.newest_rev, line.source) == (ItemState.GHOST, gone.rev, "salvage")
    line = found.item("ada", Kind.CONTACTS, "2.vcf")
    assert (line.state, line.newest_rev, line.sure) == (ItemState.OLDER, changed.rev, True)
    assert not found.of("ada", Kind.CONTACTS, What.REVS)


def test_a_change_off_its_stream_is_told_as_what_comes_back_unless_something_later_is_known(history: History) -> None:
    gone = history.put("ada", Kind.CONTACTS, "new.vcf", card("new"))
    replaced = history.put("ada", Kind.CONTACTS, "3.vcf", card("ada-3", "between"))
    history.put("ada", Kind.CONTACTS, "3.vcf", card("ada-3", "last"))
    deleted = history.put("ada", Kind.CONTACTS, "4.vcf", card("ada-4", "between"))
    history.delete("ada", Kind.CONTACTS, "4.vcf")
    lost = {history.frame_of(one) for one in (gone, replaced, deleted)}
    found = write(history, lost, find=found_by(FakeSurvivors(page=[gone, replaced, deleted])))
    line = found.item("ada", Kind.CONTACTS, "new.vcf")
    assert (line.state, line.sure, line.rev, line.digest) == (ItemState.OLDER, False, gone.rev, gone.digest.hex())
    assert found.item("ada", Kind.CONTACTS, "3.vcf").state is ItemState.EXACT
    assert "4.vcf" not in {line.name for line in found.of("ada", Kind.CONTACTS)}
    versions = {line.name: line.newest_rev for line in found.of("ada", Kind.CONTACTS, What.VERSION)}
    assert versions == {"3.vcf": replaced.rev, "4.vcf": deleted.rev}


def test_a_head_that_a_salvage_has_found_tells_of_what_came_later(history: History) -> None:
    account = an_id("bob")
    head = history.heads[account, Kind.SCORES].rev
    survivors = FakeSurvivors()
    survivors.heads.append(Witnessed(account, Kind.SCORES, Head(head + 2, b"h" * 32), None, "seal", 1))
    found = write(history, find=found_by(survivors))
    (line,) = found.of("bob", Kind.SCORES, What.REVS)
    assert (line.first, line.last) == (head + 1, head + 2)


# -- bounds


def test_a_log_that_is_heavy_is_read_group_by_group_to_the_same_end(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(history).lines
    monkeypatch.setattr(items_reading, "GROUP_BYTES", 5_000)
    assert write(history).lines == whole


def test_memory_does_not_grow_with_the_number_of_accounts_that_have_items(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is kept is a stream and a group of the log; the history itself is what the fake holds."""
    monkeypatch.setattr(items_reading, "GROUP_BYTES", 200_000)
    monkeypatch.setattr(items_text, "_WRITTEN_BYTES", 4096)
    peaks = []
    for accounts in (4, 16):
        history = History()
        history.family(*(f"p{n}" for n in range(accounts)), cards=30)
        plan = make_plan(history.reader(), [history.vault], FakeClock())
        sources = ItemSources(history.reader(), [history.vault])
        tracemalloc.start()
        write_items(plan, sources, RealDisk(), str(tmp_path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 12 * 4096, "of each account its streams and sums, where its log weighs 50 KB"


# -- words


@pytest.mark.parametrize("key", keys())
def test_both_languages_say_it_with_the_same_values(key: str) -> None:
    english, spanish = keys()[key]
    assert english != spanish and english.strip() and spanish.strip()
    assert {part for part in ("{count}", "{where}", "{at}", "{newest}", "{most}", "{name}") if part in english} == {
        part for part in ("{count}", "{where}", "{at}", "{newest}", "{most}", "{name}") if part in spanish
    }


def test_there_are_words_for_every_kind() -> None:
    assert {f"kind.{kind}" for kind in RESTORE_ORDER} <= keys().keys()
