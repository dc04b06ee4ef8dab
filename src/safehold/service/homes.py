"""Properties of the homes: of where address books, calendars and files lie, which are no collections of any kind.

iOS keeps there which card is one's own, macOS the order of calendars and the default alarms. They lie in the account's
identity, one item for each home.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.model.change import canonical_props, parse_props
from safehold.model.commands import Body, Outcome, PatchProps
from safehold.model.errors import Held
from safehold.model.items import Account
from safehold.model.kinds import HOME_CALENDARS, HOME_CONTACTS, HOME_FILES, PATH_IDENTITY
from safehold.ports.core import CoreReads
from safehold.service.collections import patched
from safehold.service.guards import Guards
from safehold.service.ledger import Ledger

#: Items of the identity: `home/contacts` …
PREFIX = "home/"
HOMES = frozenset((HOME_CONTACTS, HOME_CALENDARS, HOME_FILES))
_MEDIA = "application/octet-stream"


def home_props(reads: CoreReads, account: Account, home: str) -> dict[str, str]:
    """What has been set on a home."""
    return parse_props(reads.secret(account.number, PREFIX + home))


class HomeRules:
    def __init__(self, ledger: Ledger, guards: Guards) -> None:
        self._ledger = ledger
        self._guards = guards

    def patch(self, command: PatchProps) -> Outcome:
        """`command.path` is the home. Raises Forbidden, TooLarge as for a collection, PreconditionFailed, Held."""
        ledger = self._ledger
        account = ledger.account(command.account)
        identity = ledger.collection(account, PATH_IDENTITY)
        if identity is None:
            raise Held("the identity of this account is not here now")
        ledger.head(account, identity.kind)
        self._guards.conditions(account, command.guard)
        before = home_props(ledger.core, account, command.path)
        props = patched(before, command)
        if props == before:
            return Outcome(changed=False, path=command.path)
        data = canonical_props(props)
        body = Body(sha256(data).digest(), len(data), inline=data)
        change = ledger.put(account, identity, PREFIX + command.path, _MEDIA, body, command.actor)
        return Outcome(rev=change.rev, path=command.path)
