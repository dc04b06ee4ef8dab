"""What devices have proved to be lost here: points beyond a stream, as their sync tokens name them.

A token of ours whose hash is not on its stream is proof that a collection once held what the server does not have
(DESIGN section 5). Who shows it is answered 503. But most devices show none: they list, and delete what is not listed.
So the proof is kept, as an item `ahead/…` of the account's identity, and for as long as it stands the collection is not
whole (I64): no listing of it is given, no name in it is called absent, and where the collection itself was lost its
home is not listed either. Who shows a token that is on the stream is answered as always, and every write is taken.

A proof ends

- by itself, once its point is on the stream again (a recovery went further), or lies before the stream's base, where
  nobody can tell any more;
- by the person's word (`LetGo`): then the record stays, marked with it. "keep": the token is answered with all that
  lives here and with no delete, which is an answer to a sync and no new start, so that what the device alone has stays
  on it. "accept": the token leads to a new start, and what the device alone has goes from it.

No answer of a server makes a device send anew what it believes to be synced: what it alone has comes back as a file
that the person exports on it and imports.

Where a recovery could not know how the log had ended, nobody has to prove anything (`formats/doubt.py`): until the
operator accepts what may be lost (`AcceptEnd`), or a person for their account (`LetGo` of END, kept as a proof that was
let go), no list is given that is not the answer to a good token, and nothing is called absent.

What could not be written, since a vault was away, is remembered here until it is; the device shows its token again.

The body is JSON: `{"collection", "path", "rev", "hash", "device", "at", "let_go", "word"}`; ids and hashes in hex,
times in µs.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from safehold.formats import doubt as doubts
from safehold.formats.doubt import Doubt
from safehold.model.change import Op
from safehold.model.commands import AcceptEnd, Body, LetGo, NoteAhead, NoteDoubt, Outcome
from safehold.model.errors import BadRequest, Conflict, Held, NotFound
from safehold.model.items import Account, Collection
from safehold.model.kinds import DATA_KINDS, PATH_IDENTITY, Kind
from safehold.model.paths import parent
from safehold.model.token import SyncPoint
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger

PREFIX = "ahead/"
_MEDIA = "application/json"
#: Proofs of one account. More would tell no more: its collections are closed already.
MAX_PROOFS = 64
#: Proofs that are remembered while they cannot be written.
MAX_REMEMBERED = 1000
RETRY_SECONDS = 3600

#: Stands for a path in the person's word about the end of the log. No collection can lie there.
END = "the end"
_END = "end"  # for the id of a collection, in the record of that word

KEEP = "keep"
ACCEPT = "accept"


class Proof(msgspec.Struct, frozen=True):
    """A point that a device has seen and that is not on the stream. `let_go` is when the person said `word` of it."""

    collection: str
    path: str
    rev: int
    hash: str
    device: str
    at: int
    let_go: int = 0
    word: str = ""

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.collection}-{self.hash}"


_decode = msgspec.json.Decoder(Proof).decode


def proofs_of(reads: CoreReads, account: Account) -> list[Proof]:
    """All on record, whether they stand or not. Raises Held where one cannot be read."""
    try:
        return [_decode(body) for _, body in reads.secrets(account.number, PREFIX)]
    except msgspec.MsgspecError as error:
        raise Held("what your devices have seen cannot be read") from error


def let_go(reads: CoreReads, account: Account, point: SyncPoint) -> str:
    """What the person said of what this point proves, the same or less of the same collection; "" for nothing."""
    collection = point.collection.hex()
    said = (p for p in proofs_of(reads, account) if p.let_go and p.collection == collection and p.rev >= point.rev)
    last = max(said, key=lambda proof: proof.let_go, default=None)
    return "" if last is None else last.word or ACCEPT


def _stands(reads: CoreReads, account: Account, proof: Proof) -> bool:
    """Whether the point is on no stream of the account, and could be: not where history has been dropped."""
    if proof.let_go:
        return False
    wanted = bytes.fromhex(proof.hash)
    for kind in DATA_KINDS:
        there = reads.hash_at(account.number, kind, proof.rev)
        if there is not None and there[: len(wanted)] == wanted:
            return False
    return not _before_the_base(reads, account, proof)


def _before_the_base(reads: CoreReads, account: Account, proof: Proof) -> bool:
    kinds: Iterable[Kind] = DATA_KINDS
    collection = reads.collection(account.number, proof.path)
    if collection is not None:
        kinds = (collection.kind,)
    bases = [reads.base(account.number, kind) for kind in kinds]
    return all(base is not None and proof.rev < base.rev for base in bases)


def doubts_of(reads: CoreReads) -> list[Doubt]:
    """Recoveries that could not know how the log had ended, and for which the operator has not accepted it."""
    noted = reads.end_in_doubt()
    found = [doubts.parse(body, name.removeprefix(doubts.PREFIX)) for name, body in reads.secrets(0, doubts.PREFIX)]
    return [doubts.parse(noted), *found] if noted else found


def standing_doubts(reads: CoreReads, account: Account) -> list[Doubt]:
    """Those of which this person has said nothing either. Raises Held."""
    found = doubts_of(reads)
    if not found:
        return []
    said = {proof.hash for proof in proofs_of(reads, account) if proof.collection == _END}
    return [doubt for doubt in found if doubt.mark not in said]


def require_end(reads: CoreReads, account: Account) -> None:
    """Raises Held where what is not here may have been lost with the end of the log."""
    if standing_doubts(reads, account):
        raise Held(
            "this cannot be listed now: the end of what was written before the last loss is not known",
            hint="keep your devices as they are; the page of your devices says how to go on",
            retry_after_seconds=RETRY_SECONDS,
        )


class Proofs:
    """Those that stand: on record, or remembered until they are. Used from any thread."""

    def __init__(self) -> None:
        self._unwritten: dict[tuple[bytes, str], Proof] = {}

    def remember(self, account: Account, proof: Proof) -> None:
        if len(self._unwritten) >= MAX_REMEMBERED:
            self._unwritten.pop(next(iter(self._unwritten)), None)
        self._unwritten[account.id, proof.name] = proof

    def forget(self, account: Account, proof: Proof) -> None:
        """It is on record."""
        self._unwritten.pop((account.id, proof.name), None)

    def standing(self, reads: CoreReads, account: Account) -> list[Proof]:
        """Raises Held."""
        found = proofs_of(reads, account)
        if self._unwritten:
            known = {proof.name for proof in found}
            unwritten = list(self._unwritten.items())
            found += [proof for (id_, name), proof in unwritten if id_ == account.id and name not in known]
        return [proof for proof in found if _stands(reads, account, proof)]

    def require_listable(self, reads: CoreReads, account: Account, collection: Collection) -> None:
        """Raises Held where this collection may lack something: that is proved, or the log's end is in doubt."""
        require_end(reads, account)
        id_ = collection.id.hex()
        for proof in self.standing(reads, account):
            if proof.collection == id_ or proof.path == collection.path:
                raise refusal(proof)

    def require_absence(self, reads: CoreReads, account: Account, path: str, *, to_make: bool = False) -> None:
        """Raises Held where a collection may have lain at this path: that is proved, or the log's end is in doubt.

        A doubt hinders nobody who wants `to_make` something there.
        """
        if not to_make:
            require_end(reads, account)
        for proof in self.standing(reads, account):
            if proof.path == path:
                raise refusal(proof)

    def require_home(self, reads: CoreReads, account: Account, home: str) -> None:
        """Raises Held where a collection may have been lost with its making from below this home."""
        require_end(reads, account)
        lost = [proof for proof in self.standing(reads, account) if parent(proof.path) == home]
        if not lost:
            return
        known = on_record(reads, account)
        for proof in lost:
            if bytes.fromhex(proof.collection) not in known and reads.collection(account.number, proof.path) is None:
                raise refusal(proof)


def on_record(reads: CoreReads, account: Account) -> frozenset[bytes]:
    """The ids of the account's collections, and of those that were removed, wherever they lay.

    A token may be shown at another place than its own: it proves a loss there no more than at its own.
    """
    live = (collection.id for collection in reads.collections(account.number))
    removed = (r.collection.id for kind in DATA_KINDS for r in reads.removed_collections(account.number, kind))
    return frozenset((*live, *removed))


def refusal(proof: Proof) -> Held:
    return Held(
        f"{proof.path} cannot be listed now: {proof.device} has seen changes in it that the server does not have",
        hint="keep your devices as they are; the page of your devices says how to go on",
        retry_after_seconds=RETRY_SECONDS,
    )


class AheadRules:
    """What is written of it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def note(self, command: NoteAhead) -> Outcome:
        """Take a proof down, once. Raises Conflict where the account has as many as are kept."""
        ledger = self._ledger
        account = ledger.account(command.account)
        proof = Proof(
            command.collection.hex(), command.path, command.rev, command.hash.hex(), command.device, ledger.now
        )
        there = proofs_of(ledger.core, account)
        if any(known.name == proof.name for known in there):
            return Outcome(changed=False, path=command.path)
        if len(there) >= MAX_PROOFS:
            raise Conflict(f"{MAX_PROOFS} proofs of a loss are on record for this account")
        self._write(account, [proof], command.actor)
        return Outcome(path=command.path)

    def let_go(self, command: LetGo) -> Outcome:
        """The person's word about what was seen of a path. Raises NotFound where nothing is on record, BadRequest."""
        if command.word not in (KEEP, ACCEPT):
            raise BadRequest(f"{command.word!r} is no word about a device", hint=f"{KEEP} or {ACCEPT}")
        account = self._ledger.account(command.account)
        if command.path == END:
            return self._let_go_of_the_end(account, command)
        there = [p for p in proofs_of(self._ledger.core, account) if p.path == command.path and not p.let_go]
        if not there:
            raise NotFound(f"no device has proved a loss in {command.path}")
        now = self._ledger.now
        self._write(
            account, [msgspec.structs.replace(proof, let_go=now, word=command.word) for proof in there], command.actor
        )
        return Outcome(path=command.path)

    def _let_go_of_the_end(self, account: Account, command: LetGo) -> Outcome:
        if command.word != ACCEPT:
            raise BadRequest("a device that only lists cannot be told to keep what is not listed", hint=ACCEPT)
        standing = standing_doubts(self._ledger.core, account)
        if not standing:
            raise NotFound("nothing is in doubt")
        now = self._ledger.now
        said = [Proof(_END, END, 0, doubt.mark, "", doubt.at, now, command.word) for doubt in standing]
        self._write(account, said, command.actor)
        return Outcome(path=END)

    def note_doubt(self, command: NoteDoubt) -> Outcome:
        """What the core says of it goes into the installation's identity, in the transaction that ends it there."""
        noted = self._ledger.core.end_in_doubt()
        if not noted:
            return Outcome(changed=False)
        account, identity = self._identity(command.account)
        body = Body(sha256(noted).digest(), len(noted), inline=noted)
        self._ledger.put(account, identity, doubts.parse(noted).name, _MEDIA, body, command.actor)
        self._ledger.core.set_end_in_doubt(b"")
        return Outcome()

    def accept_end(self, command: AcceptEnd) -> Outcome:
        """For all accounts. Nothing changes where nothing is in doubt."""
        account, identity = self._identity(command.account)
        with self._ledger.group():
            self.note_doubt(NoteDoubt(account=command.account, actor=command.actor))
            names = [name for name, _ in self._ledger.core.secrets(account.number, doubts.PREFIX)]
            for name in names:
                self._ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=name)
        return Outcome(changed=bool(names))

    def _identity(self, id_: bytes) -> tuple[Account, Collection]:
        """Raises Held."""
        account = self._ledger.account(id_)
        identity = self._ledger.collection(account, PATH_IDENTITY)
        if identity is None:
            raise Held("the identity of this account is not here now")
        return account, identity

    def _write(self, account: Account, proofs: list[Proof], actor: str) -> None:
        ledger = self._ledger
        _, identity = self._identity(account.id)
        with ledger.group():
            for proof in proofs:
                data = msgspec.json.encode(proof)
                body = Body(sha256(data).digest(), len(data), inline=data)
                ledger.put(account, identity, proof.name, _MEDIA, body, actor)
