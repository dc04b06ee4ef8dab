"""The rules of accounts: names, credentials, what a new account has, and what erasing one means."""

from __future__ import annotations

import re
from hashlib import sha256

import msgspec

from safehold.formats.doubt import PREFIX as DOUBT_PREFIX
from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.formats.modes import MODES
from safehold.formats.travelling import CONFIG, TRAVELLING
from safehold.model.change import ID_BYTES, Change, Op
from safehold.model.commands import (
    AcceptLoss,
    AddAccount,
    AddAppPassword,
    Body,
    EraseAccount,
    FoundInstallation,
    NameAccount,
    NoteErased,
    NoteInstallation,
    NoteUse,
    Outcome,
    RevokeAppPassword,
    SetListed,
    SetPassword,
)
from safehold.model.errors import BadRequest, Conflict, Forbidden, Held, NotFound
from safehold.model.items import Account, Collection
from safehold.model.kinds import PATH_IDENTITY, ROOT_NOTES, ROOT_PHOTOS, CollectionType, Kind
from safehold.model.token import TOKEN_KEY
from safehold.ports.core import INTAKE, NOT_YET, TO_FOUND
from safehold.ports.world import Entropy
from safehold.service.addresses import MAIL
from safehold.service.ahead import PREFIX as AHEAD_PREFIX
from safehold.service.anew import PREFIX as ANEW_PREFIX
from safehold.service.anew import Anew
from safehold.service.announcements import ANNOUNCE_PREFIX
from safehold.service.collections import CollectionRules
from safehold.service.homes import PREFIX as HOME_PREFIX
from safehold.service.ledger import Ledger
from safehold.service.notices import NOTICE_PREFIX
from safehold.service.uses import USED_PREFIX, day_of, program_of, programs_in, with_use

#: The installation itself: its identity holds the token key, the configuration and the register of erased ids.
SYSTEM_ACCOUNT = bytes(16)
PROFILE, PASSWORD, BLOB_KEY = "profile", "password", "blob-key"
APP_PREFIX, ERASED_PREFIX = "app/", "erased/"

MEDIA_OCTETS = "application/octet-stream"
KEY_BYTES = 32
MAX_LABEL = 64
MAX_APP_PASSWORDS = 100

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
#: Names that are words of the URL space.
_RESERVED = frozenset(("principals",))

_DEFAULTS: tuple[tuple[Kind, str, CollectionType, frozenset[str], str], ...] = (
    (Kind.CONTACTS, "contacts/default", CollectionType.ADDRESSBOOK, frozenset(), "Contacts"),
    (Kind.CALENDAR, "calendars/default", CollectionType.CALENDAR, frozenset(("VEVENT",)), "Calendar"),
    (Kind.TASKS, "calendars/tasks", CollectionType.CALENDAR, frozenset(("VTODO",)), "Tasks"),
    (Kind.NOTES, "calendars/notes", CollectionType.CALENDAR, frozenset(("VJOURNAL",)), "Notes"),
    (Kind.NOTES, ROOT_NOTES, CollectionType.FOLDER, frozenset(), "Notes"),
    (Kind.PHOTOS, ROOT_PHOTOS, CollectionType.FOLDER, frozenset(), "Photos"),
)

#: Items of an identity by which nobody signs in.
_NO_CREDENTIALS = (
    HOME_PREFIX,
    USED_PREFIX,
    NOTICE_PREFIX,
    INTAKE_PREFIX,
    AHEAD_PREFIX,
    ANNOUNCE_PREFIX,
    ANEW_PREFIX,
    DOUBT_PREFIX,
)


def erased_id(item_name: str) -> bytes | None:
    """The account id that an item of the register of erased ids names; None for any other item."""
    if not item_name.startswith(ERASED_PREFIX):
        return None
    return bytes.fromhex(item_name.removeprefix(ERASED_PREFIX))


def touches_credentials(change: Change) -> bool:
    """Whether somebody may sign in otherwise after this change than before it."""
    return change.kind is Kind.IDENTITY and change.name != MAIL and not change.name.startswith(_NO_CREDENTIALS)


def check_account_name(name: str) -> str:
    """Raises BadRequest where a name cannot be an account's."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise BadRequest(
            f"{name!r} cannot be an account's name",
            hint="use up to 64 of a-z, 0-9 and . _ @ + - and begin with a letter or digit",
        )
    return name


class IdentityRules:
    def __init__(self, ledger: Ledger, entropy: Entropy, collections: CollectionRules) -> None:
        self._ledger = ledger
        self._entropy = entropy
        self._collections = collections
        #: Once none without a name was found: none loses it while this writer is open.
        self._all_named = False

    # -- accounts --------------------------------------------------------------------------------------------

    def add_account(self, command: AddAccount) -> Outcome:
        ledger = self._ledger
        check_account_name(command.name)
        if ledger.core.account_named(command.name) is not None:
            raise Conflict(f"there is an account {command.name} already")
        if ledger.core.account_by_id(command.account) is not None:
            raise Conflict("there is an account of this id already")
        self._require_names()
        account = Account(-1, command.account, command.name, False)
        with ledger.group():
            identity = self._make_identity(account, command.actor)
            account = ledger.account(command.account)
            self._write(account, identity, PROFILE, _profile(command.name, False), command.actor)
            self._write(account, identity, BLOB_KEY, self._entropy.bytes(KEY_BYTES), command.actor)
            if command.password is not None:
                self._write(account, identity, PASSWORD, command.password.encode(), command.actor)
            account = ledger.account(command.account)
            for kind, path, type_, components, title in _DEFAULTS:
                props = {"{DAV:}displayname": f'<displayname xmlns="DAV:">{title}</displayname>'}
                self._collections.create(account, kind, path, type_, command.actor, components, props)
        return Outcome(created=True, name=command.name)

    def _require_names(self) -> None:
        """Raises Conflict where an account has lost its name, which may be that of the one to be made: its devices
        would take the new one, in which nothing is, for theirs, and delete.
        """
        if self._all_named:
            return
        nameless = self._ledger.core.nameless(1)
        if nameless:
            raise Conflict(
                "no account can be made while one is here whose name has been lost: it may be this one",
                hint=f"`safehold account name {nameless[0].id.hex()} NAME` gives it its name again; "
                "`safehold account list` has all of them",
            )
        self._all_named = True

    def name_account(self, command: NameAccount) -> Outcome:
        """Only one that has none: devices know their account by its name."""
        ledger = self._ledger
        check_account_name(command.name)
        account = ledger.account(command.account)
        if account.id == SYSTEM_ACCOUNT:
            raise Forbidden("the installation itself has no name")
        held = ledger.held(account, Kind.IDENTITY)
        if held is not None:
            raise Held(
                f"the identity of this account cannot be changed now: {held}",
                hint="its loss has to be accepted first: `safehold recover run --yes --accept-loss`",
            )
        if account.name:
            raise Conflict(f"this account has a name: {account.name}", hint="its devices know it by that")
        if ledger.core.account_named(command.name) is not None:
            raise Conflict(f"there is an account {command.name} already")
        with ledger.group():
            if ledger.fresh(account, PATH_IDENTITY) is None:  # no source has ever heard of it
                self._found_anew(account, "its identity is in no source", command.actor)
            account = ledger.account(command.account)
            identity = self._identity(account)
            self._write(account, identity, PROFILE, _profile(command.name, False), command.actor)
            if command.password is not None:
                self._write(account, identity, PASSWORD, command.password.encode(), command.actor)
        return Outcome(name=command.name)

    def _left_of(self, account: Account) -> list[tuple[str, str, Body]]:
        """What lives of an identity whose collection is lost with its making; nothing can read it where it lies."""
        core, seen = self._ledger.core, set()
        left: list[tuple[str, str, Body]] = []
        for version in core.history(account.number, kind=Kind.IDENTITY):
            if version.op not in (Op.PUT, Op.DELETE) or version.name in seen:
                continue
            seen.add(version.name)
            if version.op is Op.PUT:
                stored = core.version_body(version.journal)
                if stored.inline is not None or stored.blob is not None:
                    body = Body(version.digest, version.size, inline=stored.inline, blob=stored.blob)
                    left.append((version.name, version.media, body))
        return left[::-1]

    def _make_identity(self, account: Account, actor: str) -> Collection:
        return self._collections.create(account, Kind.IDENTITY, PATH_IDENTITY, CollectionType.IDENTITY, actor)

    def _identity(self, account: Account) -> Collection:
        found = self._ledger.collection(account, PATH_IDENTITY)
        if found is None:
            raise NotFound("this account has no identity")
        return found

    def _write(self, account: Account, identity: Collection, name: str, data: bytes, actor: str) -> int:
        body = Body(sha256(data).digest(), len(data), inline=data)
        return self._ledger.put(account, identity, name, MEDIA_OCTETS, body, actor).rev

    def _set(self, id_: bytes, name: str, data: bytes, actor: str) -> Outcome:
        account = self._ledger.account(id_)
        return Outcome(rev=self._write(account, self._identity(account), name, data, actor), name=name)

    def erase(self, command: EraseAccount) -> Outcome:
        if command.account == SYSTEM_ACCOUNT:
            raise Forbidden("the installation itself cannot be erased")
        account = self._ledger.account(command.account)
        self.register_erased(account.id, command.actor)
        self._ledger.core.drop_account(account.id)
        self._ledger.forget_account(account)
        return Outcome(name=account.name)

    def note_erased(self, command: NoteErased) -> Outcome:
        core = self._ledger.core
        new = [id_ for id_ in command.erased if core.account_by_id(id_) is None]
        new = [id_ for id_ in dict.fromkeys(new) if core.secret(0, ERASED_PREFIX + id_.hex()) is None]
        with self._ledger.group():
            for id_ in new:
                self.register_erased(id_, command.actor)
        return Outcome(changed=bool(new))

    # -- the installation ------------------------------------------------------------------------------------

    def register_erased(self, id_: bytes, actor: str) -> None:
        record = msgspec.json.encode({"at": self._ledger.now})
        system = self._ledger.account(SYSTEM_ACCOUNT)
        self._write(system, self._identity(system), ERASED_PREFIX + id_.hex(), record, actor)

    def found(self, command: FoundInstallation) -> Outcome:
        if self._ledger.core.account_by_id(SYSTEM_ACCOUNT) is not None:
            return Outcome(changed=False)
        system = Account(0, SYSTEM_ACCOUNT, "", False)
        with self._ledger.group():
            identity = self._make_identity(system, command.actor)
            self._write(system, identity, TOKEN_KEY, self._entropy.bytes(KEY_BYTES), command.actor)
            for name, data in ((CONFIG, command.config.encode()), *sorted(command.items.items())):
                self._write(system, identity, name, data, command.actor)
        return Outcome(created=True)

    def note_installation(self, command: NoteInstallation) -> Outcome:
        if not command.items.keys() <= TRAVELLING | {MODES}:
            raise BadRequest("these are no items of the installation's own identity")
        system = self._ledger.account(SYSTEM_ACCOUNT)
        identity = self._identity(system)
        changed = False
        with self._ledger.group():
            for name, data in sorted(command.items.items()):
                if data == self._ledger.core.secret(0, name):
                    continue
                changed = True
                if data is None:
                    self._ledger.append(system, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=name)
                else:
                    self._write(system, identity, name, data, command.actor)
        return Outcome(changed=changed)

    # -- credentials -----------------------------------------------------------------------------------------

    def set_password(self, command: SetPassword) -> Outcome:
        return self._set(command.account, PASSWORD, command.password.encode(), command.actor)

    def add_app_password(self, command: AddAppPassword) -> Outcome:
        account = self._ledger.account(command.account)
        label = _check_label(command.label)
        held = self._ledger.core.secrets(account.number, APP_PREFIX)
        if any(name == APP_PREFIX + label for name, _ in held):
            raise Conflict(f"there is an app password {label!r} already", hint="revoke it or choose another label")
        if len(held) >= MAX_APP_PASSWORDS:
            raise Conflict(f"an account may have {MAX_APP_PASSWORDS} app passwords", hint="revoke one first")
        record = msgspec.json.encode({"sha256": command.sha256.hex(), "created": self._ledger.now})
        return self._set(command.account, APP_PREFIX + label, record, command.actor)

    def revoke_app_password(self, command: RevokeAppPassword) -> Outcome:
        account = self._ledger.account(command.account)
        identity = self._identity(account)
        name = APP_PREFIX + command.label
        if self._ledger.core.item(identity, name) is None:
            raise NotFound(f"there is no app password {command.label!r}")
        names = [name]
        if self._ledger.core.item(identity, USED_PREFIX + command.label) is not None:
            names.append(USED_PREFIX + command.label)
        with self._ledger.group():
            for gone in names:
                change = self._ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=gone)
        return Outcome(rev=change.rev, name=name)

    def note_use(self, command: NoteUse) -> Outcome:
        account = self._ledger.account(command.account)
        if self._ledger.core.secret(account.number, APP_PREFIX + command.label) is None:
            raise NotFound(f"there is no app password {command.label!r}")
        name = USED_PREFIX + command.label
        programs = programs_in(self._ledger.core.secret(account.number, name))
        record = with_use(programs, program_of(command.program), day_of(self._ledger.now))
        if record is None:
            return Outcome(changed=False, name=name)
        return self._set(command.account, name, record, command.actor)

    def set_listed(self, command: SetListed) -> Outcome:
        account = self._ledger.account(command.account)
        return self._set(command.account, PROFILE, _profile(account.name, command.listed), command.actor)

    # -- after a loss ----------------------------------------------------------------------------------------

    def accept_loss(self, command: AcceptLoss) -> Outcome:
        """The stream is served again; a GAP change says what was missing and that somebody took it on them.

        An identity is given anew what nothing can go on without.
        """
        account = self._ledger.account(command.account)
        held = self._ledger.core.held(account.number, command.kind)
        reason = (held or command.missing).removeprefix(TO_FOUND)
        if held == INTAKE or not reason:
            return Outcome(changed=False)
        if reason == NOT_YET:
            raise Conflict(
                f"{command.kind} of this account has not been lost: a recovery has left it out",
                hint="run `safehold recover run` without the filter",
            )
        collections = [c.id for c in self._ledger.core.collections(account.number) if c.kind is command.kind]
        self._ledger.core.hold(account.id, command.kind, None)
        with self._ledger.entering(account), self._ledger.group():
            change = self._ledger.append(
                account,
                command.kind,
                Op.GAP,
                collections[0] if collections else bytes(ID_BYTES),
                command.actor,
                props={"missing": reason},
            )
            if command.kind is Kind.IDENTITY:
                self._found_anew(account, reason, command.actor)
        return Outcome(rev=change.rev)

    def _found_anew(self, account: Account, missing: str, actor: str) -> None:
        """What this identity cannot do without, where it is lost: see service/anew.py."""
        core = self._ledger.core
        left: list[tuple[str, str, Body]] = []
        made: list[str] = []
        identity = self._ledger.fresh(account, PATH_IDENTITY)
        if identity is None:
            left = self._left_of(account)
            identity = self._make_identity(account, actor)
            account = self._ledger.account(account.id)
            for name, media, body in left:
                self._ledger.put(account, identity, name, media, body, actor)
        key = TOKEN_KEY if account.id == SYSTEM_ACCOUNT else BLOB_KEY
        if core.secret(account.number, key) is None:
            self._write(account, identity, key, self._entropy.bytes(KEY_BYTES), actor)
            made.append(key)
        if left or made:
            record = Anew(self._ledger.now, missing, tuple(made), tuple(name for name, _, _ in left))
            self._write(account, identity, record.name, msgspec.json.encode(record), actor)


def _profile(name: str, listed: bool) -> bytes:
    return msgspec.json.encode({"name": name, "listed": listed})


def _check_label(label: str) -> str:
    if not label or len(label) > MAX_LABEL or not label.isprintable() or "/" in label:
        raise BadRequest(f"a label has 1 to {MAX_LABEL} printable characters and no slash")
    return label
