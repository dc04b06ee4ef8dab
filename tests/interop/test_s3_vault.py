"""An installation whose second vault is a bucket at a real S3 store, and what the bucket alone gives back.

All through the real commands and the real service; the core's credentials can put and get, and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safehold.adapters.objectstore import S3ObjectStore
from safehold.ports.objectstore import StoreError
from safehold.vault.refusals import newest_frame
from safehold.vault.s3 import S3Vault
from tests.support.s3 import CORE, REGION, S3Server, seaweed
from tests.support.service import Service
from tests.support.waiting import until
from tests.support.writers import CARD, card

PASSWORD = "correct horse"
HOME = "/dav/ada/"
BUCKET, PREFIX = "vaults", "home"


class World(NamedTuple):
    server: S3Server
    owner: S3ObjectStore
    service: Service
    root: Path
    bodies: dict[str, bytes]
    key: str
    added: dict[str, Any]

    @property
    def thief(self) -> S3ObjectStore:
        """Whoever has all that the core's host has."""
        return S3ObjectStore(self.server.settings(BUCKET, CORE))


def credentials(data: Path, who: tuple[str, str]) -> str:
    file = data / "keys" / "s3.credentials"
    file.touch(0o600)
    file.write_text(f"aws_access_key_id = {who[0]}\naws_secret_access_key = {who[1]}\n")
    return file.name


def level(service: Service, name: str = "bucket") -> bool:
    line = service.vault_status(name)
    return bool(line["state"] == "reachable" and line["unarchived_changes"] == 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("s3")
    with seaweed(root / "store") as server, closing(Service(root / "data")) as service:
        owner = server.bucket(BUCKET, lock_days=30)
        bodies, added = live(service, server)
        told = service.run("vault", "keys", "recovery").out
        assert told is not None
        yield World(server, owner, service, root, bodies, str(told["recovery_key"]), added)


def live(service: Service, server: S3Server) -> tuple[dict[str, bytes], dict[str, Any]]:
    """What is put before the bucket becomes a vault, while it is one, before and after a snapshot; then a kill."""
    service.add_account("ada", PASSWORD)
    service.start()
    draw = random.Random(5)
    bodies = {f"contacts/default/{n}.vcf": card(f"ada-{n}", draw) for n in range(5)}
    bodies |= {"files/photos/large.jpg": draw.randbytes(300_000), "files/notes/plan.txt": b"the plan"}
    later = {f"contacts/default/{n}.vcf": card(f"ada-{n}", draw) for n in range(5, 8)}
    last = {"contacts/default/after.vcf": card("ada-after", draw)}

    def put(some: dict[str, bytes]) -> None:
        for name, body in some.items():
            assert service.client("ada", PASSWORD).put(f"{HOME}{name}", body, CARD).status == 201, name

    put(bodies)
    out = service.run(
        *("vault", "add", "bucket", f"s3:{BUCKET}/{PREFIX}", "--endpoint", server.endpoint, "--region", REGION),
        *("--credentials-file", credentials(service.data, CORE), "--lock-days", "30"),
    ).out
    assert out is not None
    put(later)
    service.run("snapshot")
    put(last)
    until(lambda: level(service), 60)
    service.kill()
    return bodies | later | last, out["vault"]


def recover_bare(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """On a machine that has nothing but the recovery key, and credentials that may read."""
    folder.mkdir()
    file = folder / "recovery.txt"
    file.write_text(world.key)
    for name, value in {
        "AWS_ACCESS_KEY_ID": CORE[0],
        "AWS_SECRET_ACCESS_KEY": CORE[1],
        "AWS_ENDPOINT_URL": world.server.endpoint,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    bare = Service(folder / "data")
    given = ("--vault", f"s3:{BUCKET}/{PREFIX}", "--identity", str(file))
    plan = bare.run("recover", "plan", *given).out
    assert plan is not None
    report = bare.run("recover", "run", plan["plan"], "--identity", str(file)).out
    assert report is not None and report["lost"] == [] and report["verified"]
    bare.start()
    client = bare.client("ada", PASSWORD)
    for name, body in world.bodies.items():
        assert client.ask("GET", f"{HOME}{name}").body == body, name
    bare.close()
    return report


def test_the_bucket_is_probed_and_append_only(world: World) -> None:
    found = world.service.run("vault", "probe", "bucket").out
    assert found is not None
    (probed,) = found["vaults"]
    assert probed["append_only"] == "enforced", probed
    assert world.added["copied_from"] == ["near"]


def test_a_scrub_reads_it_whole(world: World) -> None:
    out = world.service.run("vault", "scrub", "bucket").out
    assert out is not None and out["ok"] and out["vaults"][0]["objects"] > 5, out


def test_all_of_it_comes_back_from_the_bucket_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recover_bare(world, tmp_path / "machine", monkeypatch)["suspect"] == []


def test_a_thief_with_all_that_the_host_has_takes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overwrites everything, deletes, forges an end; then even the owner's credentials are used to delete."""
    thief = world.thief
    vault = S3Vault("bucket", f"{BUCKET}/{PREFIX}", thief)
    end = newest_frame(vault)
    last = max(stored.modified for stored, _ in thief.versions(f"{PREFIX}/log/"))
    for stored in list(thief.list(f"{PREFIX}/")):
        thief.put(stored.key, b"forged", unless_there=False)
        for target in (stored, stored._replace(version="")):
            with pytest.raises(StoreError, match="403"):
                thief.delete(target)
        with pytest.raises(StoreError, match="403"):
            world.owner.delete(stored)
        world.owner.delete(stored._replace(version=""))
    report = recover_bare(world, tmp_path / "after", monkeypatch)
    assert report["verified"]
    (suspect,) = report["suspect"]
    # From the thief's first put on, after the last frame that had come before it.
    assert suspect["what"] == "put over" and suspect["at"] // 1_000_000 >= last
    assert suspect["frame"] == end
    probed = world.service.run("vault", "probe", "bucket", codes=(1,)).out
    assert probed is not None
    assert probed["vaults"][0]["put_over"] > 10 and probed["vaults"][0]["append_only"] == "enforced"
    assert any("what was there first is what is read" in risk for risk in world.service.status()["risks"])
