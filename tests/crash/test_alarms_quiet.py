"""Thirty days of a healthy house, in which people write or are away, with snapshots, keeping and restarts: no alarm."""

from __future__ import annotations

import random

from safehold.disaster.alarmed import Alarmed
from safehold.disaster.generations import snapshot
from safehold.disaster.house import House
from safehold.disaster.upkeep import keep

HOUR = 3600.0
DAYS = 30
#: Hours between two looks: what is under way is looked at by test_alarms_planted.py.
STEP = 6
CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{0}\r\nFN:{0}\r\nN:;{0};;;\r\nEND:VCARD\r\n"
KINDS = {
    "contacts": ("contacts/default/{}.vcf", "text/vcard", CARD),
    "notes": ("files/notes/{}.txt", "text/plain", "a note of {0}"),
}


def put(house: House, user: str, kind: str, name: str) -> None:
    path, media, body = KINDS[kind]
    answer = house.request(
        "PUT", f"/dav/{user}/{path.format(name)}", body.format(name).encode(), {"content-type": media}, user=user
    )
    assert answer.status in (201, 204)


def test_no_alarm_on_a_healthy_system_over_thirty_days() -> None:
    seed = 11
    print(f"seed {seed}")
    rng = random.Random(seed)
    house = House.new(seed, ("ann", "bob", "eve"))
    alarmed = Alarmed(house)
    count = 0
    for hour in range(0, DAYS * 24, STEP):
        house.sim_clock.advance(STEP * HOUR - 30.0)
        house.tick()
        day, of_day = divmod(hour, 24)
        for user in ("ann", "bob", "eve"):
            away = (user == "bob" and 12 <= day < 19) or (user == "eve" and day % 7 >= 5)
            if not away and 7 <= of_day < 23 and rng.random() < 0.8:
                count += 1
                put(house, user, rng.choice(("contacts", "contacts", "notes")), f"{user}{count}")
        house.sim_clock.advance(30.0)
        house.tick()
        if of_day == 0:
            snapshot(house, full=day % 7 == 6)
        if of_day == 6 and day == 19:
            for config in house.vaults:
                verdicts, _ = keep(house, config, serving=True)
                assert all(verdict.facts.ok for verdict in verdicts)
        if hour in (198, 414):
            house = house.kill() if hour == 198 else house.crash(seed)
            house.boot()
            alarmed.move(house)
        while house.scheduler.run_one():
            pass
        alarmed.look()
    assert count > 100
    assert [f"{told.sort} {told.alarm.name}: {told.alarm.message}" for told in alarmed.told] == []
    history = alarmed.rules.memory
    assert history.kinds["contacts"].count > 60 and len(history.slow["vaults"]) > 40, "there was something to judge"
    house.close()
