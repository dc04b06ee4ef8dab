"""All that the core's own credentials can do to a vault in a bucket that locks what it keeps, and what the owner's can.

An installation lives with a vault in a bucket of a real SeaweedFS with Object Lock. Then somebody has everything that
lies on its host: S3 credentials, the writer's key, root, patience. Each attack is done to a copy of that vault. After
it a bare machine, which has the recovery key and credentials that may read, gets back every item and every change that
was acknowledged before: by itself where nothing was signed by a key of ours, else from the bucket as it was.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from safehold.adapters.objectstore import S3ObjectStore
from safehold.adapters.s3_requests import Response, S3Settings, signed_headers
from safehold.assembly.installation import Installation, open_installation
from safehold.cli.main import main
from safehold.config import S3Options, load, write_default
from safehold.formats import mark
from safehold.lab.world import SimClock
from safehold.model.commands import DeleteItem
from safehold.model.errors import SafeholdError
from safehold.ports.core import LogPosition
from safehold.ports.log import LogFrame
from safehold.ports.objectstore import Put, Stored, StoreError
from safehold.recovery.plan import Plan
from safehold.service.items import stamp
from safehold.vault.log import VaultLogReader
from safehold.vault.s3 import S3Vault
from safehold.vault.s3_moment import parse_moment
from safehold.vault.s3_probe import look_for_put_over
from safehold.vault.s3_slots import LAST_OFFSET, SLOT_MARK
from tests.support.hostile import ANN, World, attack_objects, attack_with_garbage, attack_with_keys, card, put, truth_of
from tests.support.keeper import own_folder
from tests.support.s3 import CORE, REGION
from tests.support.thief import FORKS, Thief
from tests.support.vault_kinds.s3 import bucket, shared_server
from tests.unit.test_s3_vault_troubles import moment_before

BUCKET, PREFIX, LOCK_DAYS = "hostile", "home", 30
CREDENTIALS = "aws_access_key_id = {}\naws_secret_access_key = {}\n".format(*CORE)

Truth = tuple[dict[str, bytes], dict[tuple[bytes, str, int], bytes]]


class BucketWorld(World):
    """An installation that writes to a folder and a bucket ahead; `prefix` is where in it."""

    def __init__(self, root: Path, prefix: str) -> None:
        self.root, self.prefix = root, prefix
        bucket(BUCKET, lock_days=LOCK_DAYS)
        self.data = own_folder(root / "data", None)
        write_default(self.data / "safehold.toml")
        installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        credentials = self.data / "keys" / "s3.credentials"
        credentials.touch(0o600)
        credentials.write_text(CREDENTIALS)
        options = S3Options(endpoint=shared_server().endpoint, region=REGION, credentials_file=credentials.name)
        installation.vault_add("kept", f"s3:{BUCKET}/{prefix}", "sync", options)
        (self.data / "safehold.toml").write_text(
            '[vaults.near]\nurl = "folder:vaults/near"\nmode = "sync"\n'
            f'[vaults.kept]\nurl = "s3:{BUCKET}/{prefix}"\nmode = "sync"\nendpoint = "{options.endpoint}"\n'
            f'region = "{REGION}"\ncredentials_file = "{credentials.name}"\n'
        )
        shutil.rmtree(self.data / "vaults" / "far")
        self.installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        self.clock = SimClock()

    def remote(self) -> S3Vault:  # type: ignore[override]
        return S3Vault("kept", f"{BUCKET}/{self.prefix}", core_store(), self.installation.opener.installation)


def core_store() -> S3ObjectStore:
    return S3ObjectStore(shared_server().settings(BUCKET, CORE))


@dataclass
class Lived(World):
    """A vault to be attacked, with what is known of it, and of the installation that it is of."""

    root: Path
    prefix: str
    home: BucketWorld
    truth: Truth
    end: LogPosition
    opened: int  # the claim of the timeline that is written

    @property
    def installation(self) -> Installation:  # type: ignore[override]
        return self.home.installation

    @property
    def thief(self) -> S3ObjectStore:
        return core_store()

    @property
    def owner(self) -> S3ObjectStore:
        return bucket(BUCKET, lock_days=LOCK_DAYS)

    def remote(self) -> S3Vault:  # type: ignore[override]
        return S3Vault("kept", f"{BUCKET}/{self.prefix}", core_store(), self.installation.opener.installation)

    def objects(self) -> dict[str, bytes]:
        vault = self.remote()
        return {info.name: vault.get(info.name) for info in vault.list()}

    def firsts(self) -> list[Stored]:
        return list(self.owner.list(f"{self.prefix}/"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> BucketWorld:
    world = BucketWorld(tmp_path_factory.mktemp("bucket"), PREFIX)
    world.live(0, 7)
    world.snapshot()
    world.live(100, 4)
    return world


@pytest.fixture(scope="module")
def truth(home: BucketWorld) -> Truth:
    return truth_of(home.installation)


@pytest.fixture
def lived(home: BucketWorld, truth: Truth, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lived]:
    """A copy of it under a prefix of its own."""
    prefix = "-".join("".join(letter if letter.isalnum() else " " for letter in request.node.name).split())
    store = bucket(BUCKET, lock_days=LOCK_DAYS)
    for stored in list(store.list(f"{PREFIX}/")):
        assert store.put(stored.key.replace(PREFIX, prefix, 1), store.get(stored)) is Put.DONE
    reader = VaultLogReader([home.remote()], home.installation.keyring.opener)
    opened = [e for e in reader.entries() if isinstance(e, LogFrame) and e.claim][-1].position.frame
    yield Lived(tmp_path, prefix, home, truth, reader.end(), opened)


class Bare(NamedTuple):
    truth: Truth
    plan: Plan


def recover(lived: Lived, monkeypatch: pytest.MonkeyPatch, moment: str = "") -> Bare:
    """On a machine that has nothing but the recovery key, and credentials that may read."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": CORE[0],
        "AWS_SECRET_ACCESS_KEY": CORE[1],
        "AWS_ENDPOINT_URL": shared_server().endpoint,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    data = own_folder(lived.root / f"bare{moment}", None)
    there = Installation(data, load(data / "safehold.toml"), data / "safehold.toml")
    identity = lived.home.data / "keys" / "recovery.txt"
    plan = there.recovery_plan(vault=f"s3:{BUCKET}/{lived.prefix}{moment}", identity=identity)
    assert there.recover(plan, identity=identity, accept_loss=True) is not None
    return Bare(truth_of(there), plan)


# -- what they do


def try_all(*acts: Callable[[], object]) -> int:
    """How many of these a store let happen."""
    done = 0
    for act in acts:
        with suppress(StoreError):
            act()
            done += 1
    return done


def overwrite(lived: Lived) -> None:
    for stored in lived.firsts():
        lived.thief.put(stored.key, b"overwritten", unless_there=False)
    attack_objects(lived, lived.objects())


def shorten(lived: Lived) -> None:
    for stored in lived.firsts():
        lived.thief.put(stored.key, lived.owner.get(stored)[: stored.size // 2], unless_there=False)
        lived.thief.put(stored.key, b"", unless_there=False)


def delete(lived: Lived) -> None:
    """With the core's credentials nothing is deleted; with the owner's no version is, but all of it is hidden."""
    for stored in lived.firsts():
        acts = [lambda s=s: lived.thief.delete(s) for s in (stored, stored._replace(version=""))]
        assert try_all(*acts, lambda s=stored: lived.owner.delete(s)) == 0
        lived.owner.delete(stored._replace(version=""))
    assert not lived.owner.peek(lived.firsts()[0].key), "to other readers nothing is there"


def shadow(lived: Lived) -> None:
    """Something is put on top of the marker, too, and hidden in its turn; FORMAT becomes another installation's."""
    for stored in lived.firsts():
        lived.owner.delete(stored._replace(version=""))
        lived.thief.put(stored.key, mark.encode_mark(bytes(16)))
        lived.owner.delete(stored._replace(version=""))


def flood(lived: Lived) -> None:
    """Versions without end on what is read first, and objects under every sort of name."""
    last = max(stored.key for stored in lived.firsts() if "/log/" in stored.key)
    for number in range(60):
        for key in (f"{lived.prefix}/{mark.NAME}", last):
            lived.thief.put(key, os.urandom(number), unless_there=False)
    for _ in range(60):
        name = os.urandom(32).hex()
        for key in (
            f"blobs/{name[:2]}/{name}",
            f"evidence/{'9' * 16}-{name[:8]}.ev",
            f"evidence/{time.time_ns() // 1000:016d}-{name[:8]}.ev",
            f"runs/{int(name[:8], 16):012d}/{name}",
            f"!{name}",
            name,
        ):
            lived.thief.put(f"{lived.prefix}/{key}", os.urandom(300))


def slots(lived: Lived) -> None:
    """Beyond the end, within what is there, far out, of objects that are not there; and the next ones are taken."""
    first = max(s.key for s in lived.firsts() if "/log/" in s.key and SLOT_MARK not in s.key)
    end = sum(s.size for s in lived.firsts() if s.key.partition(SLOT_MARK)[0] == first)
    for offset in (1, end - 1, end + 1, end + 1000, 1 << 20, LAST_OFFSET + 1, 10**19):
        lived.thief.put(f"{first}{SLOT_MARK}{offset:020d}", b"forged" * 50)
    lived.thief.put(f"{lived.prefix}/{mark.NAME}{SLOT_MARK}{51:020d}", b"forged")


def garbage(lived: Lived) -> None:
    """What no key of ours signed: generations, evidence, segments and keys that are noise."""
    for number in range(20):
        generation = lived.end.frame + number
        for name in ("generation", "00-0000-00.run", "x"):
            lived.thief.put(f"{lived.prefix}/runs/{generation:012d}/{name}", os.urandom(2000))
        lived.thief.put(f"{lived.prefix}/keys/{number}", os.urandom(500))


def settings(lived: Lived) -> None:
    """The bucket's own: none of it is the core's to change; and even its owner ends no lock."""
    raw = {
        "policy": b'{"Version":"2012-10-17","Statement":[]}',
        "lifecycle": b"<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>"
        b"<Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
        "acl": b"",
    }
    asked = [
        lambda: lived.thief.set_versions(kept=False),
        lambda: lived.thief.set_lock(1),
        *(lambda what=what: refuse(lived.thief._client.request("PUT", "", {what: ""}, {}, raw[what])) for what in raw),
        lambda: refuse(lived.thief._client.request("DELETE")),
    ]
    asked += [partial(unlock, store, each) for store in (lived.thief, lived.owner) for each in lived.firsts()[:3]]
    asked.append(lambda: lived.owner.set_versions(kept=False))
    assert try_all(*asked) == 0
    assert lived.owner.features(anew=True).lock_days == LOCK_DAYS


def refuse(answer: Response) -> None:
    if not answer.good:
        raise StoreError(str(answer))


def unlock(store: S3ObjectStore, stored: Stored) -> None:
    """End the lock of what is there, or remove it in spite of that."""
    version = {"versionId": stored.version}
    bypass = {"x-amz-bypass-governance-retention": "true"}
    body = b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate></Retention>"
    told = [
        store._client.request("PUT", stored.key, {"retention": "", **version}, bypass, body),
        store._client.request("DELETE", stored.key, version, bypass),
    ]
    refuse(next((each for each in told if each.good), told[0]))


def replay(lived: Lived) -> None:
    """What was sent once is sent again, as it was signed: by whoever listened, on the same day and much later."""
    place = shared_server().settings(BUCKET, CORE)
    for stored in lived.firsts():
        body = lived.owner.get(stored)
        request = recorded(place, "PUT", stored.key, {"if-none-match": "*"}, body, time.time())
        assert {send(place, *request) for _ in range(2)} == {412}
        bare = recorded(place, "PUT", stored.key, {}, body, time.time() - 86_400)
        assert send(place, *bare) == 403, "signed a day ago"
    lived.owner.delete(lived.firsts()[-1]._replace(version=""))
    assert send(place, *request) == 200, "with a marker on top it is taken, and is no first version"


def recorded(
    place: S3Settings, method: str, key: str, headers: dict[str, str], body: bytes, at: float
) -> tuple[str, str, dict[str, str], bytes]:
    path = quote(f"/{place.bucket}/{key}")
    host = urlsplit(place.endpoint).netloc
    return method, path, signed_headers(place, method, host, path, {}, headers, body, time.gmtime(at)), body


def send(place: S3Settings, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
    connection = http.client.HTTPConnection(urlsplit(place.endpoint).netloc, timeout=30)
    connection.request(method, path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def fork(lived: Lived) -> None:
    """A claim of the next timeline, in good order but that it goes on before what was acknowledged last."""
    thief = Thief(lived.remote(), lived.end, lived.opened, lived.installation.keyring.sealer)
    FORKS["a claim that continues an earlier frame"](thief)


def forge(lived: Lived) -> None:
    """Every fork, false generation, false attestation and removal that the writer's key can sign, ten years ahead."""
    attack_with_keys(lived, lived.installation.keyring, lived.end, lived.opened)
    with suppress(SafeholdError):
        attack_with_garbage(lived, lived.installation.keyring, lived.end, lived.opened)


def backdate(lived: Lived) -> None:
    """As forge, with each header that might make a store believe that something was put long ago."""
    old = "Wed, 01 Jan 2020 00:00:00 GMT"
    headers = {
        **dict.fromkeys(("last-modified", "date", "x-amz-meta-mtime", "x-amz-meta-last-modified"), old),
        "seaweed-mtime": "1577836800",
        "x-seaweedfs-mtime": "1577836800",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": "2020-01-01T00:00:00Z",
    }
    forge(lived)
    for number in range(3):
        key = f"{lived.prefix}/log/{lived.end.timeline + 1 + number:08d}/00000000-000000000000.seg"
        lived.thief._client.request("PUT", f"{key}{number}", {"mtime": "1577836800"}, headers, b"forged")
        lived.thief._client.request("PUT", key, {}, {**headers, "if-none-match": "*"}, b"forged")


#: What needs no key of ours: a bare machine gets all of it back by itself, and from before.
UNSIGNED: dict[str, Callable[[Lived], None]] = {
    "overwrite": overwrite,
    "shorten": shorten,
    "delete": delete,
    "shadow": shadow,
    "flood": flood,
    "slots": slots,
    "garbage": garbage,
    "settings": settings,
    "replay": replay,
}
#: What the writer's key signs: from the bucket as it was before.
SIGNED: dict[str, Callable[[Lived], None]] = {"fork": fork, "forge": forge, "backdate": backdate}
#: Of these, those that put over something, or hide it.
PUT_OVER = ("overwrite", "shorten", "delete", "shadow", "flood", "replay")


@pytest.mark.parametrize("attack", UNSIGNED)
def test_what_was_acknowledged_comes_back_by_itself(attack: str, lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    before, moment = lived.objects(), moment_before(lived.remote())
    UNSIGNED[attack](lived)
    after = lived.objects()
    assert {name: after[name][: len(data)] for name, data in before.items()} == before
    bare = recover(lived, monkeypatch)
    assert bare.truth == lived.truth
    assert bare.plan.report.lost == []
    over = look_for_put_over(lived.thief, f"{lived.prefix}/")
    assert bool(over.keys) == (attack in PUT_OVER)
    assert not over.keys or over.since > parse_moment(moment)
    told = [(one.what, one.at // 1_000_000) for one in bare.plan.report.suspect]
    assert told == ([("put over", over.since)] if over.keys else [])


@pytest.mark.parametrize("attack", SIGNED)
def test_what_was_acknowledged_comes_back_from_before(
    attack: str, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, moment = lived.objects(), moment_before(lived.remote())
    SIGNED[attack](lived)
    after = lived.objects()
    assert {name: after[name][: len(data)] for name, data in before.items()} == before
    reader = VaultLogReader([lived.remote()], lived.installation.keyring.opener)
    assert reader.end() != lived.end, "a bucket takes what is signed; else this shows nothing"
    bare = recover(lived, monkeypatch, f"@{moment}")
    assert bare.truth == lived.truth
    assert bare.plan.report.lost == [] and bare.plan.report.verified
    if attack == "fork":
        (told,) = bare.plan.report.suspect
        assert told.what == "forked" and told.at > parse_moment(moment) * 1_000_000


@pytest.mark.long
def test_a_month_of_patience_makes_nothing_go_that_was_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every day some items go, as if somebody tidied up; generations are written of what is left. Nothing drops the old
    ones: what a day has deleted is undone on the bare machine, and the bucket as it was has all of it.
    """
    world = BucketWorld(tmp_path, "patience")
    world.live(0, 12)
    world.snapshot()
    truth, moment = truth_of(world.installation), moment_before(world.remote())
    good = stamp(world.installation.clock.now())
    left = sorted(name for name in truth[0] if name.startswith("ann/contacts/"))
    for week in range(4):
        with world.installation.session() as session:
            for day in range(7):
                for name in left[week * 7 + day :: 28]:
                    collection, _, item = name.removeprefix("ann/").rpartition("/")
                    session.execute(DeleteItem(account=ANN, path=collection, name=item))
                session.execute(put(1000 + 7 * week + day, card(day)))
        world.snapshot()
    assert not set(left) & set(truth_of(world.installation)[0])
    reader = VaultLogReader([world.remote()], world.installation.keyring.opener)
    lived = Lived(tmp_path, "patience", world, truth, reader.end(), 1)
    assert recover(lived, monkeypatch, f"@{moment}").truth == truth
    recover(lived, monkeypatch)
    assert main(["--data", str(tmp_path / "bare"), "undo", "ann", "--kind", "contacts", "--to", good, "--yes"]) == 0
    there = Installation(tmp_path / "bare", load(tmp_path / "bare" / "safehold.toml"), None)
    back = truth_of(there)[0]
    assert {name: back.get(name) for name in left} == {name: truth[0][name] for name in left}
