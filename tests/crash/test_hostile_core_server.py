"""All that the core's own credentials can do to a vault at a vault server: its token, its keys, and patience.

An installation lives with one vault, at a server. Then somebody has everything that lies on its host, and does what
they can: the attacks of tests/support/hostile_server.py, one after the other here, each alone at length; and for a
month, and longer, with deletes that look like anybody's and with false generations, while the keeper attests and
retains.

Afterwards each object that was there is there byte for byte, and a bare machine gets back, from the server and the
recovery key, every item and every change that was acknowledged before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.adapters.vault_http import HttpLink
from safehold.assembly.vault_server import read_refused
from safehold.assembly.vault_server_alarms import ServerAlarms
from safehold.cli.main import main
from safehold.formats import vaultwire
from safehold.formats.generation import parse_manifest_name
from safehold.model.commands import DeleteItem
from safehold.model.errors import SafeholdError
from safehold.ports.link import NoAnswer, NotSent
from safehold.service.items import stamp
from safehold.vault.admission import Admission
from tests.support.hostile import ANN, YEARS, card, forge, put, truth_of
from tests.support.hostile_server import ATTACKS, OTHER, Loot, ServedWorld, loot

ROOT = Path(__file__).parents[2]
DAY = 86_400


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedWorld]:
    found = ServedWorld(tmp_path)
    ask = HttpLink.ask

    def listened(link: HttpLink, request: bytes, *, hurry: bool = False) -> bytes:
        found.recorded.append(request)
        return ask(link, request, hurry=hurry)

    monkeypatch.setattr(HttpLink, "ask", listened)
    yield found
    found.server.stop()


def assert_whole(has: Loot, attack: str) -> None:
    """Each object that was there is there byte for byte; the log may be longer. The neighbour's is as it was."""
    after = has.world.objects()
    for name, data in has.before.items():
        there = after.get(name, b"")
        assert (there[: len(data)] if name.startswith("log/") else there) == data, (attack, name)
    theirs = has.world.server.folder(has.world.neighbour) / "keys" / "theirs"
    assert sha256(theirs.read_bytes()).digest() == sha256(b"theirs").digest(), attack


def assert_nothing_goes(has: Loot) -> None:
    """Whatever the keeper finds of it, retention removes nothing that was there."""
    has.world.attest()
    has.world.retain()
    assert set(has.before) <= set(has.world.objects())


def test_nothing_acknowledged_is_lost_whatever_is_on_the_cores_host(world: ServedWorld) -> None:
    for number in range(2):
        world.live(number * 10, 10)
        world.snapshot()
        assert world.attest() == [True]
        world.clock.advance(DAY)
    world.live(100, 7)
    items, changes = truth_of(world.installation)
    has = loot(world)
    token, guests = has.token, world.server.server.guests
    for name, attack in ATTACKS.items():
        attack(has)
        assert_whole(has, name)
        if name == "shadow":  # the server says from when on, and after which frame: all that was good came before
            refused = read_refused(world.server.server, has.guest)
            assert refused is not None and refused.frame == has.end.frame and refused.count > 20
            looks = ServerAlarms(world.server.server, world.server.config).look()
            (told,) = [t.alarm for t in looks if t.alarm.key == "ann" and t.alarm.what == "forks refused"]
            assert f"after frame {has.end.frame}" in told.message
    theirs = world.server.vault(world.neighbour, bytes(32), installation=OTHER)
    assert theirs.put("keys/more", [b"x"])  # a flood in one vault fills no other

    # The keeper attests nothing of that, and retention removes nothing that it may not.
    assert not any(world.attest())
    assert_nothing_goes(has)

    # The host is gone, and its token is taken back; another machine has the recovery key and a code.
    guests.revoke_all("ann")
    with pytest.raises((NotSent, NoAnswer)):
        HttpLink(lambda: world.server.access(has.guest, token)).ask(
            vaultwire.encode(vaultwire.Hello(vaultwire.VERSION))
        )
    there = world.bare("bare")
    assert truth_of(there) == (items, changes)
    # Its report says from when on, by the server's clock, and the alarm's frame.
    found = [one for one in there.recovery_reports()[0].suspect if one.what == "refused"]
    assert [(one.vault, one.at, one.frame) for one in found] == [("given", refused.first, has.end.frame)]


@pytest.mark.long
@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_alone_leaves_everything_to_recover(world: ServedWorld, attack: str) -> None:
    """What one of them does is not covered by another that the server stopped at first."""
    world.live(0, 10)
    world.snapshot()
    assert world.attest() == [True]
    world.live(100, 15)
    truth = truth_of(world.installation)
    has = loot(world)
    ATTACKS[attack](has)
    assert_whole(has, attack)
    assert_nothing_goes(has)
    assert truth_of(world.bare("bare")) == truth


def test_without_the_servers_judgement_a_shadow_would_lose_what_was_acknowledged(
    world: ServedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what is asserted above is the server's doing, and the thief is one."""
    world.live(0, 10)
    truth = truth_of(world.installation)
    has = loot(world)
    for check in ("check_append", "check_new", "check_frames"):
        monkeypatch.setattr(Admission, check, lambda *_: None)
    ATTACKS["shadow"](has)
    with suppress(SafeholdError):  # mostly there is no recovery at all
        assert truth_of(world.bare("bare")) != truth


def test_every_attack_is_in_the_manual() -> None:
    text = (ROOT / "docs" / "vault-server.md").read_text(encoding="utf-8")
    table = text[text.index("## What an attacker on the core's host comes to") :]
    named = re.findall(r"^\| \*\*([a-z ]+)\*\* \|", table, re.MULTILINE)
    assert set(ATTACKS) <= set(named)
    for file, test in re.findall(r"`(tests/[a-z_/]+\.py)`: `(test_[a-z_]+)`", table):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), (file, test)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_false_generations_of_every_day_never_make_the_good_ones_go(world: ServedWorld, every: int) -> None:
    """The keys of a month ago are enough to sign one each day, with evidence that it was attested."""
    for number in range(2):
        world.live(number * 10, 10)
        world.snapshot()
        assert world.attest() == [True]
        world.clock.advance(DAY)
    world.live(100, 7)
    items, changes = truth_of(world.installation)
    has = loot(world)
    manifests = {name for name in has.before if parse_manifest_name(name) is not None}
    for day in range(every, 31, every):
        world.clock.advance(every * DAY)
        at = (YEARS, 0, 1_790_000_000_000_000 + day * DAY * 1_000_000)[day % 3]
        forge(world, has.keyring, has.end._replace(frame=has.end.frame + 2000 * day), at)
        if day % 10 == 0:
            assert not any(world.attest())
            world.retain()
    assert set(has.before) <= set(world.objects())
    assert truth_of(world.bare("a month later")) == (items, changes)
    # Far beyond what history is kept for, the two that were attested are still there, and with them every item.
    for _ in range(2):
        world.clock.advance(120 * DAY)
        world.attest()
        world.retain()
    assert manifests <= set(world.objects())
    assert truth_of(world.bare("a year later"))[0] == items


def test_a_month_of_patience_makes_retention_drop_nothing_that_was_good(world: ServedWorld) -> None:
    world.live(0, 20)
    world.snapshot()
    assert world.attest() == [True]
    items, _ = truth_of(world.installation)
    good = stamp(world.installation.clock.now())
    # Every day some items go, as if somebody tidied up, and rubbish comes; generations are written, and kept, of that.
    left = sorted(name for name in items if name.startswith("ann/contacts/"))
    for day in range(30):
        world.clock.advance(86_400)
        with world.installation.session() as session:
            for name in left[day::30]:
                collection, _, item = name.removeprefix("ann/").rpartition("/")
                session.execute(DeleteItem(account=ANN, path=collection, name=item))
            session.execute(put(1000 + day, card(1000 + day)))
        if day % 6 == 0:
            world.snapshot()
            assert world.attest() == [True]
            world.retain()
    assert not set(left) & set(truth_of(world.installation)[0])
    there = world.bare("bare")
    assert main(["--data", str(there.data), "undo", "ann", "--kind", "contacts", "--to", good, "--yes"]) == 0
    back, _ = truth_of(there)
    assert {name: back.get(name) for name in left} == {name: items[name] for name in left}


def test_a_thief_who_removes_names_and_passwords_hinders_no_recovery(world: ServedWorld) -> None:
    world.live(0, 10)
    items, _ = truth_of(world.installation)
    good = world.installation.clock.now()
    with world.installation.session() as session:  # no command of ours does that
        for name in sorted(items):
            collection, _, item = name.removeprefix("ann/").rpartition("/")
            session.execute(DeleteItem(account=ANN, path=collection, name=item))
    assert truth_of(world.bare("after"))[0] == {}
    back, _ = truth_of(world.bare("before", to=good))
    # Identities are not set back in time: the account has no name, and everything that was in it.
    cards = {name.removeprefix("ann"): body for name, body in items.items() if name.startswith("ann/contacts/")}
    assert len(cards) == 8 and back == cards
