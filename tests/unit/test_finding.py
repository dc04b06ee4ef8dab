"""What a start finds where the core should be, and whether it recovers by itself (I58, I16)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from safehold import config as configuration
from safehold.adapters.channel import ChannelServer
from safehold.assembly.finding import Lost, NotByItself, find_core, find_why_not, require_recoverable
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.site import CoreMissing, NoVaultInReach
from safehold.cli.main import main
from safehold.config import ASK
from safehold.formats.keys import KeyAway
from safehold.model.commands import AddAccount
from safehold.model.errors import NewerCore, OperatorError
from safehold.service.control import encode_json
from safehold.store.sqlite.vfs import checksum_vfs
from safehold.vault.keyring import KEEPER


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("finding") / "data"
    with open_installation(data, configuration.Config(), make=True).session() as session:
        session.execute(AddAccount(account=b"a" * 16, name="ada"))
    return data


@pytest.fixture
def site(pristine: Path, tmp_path: Path) -> Installation:
    data = tmp_path / "data"
    shutil.copytree(pristine, data, ignore=shutil.ignore_patterns("*.sock"))
    return open_installation(data, configuration.Config(), make=False)


def everything(data: Path) -> dict[str, bytes]:
    """What a reader of the core leaves beside it is memory, not data."""
    files = (path for path in data.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def lost(site: Installation) -> Lost:
    """What is found, which changes nothing."""
    before = everything(site.data)
    found = find_core(site)
    assert everything(site.data) == before
    assert found is not None
    return found


def why_not(site: Installation) -> OperatorError:
    """Why it does not recover by itself: exit code 3, and nothing is changed."""
    found = lost(site)
    before = everything(site.data)
    with pytest.raises(OperatorError) as raised:
        require_recoverable(site, found)
    assert everything(site.data) == before
    assert raised.value.exit_code == 3
    assert raised.value.hint
    return raised.value


def test_a_whole_core_is_served(site: Installation) -> None:
    assert find_core(site) is None


def test_where_nothing_ever_was_there_is_nothing_to_recover(tmp_path: Path) -> None:
    assert find_core(open_installation(tmp_path / "new", configuration.Config(), make=False)) is None


@pytest.mark.parametrize("how", ["folder", "file", "empty"])
def test_a_core_that_is_gone_is_recovered(site: Installation, how: str) -> None:
    if how == "folder":
        shutil.rmtree(site.data / "core")
    elif how == "file":
        site.core_path.unlink()
    else:
        site.core_path.write_bytes(b"")
    found = lost(site)
    assert found.why == ("is an empty file" if how == "empty" else "is missing")
    assert require_recoverable(site, found).names() == ["near", "far"]


@pytest.mark.parametrize("what", ["first page", "no database", "cut short", "another program's", "schema table"])
def test_a_core_that_cannot_be_read_is_recovered(site: Installation, what: str) -> None:
    data = bytearray(site.core_path.read_bytes())
    if what == "first page":
        data[100:600] = bytes(500)
    elif what == "no database":
        data[:] = b"not a database at all" * 100
    elif what == "cut short":
        del data[3000:]
    elif what == "schema table":
        data[4000:4080] = b"\xff" * 80
    site.core_path.write_bytes(data)
    if what == "another program's":
        site.core_path.unlink()
        other = apsw.Connection(str(site.core_path))
        other.execute("CREATE TABLE t (x)")
        other.close()
    found = lost(site)
    assert found.why.startswith("cannot be read (")
    assert require_recoverable(site, found).names() == ["near", "far"]


def test_a_core_of_a_newer_release_is_not_touched(site: Installation) -> None:
    db = apsw.Connection(str(site.core_path), vfs=checksum_vfs())
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = everything(site.data)
    with pytest.raises(NewerCore) as raised:
        find_core(site)
    assert raised.value.exit_code == 3
    assert everything(site.data) == before


def test_it_asks_where_it_is_told_to_and_says_what_would_come_back(site: Installation) -> None:
    shutil.rmtree(site.data / "core")
    site.config = replace(site.config, recovery_start=ASK)
    error = why_not(site)
    assert isinstance(error, NotByItself)
    assert "the core is missing" in error.message
    assert "recover run" in error.hint
    assert "start = " in error.hint


def test_without_a_key_it_says_how_to_give_it(site: Installation) -> None:
    (site.keys_folder / "identity.txt").rename(site.data.parent / "identity.txt")
    site.reload_keys()
    shutil.rmtree(site.data / "core")
    error = why_not(site)
    assert isinstance(error, KeyAway)
    assert "the core is missing" in error.message
    assert "--identity" in error.hint


def test_without_any_keys_it_names_recover_run(site: Installation) -> None:
    shutil.rmtree(site.keys_folder)
    shutil.rmtree(site.data / "core")
    error = why_not(site)
    assert "recover run --identity" in error.hint


def test_without_a_vault_in_reach_it_is_refused(site: Installation) -> None:
    shutil.rmtree(site.data / "core")
    shutil.rmtree(site.data / "vaults")
    with pytest.raises(NoVaultInReach) as raised:
        find_core(site)
    assert raised.value.exit_code == 3


def test_a_damaged_core_without_a_vault_in_reach_stays_where_it_is(site: Installation) -> None:
    site.core_path.write_bytes(b"x" * 5000)
    shutil.move(site.data / "vaults", site.data.parent / "elsewhere")
    assert "no vault that holds its history is in reach" in why_not(site).message


def test_a_vault_that_only_follows_is_for_a_person_to_go_on_with(site: Installation) -> None:
    """What was written last may be missing in it, and devices were told that it is safe (I12)."""
    shutil.rmtree(site.data / "core")
    shutil.move(site.data / "vaults/near", site.data.parent / "near")
    error = why_not(site)
    assert "far" in error.message
    assert "recover run" in error.hint


def test_a_vault_that_only_follows_may_be_away(site: Installation) -> None:
    shutil.rmtree(site.data / "core")
    shutil.move(site.data / "vaults/far", site.data.parent / "far")
    require_recoverable(site, lost(site))


def test_vaults_of_another_installation_are_not_recovered_from(site: Installation, tmp_path: Path) -> None:
    other = open_installation(tmp_path / "other", configuration.Config(), make=True)
    shutil.rmtree(site.data / "vaults")
    shutil.copytree(other.data / "vaults", site.data / "vaults")
    shutil.rmtree(site.data / "core")
    assert "no vault that holds its history is in reach" in why_not(site).message


def test_the_folder_of_a_keeper_has_no_core_to_recover(tmp_path: Path) -> None:
    site = open_installation(tmp_path / "keeper", configuration.Config(), make=False)
    site.keys_folder.mkdir(parents=True)
    (site.keys_folder / KEEPER).write_bytes(b"x")
    with pytest.raises(OperatorError) as raised:
        find_core(site)
    assert not isinstance(raised.value, CoreMissing)
    assert raised.value.exit_code == 2


def opened_in_vain(site: Installation) -> OperatorError:
    writer = site.make_writer()
    with site.lock(), pytest.raises(OperatorError) as raised:
        try:
            writer.open()
        finally:
            writer.close()
    return raised.value


def add(site: Installation, name: str) -> None:
    with site.session() as session:
        session.execute(AddAccount(account=sha256(name.encode()).digest()[:16], name=name))


def test_a_core_from_before_all_that_the_log_has_left_is_recovered(site: Installation) -> None:
    old = site.core_path.read_bytes()
    for name in ("bob", "eve"):
        add(site, name)
        assert main(["--data", str(site.data), "snapshot"]) == 0
    for vault in ("near", "far"):  # as retention leaves it
        for folder in sorted((site.data / "vaults" / vault / "log").iterdir())[:-1]:
            shutil.rmtree(folder)
    shutil.rmtree(site.core_path.parent)
    site.core_path.parent.mkdir()
    site.core_path.write_bytes(old)
    assert find_core(site) is None, "it can be read"
    found = find_why_not(site, opened_in_vain(site))
    assert found is not None
    assert found.why == "is older than all that the log has left"
    require_recoverable(site, found)


def test_a_core_that_is_ahead_of_its_vaults_is_left_where_it_is(site: Installation) -> None:
    """It may be the only one that has what it has."""
    kept = site.data.parent / "kept"
    shutil.copytree(site.data / "vaults", kept)
    add(site, "bob")
    shutil.rmtree(site.data / "vaults")
    shutil.copytree(kept, site.data / "vaults")
    assert find_core(site) is None
    error = opened_in_vain(site)
    assert find_why_not(site, error) is None
    assert "lost" in error.message


def test_a_recovery_by_hand_is_refused_beside_one_that_serves(
    site: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    status = {"recovery": {"state": "running"}, "last_recovery": None}
    channel = ChannelServer(str(site.socket_path), lambda _: encode_json(status))
    with site.lock():
        channel.start()
        try:
            assert main(["--data", str(site.data), "recover", "run", "--yes"]) == 3
        finally:
            channel.stop()
    said = capsys.readouterr().err
    assert "a running service is recovering this core" in said
    assert "recover status" in said
