"""The guests of a vault server: installations that it holds a vault for, and who may ask for which.

    installations/<guest>/guest.json    what is written here, whole or not at all
    installations/<guest>/vault/        the vault
    installations/<guest>/run/          what its alarms remember

A guest's name is random and says nothing of the installation, so nobody who knows an installation's id can ask for its
vault, or take its place. Tokens are 32 random bytes that the client makes; the server knows their SHA-256. A code
(formats/vaultcode.py) is good once: whoever redeems it names the installation and the digest of its token. The same
redeemed again with the same token changes nothing and succeeds, for the first answer may have been lost.

Whoever asks with a wrong token, or for a guest that is not there, is refused alike: both take one digest and one
comparison of 32 bytes in constant time for each token there might be (`PROOFS`), and nothing is read from disk for it;
where a code is redeemed, all records are, whoever asks.

Where a record cannot be read, or is gone, nobody is let in for that guest, whatever it said before: it may be the one
that takes a token back. What it said is still known, for alarms that miss the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple, TypeVar

import msgspec

from safehold.formats.keys import FINGERPRINT_BYTES
from safehold.formats.vaultcode import GUEST_BYTES, SECRET_BYTES
from safehold.model.errors import NotFound, OperatorError
from safehold.ports.disk import Disk
from safehold.ports.world import Clock, Entropy

FOLDER = "installations"
RECORD = "guest.json"
TOKEN_BYTES = 32
#: Tokens and codes that one guest may have; so many comparisons every judgement takes.
PROOFS = 16
CODE_HOURS = 48
_MAX_RECORD_BYTES = 1 << 20
_NOBODY = bytes(32)
_HOUR = 3600 * 1_000_000
T = TypeVar("T")


class Token(msgspec.Struct, frozen=True):
    digest: str  # SHA-256, hex
    may_append: bool
    made: int  # µs
    name: str = ""
    may_mend: bool = False


class Code(msgspec.Struct, frozen=True):
    """A one-time code. `used` is the digest of the token that it was redeemed for."""

    digest: str  # SHA-256 of its secret, hex
    until: int  # µs
    read_only: bool = False
    used: str = ""
    made: int = 0  # µs
    keeper: bool = False  # its token may not append, and may mend


class GuestRecord(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # what the server's operator calls it
    made: int  # µs
    installation: str = ""  # hex; "" until a code was redeemed
    quota_bytes: int = 0  # 0: what the disk has room for
    dead_man_seconds: int = 0  # 0: no alarm
    tokens: list[Token] = []
    codes: list[Code] = []


class Guest(NamedTuple):
    id: str  # 32 hexadecimal digits
    record: GuestRecord


class Admitted(NamedTuple):
    guest: Guest
    may_append: bool
    may_mend: bool = False


class Revoked(NamedTuple):
    guest: Guest
    tokens: int
    codes: int


class Guests:
    """`folder` is the server's. Several processes may change records: each change is made under `lock`."""

    def __init__(
        self, folder: str, disk: Disk, clock: Clock, entropy: Entropy, lock: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._entropy = entropy
        self._lock = lock
        self._known: dict[str, Guest] = {}
        #: Guests whose record cannot be read, and why.
        self.closed: dict[str, str] = {}

    # -- who is there

    def load(self) -> None:
        """Read all records anew. Raises OSError."""
        known: dict[str, Guest] = {}
        closed: dict[str, str] = {}
        try:
            names = [entry.name for entry in self._disk.list(self._at(""))]
        except FileNotFoundError:
            names = []
        for name in filter(is_guest, names):
            try:
                known[name] = Guest(name, self._read(name))
            except FileNotFoundError:
                if name in self._known:  # else somebody is just being invited
                    closed[name] = "it is gone"
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                closed[name] = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._known = {**{name: self._known[name] for name in closed if name in self._known}, **known}
        self.closed = closed

    def reload(self) -> None:
        """As `load`, and in nobody's way who changes something. Raises OSError."""
        with self._lock():
            self.load()

    def all(self) -> list[Guest]:
        return sorted(self._known.values(), key=lambda guest: (guest.record.name, guest.id))

    def find(self, wanted: str) -> Guest:
        """By id or by name. Raises NotFound."""
        found = [guest for guest in self.all() if wanted in (guest.id, guest.record.name)]
        if len(found) != 1:
            why = "there is no guest" if not found else "more than one guest is called"
            raise NotFound(f"{why} {wanted!r}", hint="`safehold vault guests` lists them")
        if found[0].id in self.closed:
            raise OperatorError(
                f"the record of {wanted} cannot be read: {self.closed[found[0].id]}",
                hint=f"bring back {self._at(found[0].id, RECORD)}, or remove its folder",
            )
        return found[0]

    def vault_folder(self, guest: str) -> str:
        return self._at(guest, "vault")

    def run_folder(self, guest: str) -> str:
        return self._at(guest, "run")

    # -- judging

    def admit(self, guest: str, token: bytes) -> Admitted | None:
        """Who this is; None for a stranger, whoever they ask for."""
        known = self._open(guest)
        proofs = [(bytes.fromhex(t.digest), t) for t in known.record.tokens] if known is not None else []
        found = _matching(token, proofs)
        return None if known is None or found is None else Admitted(known, found.may_append, found.may_mend)

    def redeem(self, guest: str, secret: bytes, installation: bytes, token: bytes) -> Admitted | None:
        """Let an installation in on a code. `token` is the digest of the one that it made. None for a stranger.

        Raises OSError where it cannot be noted.
        """
        with self._lock():
            self.load()
            known = self._open(guest)
            proofs = [(bytes.fromhex(c.digest), c) for c in known.record.codes] if known is not None else []
            code = _matching(secret, proofs)
            well_formed = len(installation) == FINGERPRINT_BYTES and len(token) == len(_NOBODY)
            if known is None or code is None or not well_formed or self._clock.now() > code.until:
                return None
            record = known.record
            if record.installation not in ("", installation.hex()) or code.used not in ("", token.hex()):
                return None
            may_append = not code.read_only
            if not code.used:
                made = Token(token.hex(), may_append, self._clock.now(), may_mend=code.keeper)
                used = msgspec.structs.replace(code, used=token.hex())
                record = msgspec.structs.replace(
                    record,
                    installation=installation.hex(),
                    tokens=[*record.tokens, made],
                    codes=[used if c is code else c for c in record.codes],
                )
                self._write(guest, record)
            return Admitted(self._known[guest], may_append, code.keeper)

    def _open(self, guest: str) -> Guest | None:
        return None if guest in self.closed else self._known.get(guest)

    # -- by the server's operator

    def invite(self, name: str, *, quota_bytes: int = 0, dead_man_seconds: int = 0) -> Guest:
        """A new guest, who has nothing yet. Raises OperatorError, OSError."""
        with self._lock():
            self.load()
            if any(guest.record.name == name for guest in self.all()):
                raise OperatorError(
                    f"there is a guest {name!r} already", hint="choose another name, or --for it a further code"
                )
            guest = self._entropy.bytes(GUEST_BYTES).hex()
            record = GuestRecord(
                name=name, made=self._clock.now(), quota_bytes=quota_bytes, dead_man_seconds=dead_man_seconds
            )
            self._disk.make_folders(self._at(guest))
            self._write(guest, record)
            return self._known[guest]

    def change(self, guest: str, **fields: Any) -> Guest:
        """Raises NotFound, OSError."""
        with self._lock():
            self.load()
            self._write(guest, msgspec.structs.replace(self.find(guest).record, **fields))
            return self._known[guest]

    def new_code(self, guest: str, *, read_only: bool = False, keeper: bool = False, hours: int = CODE_HOURS) -> bytes:
        """The secret of a further code. Raises NotFound, OperatorError, OSError."""
        with self._lock():
            self.load()
            record = self.find(guest).record
            now = self._clock.now()
            codes = [code for code in record.codes if code.until >= now]
            unused = sum(not code.used for code in codes)
            if len(codes) >= PROOFS or len(record.tokens) + unused >= PROOFS:  # a token beyond opens nothing
                raise OperatorError(
                    f"{record.name} has {len(record.tokens)} tokens and {unused} codes: that is enough",
                    hint="take back tokens that nobody uses: `safehold vault guests --revoke`",
                )
            secret = self._entropy.bytes(SECRET_BYTES)
            code = Code(sha256(secret).hexdigest(), now + hours * _HOUR, read_only or keeper, made=now, keeper=keeper)
            self._write(guest, msgspec.structs.replace(record, codes=[*codes, code]))
            return secret

    def open_codes(self, guest: Guest) -> list[Code]:
        """Those that can still be used."""
        now = self._clock.now()
        return [code for code in guest.record.codes if not code.used and code.until >= now]

    def revoke(self, digest: str) -> Revoked:
        """Take back a token, or a code that was not used, named by the beginning of its digest.

        Raises NotFound, OSError.
        """
        with self._lock():
            self.load()
            known = [(guest, token.digest) for guest in self.all() for token in guest.record.tokens]
            known += [(guest, code.digest) for guest in self.all() for code in self.open_codes(guest)]
            found = [(guest, whole) for guest, whole in known if whole.startswith(digest)]
            if len(found) != 1 or not digest:
                raise NotFound(
                    f"{len(found)} tokens and codes begin with {digest!r}", hint="`safehold vault guests` lists them"
                )
            guest, gone = found[0]
            return self._take_back(self.find(guest.id), lambda one: one.digest == gone)

    def revoke_all(self, wanted: str) -> Revoked:
        """All tokens and codes of a guest, which keeps its place. Raises NotFound, OperatorError, OSError."""
        with self._lock():
            self.load()
            return self._take_back(self.find(wanted), lambda _: True)

    def _take_back(self, guest: Guest, which: Callable[[Token | Code], bool]) -> Revoked:
        record = guest.record
        tokens = [token for token in record.tokens if not which(token)]
        codes = [code for code in record.codes if not which(code)]
        self._write(guest.id, msgspec.structs.replace(record, tokens=tokens, codes=codes))
        return Revoked(self._known[guest.id], len(record.tokens) - len(tokens), len(record.codes) - len(codes))

    # -- on disk

    def _at(self, *names: str) -> str:
        return "/".join((self._folder, FOLDER, *names)).rstrip("/")

    def _read(self, guest: str) -> GuestRecord:
        """Raises OSError, ValueError, msgspec.MsgspecError."""
        file = self._disk.open(self._at(guest, RECORD))
        try:
            return msgspec.json.decode(file.read_at(0, _MAX_RECORD_BYTES), type=GuestRecord)
        finally:
            file.close()

    def _write(self, guest: str, record: GuestRecord) -> None:
        path = self._at(guest, RECORD)
        file = self._disk.open(f"{path}.new", write=True, create=True)
        try:
            file.truncate(0)
            file.write_at(0, msgspec.json.format(msgspec.json.encode(record), indent=2))
            file.sync()
        finally:
            file.close()
        self._disk.rename(f"{path}.new", path)
        self._disk.sync_folder(self._at(guest))
        self._known = {**self._known, guest: Guest(guest, record)}


def is_guest(text: str) -> bool:
    return len(text) == 2 * GUEST_BYTES and all(c in "0123456789abcdef" for c in text)


def _matching(secret: bytes, proofs: Iterable[tuple[bytes, T]]) -> T | None:
    """What belongs to this secret, after PROOFS comparisons whatever there is."""
    digest = sha256(secret).digest()
    found: T | None = None
    padded = [*proofs][:PROOFS]
    for expected, value in padded:
        if compare_digest(digest, expected):
            found = value
    for _ in range(PROOFS - len(padded)):
        compare_digest(digest, _NOBODY)
    return found
