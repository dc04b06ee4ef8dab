"""An installation kept for weeks by the real parts, and recovered from what is left; a keeper of its own."""

from __future__ import annotations

import random
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.assembly.installation import Installation
from safehold.assembly.keeper import init_keeper, open_site, run_once
from safehold.assembly.keeping import keep_vaults, kept_vault
from safehold.assembly.snapshot import take_snapshot
from safehold.config import DEFAULT_TEXT, FILE_NAME, Config, load, write
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.payload import Unpacker
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount, DeleteItem, EraseAccount, PutItem
from safehold.model.errors import OperatorError
from safehold.recovery.retention import ERASURE_SLACK_DAYS
from safehold.vault.keyring import IDENTITY, KEEPER, RECIPIENTS
from tests.crash.test_erasure_months import files

START = 1_790_000_000_000_000
DAY_SECONDS = 86_400


class Weeks:
    """`days` pass with random changes of notes, some of them large; the keeper works every day."""

    def __init__(self, data: Path, *, history: int) -> None:
        text = DEFAULT_TEXT.replace("history_days = 90 ", f"history_days = {history} ")
        write(data / FILE_NAME, text.replace('"7 daily, 4 weekly, 12 monthly"', '"3 daily, 2 weekly, 2 monthly"'))
        self.data = data
        self.clock = SimClock(START)
        self.random = random.Random(history)
        self.truth: dict[str, dict[str, bytes]] = {}
        self.open(make=True)

    def open(self, *, make: bool = False) -> Installation:
        self.site = Installation(self.data, load(self.data / FILE_NAME))
        self.site.clock = self.clock  # type: ignore[assignment]
        if make:
            self.site.make()
        return self.site

    def add(self, name: str) -> None:
        with self.site.session() as session:
            session.execute(AddAccount(account=session.entropy.bytes(16), name=name, password=None))
        self.truth[name] = {}

    def put(self, user: str, name: str, body: bytes) -> None:
        with self.site.session() as session:
            account = session.reads.account_named(user)
            assert account is not None
            stage = session.blobs.stage(session.blob_key(account))
            stage.write(body)
            session.execute(
                PutItem(account=account.id, path="files/notes", name=name, body=stage.finish(), media="text/plain")
            )
        self.truth[user][name] = body

    def delete(self, user: str, name: str) -> None:
        with self.site.session() as session:
            account = session.reads.account_named(user)
            assert account is not None
            session.execute(DeleteItem(account=account.id, path="files/notes", name=name))
        del self.truth[user][name]

    def erase(self, user: str) -> None:
        with self.site.session() as session:
            account = session.reads.account_named(user)
            assert account is not None
            session.execute(EraseAccount(account=account.id))
        del self.truth[user]

    def pass_day(self, changes: int) -> None:
        for _ in range(changes):
            user = self.random.choice(sorted(self.truth))
            name = f"{self.random.randrange(5)}.txt"
            if self.random.random() < 0.2 and name in self.truth[user]:
                self.delete(user, name)
            else:
                size = 80_000 if self.random.random() < 0.3 else 200
                self.put(user, name, (f"{user} {self.random.random()} ".encode() * size)[:size])
        self.clock.advance(DAY_SECONDS)
        take_snapshot(self.site, full=False, workers=1)
        last = keep_vaults(self.site)
        for kept in last.vaults:
            assert not kept.trouble and not kept.refused and not kept.damaged, kept

    def recovered(self, vault: str) -> None:
        """Lose the core and all vaults but one: everything comes back out of it."""
        aside = self.data.with_name(f"{self.data.name}-{vault}")
        shutil.copytree(self.data, aside)
        for gone in (
            "core",
            "blobs",
            "scratch",
            "generations",
            *(f"vaults/{v}" for v in ("near", "far") if v != vault),
        ):
            target = aside / gone
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        site = Installation(aside, load(aside / FILE_NAME))
        plan = site.recovery_plan(source=vault)
        assert not plan.report.lost
        site.recover(plan)
        core = site.open_reads()
        found: dict[str, dict[str, bytes]] = {}
        for account in core.accounts():
            notes = next(c for c in core.collections(account.number) if c.path == "files/notes")
            found[account.name] = {item.name: item.digest for item in core.items(notes)}
        core.close()
        meant = {user: {n: sha256(b).digest() for n, b in notes.items()} for user, notes in self.truth.items()}
        assert found == meant
        shutil.rmtree(aside)


@pytest.mark.parametrize("days", [14, pytest.param(24, marks=pytest.mark.long)])
def test_weeks_of_snapshots_and_retention_leave_what_is_needed(tmp_path: Path, days: int) -> None:
    weeks = Weeks(tmp_path / "data", history=4)
    weeks.add("ann")
    weeks.add("eve")
    sizes = []
    for day in range(days):
        weeks.pass_day(changes=weeks.random.randrange(5))
        sizes.append(sum(info.size for info in kept_vault(weeks.site, weeks.site.config.vaults[0]).list()))
        if day in (10, 18):
            weeks.recovered(weeks.random.choice(["near", "far"]))
    weeks.recovered("near")
    weeks.recovered("far")
    log = sorted(f.name for f in (weeks.data / "vaults/near/log").glob("*/*") if f.stat().st_size > 176)
    assert "00000000-000000000000.seg" in {f.name for f in (weeks.data / "vaults/near/log/00000001").iterdir()}
    assert (weeks.data / "vaults/near/log/00000001/00000000-000000000000.seg").stat().st_size == 176
    assert log


@pytest.mark.long  # by simulated months, test_erasure_months.py asks for the same in the ordinary suite
def test_an_erased_account_is_gone_by_the_date_even_if_nobody_does_anything_more(tmp_path: Path) -> None:
    weeks = Weeks(tmp_path / "data", history=4)
    weeks.add("ann")
    weeks.add("zerlina")
    weeks.put("zerlina", "planted-name.txt", b"planted-body " * 10)
    weeks.put("zerlina", "planted-photo.jpg", b"planted-photo " * 8000)
    for _ in range(4):
        weeks.pass_day(changes=1)
    before = {path.name for path in (tmp_path / "data/vaults/near/blobs").glob("*/*")}
    weeks.erase("zerlina")
    for _ in range(4 + ERASURE_SLACK_DAYS - 1):
        weeks.pass_day(changes=0)
    for vault in ("near", "far"):
        text = read_all(weeks, vault)
        for planted in (b"zerlina", b"planted-name", b"planted-body", b"planted-photo"):
            assert planted not in text, f"{planted!r} is in {vault}"
        assert not before & {path.name for path in (tmp_path / f"data/vaults/{vault}/blobs").glob("*/*")}
    weeks.recovered("near")


def read_all(weeks: Weeks, vault: str) -> bytes:
    """Everything in a vault, decrypted."""
    unpacker = Unpacker(weeks.site.opener)
    parts = []
    for path, data in files(weeks.site.disk, str(weeks.data / "vaults" / vault)):  # type: ignore[arg-type]
        parts += [path.encode(), data]
        for frame in scan_frames(data):
            if isinstance(frame, RawFrame):
                parts.append(unpacker._decompress(unpacker._decrypt(frame.payload)))
    return b"\n".join(parts)


@pytest.fixture
def kept_apart(tmp_path: Path) -> tuple[Weeks, Path]:
    """An installation, and a keeper with a folder of its own that has copied its near vault."""
    weeks = Weeks(tmp_path / "data", history=4)
    weeks.add("ann")
    weeks.put("ann", "one.txt", b"one")
    take_snapshot(weeks.site, full=False, workers=1)
    keeper = tmp_path / "keeper"
    away = tmp_path / "keys"
    away.mkdir()
    for name in (IDENTITY, RECIPIENTS, KEEPER):
        shutil.copy(weeks.data / "keys" / name, away / name)
    near = f"folder:{weeks.data / 'vaults/near'}"
    init_keeper(keeper, keys=away, pull=[near], socket="", name="kept", based_on=Config())
    assert run_once(open_site(keeper)).vaults[0].attested
    return weeks, keeper


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_keeper_follows_what_is_new_and_nothing_else(kept_apart: tuple[Weeks, Path]) -> None:
    weeks, keeper = kept_apart
    before = tree(keeper / "vault")
    weeks.put("ann", "two.txt", b"two")
    take_snapshot(weeks.site, full=False, workers=1)
    near = weeks.data / "vaults/near"
    theirs = tree(near)
    last = run_once(open_site(keeper))
    assert not last.differences
    assert tree(near) == theirs, "it wrote into the core's vault"
    after = tree(keeper / "vault")
    assert after.items() >= before.items()
    assert after.items() >= theirs.items()
    shutil.rmtree(near / "runs")
    for path in list((near / "log").glob("*/*"))[:2]:
        path.unlink()
    run_once(open_site(keeper))
    assert tree(keeper / "vault").items() >= after.items(), "it followed a deletion"


def test_a_keeper_tells_of_a_vault_that_was_rolled_back_or_rewritten(kept_apart: tuple[Weeks, Path]) -> None:
    weeks, keeper = kept_apart
    near = weeks.data / "vaults/near"
    last_segment = max(path for path in (near / "log").rglob("*.seg") if path.stat().st_size > 176)
    before = tree(keeper / "vault")
    whole = last_segment.read_bytes()
    last_segment.write_bytes(whole[:-200])
    assert any("longer" in told for told in run_once(open_site(keeper)).differences)
    last_segment.write_bytes(whole[:-100] + bytes(100))
    assert any("not the same" in told for told in run_once(open_site(keeper)).differences)
    assert tree(keeper / "vault").items() >= before.items()


def test_a_keeper_needs_both_keys(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="missing"):
        init_keeper(tmp_path / "keeper", keys=None, pull=[], socket="", name="kept", based_on=Config())
    with pytest.raises(OperatorError, match="no folder of a keeper"):
        open_site(tmp_path / "nothing")


def test_without_the_keepers_key_nothing_is_removed(tmp_path: Path) -> None:
    weeks = Weeks(tmp_path / "data", history=4)
    weeks.add("ann")
    weeks.pass_day(changes=2)
    (weeks.data / "keys" / IDENTITY).unlink()
    last = keep_vaults(weeks.open())
    assert all("not both here" in kept.blocked for kept in last.vaults)
