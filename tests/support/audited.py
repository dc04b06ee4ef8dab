"""An installation with nine weeks behind it: records in real vault folders, put as the real ones are, and the
states that a service would have recorded. Everything is drawn from one seed; two weeks in it have no record at all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safehold.assembly import Installation, open_installation
from safehold.assembly.drill_record import facts_of
from safehold.assembly.series import append
from safehold.config import load
from safehold.formats.evidence import Evidence
from safehold.proof.series import DAY, HOUR, Foreseen, Sample, Standing
from safehold.vault.evidence import Found, put_evidence
from tests.support.drilling import drilled

BEGIN = int(datetime(2026, 8, 3, tzinfo=UTC).timestamp()) * 1_000_000
DAYS = 63
END = BEGIN + DAYS * DAY
FROM, TO = "2026-08-03", "2026-10-04"
#: Days of the period, counted from 0, on which the machine was off.
SILENT = range(40, 54)
RULE = "every account once; of each kind 5 items drawn from seed 7"
OTHER_RULE = "20 accounts drawn from seed 9; of each kind all items"


@dataclass
class StoppedClock:
    """What put_evidence asks for the time."""

    at: int = BEGIN

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1e6


@dataclass
class Audited:
    data: Path
    site: Installation
    put: dict[str, list[Found]] = field(default_factory=dict)  # by kind
    samples: list[Sample] = field(default_factory=list)

    def add(self, kind: str, at: int, facts: dict[str, Any], vault: str = "", *, keeper: bool = True) -> Found:
        keys = self.site.keyring
        sealer = keys.keeper if keeper and keys.keeper is not None else keys.sealer
        vaults = [self.site.vault(config) for config in self.site.config.vaults]
        value = Evidence(1, kind, 0, vault, (3, 77, b""), b"", facts)
        found = put_evidence(vaults, sealer, StoppedClock(at), value)
        self.put.setdefault(kind, []).append(found)
        return found


def audited(data: Path, seed: int = 20) -> Audited:
    """`data` holds an installation already."""
    draw = random.Random(seed)
    world = Audited(data, open_installation(data, load(data / "safehold.toml"), make=False))
    for day in range(DAYS):
        if day in SILENT:
            continue
        at = BEGIN + day * DAY
        if day % 3 == 0:
            _drill(world, draw, day, at + 2 * HOUR)
        if day % 7 == 1:
            for n, vault in enumerate(("near", "far")):
                _scrub(world, draw, day, at + (4 + n) * HOUR, vault)
        if day % 2 == 0:
            world.add("attest", at + 6 * HOUR, _attest(draw, day), "near")
        if day % 14 == 2:
            _alarm(world, day, at + 7 * HOUR)
        _samples(world, draw, day)
    _rest(world)
    return world


def _drill(world: Audited, draw: random.Random, day: int, at: int) -> None:
    whole = day % 9 == 0
    changes = 8000 + 60 * day if whole else 1400 + 10 * day
    seconds = round((1.4 + changes * 4e-4) * draw.uniform(0.9, 1.15), 3)
    failed = day == 36
    more: dict[str, Any] = {
        "at": at,
        "vault": ("near", "far")[day // 3 % 2],
        "rule": OTHER_RULE if day > 30 else RULE,
        "requests": draw.randrange(40, 200),
        "forecast_rto_seconds": round(1.4 + changes * 4e-4, 3),
        "forecast_first_contact_seconds": 0.6,
        "waited_seconds": round(draw.uniform(0, 9), 3),
        "approved_by": "Grace Okonjo" if day == 27 else "",
    }
    if not whole:
        more |= {"scope": "rolling", "share": (day // 3 % 7 + 1, 7)}
    if failed:
        more |= {
            "ok": False,
            "streams_equal": 100,
            "deviations": ["ada’s calendar: the state root differs: 3 items <b>swapped</b> & one 世 moved"],
            "damaged": [{"object": "runs/0007.run", "problem": "corrupt", "why": "a frame is damaged"}],
        }
    one = drilled(changes, seconds, **more)
    world.add("drill", at + int((seconds + one.waited_seconds) * 1e6), facts_of(one), one.vault)


def _scrub(world: Audited, draw: random.Random, day: int, at: int, vault: str) -> None:
    damaged = [{"object": "log/1/7.seg", "problem": "corrupt", "why": "a bit is flipped"}] if day == 29 else []
    facts = {
        "ok": not damaged,
        "level": "scrub" if day % 2 else "replay",
        "opened": True,
        "objects": 900 + 7 * day,
        "bytes": 40_000_000 + 300_000 * day,
        "seconds": round(draw.uniform(3, 7), 3),
        "damaged": damaged,
        "damaged_count": len(damaged),
        "links": [],
        "reconciled": {"streams": 56, "roots": 56, "differences": []},
    }
    world.add("scrub", at, facts, vault)
    if damaged:
        repaired = {"repaired": [{**damaged[0], "from": "far"}], "repaired_count": 1, "remaining": [], "made_up": {}}
        world.add("repair", at + HOUR // 2, {**repaired, "approved_by": "Grace Okonjo"}, vault)


def _attest(draw: random.Random, day: int) -> dict[str, Any]:
    facts = {"generation": 100 + day, "manifest": "ab" * 32, "receipt": 5, "clock": 5, "streams": 56}
    facts |= {"changes": 8000 + 60 * day, "objects": 64, "seconds": round(draw.uniform(1, 2), 3)}
    if day == 18:
        facts |= {"ok": False, "why": ["runs/0107.run is missing"]}
    return facts


def _alarm(world: Audited, day: int, at: int) -> None:
    channels = [
        {"channel": "webhook https://alarms.example/hook", "ok": True, "why": "", "seconds": 0.214},
        {
            "channel": "mail ops@example.org",
            "ok": day != 30,
            "why": "550 no such user" if day == 30 else "",
            "seconds": 1.5,
        },
    ]
    world.add("alarm", at, {"channels": channels, "by": "schedule" if day < 20 else "Grace Okonjo"})


def _rest(world: Audited) -> None:
    at = BEGIN + 30 * DAY
    items = {kind: {"expected": 1000, "exact": 998, "older": 1, "lost": 1} for kind in ("contacts", "calendar")}
    recovery = {"at": at, "how": "run", "timeline": 4, "verified": True, "changes_expected": 12_000}
    recovery |= {"changes_recovered": 11_998, "items": items, "unknown_seconds": 1.25, "seconds": 9.5}
    recovery |= {"first_contact_seconds": 0.75, "accepted": ["one body is in no vault"], "notes": []}
    why = "3 requests that would have made void what it holds came and were refused"
    suspect = {"vault": "friend", "what": "refused", "at": at - DAY, "frame": 812, "why": why}
    recovery |= {"suspect": [suspect, {**suspect, "vault": "bucket", "frame": None}]}
    world.add("recovery", at, {**recovery, "approved_by": "Grace Okonjo"}, keeper=False)
    steps = [
        {"step": "Say who decides", "answer": "Grace", "command": None, "exit": None, "ok": True, "seconds": 41.0},
        {
            "step": "Look at the plan",
            "answer": "",
            "command": "safehold recover plan",
            "exit": 0,
            "ok": True,
            "seconds": 12.5,
        },
    ]
    walked = {"name": "recover", "lang": "en", "began": at - HOUR, "steps": steps, "by": "Grace Okonjo", "ok": True}
    world.add("runbook", at + HOUR, walked)
    surprise = {"at": at + 2 * HOUR, "what": "vault-away", "vault": "far", "runbook": "lost-vault", "ok": True}
    surprise |= {"seconds": 184.25, "limit_seconds": 900.0, "undone": "", "approved_by": "Grace Okonjo"}
    world.add("surprise", at + 2 * HOUR + HOUR // 20, surprise, "far")
    world.add("probe", at + 3 * HOUR, {"append_only": "by convention", "url": "folder:vaults/near"}, "near")


def _samples(world: Audited, draw: random.Random, day: int) -> None:
    """One an hour, as thinned; every day of the twenty-first has an hour of a far vault that hangs."""
    folder = str(world.data / "run" / "series")
    for hour in range(24):
        lag = 3900.0 if day % 21 == 20 and hour == 11 else round(draw.uniform(0.2, 25), 3)
        rto = Standing(14_400.0, round(4.6 + day * 0.03, 3), "met")
        rpo = Standing(60.0, lag, "violated" if lag > 60 else "met")
        seconds = round(4.6 + day * 0.03, 3)
        spread = 1 + 1.2 / (day + 3)
        sample = Sample(
            BEGIN + day * DAY + hour * HOUR + 60_000_000,
            "serving",
            {"near": 0.0, "far": lag},
            {
                kind: n * (40 + day)
                for n, kind in enumerate(("contacts", "calendar", "notes", "tasks", "photos", "scores"), 1)
            },
            {"rpo": rpo, "rto": rto, "drill": Standing(604_800.0, 3600.0 * hour, "met")},
            {"rto": Foreseen(seconds, round(seconds / spread, 3), round(seconds * spread, 3))},
            {"near": 40_000_000 + 300_000 * day},
            {"contacts": 900 * (40 + day), "photos": 3_000_000 * (40 + day)},
            1 if lag > 60 else 0,
        )
        append(world.site.disk, folder, sample)
        world.samples.append(sample)
