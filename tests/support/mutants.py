"""Broken houses: each breaks its word in one way, and the simulator has to find it out.

A mutant patches real code for as long as a `pytest.MonkeyPatch` lasts. `seed` is the first seed, from 0, whose course
finds it (so it says how many are needed), `rule` what is then told as broken, `words` a part of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from safehold.archiver import log as log_module
from safehold.archiver.log import Log
from safehold.archiver.shipper import Shipper
from safehold.disaster.course import UNFORESEEN, Course, Failure, small_limits, try_course
from safehold.disaster.law_two import LawTwo
from safehold.disaster.simulation import Simulation
from safehold.formats import blob
from safehold.lab.sealing import SEALED_BEFORE
from safehold.model.change import Change
from safehold.model.commands import AnyCommand, PutItem
from safehold.model.errors import Held, NotFound, SafeholdError
from safehold.model.items import Account, Collection
from safehold.model.kinds import Kind
from safehold.model.stream import Head, check_self
from safehold.ports.core import CoreReads
from safehold.ports.log import PreparedFrame
from safehold.protocol import problems
from safehold.protocol.sync import DeviceAhead
from safehold.recovery import build, chains, replay, streamwise
from safehold.recovery.chains import Chains
from safehold.service import ahead, items
from safehold.service.ahead import Proofs
from safehold.service.brakes import Brakes
from safehold.service.collections import CollectionRules
from safehold.service.engine import Engine, Result
from safehold.service.intake import IntakeRules
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite import vfs
from safehold.store.sqlite.apply import Applier
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.web import dav_call, dav_propfind, dav_sync
from safehold.web.dav_propfind import ItemLines

Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    """`what` is done wrong, in words."""

    what: str
    apply: Callable[[Patch], None]
    course: type[Simulation] | type[LawTwo]
    seed: int
    rule: str
    words: str = ""


def run_mutant(mutant: Mutant, seed: int) -> Failure | None:
    """What this seed finds wrong with such a house."""
    with pytest.MonkeyPatch.context() as patch, small_limits():
        mutant.apply(patch)
        return try_course(lambda: make(mutant, seed))[1]


def make(mutant: Mutant, seed: int) -> Course:
    return mutant.course(seed)


# -- writing -----------------------------------------------------------------------------------------------------------


def _without_sync(wanted: Callable[[FolderVault], bool]) -> Callable[[Patch], None]:
    original = FolderVault.append

    def append(self: FolderVault, name: str, expected: int, data: bytes) -> None:
        if not wanted(self):
            original(self, name, expected, data)
            return
        file = self._disk.open(self._at(name), write=True, create=True)
        file.write_at(expected, data)
        file.close()

    def apply(patch: Patch) -> None:
        patch.setattr(FolderVault, "append", append)

    return apply


def core_without_sync(patch: Patch) -> None:
    patch.setattr(vfs._SeamFile, "xSync", lambda self, flags: None)


def answers_before_the_append(patch: Patch) -> None:
    """A frame is written with the one after it."""
    original = Log._write
    waiting: dict[int, tuple[PreparedFrame, tuple[str, ...]]] = {}

    def write(self: Log, frame: PreparedFrame, blobs: tuple[str, ...] = ()) -> None:
        before = waiting.pop(id(self), None)
        position = self._position
        if before is not None:
            self._position = before[0].position._replace(frame=before[0].position.frame - 1)
            self._position = self._position._replace(digest=prev_of(before[0]))
            original(self, *before)
        if not self._started:
            self._position = position
            original(self, frame, blobs)
            return
        waiting[id(self)] = frame, blobs
        self._position = frame.position

    def prev_of(frame: PreparedFrame) -> bytes:
        header = log_module.parse_header(frame.data)
        assert header is not None
        return header.prev

    patch.setattr(Log, "_write", write)


def answers_without_a_write(patch: Patch) -> None:
    """Now and then a PUT is answered, and then forgotten."""
    original = Engine.execute_all
    count = 0

    def execute_all(self: Engine, commands: Sequence[AnyCommand]) -> list[Result]:
        nonlocal count
        count += 1
        results = original(self, commands)
        alone = len(commands) == 1 and isinstance(commands[0], PutItem)
        if count % 9 == 0 and alone and not isinstance(results[0], SafeholdError):
            self.core.begin()
            self.core._db.execute("UPDATE item SET digest = zeroblob(32) WHERE name = ?", (commands[0].name,))  # type: ignore[union-attr]
            self.core.commit()
        return results

    patch.setattr(Engine, "execute_all", execute_all)


def looks_for_no_other_writer(patch: Patch) -> None:
    patch.setattr(log_module, "claim_object", lambda timeline: f"log/{timeline:08d}/nothing")


def checks_no_preconditions(patch: Patch) -> None:
    patch.setattr(items, "check_tags", lambda *_: None)


def ignores_the_brake(patch: Patch) -> None:
    patch.setattr(Brakes, "_is_mass", staticmethod(lambda window: False))


def hides_the_lag(patch: Patch) -> None:
    patch.setattr(Shipper, "unarchived_changes", property(lambda self: 0))


def counts_deletes_wrong(patch: Patch) -> None:
    """The bytes of what is deleted stay counted."""
    original = Applier._delete

    def delete(self: Any, *args: Any) -> Any:
        step = original(self, *args)
        return step._replace(bytes=0)

    patch.setattr(Applier, "_delete", delete)


# -- recovering --------------------------------------------------------------------------------------------------------


def follows_any_chain(patch: Patch) -> None:
    """A recovery looks at each change alone, and not whether it continues the one before."""

    def check_alone(head: Head, change: Change) -> Head:
        check_self(change)
        return Head(change.rev, change.hash)

    patch.setattr(chains, "check_next", check_alone)


def serves_gaps(patch: Patch) -> None:
    for module in (build, streamwise):
        patch.setattr(module, "missing_words", lambda *_: "")


def takes_a_cut_log_for_whole(patch: Patch) -> None:
    """The log ends where that of the first vault ends."""
    original = VaultLogReader.__init__

    def init(self: VaultLogReader, vaults: Any, opener: Any, spare: Any = ()) -> None:
        original(self, vaults[:1], opener)

    patch.setattr(VaultLogReader, "__init__", init)


def believes_no_seal(patch: Patch) -> None:
    patch.setattr(Chains, "seal", lambda self, heads: None)


def believes_any_body(patch: Patch) -> None:
    """What a vault, or the folder of live bodies, gives for a large body is taken as it comes."""

    def decrypt(self: VaultBlobs, vault: Any, object_: str, trailer: Any, sink: Any, digest: bytes | None) -> None:
        sink.write(vault.get(object_, blob.HEADER_BYTES + SEALED_BEFORE, trailer.sealed_bytes - SEALED_BEFORE))

    def verify(self: VaultBlobs, vault: Any, object_: str, name: bytes, size: int) -> Any:
        return blob.BlobTrailer(size - blob.OVERHEAD_BYTES, b"", name)

    patch.setattr(VaultBlobs, "_decrypt", decrypt)
    patch.setattr(VaultBlobs, "_verify", verify)
    patch.setattr(LiveBlobs, "_is_right", lambda self, path, size, digest: True)


def brings_back_who_was_erased(patch: Patch) -> None:
    patch.setattr(replay, "erased_id", lambda change: None)


def loses_a_frame(patch: Patch) -> None:
    """The tail of the log is taken in but for its first changes."""
    original = Log.tail

    def tail(self: Log, *args: Any) -> Iterator[Any]:
        skipped = False
        for entry in original(self, *args):
            if getattr(entry, "changes", ()) and not skipped:
                skipped = True
                continue
            yield entry

    patch.setattr(Log, "tail", tail)


def drops_the_intake(patch: Patch) -> None:
    patch.setattr(IntakeRules, "_put", lambda self, *_: True)


# -- answering ---------------------------------------------------------------------------------------------------------


def lists_what_is_held(patch: Patch) -> None:
    def anything(reads: CoreReads, account: Account, kind: Kind) -> None:
        return

    patch.setattr(dav_call, "require_whole", anything)
    patch.setattr(dav_propfind, "require_whole", anything)


def answers_held_with(status: int) -> Callable[[Patch], None]:
    def apply(patch: Patch) -> None:
        patch.setitem(problems._STATUS, Held, status)

    return apply


def calls_held_collections_absent(patch: Patch) -> None:
    def absent(reads: CoreReads, account: Account, kind: Kind) -> None:
        if reads.held(account.number, kind) is not None:
            raise NotFound("there is no such collection")

    patch.setattr(dav_call, "require_whole", absent)
    patch.setattr(CollectionRules, "sure_of_absence", lambda self, account, path: None)


def leaves_held_collections_out(patch: Patch) -> None:
    original = dav_propfind._members

    def some(call: Any) -> list[Collection]:
        try:
            return original(call)
        except Held:
            reads, number = call.gate.reads, call.account.number
            found = reads.collections(number, call.target.path + "/")
            return [each for each in found if reads.held(number, each.kind) is None]

    patch.setattr(dav_propfind, "_members", some)


def refuses_tokens_of_a_lost_state(patch: Patch) -> None:
    patch.setitem(problems._STATUS, DeviceAhead, 403)


def lets_devices_begin_anew(patch: Patch) -> None:
    """A token of a lost state is answered as one that is too old, and the list that is asked for then is given."""
    refuses_tokens_of_a_lost_state(patch)
    patch.setattr(LawTwo, "gives_up", 6)  # until then no list is given anyway
    patch.setattr(Proofs, "standing", lambda *_: [])
    original = dav_sync._report_loss

    async def as_a_bad_token(call: Any, error: Any, point: Any) -> None:
        await original(call, error, point)
        raise dav_sync._start_over()

    patch.setattr(dav_sync, "_report_loss", as_a_bad_token)


def lists_after_a_proof(patch: Patch) -> None:
    patch.setattr(LawTwo, "gives_up", 6)
    patch.setattr(Proofs, "standing", lambda *_: [])


def lists_after_a_lost_end(patch: Patch) -> None:
    patch.setattr(ahead, "standing_doubts", lambda *_: [])


def takes_any_token(patch: Patch) -> None:
    """The device then has what the server has not, and neither knows."""
    patch.setattr(dav_sync, "judge_point", lambda point, hash_at, base_rev=0: point.rev)


def shortens_lists(patch: Patch) -> None:
    original: Callable[..., Any] = dav_propfind.item_lines

    def shortened(template: Any, found: Sequence[Any]) -> Any:
        return original(template, found[:-1] if len(found) > 2 else found)

    patch.setattr(dav_propfind, "item_lines", shortened)


def shortens_syncs(patch: Patch) -> None:
    original = dav_sync._sync_lines

    def shortened(*args: Any) -> tuple[ItemLines, str]:
        told, token = original(*args)
        return (told._replace(lines=told.lines[:-1]) if len(told.lines) > 2 else told), token

    patch.setattr(dav_sync, "_sync_lines", shortened)


def calls_collections_absent(patch: Patch) -> None:
    """404 for what a disk error hides."""
    original = dav_sync.collection_at
    count = 0

    def forgetful(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count % 50 == 0:
            raise NotFound("there is no such collection")
        return original(*args)

    patch.setattr(dav_sync, "collection_at", forgetful)


DELETED = "and nobody deleted it"

MUTANTS = (
    Mutant(
        "the sync vault's append is not synced", _without_sync(lambda vault: vault.name == "near"), Simulation, 0, "I1"
    ),
    Mutant(
        "the async vault's append is not synced", _without_sync(lambda vault: vault.name == "far"), Simulation, 0, "I31"
    ),
    Mutant("the core is not synced", core_without_sync, Simulation, 0, "I27"),
    Mutant("an answer before the append", answers_before_the_append, Simulation, 0, "I1"),
    Mutant("an answer without a write", answers_without_a_write, Simulation, 1, "I7"),
    Mutant("an old writer writes on", looks_for_no_other_writer, Simulation, 2, "I6"),
    Mutant("preconditions are not checked", checks_no_preconditions, Simulation, 15, "I10"),
    Mutant("a brake is ignored", ignores_the_brake, LawTwo, 2, "I62"),
    Mutant("a status that hides the lag", hides_the_lag, Simulation, 0, "I31"),
    Mutant("bytes are counted wrong", counts_deletes_wrong, Simulation, 0, "I7"),
    Mutant("a recovery checks no chain", follows_any_chain, LawTwo, 32, UNFORESEEN),
    Mutant("a gap is served as whole", serves_gaps, LawTwo, 7, "law 2"),
    Mutant("a cut log is taken for whole", takes_a_cut_log_for_whole, Simulation, 6, "I27"),
    Mutant("seals are not compared", believes_no_seal, LawTwo, 7, "law 2", DELETED),
    Mutant("a large body is not checked", believes_any_body, Simulation, 36, "I29"),
    Mutant("an erased account comes back", brings_back_who_was_erased, LawTwo, 3, "I28"),
    Mutant("a frame is passed over at a start", loses_a_frame, Simulation, 0, "I2"),
    Mutant("the intake is dropped", drops_the_intake, LawTwo, 3, "law 1"),
    Mutant("what is held is listed as it is", lists_what_is_held, LawTwo, 3, "law 2"),
    Mutant("404 for what is held", answers_held_with(404), LawTwo, 3, "law 2"),
    Mutant("403 for what is held", answers_held_with(403), LawTwo, 3, "law 2"),
    Mutant("404 for a collection that is held", calls_held_collections_absent, LawTwo, 12, "law 2"),
    Mutant("a home without what is held", leaves_held_collections_out, LawTwo, 2, "law 2"),
    Mutant("403 for a token of a lost state", refuses_tokens_of_a_lost_state, Simulation, 0, "I15"),
    Mutant("devices begin anew after a loss", lets_devices_begin_anew, LawTwo, 3, "law 2"),
    Mutant("a list after a proof of loss", lists_after_a_proof, LawTwo, 3, "law 2"),
    Mutant("a list after an end in doubt", lists_after_a_lost_end, LawTwo, 12, "law 2"),
    Mutant("a token off the stream is taken", takes_any_token, LawTwo, 24, "law 2"),
    Mutant("a list is shortened", shortens_lists, LawTwo, 0, "law 2"),
    Mutant("a sync is shortened", shortens_syncs, Simulation, 2, "I12"),
    Mutant("404 for a collection that is there", calls_collections_absent, Simulation, 10, "I15"),
)
