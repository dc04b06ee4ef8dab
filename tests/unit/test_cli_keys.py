"""`vault keys` on a real installation in a temporary folder, where nothing serves."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pytest

from safehold import config as configuration
from safehold.formats import keys
from safehold.ports.disk import File
from safehold.store.realdisk import RealDisk
from safehold.vault import keyring
from tests.support import bare_reader
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada

__all__ = ["run", "with_ada"]

FRIEND = keys.identity_of(b"f" * 32)
_SECRET = re.compile(r"AGE-SECRET-KEY|SAFEHOLD-(RECOVERY|ROOT|WRITER|KEEPER)-1", re.IGNORECASE)


def shown(run: Run) -> dict[str, Any]:
    code, told = run("vault", "keys")
    assert code == 0, told
    return told


def ring(tmp_path: Path) -> keyring.Keyring:
    return keyring.load_keyring(RealDisk(), str(tmp_path / "data" / "keys"))


def bare(run: Run, tmp_path: Path, key: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Lose the machine but for the vault near, and recover from that and a recovery key."""
    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / "key.txt").write_text(key + "\n")
    near = ("--vault", f"folder:{tmp_path / 'lost' / 'vaults' / 'near'}")
    return run("recover", "run", "--yes", *near, "--identity", str(tmp_path / "key.txt"), *more)


def test_what_is_shown_and_that_it_holds_no_secret(run: Run) -> None:
    code, told = run("vault", "keys", "show")
    assert (code, told) == (0, shown(run))
    assert (told["identity"]["place"], told["root"]["place"]) == ("beside the core", "beside the core")
    assert told["root"]["travels"]
    assert [r["opened_here"] for r in told["recipients"]] == [True]
    assert [w["current"] for w in told["writers"]] == [True]
    assert not _SECRET.search(repr(told))


def test_the_recovery_key_as_text_and_as_pictures(run: Run, tmp_path: Path) -> None:
    svg, png = tmp_path / "key.svg", tmp_path / "key.png"
    code, told = run("vault", "keys", "recovery", "--svg", str(svg), "--png", str(png))
    assert code == 0
    assert keys.parse_recovery_key(told["recovery_key"]).identities == ring(tmp_path).opener.identities
    assert svg.read_bytes().startswith(b"<?xml") and png.read_bytes().startswith(b"\x89PNG")
    assert (svg.stat().st_mode & 0o777, png.stat().st_mode & 0o777) == (0o600, 0o600)
    assert run("vault", "keys", "recovery", "--svg", str(svg))[0] == 2, "nothing is overwritten"


@pytest.mark.parametrize(
    "change",
    [
        ("add", keys.recipient_of(FRIEND)),
        ("rotate", "writer"),
        ("rotate", "identity"),
        ("move", "identity", "ELSEWHERE"),
        ("move", "root", "ELSEWHERE"),
    ],
)
def test_nothing_is_changed_without_yes(run: Run, tmp_path: Path, change: tuple[str, ...]) -> None:
    shown(run)
    folder = tmp_path / "data" / "keys"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = [str(tmp_path / "away") if word == "ELSEWHERE" else word for word in change]
    code, told = run("vault", "keys", *words)
    assert (code, told["done"]) == (0, False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (tmp_path / "away").exists()


def test_a_recipient_reads_what_is_written_from_then_on(with_ada: Run, tmp_path: Path) -> None:
    friend = keys.recipient_of(FRIEND)
    assert with_ada("vault", "keys", "add", friend, "--yes")[0] == 0
    assert {r["recipient"]: r["opened_here"] for r in shown(with_ada)["recipients"]}[friend] is False
    assert keys.Opener(FRIEND, bytes(16)).decrypt(ring(tmp_path).sealer.encrypt(b"x")) == b"x"
    assert with_ada("vault", "keys", "remove", friend, "--yes")[0] == 0
    assert friend not in {r["recipient"] for r in shown(with_ada)["recipients"]}
    for wrong in ("age1nobody", FRIEND, friend):
        assert with_ada("vault", "keys", "add" if wrong is not friend else "remove", wrong)[0] == 2


def test_the_only_way_to_read_is_not_removed(run: Run) -> None:
    (own,) = (r["recipient"] for r in shown(run)["recipients"])
    assert run("vault", "keys", "add", keys.recipient_of(FRIEND), "--yes")[0] == 0
    code, told = run("vault", "keys", "remove", own, "--yes")
    assert code == 2 and "rotate identity" in told["hint"]


def test_no_more_recipients_than_the_most(run: Run) -> None:
    for number in range(keys.MAX_RECIPIENTS - 1):
        recipient = keys.recipient_of(keys.identity_of(bytes([number + 1]) * 32))
        assert run("vault", "keys", "add", recipient, "--yes")[0] == 0
    assert run("vault", "keys", "add", keys.recipient_of(FRIEND), "--yes")[0] == 2


def test_a_new_writer_goes_on_with_the_log(with_ada: Run, tmp_path: Path) -> None:
    before = shown(with_ada)["writers"][0]["public"]
    code, told = with_ada("vault", "keys", "rotate", "writer", "--yes")
    assert (code, told["done"]) == (0, True)
    import_cards(with_ada, tmp_path / "cards", "grace")
    writers = {w["public"]: w for w in shown(with_ada)["writers"]}
    assert writers[told["writer"]]["current"] and not writers[before]["current"]
    assert writers[before]["timelines"][1] < writers[told["writer"]]["timelines"][0]
    code, told = bare(with_ada, tmp_path, str(ring(tmp_path).recovery_key))
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1)


def test_the_new_recovery_key_alone_opens_what_was_written_before(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    old = str(ring(tmp_path).recovery_key)
    for _ in range(2):
        code, told = with_ada("vault", "keys", "rotate", "identity", "--yes")
        assert (code, told["done"]) == (0, True)
        assert not _SECRET.search(repr(told))
    import_cards(with_ada, tmp_path / "cards", "alan")
    now = ring(tmp_path)
    assert len(now.opener.identities) == 3
    new = str(now.recovery_key)
    assert new != old and new in (tmp_path / "data" / "keys" / "recovery.txt").read_text()
    assert keys.parse_recovery_key(old).identities[0] != now.opener.identities[0]
    code, told = bare(with_ada, tmp_path, new)
    assert (code, told["items"]["contacts"]["exact"], told["verified"]) == (0, 2, True), told
    assert ring(tmp_path).opener.identities == now.opener.identities


@pytest.mark.parametrize("snapshot", [False, True])
def test_an_old_recovery_key_leaves_nothing_out_unless_told(with_ada: Run, tmp_path: Path, snapshot: bool) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    old = str(ring(tmp_path).recovery_key)
    if snapshot:
        assert with_ada("snapshot")[0] == 0
    assert with_ada("vault", "keys", "rotate", "identity", "--yes")[0] == 0
    import_cards(with_ada, tmp_path / "cards-later", "alan")
    new = str(ring(tmp_path).recovery_key)
    code, told = bare(with_ada, tmp_path, old)
    assert code == 3 and "a key that was not given" in told["error"] and "newest recovery key" in told["hint"]
    assert not (tmp_path / "data" / "core").exists() and not (tmp_path / "data" / "keys").exists()
    assert not (tmp_path / "lost" / "vaults" / "near" / "recovery").exists(), "no timeline was claimed"
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "key.txt").write_text(f"{old}\n{new}\n")
    near = ("--vault", f"folder:{tmp_path / 'lost' / 'vaults' / 'near'}")
    code, told = with_ada("recover", "run", "--yes", *near, "--identity", str(tmp_path / "key.txt"))
    assert (code, told["items"]["contacts"]["exact"]) == (0, 2), told


def test_an_old_recovery_key_brings_back_what_it_opens_where_that_is_wanted(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    old = str(ring(tmp_path).recovery_key)
    assert with_ada("vault", "keys", "rotate", "identity", "--yes")[0] == 0
    import_cards(with_ada, tmp_path / "cards-later", "alan")
    code, told = bare(with_ada, tmp_path, old, "--accept-loss")
    assert (code, told["items"]["contacts"]["exact"]) == (1, 1), told


@pytest.mark.parametrize("snapshots", [(), (0,), (2,), (0, 2), (0, 1, 2)])
def test_generations_of_before_open_with_the_new_recovery_key(
    with_ada: Run, tmp_path: Path, snapshots: tuple[int, ...]
) -> None:
    for step, name in enumerate(("grace", "alan", "barbara")):
        import_cards(with_ada, tmp_path / f"cards-{name}", name)
        if step:
            assert with_ada("vault", "keys", "rotate", "identity", "--yes")[0] == 0
        if step in snapshots:
            assert with_ada("snapshot")[0] == 0
    import_cards(with_ada, tmp_path / "cards-tail", "donald")
    (tmp_path / "newest.txt").write_text(f"# on paper\n{ring(tmp_path).recovery_key}\n")
    for number, key in enumerate((tmp_path / "newest.txt", tmp_path / "data" / "keys" / "recovery.txt")):
        found = bare_reader.read(
            bare_reader.packages(tmp_path / f"packages-{number}"),
            tmp_path / "data" / "vaults" / "near",
            key,
            tmp_path / f"out-{number}",
        )
        assert found.code == 0, found.said
        assert {name for _, _, name in found.items} == {f"{n}.vcf" for n in ("grace", "alan", "barbara", "donald")}
    code, told = bare(with_ada, tmp_path, str(ring(tmp_path).recovery_key))
    assert (code, told["items"]["contacts"]["exact"], told["verified"]) == (0, 4, True), told
    assert len(ring(tmp_path).opener.identities) == 3
    damaged = with_ada("scrub")[1]["vaults"][0]["damaged"]
    assert [each for each in damaged if each["object"].startswith(("log/", "runs/", "blobs/"))] == []


def test_with_the_identity_elsewhere_all_but_reading_the_vaults_works(with_ada: Run, tmp_path: Path) -> None:
    away = tmp_path / "away"
    key = str(ring(tmp_path).recovery_key)
    code, told = with_ada("vault", "keys", "move", "identity", str(away), "--yes")
    assert (code, told["done"]) == (0, True)
    left = {path.name for path in (tmp_path / "data" / "keys").iterdir()}
    assert left >= {"recipients.txt", "root.txt", "writer.txt", "keeper.txt"}
    assert left.isdisjoint({"identity.txt", "recovery.txt"})
    assert "SAFEHOLD-KEEPER" not in (tmp_path / "data" / "keys" / "keeper.txt").read_text()
    import_cards(with_ada, tmp_path / "cards", "grace")
    status = with_ada("status")[1]
    assert status["keys"]["identity"] == status["keys"]["keeper"] == "elsewhere"
    assert any("wait for the recovery key" in risk for risk in status["risks"])
    code, told = with_ada("recover", "plan")
    assert code == 3 and "--identity FILE" in told["hint"]
    code, told = with_ada("recover", "plan", "--identity", str(away / "recovery.txt"))
    assert (code, told["core"]) == (0, "whole")
    assert with_ada("vault", "keys", "recovery")[0] == 3
    assert with_ada("vault", "keys", "rotate", "identity", "--yes")[0] == 3
    assert with_ada("vault", "keys", "rotate", "writer", "--yes")[0] == 0
    code, told = bare(with_ada, tmp_path, key)
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1)


def test_moving_an_identity_twice_or_beside_the_core(with_ada: Run, tmp_path: Path) -> None:
    assert with_ada("vault", "keys", "move", "identity", str(tmp_path / "data" / "x"), "--yes")[0] == 2
    assert with_ada("vault", "keys", "move", "identity", str(tmp_path / "away"), "--yes")[0] == 0
    assert with_ada("vault", "keys", "move", "identity", str(tmp_path / "away"), "--yes")[0] == 0
    assert with_ada("vault", "keys", "move", "identity", str(tmp_path / "nowhere"), "--yes")[0] == 2
    (tmp_path / "away" / "identity.txt").rename(tmp_path / "data" / "keys" / "identity.txt")
    assert shown(with_ada)["identity"]["place"] == "beside the core"


def test_with_the_root_elsewhere_a_bare_machine_needs_its_file(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    away, key = tmp_path / "away", str(ring(tmp_path).recovery_key)
    assert with_ada("vault", "keys", "move", "root", str(away), "--yes")[0] == 0
    told = shown(with_ada)["root"]
    assert (told["place"], told["travels"]) == ("elsewhere", False)
    assert any("bare machine needs" in risk for risk in with_ada("status")[1]["risks"])
    import_cards(with_ada, tmp_path / "cards", "alan")
    assert with_ada("vault", "keys", "rotate", "writer", "--yes")[0] == 2
    assert with_ada("vault", "keys", "rotate", "writer", "--root", str(away / "root.txt"), "--yes")[0] == 0
    code, told = bare(with_ada, tmp_path, key)
    assert code == 3 and "does not travel" in told["error"]
    (tmp_path / "data" / "keys").mkdir()
    (away / "root.txt").rename(tmp_path / "data" / "keys" / "root.txt")
    near = ("--vault", f"folder:{tmp_path / 'lost' / 'vaults' / 'near'}")
    code, told = with_ada("recover", "run", "--yes", *near, "--identity", str(tmp_path / "key.txt"))
    assert (code, told["items"]["contacts"]["exact"]) == (0, 2), told
    assert shown(with_ada)["root"]["place"] == "beside the core"


def test_keys_changed_while_a_vault_is_away_are_taken_up_later(with_ada: Run, tmp_path: Path) -> None:
    near, aside = tmp_path / "data" / "vaults" / "near", tmp_path / "aside"
    old = ring(tmp_path).recovery_key
    near.rename(aside)
    code, told = with_ada("vault", "keys", "rotate", "identity", "--yes")
    assert code == 3 and "the keys are changed, but nothing can be written" in told["error"]
    aside.rename(near)
    new = with_ada("vault", "keys", "recovery")[1]["recovery_key"]
    assert new != old
    import_cards(with_ada, tmp_path / "cards", "grace")
    assert shown(with_ada)["identity"]["older_travel"]
    code, told = bare(with_ada, tmp_path, new)
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1), told


def test_a_vault_is_made_anew_without_the_identity(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    assert with_ada("vault", "keys", "move", "identity", str(tmp_path / "away"), "--yes")[0] == 0
    (tmp_path / "data" / "vaults" / "near").rename(tmp_path / "gone")
    assert with_ada("vault", "add", "near")[0] == 0
    import_cards(with_ada, tmp_path / "more", "alan")
    code, told = with_ada("recover", "plan", "--from", "near", "--identity", str(tmp_path / "away" / "recovery.txt"))
    assert (code, told["items"]["contacts"]["exact"]) == (0, 2)


def test_a_key_of_another_installation_is_refused(with_ada: Run, tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").write_text(keys.recovery_key(FRIEND, bytes(16)))
    code, told = with_ada("recover", "plan", "--identity", str(tmp_path / "theirs.txt"))
    assert code == 2 and "another installation" in told["error"]
    (tmp_path / "data" / "keys").rename(tmp_path / "keys")
    code, told = with_ada("recover", "plan", "--identity", str(tmp_path / "theirs.txt"))
    assert code == 3 and "belongs to another installation" in told["error"]


# -- what a bare machine gets back


class ReadOnlyBelow(RealDisk):
    """A disk on which one folder can only be read, as a mount or another user's folder."""

    folder = "/nowhere"

    def _refuse(self, path: str) -> None:
        if path.startswith(self.folder):
            raise OSError(errno.EROFS, "Read-only file system", path)

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        if write or create:
            self._refuse(path)
        return super().open(path, write=write, create=create, exclusive=exclusive)

    def make_folders(self, path: str) -> None:
        if not self.exists(path):
            self._refuse(path)
        super().make_folders(path)

    def link(self, source: str, target: str) -> None:
        self._refuse(target)
        super().link(source, target)

    def remove(self, path: str) -> None:
        self._refuse(path)
        super().remove(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_vault_that_can_only_be_read_is_copied_and_stays_as_it_is(
    with_ada: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    key = str(ring(tmp_path).recovery_key)
    near = tmp_path / "lost" / "vaults" / "near"
    monkeypatch.setattr(ReadOnlyBelow, "folder", str(near))
    monkeypatch.setattr("safehold.assembly.site.RealDisk", ReadOnlyBelow)
    before = contents(tmp_path / "data" / "vaults" / "near")
    code, told = bare(with_ada, tmp_path, key)
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1), told
    assert any("the vault near at folder:vaults/near is a copy of it" in note for note in told["notes"])
    assert contents(near) == before
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 0
    assert with_ada("status")[1]["items"]["contacts"] == 1


def test_vaults_of_the_old_machine_are_told_and_settings_come_back(with_ada: Run, tmp_path: Path) -> None:
    config = tmp_path / "data" / "safehold.toml"
    text = config.read_text().replace("quota = 0 ", "quota = 7000 ")
    text += '\n[vaults.third]\nurl = "folder:/mnt/third-disk"\nmode = "async"\n'
    config.write_text(text)
    key = str(ring(tmp_path).recovery_key)
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 0
    code, told = bare(with_ada, tmp_path, key)
    assert code == 0, told
    notes = "\n".join(told["notes"])
    assert "the vault third is not at folder:/mnt/third-disk on this machine" in notes
    assert "the vault far is not at folder:vaults/far" in notes
    back = configuration.load(config)
    assert back.quota_bytes == 7000
    assert back.vaults[0].url == f"folder:{tmp_path / 'lost' / 'vaults' / 'near'}"
    assert [v.name for v in back.vaults] == ["near", "far", "third"]


def test_further_sync_vaults_that_are_missing_do_not_hold_up_the_service(with_ada: Run, tmp_path: Path) -> None:
    config = tmp_path / "data" / "safehold.toml"
    config.write_text(config.read_text().replace('mode = "async"', 'mode = "sync"'))
    key = str(ring(tmp_path).recovery_key)
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 0
    code, told = bare(with_ada, tmp_path, key)
    assert code == 0, told
    assert any("the vault far is not on this machine and stands" in note for note in told["notes"])
    assert with_ada("account", "add", "eve", "--password-stdin", stdin="x\n")[0] == 0
    assert "# [vaults.far]" in config.read_text()


def test_a_configuration_that_is_there_stays(with_ada: Run, tmp_path: Path) -> None:
    key = str(ring(tmp_path).recovery_key)
    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / "data").mkdir()
    near = f"folder:{tmp_path / 'lost' / 'vaults' / 'near'}"
    mine = f'[vaults.only]\nurl = "{near}"\nmode = "sync"\n'
    (tmp_path / "data" / "safehold.toml").write_text(mine)
    (tmp_path / "key.txt").write_text(key)
    code, told = with_ada("recover", "run", "--yes", "--identity", str(tmp_path / "key.txt"))
    assert code == 0, told
    assert (tmp_path / "data" / "safehold.toml").read_text() == mine
    assert with_ada("account", "list")[1]["accounts"][0]["name"] == "ada"
