"""How one account's data stands, for its owner: by kind, what happened, and what to do. From the core to one value.

What is held is told as held, never as empty (I12). Steps are sentences in the reader's language; everything else is
facts, which the page, the API and the feed put into words (web/state_pages.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.model.items import Account, Collection
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import INTAKE, NOT_YET, CoreReads
from safehold.recovery.after import AccountPart, AfterReport
from safehold.recovery.report import KindCount, Loss
from safehold.service.addresses import Address, address_of
from safehold.service.ahead import Proof, standing_doubts
from safehold.service.notices import Notice, notices_of
from safehold.web.pages import title_of
from safehold.web.status_pages import share_back
from safehold.web.words import Words

WHOLE, RESTORING, PARTIAL, DOUBT = "whole", "restoring", "partial", "doubt"
#: Losses of one kind that are told by name.
MAX_NAMED = 200


class Missing(msgspec.Struct, frozen=True):
    """Something that no source holds; collection and name None where nobody knows them."""

    collection: str | None
    name: str | None
    revs: list[int]


class KindState(msgspec.Struct, omit_defaults=False):
    """One kind. `items` is None while they may not be counted; `back` is (entered, expected) of the whole service."""

    kind: str
    state: str
    items: int | None = None
    reason: str | None = None
    missing: list[Missing] = []
    missing_count: int = 0
    back: tuple[int, int] | None = None


class AheadState(msgspec.Struct):
    """A device that has proved that the server lacks something of a collection (service/ahead.py)."""

    device: str
    collection: str
    title: str
    since: int
    newer_changes: int | None  # at most; None where that cannot be told
    there: bool  # whether the collection itself is


class EndState(msgspec.Struct):
    """A recovery that could not know how the log had ended, and that this person has not accepted."""

    since: int
    unknown_seconds: float


class GhostState(msgspec.Struct, frozen=True):
    """An item whose body is in no source (service/ghosts.py); `at` is when it was last saved."""

    kind: str
    collection: str
    name: str
    at: int


class ReportState(msgspec.Struct):
    """The last recovery, as far as it concerns this account; `kinds` and `lost` are empty where all was exact."""

    at: int
    exact: bool
    kinds: dict[str, KindCount]
    lost: list[Missing]
    lost_count: int
    unknown_seconds: float


class AccountState(msgspec.Struct):
    account: str
    state: str  # the worst of its kinds; "doubt" where only the end is, "ahead" where only a device is
    kinds: list[KindState]
    devices_ahead: list[AheadState]
    end_in_doubt: EndState | None
    notices: list[Notice]
    intake_waiting: int
    recovery: dict[str, Any] | None  # the public part
    report: ReportState | None
    ghosts: list[GhostState]  # MAX_NAMED of them
    ghost_count: int
    mail: Address | None
    titles: dict[str, str]  # of collections, by path


def account_state(
    reads: CoreReads,
    account: Account,
    *,
    recovery: Mapping[str, Any] | None,
    standing: Callable[[CoreReads], Sequence[Proof]],
    report: AfterReport | None,
) -> AccountState:
    """`recovery` is the public part of what is under way, `standing` gives what devices have proved. Raises Held."""
    part = None if report is None else report.part(account.name)
    with reads.snapshot() as now:
        collections = [c for c in now.collections(account.number) if c.kind in DATA_KINDS]
        titles = {c.path: title_of(c) for c in collections}
        kinds = [_kind(now, account, kind, collections, recovery, part) for kind in DATA_KINDS]
        devices = [_ahead(now, account, proof, titles) for proof in standing(now)]
        end = _end(now, account)
        notices = notices_of(now, account)
        intake = len(now.secret_items(account.number, INTAKE_PREFIX))
        mail = address_of(now, account)
        # Looked for where the last recovery has named something: each look reads a line of every item.
        ghosts = _ghosts(now, account) if part is not None and part.lost else []
    return AccountState(
        account=account.name,
        state=_worst(kinds, devices, end),
        kinds=kinds,
        devices_ahead=devices,
        end_in_doubt=end,
        notices=notices,
        intake_waiting=intake,
        recovery=None if recovery is None else dict(recovery),
        report=None if report is None else _report(report, part),
        ghosts=ghosts[:MAX_NAMED],
        ghost_count=len(ghosts),
        mail=mail,
        titles=titles,
    )


def _kind(
    now: CoreReads,
    account: Account,
    kind: Kind,
    collections: Sequence[Collection],
    recovery: Mapping[str, Any] | None,
    part: AccountPart | None,
) -> KindState:
    held = now.held(account.number, kind)
    lost = [] if part is None else [_missing(loss) for loss in part.lost if loss.kind is kind]
    if held is None:
        items = sum(len(now.items(c)) for c in collections if c.kind is kind)
        return KindState(kind.value, WHOLE, items)
    if held in (NOT_YET, INTAKE):
        told = (recovery or {}).get("kinds") or {}
        return KindState(kind.value, RESTORING, back=share_back(told.get(kind.value)))
    return KindState(kind.value, PARTIAL, reason=held, missing=lost[:MAX_NAMED], missing_count=len(lost))


def _ghosts(now: CoreReads, account: Account) -> list[GhostState]:
    return [
        GhostState(kind.value, path, item.name, item.at)
        for kind in DATA_KINDS
        for path, item in now.ghost_items(account.number, kind)
    ]


def _missing(loss: Loss) -> Missing:
    return Missing(loss.collection, loss.name, loss.revs)


def _ahead(now: CoreReads, account: Account, proof: Proof, titles: Mapping[str, str]) -> AheadState:
    """How far the point lies beyond the stream is what the device may have, at most; off it, nobody can tell."""
    here = now.collection(account.number, proof.path)
    beyond = 0 if here is None else proof.rev - now.head(account.number, here.kind).rev
    title = titles.get(proof.path, proof.path.rpartition("/")[2])
    return AheadState(proof.device, proof.path, title, proof.at, beyond if beyond > 0 else None, here is not None)


def _end(now: CoreReads, account: Account) -> EndState | None:
    last = max(standing_doubts(now, account), key=lambda doubt: doubt.at, default=None)
    return None if last is None else EndState(last.at, last.unknown_seconds)


def _worst(kinds: Sequence[KindState], devices: Sequence[AheadState], end: EndState | None) -> str:
    states = {kind.state for kind in kinds}
    well = DOUBT if end is not None else "ahead" if devices else WHOLE
    return next((state for state in (RESTORING, PARTIAL) if state in states), well)


def _report(report: AfterReport, part: AccountPart | None) -> ReportState:
    kinds = {} if part is None else {kind.value: count for kind, count in part.kinds.items()}
    lost = [] if part is None else [_missing(loss) for loss in part.lost]
    unknown = report.unknown_seconds
    return ReportState(report.at, part is None, kinds, lost[:MAX_NAMED], len(lost), unknown)


def steps(state: AccountState, words: Words) -> list[str]:
    """What the owner is to do, in order."""
    found = []
    if state.state != WHOLE:
        found.append(words("step.keep-devices"))
    if state.state == RESTORING:
        found.append(words("step.wait"))
    for kind in state.kinds:
        if kind.state == PARTIAL:
            found.append(words("step.partial", kind=words.kind(kind.kind)))
    if state.end_in_doubt is not None:
        found.append(words("step.end"))
    found += [ahead_step(one, words) for one in state.devices_ahead]
    return found


def ahead_step(one: AheadState, words: Words) -> str:
    """What a device has that the server lacks, and not to reset it."""
    if one.newer_changes is None:
        return words("step.ahead-unknown", device=one.device, collection=one.title)
    return words.count("step.ahead-some", one.newer_changes, device=one.device, collection=one.title)
