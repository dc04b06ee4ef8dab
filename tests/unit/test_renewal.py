"""A core is given up for a new one only where nothing is in it that the vaults do not have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly import renewal
from safehold.assembly.finding import find_core
from safehold.assembly.installation import Installation, open_installation
from safehold.config import Config
from safehold.formats.keys import Opener
from safehold.model.commands import AddAccount
from safehold.ports.core import UNARCHIVED, LogPosition
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import IDENTITY
from safehold.vault.log import VaultLogReader


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    installation = open_installation(data, Config(), make=True)
    with installation.session() as session:
        session.execute(AddAccount(account=b"a" * 16, name="ada", password="hash"))
    return data


@pytest.fixture
def installation(made: Path, tmp_path: Path) -> Iterator[Installation]:
    shutil.copytree(made, tmp_path / "data")
    yield open_installation(tmp_path / "data", Config(), make=False)


def why_not(installation: Installation) -> str:
    """With the end of the log that was written: that of the copy that follows."""
    with closing(installation.vault(installation.config.vaults[1])) as far:
        end = VaultLogReader([far], installation.opener).end() if far.available() else LogPosition(*END)
    END[:] = end
    with closing(installation.open_reads()) as core:
        return renewal.why_not(installation, core, end)


#: As it was seen last.
END: list[Any] = []


def test_a_core_of_which_the_vaults_hold_all_may_go(installation: Installation) -> None:
    assert why_not(installation) == ""


def test_not_where_a_sync_vault_is_away(installation: Installation) -> None:
    (installation.data / "vaults" / "near").rename(installation.data / "elsewhere")
    assert "near is not in reach" in why_not(installation)


def test_an_async_vault_that_is_away_hinders_nobody(installation: Installation) -> None:
    why_not(installation)
    (installation.data / "vaults" / "far").rename(installation.data / "elsewhere")
    assert why_not(installation) == ""


def test_not_where_the_vault_ends_before_the_core(installation: Installation) -> None:
    segments = sorted((installation.data / "vaults" / "near" / "log").rglob("*.seg"))
    segments[-1].unlink()
    assert "does not end where the core ends" in why_not(installation)


def test_not_with_changes_that_wait_to_be_archived(installation: Installation) -> None:
    core = SqliteCore.open(str(installation.core_path))
    core.begin()
    core.set_frame(core.last_journal(), core.last_journal(), UNARCHIVED)
    core.commit()
    core.close()
    assert "do not have yet" in why_not(installation)


def test_not_without_the_key(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Opener((), installation.opener.installation)
    monkeypatch.setattr(type(installation), "opener", property(lambda _: away))
    assert "recovery key" in why_not(installation)


def test_not_where_a_start_would_have_to_ask(installation: Installation) -> None:
    installation.config = replace(installation.config, recovery_start="ask")
    assert "a person to be asked" in why_not(installation)


def test_not_where_the_key_was_given_by_hand(installation: Installation) -> None:
    opener = installation.opener
    (installation.keys_folder / IDENTITY).rename(installation.data / "elsewhere")
    installation.use_identity(opener)
    assert "given by hand" in why_not(installation)


def test_the_mark_makes_a_start_recover_and_goes_with_the_old_core(installation: Installation) -> None:
    assert renewal.wanted(installation) is None
    assert find_core(installation) is None
    renewal.mark(installation, "page 7 is damaged")
    renewal.mark(installation, "page 8 is damaged")
    found = renewal.wanted(installation)
    assert found is not None
    assert found.reason == "page 8 is damaged"
    lost = find_core(installation)
    assert lost is not None
    assert "page 8" in lost.why
    assert (installation.data / "core" / renewal.MARK).exists()


def test_a_mark_that_is_damaged_itself_counts(installation: Installation) -> None:
    (installation.data / "core" / renewal.MARK).write_bytes(b"\0\0")
    assert renewal.wanted(installation) is not None
