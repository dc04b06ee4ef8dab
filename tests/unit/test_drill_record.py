"""What is remembered of drills: the list beside the core, evidence behind it, and what status says of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from safehold.assembly.drill_record import (
    KEPT,
    drill_incidents,
    drills,
    failed_drills,
    note_drill,
    record_drill,
    remembered_drills,
)
from safehold.assembly.installation import Installation
from safehold.config import load
from safehold.proof.drills import ROLLING, WHOLE, Drilled, KindTimed
from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]


def drilled(
    at: int, vault: str = "near", *, ok: bool = True, scope: str = WHOLE, share: tuple[int, int] = (1, 1)
) -> Drilled:
    return Drilled(
        at=at,
        vault=vault,
        scope=scope,
        share=share,
        to="latest",
        ok=ok,
        streams_compared=4,
        streams_equal=4 if ok else 3,
        accounts=1,
        changes=12,
        items=7,
        bytes=900,
        seconds=0.5,
        waited_seconds=0.25,
        first_contact_seconds=0.1,
        stages={"read": 0.1, "enter": 0.2, "compare": 0.1, "serve": 0.1},
        kinds={"contacts": KindTimed(4, 3, 400, 0.1)},
        requests=5,
        rule="all of them",
        forecast_rto_seconds=0.4,
        forecast_first_contact_seconds=None,
        deviations=[] if ok else ["ada, contacts: another state root"],
        damaged=[],
    )


@pytest.fixture
def site(with_ada: Run, tmp_path: Path) -> Installation:
    data = tmp_path / "data"
    return Installation(data, load(data / "safehold.toml"))


def test_what_was_recorded_is_read_again_and_survives_the_loss_of_its_file(site: Installation, tmp_path: Path) -> None:
    assert drills(site) == []
    first = record_drill(site, drilled(1_000))
    second = record_drill(site, drilled(2_000, "far", ok=False))
    assert drills(site) == remembered_drills(site) == [first, second]
    assert first.evidence != second.evidence
    for vault in ("near", "far"):
        assert (tmp_path / "data" / "vaults" / vault / first.evidence).exists()
    path = tmp_path / "data" / "run" / "drills.json"
    for spoiled in (b"", b"{", b'{"version": 9, "drills": []}'):
        path.write_bytes(spoiled)
        assert remembered_drills(site) == []
        assert drills(site) == [first, second]
        assert remembered_drills(site) == [first, second]
    path.unlink()
    assert drills(site) == [first, second]


def test_the_list_is_bounded(site: Installation) -> None:
    known = [drilled(at) for at in range(1, KEPT + 1)]
    (site.data / "run" / "drills.json").write_bytes(msgspec.json.encode({"version": 1, "drills": known}))
    note_drill(site, drilled(KEPT + 1))
    assert [one.at for one in remembered_drills(site)] == list(range(2, KEPT + 2))


def test_status_tells_the_last_drill_and_a_failed_one_until_it_is_made_up_for(
    with_ada: Run, site: Installation
) -> None:
    record_drill(site, drilled(1_000))
    failed = record_drill(site, drilled(2_000, ok=False))
    told = with_ada("status")[1]
    lines = {vault["name"]: vault["last_drill"] for vault in told["vaults"]}
    assert lines["far"] is None
    near = lines["near"]
    assert near.pop("seconds_ago") > 0
    assert near == {"at": 2_000, "ok": False, "scope": WHOLE, "seconds": 0.5, "items": 7, "evidence": failed.evidence}
    (incident,) = [one for one in told["incidents"] if one["what"] == "drill failed"]
    assert incident["runbook"] == "drill-failed"
    assert incident["key"] == "near"
    assert "state root" in incident["message"]
    record_drill(site, drilled(3_000, "far"))
    assert "drill failed" in [one["what"] for one in with_ada("status")[1]["incidents"]]
    record_drill(site, drilled(4_000))
    assert "drill failed" not in [one["what"] for one in with_ada("status")[1]["incidents"]]


@pytest.mark.parametrize(
    ("later", "stands"),
    [
        ([(WHOLE, (1, 1))], False),
        ([(ROLLING, (2, 3))], False),
        ([(ROLLING, (1, 3)), (ROLLING, (3, 3))], True),
        ([(ROLLING, (1, 2))], True),
        ([(ROLLING, (1, 2)), (ROLLING, (2, 2))], False),
    ],
)
def test_a_share_that_failed_is_made_up_for_by_what_covers_it(
    later: list[tuple[str, tuple[int, int]]], stands: bool
) -> None:
    known = [drilled(1, ok=False, scope=ROLLING, share=(2, 3))]
    known += [drilled(at, scope=scope, share=share) for at, (scope, share) in enumerate(later, 2)]
    assert bool(failed_drills(known)) is stands
    assert bool(drill_incidents(known, ["near"])) is stands
    assert drill_incidents(known, ["another"]) == []
