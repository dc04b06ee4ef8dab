"""The intake (I59, I60) against a plain dictionary, to which every accepted write is done at once.

Streams leave the core and come back, are held for a loss that is accepted later, the power goes, the core is lost and
recovered from the vaults; in between devices write, with conditions and without. At every moment what can be read is
what the dictionary holds, and what cannot is 503.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from safehold.disaster.house import House
from safehold.disaster.rebuilding import recover
from safehold.model.commands import AcceptLoss
from safehold.model.kinds import Kind
from safehold.ports.core import INTAKE
from safehold.service import intake
from tests.support.absent import Stream, bring_back, hold, take_away

FOLDERS = {Kind.CONTACTS: "/dav/ann/contacts/default", Kind.NOTES: "/dav/ann/files/notes"}
MISSING = "revision 2 is in no vault"
ACCEPTED = {200, 201, 204}

kinds = st.sampled_from(sorted(FOLDERS))
names = st.sampled_from(["a", "b", "c"])
#: Of a body that is there, of one that is not, or no condition.
conditions = st.sampled_from(["", "", "match", "stale", "new"])


def made(kind: Kind, name: str, text: int) -> bytes:
    if kind is Kind.NOTES:
        return b"%d " % text * (30_000 if text % 5 == 0 else 1)  # some are blobs
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{name}\r\nNOTE:{text}\r\nEND:VCARD\r\n".encode()


def pick(found: list[Kind], which: int) -> Kind:
    return found[which % len(found)]


class IntakeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        intake.PORTION_ITEMS = 3  # so that entering takes several frames
        self.house = House.new(seed="machine")
        self.model: dict[tuple[Kind, str], bytes] = {}
        self.away: dict[Kind, Stream] = {}
        self.text = 0

    def teardown(self) -> None:
        intake.PORTION_ITEMS = 128
        self.house.abandon()

    # -- what is so

    def reason(self, kind: Kind) -> str | None:
        return self.house.reads.held(self.house.account().number, kind)

    def of(self, reason: str | None) -> list[Kind]:
        """The kinds that are held for this."""
        return [kind for kind in sorted(FOLDERS) if self.reason(kind) == reason]

    def path(self, kind: Kind, name: str) -> str:
        return f"{FOLDERS[kind]}/{name}.{'vcf' if kind is Kind.CONTACTS else 'txt'}"

    def headers(self, kind: Kind, name: str, condition: str) -> tuple[dict[str, str], bool]:
        """The condition as a header, and whether it holds."""
        there = self.model.get((kind, name))
        if condition == "match" and there is not None:
            return {"If-Match": f'"{sha256(there).hexdigest()}"'}, True
        if condition in ("match", "stale"):
            return {"If-Match": f'"{"0" * 64}"'}, False
        if condition == "new":
            return {"If-None-Match": "*"}, there is None
        return {}, True

    # -- devices

    @initialize()
    def all_is_there(self) -> None:
        for kind in sorted(FOLDERS):
            for name in ("a", "b"):
                self.put(kind, name, "")

    @rule(kind=kinds, name=names, condition=conditions)
    def put(self, kind: Kind, name: str, condition: str) -> None:
        self.text += 1
        body = made(kind, name, self.text)
        headers, holds = self.headers(kind, name, condition)
        headers["Content-Type"] = "text/vcard" if kind is Kind.CONTACTS else "text/plain"
        held = self.reason(kind) is not None
        answer = self.house.request("PUT", self.path(kind, name), body, headers)
        if held or holds:
            assert answer.status in ACCEPTED, answer
            assert ("etag" in answer.headers) is not held
            self.model[kind, name] = body
        else:
            assert answer.status == 412, answer

    @rule(kind=kinds, name=names, condition=conditions)
    def put_again(self, kind: Kind, name: str, condition: str) -> None:
        self.put(kind, name, condition)  # what devices do most

    @rule(kind=kinds, name=names, condition=conditions)
    def delete(self, kind: Kind, name: str, condition: str) -> None:
        headers, holds = self.headers(kind, name, condition)
        held = self.reason(kind) is not None
        answer = self.house.request("DELETE", self.path(kind, name), b"", headers)
        if held and kind is Kind.NOTES and "If-Match" not in headers:
            assert answer.status == 503, "it may be a folder"
            return
        there = (kind, name) in self.model
        if held:
            assert answer.status == 204, answer
        else:
            assert answer.status == (404 if not there else 204 if holds else 412), answer
        if there and holds:
            del self.model[kind, name]

    # -- what becomes of streams

    @precondition(lambda self: self.of(None))
    @rule(which=st.integers(0, 1))
    def goes(self, which: int) -> None:
        kind = pick(self.of(None), which)
        self.away[kind] = take_away(self.house, kind)

    @precondition(lambda self: self.away)
    @rule(which=st.integers(0, 1), drain=st.booleans())
    def comes(self, which: int, drain: bool) -> None:
        kind = pick(sorted(self.away), which)
        bring_back(self.house, self.house.account(), kind, self.away.pop(kind), drain=drain)

    @precondition(lambda self: self.of(None))
    @rule(which=st.integers(0, 1))
    def is_partial(self, which: int) -> None:
        hold(self.house, pick(self.of(None), which), MISSING)

    @precondition(lambda self: self.of(MISSING))
    @rule(which=st.integers(0, 1))
    def is_accepted(self, which: int) -> None:
        kind = pick(self.of(MISSING), which)
        self.house.engine.execute(AcceptLoss(account=self.house.account().id, kind=kind))

    @precondition(lambda self: self.of(INTAKE))
    @rule()
    def tick(self) -> None:
        self.house.sim_clock.advance(1)
        assert self.house.tick()
        assert all(self.reason(kind) != INTAKE for kind in FOLDERS)

    @rule(seed=st.none() | st.integers(0, 1000))
    def power_loss(self, seed: int | None) -> None:
        self.house = self.house.crash(seed)
        self.house.boot()
        assert all(self.reason(kind) != INTAKE for kind in FOLDERS)

    @precondition(lambda self: self.house.reads.intakes())
    @rule()
    def core_is_lost(self) -> None:
        self.house.close()
        for part in ("/core", "/blobs"):
            self.house.disk.lose(part)
        recover(self.house)
        self.away.clear()
        self.house = self.house.kill()
        self.house.boot()
        assert all(self.reason(kind) is None for kind in FOLDERS)

    # -- what must hold

    @invariant()
    def what_is_read_is_what_was_written(self) -> None:
        for kind, folder in FOLDERS.items():
            held = self.reason(kind) is not None
            for name in ("a", "b", "c"):
                answer = self.house.request("GET", self.path(kind, name))
                if held:
                    assert answer.status == 503, (kind, name, answer)
                    continue
                wanted = self.model.get((kind, name))
                assert answer.status == (404 if wanted is None else 200), (kind, name, answer)
                assert wanted is None or answer.body == wanted, (kind, name)
            listing = self.house.request("PROPFIND", f"{folder}/", b"", {"Depth": "1"})
            assert listing.status == (503 if held else 207)
            if not held:
                assert listing.body.count(b"getetag>") // 2 == sum(of is kind for of, _ in self.model)

    @invariant()
    def nothing_waits_that_could_be_entered(self) -> None:
        if all(self.reason(kind) is None for kind in FOLDERS):
            assert self.house.reads.intakes() == {}


class MoreIntake(IntakeMachine):
    """The same, more often."""


TestIntake = IntakeMachine.TestCase
TestIntake.settings = settings(max_examples=15, stateful_step_count=30, deadline=None, print_blob=True)
TestMoreIntake = pytest.mark.long(MoreIntake.TestCase)
TestMoreIntake.settings = settings(max_examples=80, stateful_step_count=30, deadline=None, print_blob=True)
