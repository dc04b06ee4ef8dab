"""Everything that a house holds, read over HTTP as any device may, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safehold.disaster.house import House
from safehold.lab.oracle import Shelf, Thing, World, Wrong, etag_of
from safehold.lab.wire import Answer, Line, Request, href, propfind, read_multistatus
from safehold.model.items import Account
from safehold.ports.core import CoreReads
from safehold.service.ahead import Proof, Proofs


def read_world(house: House, users: Sequence[str]) -> World:
    """What these users have; a user whom the house does not know has nothing. Raises Wrong.

    Serials, types and UIDs cannot be seen.
    """
    reading = _Reading(house)
    proofs, house.proofs = house.proofs, _Nothing()
    try:
        for user in users:
            if house.reads.account_named(user) is not None:
                reading.read_user(user)
    finally:
        house.proofs = proofs
    return reading.world


class _Nothing(Proofs):
    """What is there is read all the same where a device has proved that more was."""

    def standing(self, reads: CoreReads, account: Account) -> list[Proof]:
        return []


class _Reading:
    def __init__(self, house: House) -> None:
        self._house = house
        self.world: dict[str, Shelf] = {}

    def read_user(self, user: str) -> None:
        for home in ("contacts", "calendars"):
            for line in self._listing(user, f"{user}/{home}"):
                if line.path.count("/") == 2:
                    self._read_shelf(user, line.path)
        for root in ("notes", "photos"):
            self._read_shelf(user, f"{user}/files/{root}")
        self._read_scores(user)

    def _ask(self, request: Request, status: int) -> Answer:
        answer = self._house.requests([request])[0]
        if answer.status != status:
            raise Wrong(f"{request.method} {request.path} was answered {answer.status}: {answer.body[-300:]!r}", "I12")
        return answer

    def _listing(self, user: str, path: str) -> list[Line]:
        return read_multistatus(self._ask(propfind(user, path, 1), 207)).lines

    def _read_shelf(self, user: str, path: str) -> None:
        items = {}
        tag = ""
        for line in self._listing(user, path):
            if line.path == path:
                tag = line.tag
            elif line.is_collection:
                self._read_shelf(user, line.path)
            else:
                answer = self._ask(Request("GET", href(line.path), user=user), 200)
                if not answer.headers["etag"] == line.etag == etag_of(answer.body):
                    raise Wrong(
                        f"{line.path} has the tag {line.etag} in a listing and {answer.headers['etag']} alone", "I17"
                    )
                items[line.name] = Thing(answer.body, tag=line.tag)
        self.world[path] = Shelf(0, "", tag, items)

    def _read_scores(self, user: str) -> None:
        games = msgspec.json.decode(self._ask(Request("GET", "/api/v1/scores", user=user), 200).body)["games"]
        for game in (each["game"] for each in games):
            found = msgspec.json.decode(self._ask(Request("GET", f"/api/v1/scores/{game}", user=user), 200).body)
            scores = {score["detail"]: Thing(b"%d" % score["score"]) for score in found["history"]}
            if len(scores) != len(found["history"]):
                raise Wrong(f"a score of {game} is there twice", "I57")
            if scores and found["best"] != max(int(thing.body) for thing in scores.values()):
                raise Wrong(f"the best score of {game} is not {found['best']}", "I7")
            self.world[f"{user}/scores/{game}"] = Shelf(0, "", "", scores)
