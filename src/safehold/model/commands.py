"""Commands and outcomes: what protocols, pages and the command line ask of the service, and what became of it.

A command is judged and applied within one transaction, so its preconditions travel inside it. Commands are
plain values that pass unchanged over the local socket (msgpack, tagged by their class name).
"""

from __future__ import annotations

import msgspec

from safehold.model.guards import Guard
from safehold.model.kinds import CollectionType, Kind
from safehold.model.locks import Lock, Scope


class Tags(msgspec.Struct, frozen=True):
    """An If-Match or If-None-Match header (RFC 9110 section 13.1): any existing resource, or one of these digests.

    `digests` holds body digests of well-formed strong tags of ours; a tag that cannot be ours matches nothing.
    """

    any: bool = False
    digests: tuple[bytes, ...] = ()


class Body(msgspec.Struct, frozen=True):
    """A body on its way in: inline, or a blob that already lies in every sync vault."""

    digest: bytes
    size: int
    inline: bytes | None = None
    blob: bytes | None = None


class Command(msgspec.Struct, frozen=True, tag=True, tag_field="command", kw_only=True):
    """Base of all commands. `account` is the account's id; `actor` names who acts, for the history."""

    account: bytes
    actor: str = "operator"


class Guarded(Command, frozen=True, kw_only=True):
    """A change that a device asks for over DAV. Without a guard it is the operator's word, which goes past locks."""

    guard: Guard | None = None


class PutItem(Guarded, frozen=True):
    """Create or replace an item. The body is valid for its collection type (judged before, it needs no state)."""

    path: str
    name: str
    body: Body
    media: str
    uid: str | None = None  # of a vCard or iCalendar object: unique within its collection
    component: str | None = None  # of an iCalendar object: must be in the collection's component set
    if_match: Tags | None = None
    if_none_match: Tags | None = None
    keep_refused: bool = True  # keep the body in history where a precondition refuses it
    intake: bool = False  # take it in for later where its stream cannot be had now


class DeleteItem(Guarded, frozen=True):
    """Remove an item."""

    path: str
    name: str
    if_match: Tags | None = None
    if_none_match: Tags | None = None
    intake: bool = False  # as in PutItem


class MakeCollection(Guarded, frozen=True):
    """Make a collection at `path`; its parent exists or is a home. `props` as `canonical_props` takes them."""

    path: str
    type: CollectionType
    components: frozenset[str] = frozenset()
    props: dict[str, str] = {}


class RemoveCollection(Guarded, frozen=True):
    """Remove a collection, everything in it and every collection below it, as one group."""

    path: str
    if_match: Tags | None = None


class PatchProps(Guarded, frozen=True):
    """Set and remove properties of a collection, or of an item where `name` is not None (RFC 4918 section 9.2).

    All or nothing; in document order, a name in both ends as the last instruction says (`set` wins here: the
    protocol resolves order first).
    """

    path: str
    name: str | None = None
    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Transfer(Guarded, frozen=True):
    """Copy an item or a folder to another path, or move it there (RFC 4918 sections 9.8, 9.9), as one group.

    If-Match and If-None-Match are about the source. Without `deep` a folder is copied without what is in it.
    """

    source: str
    destination: str
    move: bool = False
    deep: bool = True
    overwrite: bool = True
    if_match: Tags | None = None
    if_none_match: Tags | None = None


class TakeLock(Guarded, frozen=True):
    """Lock a file or folder; with `make`, where nothing is, an empty file of this `media` (RFC 4918 section 7.3)."""

    path: str
    scope: Scope
    deep: bool
    seconds: int
    owner: str = ""  # the DAV:owner element
    media: str = ""
    make: bool = True


class RefreshLock(Guarded, frozen=True):
    """Let the one lock whose token the guard submits last for so long from now (RFC 4918 section 9.10.2)."""

    path: str
    seconds: int


class ReleaseLock(Guarded, frozen=True):
    """End the lock of this token, in whose scope the path is (RFC 4918 section 9.11)."""

    path: str
    token: str


class AddScore(Command, frozen=True):
    """Record a score; an unknown game is made. `detail` is JSON text."""

    game: str
    score: float | int
    at: int | None = None  # µs; now where None
    detail: str | None = None
    intake: bool = False  # as in PutItem


class FoundInstallation(Command, frozen=True):
    """The first change of all: the installation's own identity, with the key of sync tokens and the configuration.

    `items` are those of formats/travelling.py.
    """

    config: str
    items: dict[str, bytes] = {}


class NoteInstallation(Command, frozen=True):
    """Items of formats/travelling.py in the installation's identity, None to remove one; what is so already stays."""

    items: dict[str, bytes | None]


class AddAccount(Command, frozen=True):
    """Make an account with its default collections. `account` is the new id; `password` an argon2 hash or None."""

    name: str
    password: str | None = None


class NameAccount(Command, frozen=True):
    """Give an account whose name is in no source a name again, and a password (an argon2 hash) where one is given."""

    name: str
    password: str | None = None


class SetPassword(Command, frozen=True):
    """Replace the account's password by this argon2 hash."""

    password: str


class AddAppPassword(Command, frozen=True):
    """Add an app password: random, so one SHA-256 suffices. `label` is what the person calls the device."""

    label: str
    sha256: bytes


class RevokeAppPassword(Command, frozen=True):
    label: str


class NoteUse(Command, frozen=True):
    """Take down that a program used an app password today; once a day and program it is a change."""

    label: str
    program: str


class NoteAhead(Command, frozen=True):
    """Take down that a device holds a sync token for a point that the server does not have: `collection` is its id."""

    collection: bytes
    path: str
    rev: int
    hash: bytes
    device: str


class LetGo(Command, frozen=True):
    """The person's word about what devices have proved to be lost from the collection at a path (service/ahead.py).

    With `service.ahead.END` for a path: about what may have been lost with the end of the log; only "accept" then.

    "keep": such a device keeps what it alone has; "accept": it begins anew, and what it alone has goes from it.
    """

    path: str
    word: str = "accept"


class NoteDoubt(Command, frozen=True):
    """Put into the log what the core says of a recovery that could not know the log's end."""


class AcceptEnd(Command, frozen=True):
    """The operator's word: what may have been lost with the log's end is gone, for everybody."""


class SetListed(Command, frozen=True):
    """Whether the account is shown on leaderboards."""

    listed: bool


class TellNotice(Command, frozen=True):
    """A recovery, or the operator's side of the house, tells a person something (service/notices.py)."""

    what: str
    kind: str = ""
    collection: str = ""
    names: tuple[str, ...] = ()
    count: int = 1
    facts: dict[str, str | int | float | bool | list[str] | dict[str, int] | None] = {}


class DismissNotice(Command, frozen=True):
    """The person has read a notice and puts it away; `name` is its key (service/notices.py)."""

    name: str


class Announce(Command, frozen=True):
    """The operator's word to everybody; `account` is the installation itself. `until` in µs, None: until taken back."""

    text: str
    until: int | None = None


class Withdraw(Command, frozen=True):
    """Take an announcement back; `name` as its making returned it."""

    name: str


class SetMail(Command, frozen=True):
    """Where a person wants to be written to (service/addresses.py); "" for nowhere. `lang` is "en" or "es"."""

    address: str
    lang: str = "en"


class EraseAccount(Command, frozen=True):
    """Drop the account and all its streams from the core and enter its id in the register of erased ids.

    With `braked`, beyond so many within a while, it is only locked, and erased after a grace: see service/brakes.py.
    """

    braked: bool = False


class NoteErased(Command, frozen=True):
    """Enter ids in the register of erased ones, of which a recovery knows by another's word; `account` is the
    installation itself. What is there already stays, and so does an account that lives here.
    """

    erased: tuple[bytes, ...]


class TakeBackErasure(Command, frozen=True):
    """Unlock an account that waits to be erased."""


class TellRest(Command, frozen=True):
    """Bring notices of deletes that go on up to date: the writer asks it of itself."""


class Undo(Command, frozen=True):
    """Bring an item (`path`, `name`), a collection (`path`), a kind or all kinds back to what it was.

    When: at `to` (µs), or after the revs of `revs`; then kinds that are not named there stay. What: with `deep` the
    collections below `path` as well; with `deleted_only` what has been deleted since comes back, and all else stays.

    A new group of changes; nothing is rewritten. One that removes a great share of a collection asks to be `confirmed`.
    With `dry_run` it only says what it would do.
    """

    to: int | None = None
    revs: dict[Kind, int] = {}
    kind: Kind | None = None
    path: str | None = None
    name: str | None = None
    deep: bool = False
    deleted_only: bool = False
    confirmed: bool = False
    dry_run: bool = False


class AcceptLoss(Command, frozen=True):
    """The operator's recorded word that a stream's missing revisions are gone: it is served again.

    `missing` says what is, where a recovery was told so beforehand and does not hold the stream.
    """

    kind: Kind
    missing: str = ""


class NoteGhosts(Command, frozen=True):
    """Put on record which changes of the account have no body in any source: see service/ghosts.py.

    Those that the core itself has without their body; and of `large` bodies, by kind, the revs that a recovery names.
    """

    large: dict[Kind, tuple[int, ...]] = {}


class DropGhosts(Command, frozen=True):
    """The person's word that items whose body is in no source are gone: they are deleted. `kind` None means all."""

    kind: Kind | None = None


class ApplyIntake(Command, frozen=True):
    """Apply the first writes that wait in the account's intake and whose streams are there; see `service.intake`."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did. `digest` is the item's ETag value after it; `rev` the stream's last rev it made (0: none)."""

    created: bool = False
    changed: bool = True  # False: it was so already, and no change was made
    digest: bytes = b""
    rev: int = 0
    path: str = ""
    name: str = ""
    undone: tuple[UndoneItem, ...] = ()
    taken: bool = False  # it waits in the intake: nothing is known of what was there, and there is no digest yet
    revs: dict[Kind, int] = {}  # of an undo: the moment that it went back to, as Undo takes it
    before: dict[Kind, int] = {}  # of an undo: the moment before it, for the undo of it
    more: bool = False  # of an undo, or of ghosts: so much differs that this was a part of it; again does the next
    due: int = 0  # of an erasure: when (µs) the account, which is locked now, will be erased; 0: it is
    locks: tuple[Lock, ...] = ()  # that cover the path afterwards; first the one that was taken or renewed


class UndoneItem(msgspec.Struct, frozen=True):
    """One line of an undo: `action` is "added", "changed" or "removed", as the undo makes it.

    "left": it cannot come back, since another resource bears its UID now, or its body is in no source.
    """

    path: str
    name: str  # "" for the collection itself
    action: str


AnyCommand = (
    PutItem
    | DeleteItem
    | MakeCollection
    | RemoveCollection
    | PatchProps
    | Transfer
    | TakeLock
    | RefreshLock
    | ReleaseLock
    | AddScore
    | FoundInstallation
    | NoteInstallation
    | AddAccount
    | NameAccount
    | SetPassword
    | AddAppPassword
    | RevokeAppPassword
    | NoteUse
    | NoteAhead
    | LetGo
    | NoteDoubt
    | AcceptEnd
    | SetListed
    | TellNotice
    | DismissNotice
    | Announce
    | Withdraw
    | SetMail
    | EraseAccount
    | NoteErased
    | TakeBackErasure
    | TellRest
    | Undo
    | AcceptLoss
    | NoteGhosts
    | DropGhosts
    | ApplyIntake
)
