"""The main proof: kill the service under load, throw away the core, recover, and miss nothing.

vdirsyncer carries 300 contacts, 300 events and 50 tasks in; this filled data folder is made once. Each seed starts
from a copy of it: four devices of two people write over all kinds while an oracle notes every intent and answer; at a
seeded count of acknowledgements the service is killed; `core/` and `blobs/` are deleted, and with even seeds the
sync vault `near` too, so that only the asynchronous copy `far` is left; `recover run`; `serve`. There how the log had
ended is not known: vdirsyncer is refused and deletes nothing, until the operator accepts what may be lost. In some
seeds `far` cannot be reached for the last stretch, so that history surely ends early; in some `recover run` is itself
killed and run again; in some the core is lost a second time.

Then everything acknowledged is there bit for bit under its ETag (with `far` alone: everything up to the moment at
which status said that far had it all, and after that a prefix); every sync token is answered exactly; and
vdirsyncer's next sync deletes nothing and uploads only what the service never acknowledged.
"""

from __future__ import annotations

import random
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support import corpus
from tests.support.oracle import Key, Oracle, State
from tests.support.service import Client, Service
from tests.support.vdir import Vdir, counted
from tests.support.writers import CARD, CONTENDED, Device, Seen, Storm, card, digest, reply_to

PEOPLE = {"ada": "correct horse battery", "bjorn": "staple ünder water"}
DEVICES = (("phone", "ada"), ("laptop", "ada"), ("tablet", "ada"), ("desk", "bjorn"))
EXTRAS = 24
#: What `recover run` says on its way, from first to last.
RECOVERY_STEPS = ("read", "enter", "verify")
#: What the carried objects must hold among them, so that the proof is about real data.
VARIETY = (b"RRULE", b"TZID", b"VALUE=DATE", b"ATTACH", b"VALARM", b"PHOTO", b"EXDATE", b"RECURRENCE-ID")
POLLS = 200


@dataclass
class Base:
    """The filled data folder, the vdirsyncer device that filled it, and what the service showed then."""

    data: Path
    port: int  # where vdirsyncer knows the service, so all copies serve there
    vdir: Vdir
    states: dict[Key, State]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    root = tmp_path_factory.mktemp("base")
    service, vdir = Service(root / "data"), Vdir(root / "vdir")
    for name, password in PEOPLE.items():
        service.add_account(name, password)
    for collection, objects, count in (
        ("contacts/default", corpus.cards(), 300),
        ("calendars/default", corpus.calendar_objects(), 300),
        ("calendars/tasks", corpus.tasks(), 50),
    ):
        made = 0
        for name, body in islice(objects, count):
            (vdir.root / collection / name).write_bytes(body)
            made += 1
        assert made == count, f"{made} objects for {collection}: has bin/test fetched the corpus?"
    carried = b"".join(vdir.files().values())
    assert all(mark in carried for mark in VARIETY)
    assert not carried.isascii()
    service.start()
    try:
        seen = Seen()
        for name, password in PEOPLE.items():
            client = service.client(name, password)
            for i in range(CONTENDED):
                body = card(f"contended-{i}", random.Random(i))
                path = f"/dav/{name}/contacts/default/contended-{i}.vcf"
                assert client.put(path, body, CARD, new=True).status == 201
        here = vdir.files()
        vdir.configure(service.port, "ada", PEOPLE["ada"])
        for command in ("discover", "sync"):
            code, output = vdir.run(command)
            assert code == 0, output
        for name, password in PEOPLE.items():
            seen.read(service.client(name, password))
        assert not seen.problems
        there = set(seen.bodies)
        missing = [name for name, body in here.items() if digest(body) not in there]
        assert not missing, f"not there byte for byte after the upload: {missing}"
        assert service.stop() == 0
    finally:
        service.close()
    yield Base(service.data, service.port, vdir, seen.states)


class Scene:
    """One seed's world: a copy of the base, its devices and their oracle."""

    def __init__(self, base: Base, root: Path, seed: int) -> None:
        self.seed = seed
        self.far_only = seed % 2 == 0
        self.loses_the_end = seed % 4 == 0
        self.kills_the_recovery = seed % 3 == 0
        self.has_a_second_disaster = seed % 4 in (0, 1)
        self.draw = random.Random(f"scene/{seed}")
        shutil.copytree(base.data, root / "data")
        self.service = Service(root / "data", port=base.port)
        self.vdir = base.vdir.copy(root / "vdir")
        self.oracle = Oracle(base.states)
        self.devices = [Device(d, seed, self.service, self.client(a), self.oracle) for d, a in DEVICES]
        self.extras: dict[str, bytes] = {}

    def client(self, name: str) -> Client:
        return self.service.client(name, PEOPLE[name])

    def add_extras(self) -> None:
        """New contacts on the vdirsyncer device, which its next sync will upload."""
        for i in range(EXTRAS):
            uid = f"extra-{self.seed}-{i}"
            body = card(uid, self.draw)
            self.vdir.add("contacts/default", uid, body)
            self.extras[f"{uid}.vcf"] = body
            self.oracle.optional["body", f"/dav/ada/contacts/default/{uid}.vcf"] = digest(body)

    def observe(self) -> Seen:
        seen = Seen()
        for name in PEOPLE:
            seen.read(self.client(name))
        return seen

    def lose(self, *vaults: str) -> None:
        """The live data is gone, and these vaults."""
        for part in ("core", "blobs", *(f"vaults/{v}" for v in vaults)):
            shutil.rmtree(self.service.data / part, ignore_errors=part == "blobs")

    def wait_for_far(self) -> int:
        """The moment at which everything acknowledged so far is in the vault `far`, as status reports it."""
        for _ in range(POLLS):
            moment = self.oracle.now()
            if self.service.vault_status("far")["unarchived_changes"] == 0:
                return moment
        raise AssertionError("far never caught up")


@pytest.fixture
def scene(base: Base, tmp_path: Path, storm_seed: int) -> Iterator[Scene]:
    print(f"seed {storm_seed}, folder {tmp_path}")
    scene = Scene(base, tmp_path, storm_seed)
    yield scene
    scene.service.close()


def storm_over_vdirsyncer(scene: Scene, storm: Storm, acknowledgements: int) -> None:
    """Devices write while vdirsyncer uploads; the kill meets both."""
    uploading = threading.Event()
    said: list[str] = []
    scene.add_extras()

    def hear(line: str) -> None:
        if "Copying (uploading)" in line:
            uploading.set()

    def sync() -> None:
        said.append(scene.vdir.run("sync", hear)[1])  # whatever its exit code: the service dies under it
        uploading.set()

    thread = threading.Thread(target=sync)
    thread.start()
    uploading.wait()
    storm.blow(acknowledgements, killed=True, undo=scene.devices[:1])
    thread.join()
    assert counted(said[0])["uploaded"], said[0]


def storm_until_only_far_is_left(scene: Scene, storm: Storm) -> int:
    """The moment up to which `far` reported to have everything; afterwards it may follow, or is out of its reach."""
    first = scene.draw.randrange(40, 160)
    scene.add_extras()
    code, output = scene.vdir.run("sync")
    assert code == 0, output
    storm.blow(first, killed=False, undo=scene.devices[:1])
    watermark = scene.wait_for_far()
    far, aside = scene.service.data / "vaults/far", scene.service.data / "aside"
    if scene.loses_the_end:
        far.rename(aside)
    storm.blow(first + scene.draw.randrange(10, 160), killed=True)
    if scene.loses_the_end:
        aside.rename(far)
    scene.lose("near")
    return watermark


def recover(scene: Scene) -> None:
    """`recover run`, in some seeds killed on its way and run again; nothing may be reported older or lost."""
    if scene.kills_the_recovery:
        assert scene.service.interrupt(scene.draw.choice(RECOVERY_STEPS), "recover", "run", "--yes")
    report = scene.service.run("recover", "run", "--yes").out
    assert report is not None
    assert report["lost"] == []
    assert all(k["lost"] == k["older"] == 0 and k["exact"] == k["expected"] for k in report["items"].values())


def test_lose_the_core_and_miss_nothing(scene: Scene) -> None:
    storm, service = Storm(scene.devices), scene.service
    service.start()
    watermark = None
    if scene.far_only:
        watermark = storm_until_only_far_is_left(scene, storm)
    else:
        storm_over_vdirsyncer(scene, storm, scene.draw.randrange(20, 400))
        scene.lose()
    print(scene.oracle.summary(watermark))

    recover(scene)
    if scene.far_only:
        service.run("vault", "add", "near")
        check_that_no_list_is_given(scene)
        service.run("recover", "run", "--yes", "--accept-loss")
    service.start()
    seen = scene.observe()
    assert seen.problems == []
    assert scene.oracle.check(seen.states, watermark) == []
    if scene.loses_the_end:
        assert scene.oracle.check(seen.states) != [], "what far could not have is gone"
    if not scene.far_only:  # what tokens prove to be lost closes the lists, for vdirsyncer too
        check_tokens(scene, watermark)
    check_vdirsyncer(scene, seen)
    check_that_life_goes_on(scene)
    before = scene.observe().states
    proved = check_tokens(scene, watermark)[503]

    if scene.has_a_second_disaster:
        service.kill()
        scene.lose()
        recover(scene)
        service.start()
        if scene.far_only:
            assert give_the_word(scene) > 0 or not proved, "what was proved to be lost stays on record"
        assert scene.observe().states == before
        if not scene.far_only:
            check_tokens(scene, watermark)
    assert service.stop() == 0


def give_the_word(scene: Scene) -> int:
    """Who has devices that are ahead goes on without what these have seen, on the page of their devices: how often."""
    given = 0
    for name in PEOPLE:
        client = scene.client(name)
        for form in re.findall(r'action="(/devices/let-go)">(.*?)</form>', client.ask("GET", "/devices").body.decode()):
            fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[1]))
            headers = {
                "Origin": f"http://127.0.0.1:{scene.service.port}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            assert client.ask("POST", form[0], urlencode(fields).encode(), headers).status == 303
            given += 1
    return given


def check_that_no_list_is_given(scene: Scene) -> None:
    """With `far` alone nobody knows how the log had ended: vdirsyncer, which only lists, is refused."""
    service = scene.service
    service.start()
    here = scene.vdir.files()
    code, output = scene.vdir.run("sync")
    assert code != 0, output
    assert counted(output)["deleted_here"] == counted(output)["deleted_there"] == 0, output
    assert scene.vdir.files() == here
    told = [incident["what"] for incident in service.status()["incidents"]]
    assert "the end of the log is in doubt" in told
    assert service.stop() == 0


def check_tokens(scene: Scene, watermark: int | None) -> Counter[int]:
    """Every token that a device ever got, asked again; how often each status was the answer."""
    owners = dict(DEVICES)
    clients = {name: scene.client(name) for name in PEOPLE}
    complaints, statuses = [], Counter()
    for view in scene.oracle.views:
        reply = reply_to(clients[owners[view.device]], view)
        statuses[reply.status] += 1
        complaints += scene.oracle.check_view(view, reply, watermark)
    print(f"answers to tokens: {dict(statuses)}")
    assert complaints == []
    return statuses


def check_vdirsyncer(scene: Scene, before: Seen) -> None:
    """Its next sync deletes nothing but what a device deleted, and uploads only what the service had not."""
    home = "/dav/ada/"
    there = {path for aspect, path in before.states if aspect == "body" and path.startswith(home)}
    never_acknowledged = {n for n in scene.extras if f"{home}contacts/default/{n}" not in there}
    assert not (scene.far_only and never_acknowledged), "all of them were uploaded before the watermark"
    here = scene.vdir.files()
    code, output = scene.vdir.run("sync")
    assert code == 0, output
    said, now = counted(output), scene.vdir.files()
    assert said["deleted_there"] == 0, output
    assert said["uploaded"] == len(never_acknowledged), output
    deleted = {
        path
        for a in scene.oracle.attempts
        for (aspect, path), state in a.effects.items()
        if aspect == "body" and state is None
    }
    assert {n for n in here if n not in now and home + n not in deleted} == set(), output
    after = scene.observe()
    expected = dict(before.states)
    expected |= {("body", f"{home}contacts/default/{n}"): digest(scene.extras[n]) for n in never_acknowledged}
    assert after.states == expected
    assert after.problems == []
    for name, body in scene.extras.items():
        assert after.bodies[digest(body)] == body, name
        scene.oracle.optional.setdefault(("body", f"{home}contacts/default/{name}"), digest(body))


def check_that_life_goes_on(scene: Scene) -> None:
    """New writes are taken in every home, and an old token sees them."""
    for name in PEOPLE:
        client = scene.client(name)
        path = f"/dav/{name}/contacts/default/"
        token = client.sync(path, "").token
        body = card("after", scene.draw)
        answer = client.put(path + "after.vcf", body, CARD, new=True)
        assert (answer.status, answer.etag) == (201, f'"{digest(body)}"')
        assert client.sync(path, token).changed == {"after.vcf": answer.etag}
        scene.oracle.optional["body", path + "after.vcf"] = digest(body)
