"""`vault probe` and `vault mode` on a real data folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.mode_record import modes_now, recorded_modes
from safehold.assembly.modes import change_mode
from safehold.assembly.probing import BY_CONVENTION, ENFORCED, Probed, is_due, probe, probe_and_remember, remembered
from safehold.config import Config, VaultConfig, load, parse, set_mode, write_default
from safehold.formats.modes import GONE, RecordedMode, encode_modes, parse_modes
from safehold.model.commands import AddAccount
from safehold.model.errors import Damaged, OperatorError
from safehold.vault.evidence import read_evidence
from tests.support.keeper import CORE_USER, KEEPER_USER, KeeperProcess, ground, own_folder, run_as

NEAR, FAR = Config().vaults


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    write_default(tmp_path / "data" / "safehold.toml")
    return open_installation(tmp_path / "data", Config(), make=True)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# -- probe


def test_a_folder_of_our_own_is_append_only_by_convention(installation: Installation) -> None:
    near = installation.data / "vaults" / "near"
    before = files(near)
    found = probe_and_remember(installation, NEAR)
    assert found.append_only == BY_CONVENTION and not found.why
    assert (found.put_if_absent, found.append_length) == (True, True)
    assert (found.overwrite, found.shorten, found.delete, found.rename) == (True,) * 4
    after = files(near)
    assert {name: after[name] for name in before} == before
    assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {"evidence"}
    assert remembered(installation, "near") == found
    kinds = [
        e.evidence
        for e in read_evidence([installation.vault(NEAR)], installation.opener.installation, installation.opener)
    ]
    assert {(e.kind, e.vault) for e in kinds} == {("probe", "near")}
    assert kinds[0].facts["append_only"] == BY_CONVENTION and kinds[0].facts["put_if_absent"] is True


def test_the_same_again_leaves_no_more_evidence(installation: Installation) -> None:
    probe_and_remember(installation, NEAR)
    before = files(installation.data / "vaults" / "near")
    probe_and_remember(installation, NEAR)
    assert files(installation.data / "vaults" / "near") == before


def test_a_store_that_overwrites_is_found_out(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from safehold.vault.folder import FolderVault

    first = probe_and_remember(installation, NEAR)

    def put(self: FolderVault, name: str, chunks: Any) -> bool:
        path = Path(self.url.removeprefix("folder:")) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(chunks))
        return True

    with monkeypatch.context() as patch:
        patch.setattr(FolderVault, "put", put)
        patch.setattr(FolderVault, "append", lambda *_: None)
        found = probe(installation, NEAR, first.evidence)
    assert (found.put_if_absent, found.append_length) == (False, False)
    assert found.append_only == BY_CONVENTION


def test_a_probe_is_due_daily_and_when_the_url_has_changed(installation: Installation) -> None:
    assert is_due(installation, NEAR)
    probe_and_remember(installation, NEAR)
    assert not is_due(installation, NEAR)
    assert is_due(installation, VaultConfig("near", "folder:elsewhere", "sync"))
    began = installation.clock.now()
    installation.clock.now = lambda: began + 24 * 3600 * 1_000_000 + 1_000_000  # type: ignore[method-assign]
    assert is_due(installation, NEAR)


def test_a_vault_that_is_away_is_told_and_what_was_known_stays(installation: Installation) -> None:
    known = probe_and_remember(installation, FAR)
    (installation.data / "vaults" / "far").rename(installation.data / "away")
    found = probe_and_remember(installation, FAR)
    assert "no vault" in found.why
    assert remembered(installation, "far") == known


def test_only_what_is_refused_throughout_is_enforced() -> None:
    good = Probed("v", "u", 1, 1, True, True, False, False, False, False)
    assert good.append_only == ENFORCED
    fields = {"put_if_absent": (False, None), "append_length": (False, None)}
    fields |= dict.fromkeys(("overwrite", "shorten", "delete", "rename"), (True, None))
    for name, values in fields.items():
        for value in values:
            assert (
                Probed(**{**{f: getattr(good, f) for f in good.__struct_fields__}, name: value}).append_only
                == BY_CONVENTION
            )


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be had by root only")
def test_a_keepers_vault_is_enforced_for_another_user_and_not_for_root() -> None:
    with ground() as root:
        data = own_folder(root / "data", None)
        write_default(data / "safehold.toml")
        installation = open_installation(data, Config(), make=True)
        from safehold.store.realdisk import RealDisk
        from safehold.vault.folder import FolderVault

        folder = own_folder(root / "kept", KEEPER_USER) / "vault"
        FolderVault.create("kept", str(folder), RealDisk(), installation.opener.installation).close()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, KEEPER_USER, KEEPER_USER)
        run = root / "run"
        run.mkdir()
        run.chmod(0o777)
        keeper = KeeperProcess(folder, run / "kept.sock", KEEPER_USER)
        keeper.start()
        try:
            added = installation.vault_add("kept", f"keeper:{run}/kept.sock", "sync")
            assert added["url"] == f"keeper:{run}/kept.sock"
            kept = next(v for v in installation.config.vaults if v.name == "kept")
            as_root = remembered(installation, "kept")
            assert as_root is not None and as_root.append_only == BY_CONVENTION and as_root.holder == KEEPER_USER
            for path in (data, *data.rglob("*")):
                os.chown(path, CORE_USER, CORE_USER)

            def core() -> None:
                found = probe_and_remember(installation, kept)
                assert found.append_only == ENFORCED, found
                assert found.holder == KEEPER_USER and found.user == CORE_USER
                status = installation.status()
                assert [v["append_only"] for v in status["vaults"]][-1] == ENFORCED
                assert not [risk for risk in status["risks"] if "may overwrite" in risk]

            run_as(CORE_USER, core)

            def its_own_user() -> None:
                assert probe(installation, kept).append_only == BY_CONVENTION

            for path in (data, *data.rglob("*")):
                os.chown(path, KEEPER_USER, KEEPER_USER)
            run_as(KEEPER_USER, its_own_user)
        finally:
            keeper.kill()


# -- modes


def shown(installation: Installation, name: str) -> dict[str, Any]:
    return next(v for v in installation.status()["vaults"] if v["name"] == name)


def test_a_change_of_mode_is_on_record_and_shown(installation: Installation) -> None:
    assert shown(installation, "near")["mode_by"] == "the configuration"
    done = change_mode(installation, "far", "sync", why="belt and braces")
    assert done.changed and done.sync == ["near", "far"]
    far = shown(installation, "far")
    assert (far["mode"], far["mode_why"]) == ("sync", "belt and braces")
    assert far["mode_by"].endswith("by `safehold vault mode`") and far["mode_since"] > 0
    assert load(installation.config_path).vaults[1].mode == "sync"
    near = [e.name for e in installation.vault(NEAR).list("log/")]
    assert near == [e.name for e in installation.vault(FAR).list("log/")]


def test_what_weakens_needs_a_yes_and_the_last_stays(installation: Installation) -> None:
    with pytest.raises(OperatorError, match="only vault") as refused:
        change_mode(installation, "near", "async", yes=True)
    assert refused.value.exit_code == 2
    change_mode(installation, "far", "sync")
    planned = change_mode(installation, "near", "async")
    assert planned.weakens and not planned.changed
    assert load(installation.config_path).vaults[0].mode == "sync"
    assert change_mode(installation, "near", "async", yes=True).changed
    assert shown(installation, "near")["mode"] == "async"
    assert not change_mode(installation, "near", "async").changed
    with pytest.raises(OperatorError, match="no vault"):
        change_mode(installation, "nigh", "sync")


def test_a_sync_vault_that_is_away_can_be_set_aside_on_record(installation: Installation) -> None:
    change_mode(installation, "far", "sync")
    (installation.data / "vaults" / "near").rename(installation.data / "away")
    done = change_mode(installation, "near", "async", why="its disk is dead", yes=True)
    assert done.changed and done.sync == ["far"]
    near = shown(installation, "near")
    assert (near["state"], near["mode_why"]) == ("missing", "its disk is dead")


def test_another_takes_the_place_of_the_only_sync_vault_that_is_away(installation: Installation) -> None:
    """What it lacked comes from the core, and the record of both is in it."""
    far, hidden = installation.data / "vaults" / "far", installation.data / "hidden"
    far.rename(hidden)
    with installation.session() as session:
        session.execute(AddAccount(account=b"a" * 16, name="ann", password="hash"))
    hidden.rename(far)
    (installation.data / "vaults" / "near").rename(installation.data / "away")
    before = installation.config_path.read_text()
    with pytest.raises(OperatorError):
        change_mode(installation, "far", "sync", yes=True)
    assert installation.config_path.read_text() == before
    planned = change_mode(installation, "far", "sync", instead_of=["near"])
    assert planned.weakens and not planned.changed and planned.sync == ["far"]
    done = change_mode(installation, "far", "sync", why="its disk is dead", yes=True, instead_of=["near"])
    assert done.changed and done.sync == ["far"]
    assert [shown(installation, name)["mode"] for name in ("near", "far")] == ["async", "sync"]
    assert {shown(installation, name)["mode_why"] for name in ("near", "far")} == {"its disk is dead"}
    shutil.rmtree(installation.data / "core")
    again = Installation(installation.data, load(installation.config_path), installation.config_path)
    assert again.recover(again.recovery_plan()).report.exit_code == 0
    reads = again.open_reads()
    assert reads.account_named("ann") is not None
    assert recorded_modes(reads)["far"].why == "its disk is dead"
    reads.close()
    with pytest.raises(OperatorError, match="only a vault that becomes sync"):
        change_mode(again, "near", "async", instead_of=["far"])


def test_making_sync_what_is_away_leaves_all_as_it_was(installation: Installation) -> None:
    (installation.data / "vaults" / "far").rename(installation.data / "away")
    before = installation.config_path.read_text()
    with pytest.raises(OperatorError, match="far"):
        change_mode(installation, "far", "sync")
    assert installation.config_path.read_text() == before
    assert shown(installation, "far")["mode"] == "async"


def test_a_start_finds_what_was_edited(installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    change_mode(installation, "far", "sync", why="both")
    text = installation.config_path.read_text().replace('mode = "sync"', 'mode = "async"', 1)
    installation.config_path.write_text(text)
    again = open_installation(installation.data, load(installation.config_path), make=True)
    with again.session() as session:
        session.execute_all([])
    near = shown(again, "near")
    assert (near["mode"], near["mode_by"], near["mode_why"]) == ("async", "the configuration", None)
    assert "near is async now; it was sync" in caplog.text
    assert shown(again, "far")["mode_why"] == "both"


def test_the_record_follows_the_configuration() -> None:
    first = modes_now({}, [NEAR, FAR], 5)
    assert {name: (r.mode, r.since, r.before) for name, r in first.items()} == {
        "near": ("sync", 5, ""),
        "far": ("async", 5, ""),
    }
    assert modes_now(first, [NEAR, FAR], 9) == first
    gone = modes_now(first, [FAR], 9)
    assert (gone["near"].mode, gone["near"].before, gone["near"].since) == (GONE, "sync", 9)
    assert modes_now(gone, [FAR], 12) == gone
    back = modes_now(gone, [NEAR, FAR], 15)
    assert (back["near"].mode, back["near"].before) == ("sync", GONE)
    assert parse_modes(encode_modes(back)) == back
    for rubbish in (b"", b"[]", b'{"near": 1}', b"\xff"):
        with pytest.raises(Damaged):
            parse_modes(rubbish)
    assert recorded_modes(None) == {}
    assert RecordedMode("sync", 1, "x") == RecordedMode("sync", 1, "x", "", "")


NEAR_TEXT, FAR_TEXT = '[vaults.near]\nurl = "folder:a"\nmode = "sync"\n', '[vaults.far]\nurl = "folder:b"\n'


@pytest.mark.parametrize(
    "text",
    [
        NEAR_TEXT + FAR_TEXT + 'mode = "async" # why\n\n[limits]\nquota = 5\n',
        '[vaults.near]\nmode = "sync"\nurl = "folder:a"\n' + FAR_TEXT + "# more\n[auth]\nfailures = 3\n",
        FAR_TEXT.replace("far", '"far"') + "\n" + NEAR_TEXT,
        "[limits]\nquota = 5\n",
        "",
    ],
)
def test_the_rest_of_the_file_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "safehold.toml"
    path.write_text(text)
    before = parse(text)
    config = set_mode(path, "far", "sync")
    assert load(path) == config
    assert {v.name: v.mode for v in config.vaults} == {"near": "sync", "far": "sync"}
    assert (config.quota_bytes, config.auth_failures) == (before.quota_bytes, before.auth_failures)
    assert [v.url for v in config.vaults] == [v.url for v in before.vaults]
    for line in text.splitlines():
        assert "mode" in line or line in path.read_text()
