"""Commands beside a core that is still being recovered (I58): none of them is fooled by what is not back yet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from safehold import config as configuration
from safehold.assembly.finding import NotByItself, find_core
from safehold.assembly.front import Coming, Front
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.recovering import Sources
from safehold.cli.main import main
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.segment import HEADER_BYTES
from safehold.model.commands import AddAccount, Body, EraseAccount, PutItem
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import NOT_YET
from safehold.ports.log import LogFrame
from safehold.recovery.selection import SYSTEM
from safehold.recovery.staged import Staged
from safehold.store.sqlite.bulk import StreamRows
from safehold.vault.recoveries import open_recoveries

ADA = b"a" * 16
CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:One\r\nEND:VCARD\r\n"
PHOTO = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("half") / "data"
    with open_installation(data, configuration.Config(), make=True).session() as session:
        session.execute(AddAccount(account=ADA, name="ada"))
        card = Body(sha256(CARD).digest(), len(CARD), inline=CARD)
        session.execute(
            PutItem(account=ADA, path="contacts/default", name="1.vcf", body=card, media="text/vcard", uid="1")
        )
        account = session.reads.account_named("ada")
        assert account is not None
        stage = session.blobs.stage(session.blob_key(account))
        stage.write(PHOTO)
        photo = stage.finish()
        session.execute(PutItem(account=ADA, path="files/photos", name="p.jpg", body=photo, media="image/jpeg"))
    assert main(["--data", str(data), "snapshot"]) == 0
    return data


@pytest.fixture
def site(pristine: Path, tmp_path: Path) -> Iterator[Installation]:
    """Identity is in, and nothing else."""
    data = tmp_path / "data"
    shutil.copytree(pristine, data, ignore=shutil.ignore_patterns("*.sock"))
    site = open_installation(data, configuration.Config(), make=False)
    shutil.rmtree(data / "core")
    found = find_core(site)
    assert found is not None
    Front(site, Coming(found, Sources(site), None))._begin()
    yield site


def test_a_start_whose_register_of_the_erased_is_damaged_asks(pristine: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pristine, data, ignore=shutil.ignore_patterns("*.sock"))
    for vault in ("near", "far"):
        shutil.rmtree(data / "vaults" / vault / "runs")
    site = open_installation(data, configuration.Config(), make=False)
    with site.session() as session:
        session.execute(EraseAccount(account=ADA, actor="an operator"))
    with site.session() as session:
        session.execute(AddAccount(account=b"b" * 16, name="bob"))
    frames = Sources(site).reader().entries()
    spoilt = [f for f in frames if isinstance(f, LogFrame) and any(c.account == SYSTEM for c in f.changes)]
    for path in (data / "vaults").glob("*/log/*/*"):
        for frame in scan_frames(path.read_bytes(), HEADER_BYTES):
            if isinstance(frame, RawFrame) and frame.header.number == spoilt[-1].position.frame:
                body = bytearray(path.read_bytes())
                body[frame.offset + 100] ^= 0x40
                path.write_bytes(body)
    site.core_path.write_bytes(b"")
    found = find_core(site)
    assert found is not None
    with pytest.raises(NotByItself, match="erased may come back") as raised:
        Front(site, Coming(found, Sources(site), None))._begin()
    assert raised.value.exit_code == 3
    assert "recover plan" in raised.value.hint
    assert site.core_path.read_bytes() == b""
    assert not list(data.glob("scratch/core-*"))


def test_a_start_whose_log_is_damaged_at_its_end_asks(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every vault, and so that nothing after it can be read: yet it is too much for one write that was cut short."""
    data = tmp_path / "data"
    shutil.copytree(pristine, data, ignore=shutil.ignore_patterns("*.sock"))
    site = open_installation(data, configuration.Config(), make=False)
    with site.session() as session:
        for n in range(5):
            session.execute(AddAccount(account=bytes([n + 1]) * 16, name=f"person-{n}"))
    name = max(path.relative_to(data / "vaults/near") for path in (data / "vaults/near/log").glob("*/*"))
    for vault in ("near", "far"):
        path = data / "vaults" / vault / name
        body = path.read_bytes()
        path.write_bytes(body[: len(body) // 3] + bytes(byte ^ 0x5A for byte in body[len(body) // 3 :]))
    site.core_path.write_bytes(b"")
    found = find_core(site)
    assert found is not None
    for _ in range(2):  # also once it has claimed a timeline
        with pytest.raises(NotByItself, match="at the end of the log cannot be read") as raised:
            Front(site, Coming(found, Sources(site), None))._begin()
        assert raised.value.exit_code == 3
        assert site.core_path.read_bytes() == b""
    _, plan = run(site, capsys, "recover", "plan")
    assert plan["unknown_seconds"] > 0
    assert not plan["verified"]
    code, _ = run(site, capsys, "recover", "run", "--yes")
    assert code == 1
    with site.session() as session:
        session.execute(AddAccount(account=b"z" * 16, name="later"))
    assert find_core(site) is None


def held(site: Installation) -> dict[Kind, str | None]:
    core = site.open_reads()
    try:
        account = core.account_named("ada")
        assert account is not None
        return {kind: core.held(account.number, kind) for kind in Kind}
    finally:
        core.close()


def run(site: Installation, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["--data", str(site.data), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def add(site: Installation, name: str) -> None:
    """By a writer of its own, as any command."""
    with site.session() as session:
        session.execute(AddAccount(account=sha256(name.encode()).digest()[:16], name=name))


def finish(site: Installation) -> None:
    """As the service does."""
    reads = site.open_reads()
    sources = Sources(site)
    staged = Staged.resume(reads, sources.reader(), sources.runs(), make_rows=StreamRows, clock=site.clock)
    assert staged is not None
    core = site.open_core()
    while staged.step(core):
        pass
    while staged.fetch(reads, sources.blobs(), 1 << 20):
        pass
    staged.close(core)
    core.close()
    reads.close()


def test_every_stream_but_identity_is_held(site: Installation) -> None:
    found = held(site)
    assert found[Kind.IDENTITY] is None
    assert {found[kind] for kind in (Kind.CONTACTS, Kind.PHOTOS)} == {NOT_YET}


def test_the_next_start_goes_on_with_it(site: Installation) -> None:
    found = find_core(site)
    assert found is not None
    assert found.begun


def test_no_snapshot_is_taken(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in (site.data / "vaults/near/runs").iterdir())
    code, said = run(site, capsys, "snapshot")
    assert code == 3
    assert "error" in said
    assert sorted(path.name for path in (site.data / "vaults/near/runs").iterdir()) == before


def test_nothing_is_retained(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    for config in site.config.vaults:
        assert open_recoveries(site.vault(config))
    code, said = run(site, capsys, "vault", "retain")
    assert code in (0, 1)
    assert all("recovery" in vault["blocked"] for vault in said["vaults"])
    assert not any(vault["remove"] for vault in said["vaults"])


def test_scrub_and_repair_find_nothing_wrong_with_the_vaults(
    site: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, capsys, "scrub")[0] == 0
    code, said = run(site, capsys, "vault", "repair", "--yes")
    assert code == 0
    assert not any(vault["damaged"] for vault in said["vaults"])
    assert held(site)[Kind.CONTACTS] == NOT_YET


def test_status_says_that_it_waits_for_the_next_start(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(site, capsys, "recover", "status")
    assert code == 0
    assert said["recovery"]["state"] == "stopped"
    assert said["recovery"]["streams"]["queued"] >= 2
    code, status = run(site, capsys, "status", "--check")
    assert code == 1
    assert status["recovery"]["state"] == "stopped"


def test_an_export_says_what_is_not_back(
    site: Installation, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, said = run(site, capsys, "export", "ada", str(tmp_path / "out"))
    assert code == 1
    assert {problem["where"] for problem in said["problems"]} >= {"contacts", "photos"}


def test_an_undo_and_a_put_are_told_to_wait(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(site, capsys, "undo", "ada", "--kind", "contacts", "--to", "1m")
    assert code == 3
    assert "error" in said
    code, said = run(site, capsys, "history", "ada", "--kind", "contacts")
    assert code == 3, said


def test_accounts_can_be_added_and_erased_meanwhile(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    add(site, "bob")
    assert run(site, capsys, "account", "erase", "ada", "--yes")[0] == 0
    finish(site)
    core = site.open_reads()
    assert [account.name for account in core.accounts()] == ["bob"]
    core.close()


def test_large_bodies_that_are_still_there_stay(site: Installation) -> None:
    """Nothing in the core names them yet; a writer that opens must not take them for nobody's."""

    def blobs() -> dict[str, int]:
        return {str(path): path.stat().st_ino for path in (site.data / "blobs").rglob("*") if path.is_file()}

    before = blobs()
    assert before
    add(site, "bob")
    assert blobs() == before
    finish(site)
    assert blobs() == before
    assert {kind: why for kind, why in held(site).items() if why} == {}
    add(site, "eve")
    assert blobs() == before


def test_all_kinds_come_back(site: Installation) -> None:
    finish(site)
    assert all(held(site)[kind] is None for kind in DATA_KINDS)


def test_an_old_copy_of_it_that_is_put_back_is_recovered_anew(site: Installation) -> None:
    """The log has gone on since with streams that have not come into the copy: what follows them cannot be taken in."""
    core, copy = site.core_path.parent, site.data / "copy"
    shutil.copytree(core, copy)
    add(site, "bob")
    shutil.rmtree(core)
    shutil.copytree(copy, core)
    found = find_core(site)
    assert found is not None
    assert found.begun, "of identity alone all that follows is taken in"
    finish(site)
    other = CARD.replace(b"One", b"Two")
    body = Body(sha256(other).digest(), len(other), inline=other)
    with site.session() as session:
        session.execute(
            PutItem(account=ADA, path="contacts/default", name="2.vcf", body=body, media="text/vcard", uid="2")
        )
    shutil.rmtree(core)
    shutil.copytree(copy, core)
    found = find_core(site)
    assert found is not None
    assert not found.begun
    assert "old copy" in found.why
    Front(site, Coming(found, Sources(site), None))._begin()
    assert list(site.data.glob("scratch/core-*/core.db"))
    add(site, "eve")
    finish(site)
    with site.session() as session:
        account = session.reads.account_named("ada")
        assert account is not None
        assert session.reads.figures(account.number, Kind.CONTACTS).items == 2
    assert find_core(site) is None
