"""Who is asking: Basic credentials (RFC 7617) to an account.

The way of a request, cheapest first:

1. credentials seen in the last minutes are known by a keyed digest of the header: it takes microseconds and keeps no
   password;
2. an app password is random, so one SHA-256 against the account's `app/…` items is enough;
3. the account's own password takes a slow hash: `begin` returns a PasswordCheck, whose `run` is called in another
   thread, and whose result goes to `finish`.

Invariants:

- A revoked or replaced credential opens nothing once `invalidate` has been called, and a check that was under way
  meanwhile counts only if the hash it was made against is still the account's.
- An unknown name takes the same time and gets the same answer as a wrong password.
- Guessing is slowed by place (peer) and by place and name, never by name alone, so nobody can lock an owner out from
  elsewhere. What is slowed is only the account's own password: app passwords and known credentials always pass.
- A check that waits for others is no guess: who comes when too many are under way is told to come later (503), never
  that the password is wrong.
- The same wrong credentials sent again (a phone with an old password) are refused without cost and are counted once.
- Everything that is remembered is bounded.

Used on one thread; only `PasswordCheck.run` may run elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import msgspec

from safehold.model.errors import Held, TooManyAttempts, Unauthenticated
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock, Entropy, PasswordHasher
from safehold.service.erasing import erasing_of

APP_PREFIX, PASSWORD = "app/", "password"

#: After which a device may come again while others' passwords are checked: some 500 of them are by then.
BUSY_SECONDS = 30
#: A device of a locked account need not come back every minute.
LOCKED_RETRY_SECONDS = 3600

_KEY_BYTES = 32
_NAME_CHARS = 64
_APP_GROUPS, _APP_GROUP_CHARS = 4, 5
_APP_CHARS = _APP_GROUPS * _APP_GROUP_CHARS
_APP_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_APP_TEXT = re.compile(rf"[a-z2-7]{{{_APP_CHARS}}}")
_DASHES = dict.fromkeys(map(ord, "-‐‑–—"))
#: Not in the alphabet, so they can only be misreadings.
_MISREAD = str.maketrans("01", "ol")


class Limits(NamedTuple):
    """Bounds of memory and of guessing.

    A bucket holds `…_burst` wrong passwords and gets one back every `…_seconds`.
    """

    cache_seconds: float = 300.0
    cache_entries: int = 20_000
    header_bytes: int = 4096
    per_name_burst: int = 10
    per_name_seconds: float = 6.0
    per_peer_burst: int = 40
    per_peer_seconds: float = 1.5
    buckets: int = 20_000
    checks_per_account: int = 4
    checks: int = 64

    @classmethod
    def of(cls, *, failures: int, window_seconds: float, remember_seconds: float) -> Limits:
        """As the configuration puts it: so many wrong passwords within a window, for one name from one place."""
        return cls(
            cache_seconds=remember_seconds,
            per_name_burst=failures,
            per_name_seconds=window_seconds / failures,
            per_peer_burst=4 * failures,
            per_peer_seconds=window_seconds / failures / 4,
        )


class _Record(msgspec.Struct):
    """The body of an `app/…` item, as far as it matters here."""

    sha256: str


_decode_record = msgspec.json.Decoder(_Record).decode


class SignedIn(NamedTuple):
    """Who has signed in, and by what: the label of an app password, or "" for the account's own password."""

    account: Account
    label: str


class _Known(NamedTuple):
    """Credentials that were right a moment ago."""

    who: SignedIn
    until: float


class PasswordCheck:
    """A password on its way through the slow hash. While it is, the same credentials get the same object."""

    __slots__ = ("_hashed", "_hasher", "_password", "account", "key", "name", "place")

    def __init__(
        self,
        key: bytes,
        name: str,
        place: str,
        account: Account | None,
        hashed: str | None,
        password: str,
        hasher: PasswordHasher,
    ) -> None:
        self.key = key
        self.name = name
        self.place = place
        self.account = account
        self._hashed = hashed
        self._password = password
        self._hasher = hasher

    def run(self) -> bool:
        """The slow part. Where there is no such account or password, the same work is done for nothing."""
        if self._hashed is None:
            self._hasher.hash(self._password)
            return False
        return self._hasher.verify(self._hashed, self._password)

    def made_against(self, account: Account | None, hashed: str | None) -> bool:
        """Whether these are still the account and the hash that were checked."""
        before, now = self.account, account
        return (before and before.id) == (now and now.id) and self._hashed == hashed


class Authenticator:
    """The memory of who has signed in and who guesses. `invalidate` must follow every change of an identity."""

    def __init__(
        self, reads: CoreReads, hasher: PasswordHasher, clock: Clock, entropy: Entropy, limits: Limits | None = None
    ) -> None:
        self._reads = reads
        self._hasher = hasher
        self._clock = clock
        self._limits = limits or Limits()
        self._secret = entropy.bytes(_KEY_BYTES)
        self._known: dict[bytes, _Known] = {}
        self._keys: dict[bytes, set[bytes]] = {}  # account id -> its keys in _known
        self._wrong: dict[bytes, float] = {}  # until when
        self._checks: dict[bytes, PasswordCheck] = {}
        self._at_name = _Buckets(self._limits.per_name_burst, self._limits.per_name_seconds, self._limits.buckets)
        self._at_peer = _Buckets(self._limits.per_peer_burst, self._limits.per_peer_seconds, self._limits.buckets)
        self._familiar: dict[tuple[str, str], None] = {}  # (place, name) that once had it right

    # -- the way in ------------------------------------------------------------------------------------------

    def begin(self, authorization: str | None, peer: str) -> SignedIn | PasswordCheck:
        """Who it is, or the check that will tell. `peer` is the address the request came from, without port.

        Raises Unauthenticated, TooManyAttempts, and Held where the account's identity may not be read now or too many
        passwords are being checked.
        """
        if authorization is None:
            raise Unauthenticated("sign in with your account's name and a password")
        key = blake2b(authorization.encode("utf-8", "surrogatepass"), digest_size=32, key=self._secret).digest()
        known = self._known.get(key)
        if known is not None and self._clock.monotonic() < known.until:
            return known.who
        return self._begin(key, authorization, peer)

    def _begin(self, key: bytes, authorization: str, peer: str) -> SignedIn | PasswordCheck:
        self._forget(key)
        if self._clock.monotonic() < self._wrong.get(key, 0.0):
            raise _refusal()
        check = self._checks.get(key)
        if check is not None:
            return check
        name, password = self._parse(authorization)
        account, hashed = self._find(name)
        label = None if account is None else label_of(self._reads, account, password)
        if account is not None and label is not None:
            return self._remember(key, SignedIn(account, label))
        check = PasswordCheck(key, name, _place(peer), account, hashed, password, self._hasher)
        self._admit(check)
        self._checks[key] = check
        return check

    def finish(self, check: PasswordCheck, ok: bool) -> SignedIn:
        """Enter the result of `check.run`, once.

        Raises Unauthenticated, also where the password was replaced or the account erased meanwhile, and Held.
        """
        del self._checks[check.key]
        try:
            account, hashed = self._find(check.name)
        except Held:
            self._give_back(check)
            raise
        current = check.made_against(account, hashed)
        if ok or not current:
            self._give_back(check)
        if not ok and current:
            _bound(self._wrong, self._limits.cache_entries)
            self._wrong[check.key] = self._clock.monotonic() + self._limits.cache_seconds
        if account is None or not ok or not current:
            raise _refusal()
        _bound(self._familiar, self._limits.buckets)
        self._familiar[check.place, check.name] = None
        return self._remember(check.key, SignedIn(account, ""))

    def abandon(self, check: PasswordCheck) -> None:
        """The check could not be carried out: as if it had never begun."""
        del self._checks[check.key]
        self._give_back(check)

    def invalidate(self, account_id: bytes) -> None:
        """This account's credentials, name or profile changed, or it is new, held or gone: forget what was known."""
        for key in self._keys.pop(account_id, ()):
            self._known.pop(key, None)
        # What was wrong may be right now, and names in there may have been nobody's. Changes are rare.
        self._wrong.clear()

    def forget_all(self) -> None:
        """Accounts were erased, or the core is another: nothing that was known holds."""
        self._known.clear()
        self._keys.clear()
        self._wrong.clear()

    # -- parts -----------------------------------------------------------------------------------------------

    def _parse(self, authorization: str) -> tuple[str, str]:
        """Name and password. Names are lower case; telephones like to begin them with a capital."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "basic" or len(authorization) > self._limits.header_bytes:
            raise Unauthenticated("sign in with Basic credentials")
        try:
            name, colon, password = b64decode(token.strip().encode("ascii"), validate=True).decode().partition(":")
        except (Base64Error, UnicodeError):
            raise Unauthenticated("these credentials are not well formed") from None
        if not colon:
            raise Unauthenticated("these credentials are not well formed")
        return name.strip().lower(), password

    def _find(self, name: str) -> tuple[Account | None, str | None]:
        """The account of a name and the hash of its password. Raises Held. The installation itself has no name."""
        account = self._reads.account_named(name) if name else None
        if account is None:
            return None, None
        reason = self._reads.held(account.number, Kind.IDENTITY)
        if reason is not None:
            raise Held(f"nobody can sign in to this account now: {reason}")
        stored = self._reads.secret(account.number, PASSWORD)
        return account, None if stored is None else stored.decode()

    def _remember(self, key: bytes, who: SignedIn) -> SignedIn:
        """Raises Held where the account waits to be erased: until then it can be taken back."""
        if erasing_of(self._reads, who.account.id) is not None:
            raise Held(
                "this account is locked: it was to be erased",
                hint="whoever runs this server can still take that back",
                retry_after_seconds=LOCKED_RETRY_SECONDS,
            )
        if len(self._known) >= self._limits.cache_entries:
            self._forget(next(iter(self._known)))
        self._known[key] = _Known(who, self._clock.monotonic() + self._limits.cache_seconds)
        self._keys.setdefault(who.account.id, set()).add(key)
        return who

    def _forget(self, key: bytes) -> None:
        known = self._known.pop(key, None)
        if known is None:
            return
        keys = self._keys[known.who.account.id]
        keys.discard(key)
        if not keys:
            del self._keys[known.who.account.id]

    # -- guessing --------------------------------------------------------------------------------------------

    def _admit(self, check: PasswordCheck) -> None:
        """Take what a wrong password costs before it is known to be wrong; a right one gets it back."""
        now = self._clock.monotonic()
        if not self._has_room(check):
            raise _busy()
        pair = _pair(check)
        wait = max(self._at_name.wait_seconds(pair, now), self._at_peer.wait_seconds(check.place, now))
        if wait > 0:
            if self._may_be_right(check, now):
                raise _busy()
            raise TooManyAttempts(
                "too many wrong passwords came from your address",
                hint="wait a moment, or use an app password",
                retry_after_seconds=int(wait) + 1,
            )
        self._at_name.take(pair, now)
        self._at_peer.take(check.place, now)

    def _may_be_right(self, check: PasswordCheck, now: float) -> bool:
        """Whether it is only checks under way that leave nothing: they are no guesses before they are found wrong.

        After an outage all devices of a household or an office come at once, from one address.
        """
        running = [other for other in self._checks.values() if other.place == check.place]
        same = sum(other.name == check.name for other in running)
        return (
            self._at_name.wait_seconds(_pair(check), now, back=same) == 0
            and self._at_peer.wait_seconds(check.place, now, back=len(running)) == 0
        )

    def _has_room(self, check: PasswordCheck) -> bool:
        """Whether another slow hash may run. Places that once signed in to this account pass before strangers."""
        running = self._checks.values()
        same = [c for c in running if c.name == check.name]
        familiar = (check.place, check.name) in self._familiar
        if familiar:
            return sum(c.place == check.place for c in same) < self._limits.checks_per_account
        return len(same) < self._limits.checks_per_account and len(running) < self._limits.checks

    def _give_back(self, check: PasswordCheck) -> None:
        self._at_name.give_back(_pair(check))
        self._at_peer.give_back(check.place)


def _pair(check: PasswordCheck) -> str:
    """What counts as one name from one place. No account's name is as long as what a stranger may send."""
    return f"{check.place} {check.name[:_NAME_CHARS]}"


class _Buckets:
    """Token buckets by name; a full one is not kept, and the one unused for longest makes room."""

    def __init__(self, burst: int, refill_seconds: float, limit: int) -> None:
        self._burst = float(burst)
        self._refill_seconds = refill_seconds
        self._limit = limit
        self._levels: dict[str, tuple[float, float]] = {}  # name -> (tokens, when that was so)

    def _level(self, name: str, now: float) -> float:
        tokens, at = self._levels.get(name, (self._burst, now))
        return min(self._burst, tokens + (now - at) / self._refill_seconds)

    def wait_seconds(self, name: str, now: float, *, back: int = 0) -> float:
        """Until a token is there; 0 where one is, or would be with so many given back."""
        missing = 1.0 - self._level(name, now) - back
        return max(0.0, missing * self._refill_seconds)

    def take(self, name: str, now: float) -> None:
        level = self._level(name, now) - 1.0
        self._levels.pop(name, None)
        _bound(self._levels, self._limit)
        self._levels[name] = (level, now)

    def give_back(self, name: str) -> None:
        tokens, at = self._levels.get(name, (self._burst, 0.0))
        if tokens + 1.0 >= self._burst:
            self._levels.pop(name, None)
        else:
            self._levels[name] = (tokens + 1.0, at)


def _bound(memory: dict[Any, Any], limit: int) -> None:
    """Make room for one more by dropping the oldest."""
    while len(memory) >= limit:
        del memory[next(iter(memory))]


def _busy() -> Held:
    """Not a word about the password: 503, for devices to come back at different times."""
    return Held(
        "too many passwords are being checked at this moment",
        hint="app passwords are checked at once: make one for each device",
        retry_after_seconds=BUSY_SECONDS,
    )


def _refusal() -> Unauthenticated:
    return Unauthenticated("the name or the password is wrong")


def _place(peer: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 that an IPv6 host can choose its addresses from."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _stored_digest(record: bytes) -> str:
    try:
        return _decode_record(record).sha256
    except msgspec.MsgspecError as error:
        raise Held("an app password of this account cannot be read") from error


def label_of(reads: CoreReads, account: Account, password: str) -> str | None:
    """The label of the app password that this is; None where it is none of the account's. Raises Held."""
    digest = app_password_digest(password)
    if digest is None:
        return None
    given = digest.hex()
    found = None
    for name, record in reads.secrets(account.number, APP_PREFIX):
        if hmac.compare_digest(given, _stored_digest(record)):
            found = name.removeprefix(APP_PREFIX)
    return found


def make_app_password(entropy: Entropy) -> str:
    """A new app password of 100 random bits: four groups of five letters and digits. It is shown once."""
    bits = int.from_bytes(entropy.bytes(13), "big")
    chars = [_APP_ALPHABET[bits >> 5 * i & 31] for i in range(_APP_CHARS)]
    groups = ("".join(chars[i : i + _APP_GROUP_CHARS]) for i in range(0, _APP_CHARS, _APP_GROUP_CHARS))
    return "-".join(groups)


def app_password_digest(text: str) -> bytes | None:
    """What is stored of an app password: SHA-256 of its letters, without dashes, spaces or capitals.

    None where the text cannot be an app password.
    """
    letters = "".join(text.translate(_DASHES).split()).lower().translate(_MISREAD)
    return sha256(letters.encode()).digest() if _APP_TEXT.fullmatch(letters) else None
