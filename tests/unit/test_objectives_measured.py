"""Objectives as status tells them of a real data folder: out of places, lag, drills, scrubs, keeping and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from safehold.adapters.places import Place
from safehold.adapters.watch import Seen
from safehold.assembly.domains import CORE, Part
from safehold.assembly.drill_record import note_drill
from safehold.assembly.installation import Installation
from safehold.assembly.jobs import DRILL, SCRUB, begin_to_count
from safehold.assembly.keeping import KeptVault, LastKeep, remember
from safehold.assembly.objectives import LAG_WINDOW_SECONDS, Measures, Told, drilled_at
from safehold.assembly.scrubbing import notebook_folder
from safehold.assembly.sizes import Day, OfKind, measure, note_size, remembered_sizes
from safehold.assembly.status import VaultLook
from safehold.cli.main import main
from safehold.cli.status import find_unmet
from safehold.config import DEFAULT_TEXT, FILE_NAME, load, write
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount
from safehold.model.kinds import RESTORE_ORDER
from safehold.proof.drills import ROLLING
from safehold.proof.durations import DAY, HOUR
from safehold.recovery.notebook import FileNotebook, LastScrub
from safehold.web.status import public
from safehold.web.status_pages import status_html
from safehold.web.words import Words
from tests.support.drilling import DAY_MICROSECONDS, drilled

DISK_A = Place("8:1", "ext4", "here", frozenset(("disk a",)))
DISK_B = Place("8:16", "ext4", "here", frozenset(("disk b",)))


class House:
    def __init__(self, data: Path) -> None:
        write(data / FILE_NAME, DEFAULT_TEXT)
        self.clock = SimClock(1_790_000_000_000_000)
        self.data = data
        self.site = Installation(data, load(data / FILE_NAME))
        self.site.clock = self.clock  # type: ignore[assignment]
        self.site.make()
        self.places = {"near": DISK_A, "far": DISK_A}
        self.lag = {"near": 0.0, "far": 0.0}
        self.measures = Measures(self.site)

    def objectives(self, text: str) -> None:
        before, _, after = DEFAULT_TEXT.partition("[objectives]\n")
        write(self.data / FILE_NAME, before + after.partition("[core]")[1] + after.partition("[core]")[2] + text)
        self.site.config = load(self.data / FILE_NAME)

    def told(self) -> Told:
        self.measures.look_again()
        own = (Part(CORE, DISK_A),)
        looks = {name: Seen(VaultLook(True, place, own=own), 0.0, False) for name, place in self.places.items()}
        vaults = [
            {"name": config.name, "mode": config.mode, "lag_seconds": self.lag[config.name]}
            for config in self.site.config.vaults
        ]
        with closing(self.site.open_reads()) as reads:
            return self.measures.told(reads, vaults, looks)

    def states(self) -> dict[str, str]:
        told = self.told()
        return {name: one["state"] for name, one in {**told.objectives, **told.evidence}.items()}

    def scrubbed(self, name: str, level: str = "scrub") -> None:
        book = FileNotebook(self.site.disk, notebook_folder(self.site), name)
        book.ended(LastScrub(self.clock.now(), level, 1, 1, 0), {})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield House(tmp_path / "data")


def test_a_new_installation_on_one_disk_is_told_what_is_not_known_and_nothing_else(house: House) -> None:
    told = house.told()
    assert set(told.objectives) == {"rpo", "rto", "first_contact"}
    assert {one["state"] for one in told.objectives.values()} == {"unknown"}
    assert {one["state"] for one in told.evidence.values()} == {"unknown"}
    assert told.incidents == []
    assert told.objectives["rto"]["target_seconds"] == 4 * HOUR and told.objectives["rto"]["actual_seconds"] is None
    assert "no drill" in told.objectives["rto"]["why"] and told.forecast["rto"]["drills"] == 0
    assert "takes everything" in told.objectives["rpo"]["why"]


def test_what_would_be_lost_follows_the_failure_domains(house: House) -> None:
    house.places["near"] = DISK_B
    assert house.told().objectives["rpo"] | {"why": ""} == {
        "target_seconds": 60.0,
        "actual_seconds": 0.0,
        "state": "met",
        "why": "",
        "nearest_seconds": None,
    }
    house.places = {"near": DISK_A, "far": DISK_B}
    house.lag["far"] = 90.0
    told = house.told()
    assert (told.objectives["rpo"]["state"], told.objectives["rpo"]["actual_seconds"]) == ("violated", 90.0)
    assert [one["key"] for one in told.incidents] == ["rpo"]
    house.lag["far"] = 0.0
    assert house.told().objectives["rpo"]["actual_seconds"] == 90.0, "its worst of late"
    house.clock.advance(LAG_WINDOW_SECONDS + 1)
    assert house.told().objectives["rpo"]["state"] == "met"


def test_an_rpo_of_a_second_is_not_met_by_a_vault_that_is_five_behind(house: House) -> None:
    house.objectives('\n[objectives]\nrpo = "1s"\n')
    house.places["far"], house.lag["far"] = DISK_B, 5.0
    (incident,) = house.told().incidents
    assert "nearest that can be met is 5 seconds" in incident["message"] and incident["runbook"] == "objective"


def test_drills_answer_for_time_and_growth_breaks_it(house: House) -> None:
    for n, changes in enumerate((20_000, 40_000, 80_000)):
        at = house.clock.now() - (3 - n) * DAY_MICROSECONDS
        note_drill(house.site, drilled(changes, 2 + changes * 1e-4, at=at))
    told = house.told()
    assert told.objectives["rto"]["state"] == told.objectives["first_contact"]["state"] == "met"
    assert told.forecast["rto"]["drills"] == 3 and told.forecast["by_vault"].keys() == {"near", "far"}
    house.objectives('\n[objectives]\nrto = "1s"\nfirst_contact = ""\n[objectives.photos]\nrto = "10m"\n')
    found = house.told()
    assert found.objectives["rto"]["state"] == "violated"
    assert found.objectives["first_contact"]["state"] == "not set"
    assert found.objectives["photos.rto"]["state"] == "met"
    assert [one["key"] for one in found.incidents] == ["rto"]


def test_growth_is_seen_in_the_sizes_of_the_days(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    note_drill(house.site, drilled(100_000, 12.0, at=house.clock.now()))
    days = [
        Day(
            at=house.clock.now() + n * DAY_MICROSECONDS,
            accounts=200,
            kinds={kind.value: OfKind(20_000 + 1_000 * n, 20_000 + 1_000 * n, 10**6) for kind in RESTORE_ORDER},
        )
        for n in range(20)
    ]
    monkeypatch.setattr("safehold.assembly.objectives.remembered_sizes", lambda _: days)
    monkeypatch.setattr("safehold.assembly.objectives.size_now", lambda *_: days[-1].size())
    house.objectives('\n[objectives]\nrto = "50s"\n')
    rto = house.told().objectives["rto"]
    days_left = house.told().forecast["rto"]["violated_in_days"]
    assert days_left is not None and 10 < days_left < 60
    assert rto["state"] == "at risk" and f"about {days_left:.0f} days" in rto["why"]


def test_evidence_is_of_the_vault_that_was_read_longest_ago_and_grows_old(house: House) -> None:
    for job in (SCRUB, DRILL):
        begin_to_count(house.site, job)
    house.scrubbed("near")
    assert house.states()["scrub"] == "unknown", "far was never read"
    house.scrubbed("far", level="list")
    assert house.states()["scrub"] == "unknown", "a look at its names is no scrub"
    house.clock.advance(DAY)
    house.scrubbed("far")
    remember(house.site, LastKeep(house.clock.now(), 60.0, [KeptVault("near", 1)]))
    note_drill(house.site, drilled(100, 1.0, at=house.clock.now()))
    assert {house.states()[name] for name in ("scrub", "replay", "drill")} == {"met"}
    house.clock.advance(6.5 * DAY)
    told = house.told()
    assert told.evidence["scrub"]["state"] == "violated" and "near" in told.evidence["scrub"]["why"]
    assert told.evidence["drill"]["state"] == "met"
    house.clock.advance(DAY)
    assert {one["key"] for one in house.told().incidents} == {"scrub", "replay", "drill"}


def test_a_drill_that_never_came_is_violated_once_it_could_have(house: House) -> None:
    begin_to_count(house.site, DRILL)
    house.clock.advance(6 * DAY)
    assert house.states()["drill"] == "unknown"
    house.clock.advance(2 * DAY)
    assert house.states()["drill"] == "violated"


def test_all_shares_of_a_rolling_drill_count_like_a_whole_one() -> None:
    shares = [drilled(10, 1.0, at=n, scope=ROLLING, share=(n, 3)) for n in (1, 2, 3)]
    assert drilled_at(shares[:2]) is None
    assert drilled_at(shares) == 1
    assert drilled_at([*shares, drilled(10, 1.0, at=7, scope=ROLLING, share=(1, 3))]) == 2
    assert drilled_at([*shares, drilled(10, 1.0, at=9)]) == 9


def test_a_size_a_day_is_kept(house: House) -> None:
    with house.site.session() as session:
        session.execute(AddAccount(account=session.entropy.bytes(16), name="ada", password=None))
    with closing(house.site.open_reads()) as reads:
        day = measure(reads, house.clock.now())
        assert day.accounts == reads.counts()["accounts"] == 1
        assert 0 < day.size().changes <= reads.counts()["changes"], "the installation's own are left out"
        for hours in (0, 3, 24, 27):
            house.clock.jump(hours * HOUR)
            note_size(house.site, reads)
    assert len(remembered_sizes(house.site)) >= 2
    ats = [day.at // DAY_MICROSECONDS for day in remembered_sizes(house.site)]
    assert ats == sorted(set(ats))
    (house.data / "run/sizes.json").write_bytes(b"[")
    assert remembered_sizes(house.site) == []


def test_a_plan_takes_its_seconds_from_drills_where_there_are_any(house: House) -> None:
    with house.site.session() as session:
        session.execute(AddAccount(account=session.entropy.bytes(16), name="ada", password=None))
    (house.data / "core").rename(house.data / "lost")
    before = house.site.recovery_plan()
    assert "drill" not in before.basis
    for changes in (1_000, 5_000, 20_000):
        note_drill(house.site, drilled(changes, 30 + changes * 1e-3, at=house.clock.now() + changes))
    plan = house.site.recovery_plan()
    assert plan.basis.startswith("from 3 drills, near: four times in five within")
    assert plan.report.seconds == pytest.approx(30, rel=0.3) and plan.report.seconds > 10 * before.report.seconds
    assert sum(stage.seconds for stage in plan.report.stages) == pytest.approx(plan.report.seconds)
    assert 0 < plan.report.first_contact_seconds <= plan.report.seconds
    assert [stage.items for stage in plan.report.stages] == [stage.items for stage in before.report.stages]


def test_the_status_command_the_page_and_the_check_say_so(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--data", str(house.data), "status"]
    assert main([*line, "--check"]) == 0
    capsys.readouterr()
    note_drill(house.site, drilled(20_000, 4.0))
    house.objectives('\n[objectives]\nrto = "1s"\ndrill = ""\n[objectives.photos]\nrpo = "1m"\n')
    note_drill(house.site, drilled(20_000, 4.0, at=house.clock.now()))
    assert main([*line, "--check"]) == 1
    out = capsys.readouterr().out
    assert "objective rto" in out and "violated" in out
    status: dict[str, Any] = house.site.status()
    assert any("objective rto" in told for told in find_unmet(status))
    shown = public(status)
    assert shown["objectives"]["rto"].keys() == {"target_seconds", "actual_seconds", "state"}
    page = status_html(shown, Words("es"))
    assert "incumplido" in page and "Fotos" in page and "no se sabe" in page
