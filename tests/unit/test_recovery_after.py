"""The after-report: by account and kind, kept in the vaults, told to whom it concerns, and to nobody else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold.assembly.after import all_reports, keep_report, last_report, not_yet_told, notices
from safehold.assembly.installation import Installation, open_installation
from safehold.cli.main import main
from safehold.config import Config
from safehold.model.commands import AddAccount
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.recovery import after
from safehold.recovery.after import RUN, SERVING, AccountPart, AfterReport, after_report, from_facts, to_facts
from safehold.recovery.report import KindCount, Loss, Report, Stage, StreamCount
from safehold.service.notices import RESTORED, notices_of
from safehold.vault.evidence import read_evidence
from tests.unit.test_recovery_at_once import put


def report(**changes: Any) -> Report:
    found = Report(
        accounts=3,
        streams=21,
        changes_expected=90,
        changes_recovered=88,
        items={kind: KindCount() for kind in RESTORE_ORDER},
        lost=[],
        unknown_seconds=2.0,
        stages=[Stage(Kind.CONTACTS, 10, 0.5)],
        first_contact_seconds=0.5,
        seconds=1.0,
        verified=True,
        timeline=5,
    )
    return msgspec.structs.replace(found, **changes)


def made(one: Report) -> AfterReport:
    return after_report(one, at=7, how=RUN)


ANN = StreamCount("ann", "aa" * 16, Kind.CONTACTS, 10, 7, 1, 2)
LOST = Loss("ann", Kind.CONTACTS, "contacts/default", "a.vcf", [3])


def test_accounts_are_named_with_what_is_not_exact_and_the_others_are_counted() -> None:
    found = made(report(not_exact=[ANN], lost=[LOST, Loss("eva", Kind.NOTES, None, None, [9])]))
    assert [part.account for part in found.affected] == ["ann", "eva"]
    assert found.part("ann") == AccountPart("ann", "aa" * 16, {Kind.CONTACTS: KindCount(10, 7, 1, 2)}, [LOST])
    assert found.part("bob") is None
    assert (found.exact_accounts, found.exact, found.truncated) == (1, False, False)


def test_the_installation_itself_is_no_account() -> None:
    found = made(report(lost=[Loss("", Kind.IDENTITY, None, None, [9])]))
    assert found.exact_accounts == 3 and not found.exact


def test_what_is_not_verified_or_not_all_there_is_not_exact() -> None:
    whole = {"changes_recovered": 90}
    assert made(report(**whole)).exact
    assert not made(report(**whole, verified=False)).exact
    assert not made(report()).exact


def test_it_is_the_same_after_its_way_through_evidence() -> None:
    found = made(report(not_exact=[ANN], lost=[LOST]))
    facts = json.loads(msgspec.json.encode(to_facts(found)))
    again = from_facts(facts, "evidence/x.ev")
    assert again is not None
    assert again.evidence == "evidence/x.ev"
    again.evidence = ""
    assert again == found
    assert from_facts({**facts, "version": 9}, "") is None
    assert from_facts({"objects": 3}, "") is None


def test_it_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "MAX_ACCOUNTS", 3)
    monkeypatch.setattr(after, "MAX_LOSSES", 5)
    losses = [Loss(f"p{n}", Kind.NOTES, None, f"{m}", [m]) for n in range(5) for m in range(3)]
    found = made(report(accounts=7, lost=losses))
    assert found.truncated
    assert len(found.affected) == 3 and sum(len(part.lost) for part in found.affected) == 5
    assert found.exact_accounts == 2, "counts are of all"


# -- out of real folders ---------------------------------------------------------------------------------------

LOSSY, WHOLE = (b"a" * 16, "ann"), (b"b" * 16, "bob")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two accounts, one of which has contacts."""
    installation = open_installation(tmp_path / "data", Config(), make=True)
    for id_, name in (LOSSY, WHOLE):
        with installation.session() as session:
            session.execute(AddAccount(account=id_, name=name, password="hash"))
    put(installation, LOSSY[0], range(5))
    return tmp_path / "data"


def recover(data: Path) -> Installation:
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    installation.recover(installation.recovery_plan(), accept_loss=True)
    return installation


def lose_a_part(data: Path) -> None:
    """Changes of ann's contacts that no vault has any more, and later ones that prove them."""
    installation = Installation(data, Config())
    before = set((data / "vaults").glob("*/log/*"))
    put(installation, LOSSY[0], range(5, 8))
    lost = set((data / "vaults").glob("*/log/*")) - before
    put(installation, LOSSY[0], range(8, 9))
    for folder in lost:
        shutil.rmtree(folder)


def cli(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["--data", str(data), "--json", "recover", "report", *words])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_an_exact_recovery_leaves_its_report_in_every_vault(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installation = recover(data)
    [found] = all_reports(installation)
    assert found.exact and found.affected == [] and found.exact_accounts == found.accounts == 2
    assert found.items[Kind.CONTACTS] == KindCount(5, 5, 0, 0)
    assert {source.vault for source in found.sources} == {"near", "far"}
    for config in installation.config.vaults:
        vault = installation.vault(config)
        kept = read_evidence([vault], installation.opener.installation, installation.opener)
        assert [one.evidence.kind for one in kept].count("recovery") == 1
        vault.close()
    assert last_report(installation) == found
    code, told = cli(data, capsys)
    assert (code, told["exact"], told["evidence"]) == (0, True, found.evidence)
    code, told = cli(data, capsys, "--account", "ann")
    assert (code, told["exact"], told["lost"]) == (0, True, [])
    with installation.session() as session:
        account = session.reads.account_by_id(LOSSY[0])
        assert account is not None and notices_of(session.reads, account) == [], "nobody is told that nothing happened"


def test_who_lost_something_is_named_and_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lose_a_part(data)
    installation = recover(data)
    [found] = all_reports(installation)
    part = found.part("ann")
    assert part is not None and part.id == LOSSY[0].hex()
    assert part.kinds == {Kind.CONTACTS: KindCount(9, 3, 3, 3)}, "each missing rev is an item, and may be one's newer"
    assert [len(loss.revs) for loss in part.lost] == [3]
    assert (found.exact_accounts, found.accounts) == (1, 2)
    assert all(loss.account != "ann" for other in found.affected if other is not part for loss in other.lost)
    code, told = cli(data, capsys, "--account", "ann")
    assert (code, told["exact"], told["kinds"]["contacts"]["lost"]) == (1, False, 3)
    assert main(["--data", str(data), "recover", "report"]) == 1
    text = capsys.readouterr().out
    assert "ann, contacts: 3 exact, 3 older, 3 lost" in text and "1 of 2 accounts are exact" in text
    with installation.session() as session:
        account = session.reads.account_by_id(LOSSY[0])
        assert account is not None
        [notice] = notices_of(session.reads, account)
    assert notice.what == RESTORED
    assert (notice.facts["exact"], notice.facts["older"], notice.facts["lost"]) == (3, 3, 3)
    assert notice.facts["kinds"] == {"contacts": 6}


def test_every_recovery_is_remembered_the_newest_first(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recover(data)
    recover(data)
    code, told = cli(data, capsys, "--all")
    assert code == 0
    times = [one["at"] for one in told["reports"]]
    assert len(times) == 2 and times == sorted(times, reverse=True)


def test_without_vaults_the_one_beside_the_core_is_read(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(data), "recover", "report"]) != 0, "there was none"
    capsys.readouterr()
    recover(data)
    for path in (data / "vaults").glob("*/evidence/*"):
        path.unlink()
    code, told = cli(data, capsys)
    assert (code, told["exact"]) == (0, True)


def test_a_recovery_is_done_though_no_vault_takes_its_report(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr("safehold.assembly.after.put_evidence", refuse)
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    result = installation.recover(installation.recovery_plan())
    assert result.report.exit_code == 0
    assert "the report could not be kept in any vault; it lies beside the core" in result.notes


def test_after_a_kill_what_was_kept_and_told_is_not_kept_and_told_again(data: Path) -> None:
    site = open_installation(data, Config(), make=False)
    before = len(all_reports(site))
    for at in (7, 8):  # the second process counts anew, and later
        with site.session() as session:
            account = session.reads.account_named("ann")
            assert account is not None
            one = after_report(
                report(not_exact=[msgspec.structs.replace(ANN, id=account.id.hex())], timeline=99), at=at, how=SERVING
            )
            kept = keep_report(site, one, session.reads.log_position(), again=True)
            assert kept.at == 7
            wanted = not_yet_told(session.reads, notices(kept))
            assert len(wanted) == (at == 7)
            for command in wanted:
                session.execute(command)
            assert len([n for n in notices_of(session.reads, account) if n.facts["timeline"] == 99]) == 1
    assert len(all_reports(site)) == before + 1
    assert (last_report(site) or kept).evidence == kept.evidence
