"""The line between a service and its vault server is cut, half-closed, silent and slow, while people go on writing.

Real processes and sockets, through a proxy that misbehaves. Nothing that was acknowledged is lost: where answers wait
for the server's vault they are 503 while it cannot be reached, and each that is not has its frame there; where it
follows, it catches up once the line is calm. Status says no less than is missing, all the while. The same for an hour,
in simulated time, is in test_hour_of_load.py.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.segment import HEADER_BYTES
from tests.support.service import Service
from tests.support.vault_http import Storm
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until
from tests.support.writers import card

ASYNC_PUTS, SYNC_PUTS = 60, 25
#: So many writes lie between two weathers, and between two looks at status.
A_WEATHER, A_LOOK = 5, 20
#: But for silence, in which each write waits out its patience.
BRISK = tuple(weather for weather in Storm.WEATHERS if weather != "silent")
#: Writes where it is not their number that ends the storm.
ENDLESS = 1_000_000


def frames(vault: Path) -> dict[int, int]:
    """What lies in a vault's log: numbers of frames, with their changes; of a segment that grows, as far as it is."""
    found: dict[int, int] = {}
    for path in sorted(vault.glob("log/*/*.seg")):
        for item in scan_frames(path.read_bytes(), HEADER_BYTES):
            if isinstance(item, RawFrame):
                found[item.header.number] = item.header.changes
    return found


class Course:
    """One service, its vault server, and the line between them."""

    def __init__(self, root: Path, mode: str, seed: int) -> None:
        print("seed", seed)
        self.root, self.mode = root, mode
        self.drawn = random.Random(seed)
        self.server = VaultServerProcess(root / "server")
        self.server.start()
        self.storm = Storm(self.server.port)
        self.service = Service(root / "data")
        self.acknowledged: dict[int, bytes] = {}
        self.refused = self.looks = 0

    def begin(self) -> None:
        service = self.service
        service.add_account("ada", "correct horse")
        code = self.server.invite("--name", "ada", "--url", f"https://127.0.0.1:{self.storm.port}")
        service.run("vault", "add", "friend", code, "--mode", self.mode)
        if self.mode == "sync":
            config = service.data / "safehold.toml"
            text = config.read_text()
            config.write_text(text[text.index("[vaults.friend]") :])
            shutil.rmtree(service.data / "vaults")
        service.start()
        self.client = service.client("ada", "correct horse")
        self.kept = self.server.vault_folder("ada")

    def put(self, name: str, body: bytes) -> int:
        return self.client.put(f"/dav/ada/contacts/default/{name}.vcf", body, "text/vcard").status

    def written(self) -> bool:
        return self.put("last", card("last", self.drawn)) in (201, 204)

    def write(self, number: int) -> None:
        body = card(f"c{number}", self.drawn)
        before = sum(frames(self.kept).values()) if self.mode == "sync" else 0
        status = self.put(str(number), body)
        assert status in ((201, 503) if self.mode == "sync" else (201,)), number
        if status == 201:
            self.acknowledged[number] = body
            # Law 1: what was acknowledged is there by then.
            assert self.mode == "async" or sum(frames(self.kept).values()) > before, number
        else:
            self.refused += 1
            self.storm.turn("calm")
            until(self.written)  # the writer tries again after a pause

    def look(self) -> None:
        """What was in the sync vault before status was asked, and is not at the server after it, status has told."""
        if self.mode == "sync":
            return
        near = frames(self.service.data / "vaults" / "near")
        said = self.service.vault_status("friend")
        there = frames(self.kept)
        missing = sum(changes for number, changes in near.items() if number not in there)
        assert said["unarchived_changes"] is None or said["unarchived_changes"] >= missing, (said, missing)
        if missing and said["unarchived_changes"] is not None:
            assert said["lag_seconds"] > 0, said
        self.looks += 1

    def run(self, weathers: Sequence[str], puts: int, seconds: float = 0.0) -> None:
        end = time.monotonic() + seconds if seconds else None
        for number in range(puts):
            if end is not None and time.monotonic() > end:
                break
            if number % A_WEATHER == 0:
                self.storm.turn(self.drawn.choice(weathers))
            self.write(number)
            if number % A_LOOK == A_LOOK // 2:
                self.look()
        self.storm.turn("calm")
        until(self.written)
        until(lambda: self.service.vault_status("friend")["unarchived_changes"] == 0)
        assert self.mode == "sync" or self.looks
        assert len(self.acknowledged) > 10

    def recover(self) -> None:
        """A bare machine, from the server alone."""
        self.service.kill()
        recovery = self.root / "recovery.txt"
        shutil.copy(self.service.data / "keys" / "recovery.txt", recovery)
        shutil.rmtree(self.service.data)
        bare = Service(self.root / "bare")
        try:
            again = self.server.invite("--for", "ada")
            ran = bare.run("recover", "run", "--yes", "--vault", again, "--identity", str(recovery)).out
            assert ran is not None and ran["verified"] and not ran["lost"]
            bare.start()
            found = bare.client("ada", "correct horse")
            for number, body in self.acknowledged.items():
                assert found.ask("GET", f"/dav/ada/contacts/default/{number}.vcf").body == body, number
        finally:
            bare.close()

    def close(self) -> None:
        self.service.close()
        self.storm.close()
        self.server.kill()


def stormy(
    root: Path, mode: str, seed: int, puts: int, seconds: float = 0.0, weathers: Sequence[str] = Storm.WEATHERS
) -> None:
    course = Course(root, mode, seed)
    try:
        course.begin()
        course.run(weathers, puts, seconds)
        course.recover()
    finally:
        course.close()


@pytest.mark.parametrize(("mode", "puts"), [("async", ASYNC_PUTS), ("sync", SYNC_PUTS)])
def test_a_storm_over_the_line_loses_nothing(tmp_path: Path, mode: str, puts: int) -> None:
    stormy(tmp_path, mode, 1, puts, weathers=BRISK)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2])
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_minutes_of_storm_over_the_line_lose_nothing(tmp_path: Path, mode: str, seed: int) -> None:
    stormy(tmp_path, mode, seed, ENDLESS, seconds=120.0)
