"""What devices remember of streams, as their sync tokens say it.

Tokens come from two places: from what the service noted when a device showed one that was ahead of its stream
(service/ahead.py: an item `ahead/…` of the identity), and from a text file in which somebody wrote down what devices
have, one token a line. The first is as good as the identity that holds it; the second by its MAC, for which the
installation's token key must have been found. A token has half of a hash: so has its `Witnessed`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safehold.model.errors import BadToken
from safehold.model.kinds import Kind
from safehold.model.paths import kinds_under
from safehold.model.stream import Head
from safehold.model.token import PREFIX, SyncPoint, account_key, parse_token
from safehold.ports.survivors import Aside, Witnessed
from safehold.salvage.ear import Ear

MAX_LINE = 512
MAX_TOKENS = 100_000
_HASH_BYTES = 16


class _Proof(msgspec.Struct):
    """The body of an item `ahead/…`."""

    collection: str
    path: str
    rev: int
    hash: str
    device: str = ""
    at: int = 0
    let_go: int = 0  # when the person said that this loss is accepted; 0 where it stands


_decode_proof = msgspec.json.Decoder(_Proof).decode


def is_token_file(head: bytes) -> bool:
    """Whether a text begins with a token, after empty lines and remarks."""
    lines = (line.strip() for line in head.splitlines())
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return first.startswith(PREFIX.encode())


def take_proofs(ear: Ear, source: int) -> int:
    """What identities hold of what devices have shown. How many tell of a stream's head."""
    taken = 0
    for (account, name), body in list(ear.proofs.items()):
        try:
            proof = _decode_proof(body)
            point = SyncPoint(bytes.fromhex(proof.collection), proof.rev, bytes.fromhex(proof.hash))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if proof.let_go:
            continue
        kind = _kind_of(ear, account, point.collection, proof.path)
        if kind is None or len(point.hash) < _HASH_BYTES or point.rev < 1:
            why = "nobody knows of which kind its collection was"
            ear.aside(Aside(source, f"{name} of {account.hex()}", why, "token", body, account, None, proof.path))
            continue
        ear.witness(Witnessed(account, kind, Head(point.rev, point.hash), proof.at or None, "token", source))
        taken += 1
    return taken


def take_tokens(text: bytes, where: str, ear: Ear, source: int) -> int:
    """A file of tokens, one a line; `#` begins a remark. What is none of ours goes aside. How many were taken."""
    taken = 0
    for number, line in enumerate(text.splitlines()[:MAX_TOKENS], 1):
        token = line.strip()
        if not token or token.startswith(b"#"):
            continue
        why = _take(token[:MAX_LINE].decode("ascii", "replace"), ear, source)
        taken += not why
        if why:
            ear.aside(Aside(source, f"{where}: line {number}", why, "token", token[:MAX_LINE]))
    return taken


def _take(token: str, ear: Ear, source: int) -> str:
    """Why a token tells nothing; "" where it was put."""
    if not ear.token_keys:
        return "the key of sync tokens was found in no source, so that nobody can tell whether it is one of ours"
    found = _owner(token if token.startswith(PREFIX) else PREFIX + token, ear.token_keys, list(ear.accounts))
    if found is None:
        return "it is no sync token of an account that was found"
    account, point = found
    kind = _kind_of(ear, account, point.collection, "")
    if kind is None:
        return "nobody knows of which kind its collection was"
    ear.witness(Witnessed(account, kind, Head(point.rev, point.hash), None, "token", source))
    return ""


def _owner(token: str, keys: Iterable[bytes], accounts: list[bytes]) -> tuple[bytes, SyncPoint] | None:
    """Whose token it is: that account's key makes its MAC."""
    for key in keys:
        for account in accounts:
            try:
                return account, parse_token(account_key(key, account), token)
            except BadToken:
                continue
    return None


def _kind_of(ear: Ear, account: bytes, collection: bytes, path: str) -> Kind | None:
    """By the change that made the collection, else by its path, where that leaves no doubt."""
    place = ear.collections.get(collection)
    if place is not None:
        return place.kind if place.account == account else None
    kinds = kinds_under(path) if path else ()
    return kinds[0] if len(kinds) == 1 else None
