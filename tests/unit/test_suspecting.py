"""From when on the log is suspect: said by whoever knows it, after an attack with the writer's keys; else nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safehold.assembly.installation import Installation
from safehold.assembly.suspecting import FORKED, NOT_ATTESTED, REFUSED, suspicions
from safehold.assembly.vault_serving import VaultServer
from safehold.cli.recover_report import describe_suspect
from safehold.config import load
from safehold.formats.keys import Opener
from safehold.model.errors import SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame
from safehold.recovery.report import Suspicion
from safehold.vault.evidence import read_evidence
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.receipts import Receipts, Signed
from safehold.vault.refusals import RACES, Refusals
from safehold.vault.remote import RemoteVault
from tests.support.runs import Generations, framed
from tests.support.thief import FORKS, Thief
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada

__all__ = ["run", "with_ada"]

FORK = "a claim that continues an earlier frame"


class House(NamedTuple):
    """An installation with a generation that a keeper attested, and changes after it."""

    run: Run
    site: Installation
    attested: LogPosition

    @property
    def near(self) -> FolderVault:
        vault = self.site.vault(self.site.config.vaults[0])
        assert isinstance(vault, FolderVault)
        return vault

    def entries(self) -> list[LogFrame]:
        reader = VaultLogReader([self.near], self.site.opener)
        return [e for e in reader.entries() if isinstance(e, LogFrame)]

    def thief(self, vault: Any = None) -> Thief:
        opened = [e for e in self.entries() if e.claim][-1].position.frame
        return Thief(vault or self.near, self.entries()[-1].position, opened, self.site.keyring.sealer)

    def plan(self) -> tuple[list[dict[str, Any]], str]:
        """What a plan says of it, as JSON and in its head for people."""
        _, told = self.run("recover", "plan")
        return told["suspect"], Path(told["plan"]).read_text()


def _keys(house: House) -> tuple[bytes, Opener]:
    return house.site.opener.installation, house.site.opener


@pytest.fixture
def house(with_ada: Run, tmp_path: Path) -> House:
    import_cards(with_ada, tmp_path / "cards", "one", "two", "three")
    assert with_ada("snapshot")[0] == 0
    _, told = with_ada("keeper", "run", "--once")
    assert min(v["attested"] for v in told["vaults"]) > 0
    import_cards(with_ada, tmp_path / "more", "four", "five")
    data = tmp_path / "data"
    site = Installation(data, load(data / "safehold.toml"))
    at = max(v["attested"] for v in told["vaults"])
    there = House(with_ada, site, EMPTY_LOG)
    return there._replace(attested=next(e.position for e in there.entries() if e.position.frame == at))


def test_where_nothing_is_suspect_nothing_is_said(house: House) -> None:
    found, text = house.plan()
    assert found == [] and " is suspect: " not in text
    code, told = house.run("recover", "run", "--yes")
    assert (code, told["suspect"]) == (0, [])


def test_a_log_that_goes_on_before_what_a_keeper_attested_is_suspect_from_there(house: House) -> None:
    before = [s.position.frame for s in house.entries()]
    FORKS[FORK](house.thief())
    assert house.attested.frame in before and house.attested.frame > 3
    found, text = house.plan()
    assert [(one["vault"], one["what"], one["frame"]) for one in found] == [("near", FORKED, 2)]
    assert f"before frame {house.attested.frame}, which a keeper had attested" in found[0]["why"]
    assert "after frame 2, the log of near is suspect" in text
    # By the keeper's clock, when it attested that last: the fork came later.
    words = [Signed(e.name, e.evidence) for e in read_evidence([house.near], *_keys(house))]
    assert found[0]["at"] == Receipts("near", words).attested[-1].clock


def test_a_generation_of_another_history_is_suspect_from_the_last_attested_on(house: House) -> None:
    entries, history = house.entries(), framed(house.entries())
    end = entries[-1].position
    false = Generations([house.near], house.site.keyring.sealer)
    false.make([(f, c) for f, c in history if c.rev < 3], end, at=entries[-1].at)
    _, told = house.run("keeper", "run", "--once")
    assert any(v["refused"] for v in told["vaults"])
    found, _ = house.plan()
    (one,) = found
    assert (one["vault"], one["what"], one["frame"]) == ("near", NOT_ATTESTED, house.attested.frame)
    assert f"generation {end.frame}" in one["why"]


def test_a_damaged_generation_is_no_sign_of_anybody(house: House, tmp_path: Path) -> None:
    import_cards(house.run, tmp_path / "later", "six")
    assert house.run("snapshot")[0] == 0
    runs = tmp_path / "data" / "vaults" / "near" / "runs"
    newest = max(runs.iterdir())
    for path in newest.glob("*.run"):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    _, told = house.run("keeper", "run", "--once")
    assert any(v["refused"] for v in told["vaults"])
    assert house.plan()[0] == []


def test_what_a_keeper_refused_over_its_socket_is_told_by_socket_and_folder(house: House, tmp_path: Path) -> None:
    held = tmp_path / "keeper"
    folder = held / "vault"
    (tmp_path / "data" / "vaults" / "near").rename(tmp_path / "kept")
    held.mkdir()
    (tmp_path / "kept").rename(folder)
    address = str(tmp_path / "s")
    site = house.site
    refusals = Refusals(str(folder), str(held / "run"), site.disk, site.clock)
    server = VaultServer(str(folder), address, reserve_bytes=0, refusals=refusals)
    server.start()
    try:
        _told_by_both(site, address, folder, threading.Lock())
    finally:
        server.stop()


def _told_by_both(site: Installation, address: str, folder: Path, lock: Any) -> None:
    from safehold.adapters.vault_link import UnixLink

    remote = RemoteVault("kept", address, lambda: UnixLink(address), site.opener.installation, lock=lock)
    direct = FolderVault("kept", str(folder), site.disk, site.opener.installation)

    def ask() -> list[list[Suspicion]]:
        return [suspicions([vault], site.opener) for vault in (remote, direct)]

    assert ask() == [[], []]
    end = VaultLogReader([direct], site.opener).end()
    for number in range(RACES + 1):
        with pytest.raises(SafeholdError):
            FORKS[FORK](Thief(remote, end, end.frame, site.keyring.sealer))
        (by_socket,), (by_folder,) = ask()
        assert by_socket == by_folder
        assert (by_socket.what, by_socket.frame) == (REFUSED, end.frame)
        assert ("race" in by_socket.why) is (number < RACES), "two writers that race are refused, too"
    assert describe_suspect([by_socket])[0].startswith("from 2")
    assert by_socket.at <= site.clock.now()
