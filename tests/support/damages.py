"""Damage to vaults: seeded, one at a time, on a dictionary of objects; and the vaults of a real house to do it to.

flip      one bit of one object
cut       bytes off the end of an object, up to all of them
grow      bytes at the end of an object
swap      the bytes of two objects, or two ranges within one
delete    an object
stray     a file that nobody put there: under a name of nothing, of an object, or a copy of an object
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from safehold.archiver.generations import GenerationWriter, InTurn
from safehold.disaster.house import VAULTS, House
from safehold.formats import segment
from safehold.formats.evidence import Evidence
from safehold.formats.segment import SegmentName
from safehold.lab.sealing import LabSealer
from safehold.lab.simdisk import Crash
from safehold.model.change import Change
from safehold.ports.core import EMPTY_LOG
from safehold.ports.vault import Vault
from safehold.recovery.judging import Damage, Remembered, Standing
from safehold.recovery.repair import Repairer
from safehold.recovery.scrub import Level, LookedAt, Pace, Scrubber, Unfinished, scrub
from safehold.vault.evidence import put_evidence
from safehold.vault.memory import MemoryVault

Objects = dict[str, bytes]
WAYS = ("flip", "flip", "flip", "flip", "cut", "cut", "grow", "swap", "ranges", "delete", "delete", "stray")


class Harm(NamedTuple):
    """What was done; `objects` are those at which a scrub must find it (one of them at least, all if `every`)."""

    what: str
    objects: tuple[str, ...]
    every: bool = True


def harm(objects: Objects, rng: random.Random, ways: tuple[str, ...] = WAYS) -> tuple[Objects, Harm]:
    """The objects with one damage more, which changes them for certain."""
    while True:
        result = _try(objects, rng, rng.choice(ways))
        if result is not None and result[0] != objects:
            return result


def _pick(objects: Objects, rng: random.Random) -> str:
    """Any kind of object as likely as any other, small and large alike."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(objects):
        kinds.setdefault(name.partition("/")[0] + ("#" if name.endswith("generation") else ""), []).append(name)
    weights = [3 if kind == "log" else 1 for kind in kinds]
    return rng.choice(kinds[rng.choices(list(kinds), weights)[0]])


def _try(objects: Objects, rng: random.Random, way: str) -> tuple[Objects, Harm] | None:
    name = _pick(objects, rng)
    data = objects[name]
    if not data and way in ("flip", "cut"):
        return None
    after = dict(objects)
    told = f"{way} {name}"
    if way == "flip":
        offset = rng.randrange(len(data))
        after[name] = data[:offset] + bytes((data[offset] ^ 1 << rng.randrange(8),)) + data[offset + 1 :]
        return after, Harm(f"{told} at {offset}", (name,))
    if way == "cut":
        count = rng.choice((1, rng.randint(1, len(data)), min(len(data), segment.HEADER_BYTES), len(data)))
        after[name] = data[: len(data) - count]
        return after, Harm(f"{told} by {count} of {len(data)}", (name,))
    if way == "grow":
        after[name] = data + rng.choice((b"\0", rng.randbytes(rng.randint(1, 500)), data))
        return after, Harm(told, (name,))
    if way == "swap":
        other = _pick(objects, rng)
        after[name], after[other] = objects[other], data
        return after, Harm(f"{told} with {other}", (name, other))
    if way == "ranges":
        size = rng.choice((1, 8, 200, 512))
        if len(data) < 2 * size:
            return None
        one = rng.randrange(len(data) - 2 * size + 1)
        two = rng.randrange(one + size, len(data) - size + 1)
        cut = data[:one], data[one : one + size], data[one + size : two], data[two : two + size], data[two + size :]
        after[name] = b"".join((cut[0], cut[3], cut[2], cut[1], cut[4]))
        return after, Harm(f"{told}: {size} bytes at {one} and {two}", (name,))
    if way == "delete":
        if not data:  # nothing is lost with it, and async vaults do not have it either
            return None
        del after[name]
        return after, Harm(told, (name,))
    return _stray(objects, rng)


def _stray(objects: Objects, rng: random.Random) -> tuple[Objects, Harm] | None:
    model = _pick(objects, rng)
    parsed = segment.parse_name(model)
    names = ["notes.txt", "log/README", ".hidden", "blobs/ab/abcd", f"{model}.bak", "runs/x", "log/00000001/core"]
    names.append("blobs/ab/ab" + rng.randbytes(31).hex())
    if parsed is not None:
        near = parsed.first + rng.randint(0, 3)
        names.append(str(SegmentName(parsed.timeline, parsed.number + rng.randint(0, 2), near)))
        names.append(str(SegmentName(parsed.timeline + rng.randint(0, 9), rng.randint(0, 3), near)))
    name = rng.choice(names)
    if name in objects or any(other.startswith(f"{name}/") for other in objects):
        return None
    content = rng.choice((b"", rng.randbytes(300), objects[model], objects[model][:100]))
    if not content and _is_next(name, objects):
        return None
    return {**objects, name: content}, Harm(f"stray {name}", (name,))


def _is_next(name: str, objects: Objects) -> bool:
    """Whether a writer that was killed as it began its timeline's next segment leaves this: empty, it harms nothing."""
    parsed = segment.parse_name(name)
    if parsed is None:
        return False
    numbers = [
        other.number for other in map(segment.parse_name, objects) if other and other.timeline == parsed.timeline
    ]
    return bool(numbers) and parsed.number == max(numbers) + 1


class KeptMemoryVault(MemoryVault):
    """A vault in memory under its keeper's credentials."""

    def __init__(self, name: str, objects: Objects) -> None:
        super().__init__(name)
        self.objects = dict(objects)
        self.aside: dict[str, bytes] = {}

    def set_aside(self, name: str) -> str:
        self.aside[name] = self.objects.pop(name)
        return f"aside/{name}"

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        data = b"".join(chunks)
        if name in self.objects:
            self.set_aside(name)
        self.objects[name] = data

    def remove(self, name: str) -> None:
        self.objects.pop(name, None)

    def purge_aside(self, before: int | None) -> int:
        del before
        count = len(self.aside)
        self.aside.clear()
        return count


class Notes:
    """A Notebook in memory."""

    def __init__(self, remembered: Mapping[str, Remembered] | None = None) -> None:
        self.kept = dict(remembered or {})
        self.broken_off: Unfinished | None = None

    def unfinished(self) -> Unfinished | None:
        return self.broken_off

    def note(self, unfinished: Unfinished) -> None:
        self.broken_off = unfinished

    def remembered(self) -> Mapping[str, Remembered]:
        return self.kept

    def finish(self, remembered: Mapping[str, Remembered]) -> None:
        self.broken_off, self.kept = None, dict(remembered)


class DamagedWorld:
    """The vaults of a house that has lived: all six kinds, large bodies, timelines of every end, runs, evidence.

    `truth` are the changes of the journal, by the frame that each is archived in.
    """

    def __init__(self, seed: int = 1, *, runs: bool = True) -> None:
        self.rng = random.Random(seed)
        self._looked_at: dict[bool, LookedAt] = {}
        house = _live(House.new(seed), self.rng, 9)
        house.close()
        house = _again(house.kill())  # an orderly end
        _live(house, self.rng, 7)
        if runs:
            _snapshot(house)
            _live(house, self.rng, 3)
            _snapshot(house)
        house = _again(house.kill())  # no orderly end
        _live(house, self.rng, 4)
        house = _torn(house, self.rng)  # a power loss in the middle of a write
        _live(house, self.rng, 5)
        if runs:
            _snapshot(house)
            _live(house, self.rng, 3)
        self.truth: dict[int, list[Change]] = {}
        for _, frame, change in house.engine.core.changes(limit=100_000):
            self.truth.setdefault(frame, []).append(change)
        house.close()
        house.sim_clock.advance(60)
        self.house = house
        self.installation = house.keyring.installation
        self.opener = house.keyring.opener
        self.core = house.open_core().log_position()
        near, far = (house.vault(vault) for vault in VAULTS)
        for kind in ("scrub", "drill"):
            put_evidence(
                [near, far], LabSealer(house.keyring.keeper or house.keyring.sealer), house.clock, _evidence(kind)
            )
        self.near, self.far = objects(near), objects(far)
        notes = Notes()
        found = self.scrub(self.near, self.far, notes)
        assert found == [], found
        found = self.scrub(self.far, self.near, level=Level.REPLAY)
        assert found == [], found
        self.remembered = notes.kept

    def scrubber(self, vault: MemoryVault, *, offline: bool = False) -> Scrubber:
        opener = None if offline else self.opener
        return Scrubber(vault, self.installation, opener, Pace(self.house.clock, lambda _: None))

    def peers(self, other: Objects | None, *, offline: bool = False) -> list[LookedAt]:
        """The other vault is looked at once: it does not change."""
        if other is None:
            return []
        if other is not self.far:
            return [LookedAt(self.scrubber(KeptMemoryVault("far", other), offline=offline))]
        if offline not in self._looked_at:
            self._looked_at[offline] = LookedAt(self.scrubber(KeptMemoryVault("far", other), offline=offline))
        return [self._looked_at[offline]]

    def scrub(
        self,
        damaged: Objects,
        other: Objects | None,
        notes: Notes | None = None,
        *,
        core: bool = True,
        offline: bool = False,
        level: Level = Level.SCRUB,
    ) -> list[Damage]:
        vault = KeptMemoryVault("near", damaged)
        standing = Standing(core=self.core if core else EMPTY_LOG)
        opener = None if offline else self.opener
        result = scrub(
            self.scrubber(vault, offline=offline),
            self.peers(other, offline=offline),
            standing,
            opener=opener,
            notebook=notes,
            level=level,
        )
        assert not result.trouble
        return result.damaged

    def repairer(self, vault: KeptMemoryVault, other: Objects | None, remembered: bool = True) -> Repairer:
        scrubber = self.scrubber(vault)
        memory = self.remembered if remembered else {}
        standing = Standing(core=self.core)
        return Repairer(vault, scrubber, self.peers(other), standing, scrubber.read(), remembered=memory)


def objects(vault: Vault) -> Objects:
    return {info.name: vault.get(info.name) for info in vault.list()}


def _evidence(kind: str) -> Evidence:
    return Evidence(1, kind, 0, "near", EMPTY_LOG, b"", {"ok": True})


def _again(house: House) -> House:
    house.boot()
    return house


_CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{1}\r\nFN:{0}\r\nEND:VCARD\r\n"
_EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//\r\nBEGIN:{2}\r\nUID:{1}\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20260101T000000Z\r\nSUMMARY:{0}\r\nEND:{2}\r\nEND:VCALENDAR\r\n"
)


def _live(house: House, rng: random.Random, count: int) -> House:
    """So many changes, of all kinds in turn."""
    for _ in range(count):
        number, place = rng.randrange(10_000), rng.randrange(3)
        text = "words " * rng.randrange(40)
        house.sim_clock.advance(rng.choice((0.1, 0.1, 4, 11)))
        house.tick()
        turn = rng.randrange(6)
        if turn == 0:
            body = _CARD.format(f"{number} {text}", f"u{place}").encode()
            answer = house.request(
                "PUT", f"/dav/ann/contacts/default/{place}.vcf", body, {"content-type": "text/vcard"}
            )
        elif turn < 3:
            what, where = (("VEVENT", "default"), ("VTODO", "tasks"))[turn - 1]
            body = _EVENT.format(f"{number} {text}", f"{what}{place}", what).encode()
            path = f"/dav/ann/calendars/{where}/{place}.ics"
            answer = house.request("PUT", path, body, {"content-type": "text/calendar"})
        elif turn == 3:
            answer = house.request("PUT", f"/dav/ann/files/notes/{place}.txt", f"{number} {text}".encode())
        elif turn == 4:
            answer = house.request(
                "PUT", f"/dav/ann/files/photos/{number}.jpg", rng.randbytes(rng.choice((500, 66_000)))
            )
        else:
            score = f'{{"score": {number}}}'.encode()
            answer = house.request("POST", "/api/v1/scores/chess", score, {"content-type": "application/json"})
        assert answer.status < 300, (turn, answer)
        if rng.random() < 0.7:
            house.scheduler.run_ready()
    house.scheduler.run_ready()
    return house


def _torn(house: House, rng: random.Random) -> House:
    """The power goes within the next write to the log; what is left of it stays at a segment's end."""
    while True:
        survivor = power_loss_after(house, rng.randrange(1, 4), rng.randrange(1000))
        if survivor is not None:
            return _again(survivor)


def power_loss_after(house: House, writes: int, seed: int) -> House | None:
    left = writes

    def point(operation: str, path: str) -> None:
        nonlocal left
        if operation == "sync" and "/log/" in path:
            left -= 1
            if not left:
                raise Crash

    house.disk.on_write_point = point
    with suppress(Crash):
        _live(house, random.Random(seed), 3)
    if not house.disk.dead:
        return None
    return house.crash(seed)


def _snapshot(house: House) -> None:
    vaults = [house.vault(vault) for vault in VAULTS]
    workers = InTurn(lambda: house.engine.core, house.disk, house.keyring.sealer)
    writer = GenerationWriter(
        vaults[:1], house.keyring.sealer, house.clock, house.disk, "/scratch", "/generations", workers, lambda _: True
    )
    written = writer.write(house.engine.core, full=False)
    house.writer.note_objects(written.objects)
    writer.sealed()
    house.scheduler.run_for(2)
