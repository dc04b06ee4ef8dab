"""Mail addresses that people have left: where they want to be told of a recovery, or of a mass delete.

An address is the item `mail` of the account's identity stream: the JSON object `{"address", "lang"}`. It is no
credential, and nothing is ever sent to it that opens anything.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.model.change import Op
from safehold.model.commands import Body, Outcome, SetMail
from safehold.model.errors import BadRequest, NotFound
from safehold.model.items import Account
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.model.mail import check_address
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger

MAIL = "mail"
LANGUAGES = ("en", "es")
_MEDIA = "application/json"


class _Record(msgspec.Struct):
    address: str
    lang: str = "en"


class Address(NamedTuple):
    address: str
    lang: str


_decode = msgspec.json.Decoder(_Record).decode


def address_of(reads: CoreReads, account: Account) -> Address | None:
    """None where none was left, or it cannot be read."""
    record = reads.secret(account.number, MAIL)
    if record is None:
        return None
    try:
        found = _decode(record)
    except msgspec.MsgspecError:
        return None
    return Address(found.address, found.lang)


def set_mail(ledger: Ledger, command: SetMail) -> Outcome:
    """Raises BadRequest, NotFound, Held."""
    account = ledger.account(command.account)
    ledger.head(account, Kind.IDENTITY)
    identity = ledger.collection(account, PATH_IDENTITY)
    if identity is None:
        raise NotFound("this account has no identity")
    before = address_of(ledger.core, account)
    if not command.address.strip():
        if ledger.core.item(identity, MAIL) is None:
            return Outcome(changed=False)
        return Outcome(rev=ledger.append(account, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=MAIL).rev)
    if command.lang not in LANGUAGES:
        raise BadRequest(f"{command.lang!r} is no language that mail is written in", hint=" or ".join(LANGUAGES))
    now = Address(check_address(command.address), command.lang)
    if now == before:
        return Outcome(changed=False, name=now.address)
    data = msgspec.json.encode(_Record(now.address, now.lang))
    body = Body(sha256(data).digest(), len(data), inline=data)
    return Outcome(rev=ledger.put(account, identity, MAIL, _MEDIA, body, command.actor).rev, name=now.address)
