"""Buckets at a real S3 store are damaged, found, mended and recovered from, by the real commands.

In a plain bucket somebody overwrites, deletes and adds; in one with versions, where the first counts, first versions
are removed by the owner, and others come in their place. Mending needs no more than the core's credentials.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safehold.adapters.objectstore import S3ObjectStore
from safehold.ports.objectstore import Stored
from tests.support.s3 import CORE, REGION, S3Server, seaweed
from tests.support.service import Service
from tests.support.waiting import until
from tests.support.writers import CARD, card

PASSWORD = "correct horse"
HOME = "/dav/ada/"
VAULTS = {"plain": False, "versioned": True}


class World(NamedTuple):
    server: S3Server
    owners: dict[str, S3ObjectStore]
    service: Service
    bodies: dict[str, bytes]
    key: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("s3")
    with seaweed(root / "store") as server, closing(Service(root / "data")) as service:
        owners = {name: server.bucket(name, versioned=versioned) for name, versioned in VAULTS.items()}
        service.add_account("ada", PASSWORD)
        service.start()
        draw = random.Random(7)
        bodies = {f"contacts/default/{n}.vcf": card(f"ada-{n}", draw) for n in range(6)}
        bodies |= {f"files/photos/{n}.jpg": draw.randbytes(200_000) for n in range(2)}

        def put(names: list[str]) -> None:
            for name in names:
                assert service.client("ada", PASSWORD).put(f"{HOME}{name}", bodies[name], CARD).status == 201, name

        put(sorted(bodies)[:4])
        file = service.data / "keys" / "s3.credentials"
        file.touch(0o600)
        file.write_text(f"aws_access_key_id = {CORE[0]}\naws_secret_access_key = {CORE[1]}\n")
        for name in VAULTS:
            options = ("--endpoint", server.endpoint, "--region", REGION, "--credentials-file", file.name)
            service.run("vault", "add", name, f"s3:{name}/home", *options)
        put(sorted(bodies)[4:])
        service.run("snapshot")
        for name in VAULTS:
            until(lambda name=name: _level(service, name), 60)  # type: ignore[misc]
        told = service.run("vault", "keys", "recovery").out
        assert told is not None
        service.stop()
        yield World(server, owners, service, bodies, str(told["recovery_key"]))


def _level(service: Service, name: str) -> bool:
    line = service.vault_status(name)
    return bool(line["state"] == "reachable" and line["unarchived_changes"] == 0)


def _replace(store: S3ObjectStore, stored: Stored, data: bytes | None) -> None:
    """Let this be all that is under a key, or nothing."""
    store.delete(stored)
    if data is not None:
        store.put(stored.key, data, unless_there=False)


def _damage(store: S3ObjectStore) -> dict[str, str]:
    """Each of a sort; what a scrub must say of the objects."""
    there = {stored.key.removeprefix("home/"): stored for stored in store.list("home/")}

    def pick(beginning: str, ending: str = "") -> Stored:
        return next(s for n, s in sorted(there.items()) if n.startswith(beginning) and n.endswith(ending))

    blobs = [stored for name, stored in sorted(there.items()) if name.startswith("blobs/")]
    slots = [stored for name, stored in sorted(there.items()) if "!" in name]
    data = store.get(blobs[0])
    _replace(store, blobs[0], data[:5_000] + bytes((data[5_000] ^ 1,)) + data[5_001:])
    _replace(store, blobs[1], None)
    run = pick("runs/", ".run")
    _replace(store, run, store.get(run)[:-40])
    one, two = pick("FORMAT"), pick("reader.py")
    texts = store.get(one), store.get(two)
    _replace(store, one, texts[1])
    _replace(store, two, texts[0])
    slot = slots[len(slots) // 2]
    hurt = store.get(slot)
    _replace(store, slot, hurt[:20] + b"\xff" * 8 + hurt[28:])
    store.put("home/notes.txt", b"somebody's")
    stray = f"{slots[0].key.partition('!')[0]}!{1:020d}"
    store.put(stray, b"nobody's")
    names = {
        stored.key.removeprefix("home/").partition("!")[0]: "corrupt" for stored in (blobs[0], run, one, two, slot)
    }
    missing = blobs[1].key.removeprefix("home/")
    return names | {missing: "missing", "notes.txt": "unexpected", stray.removeprefix("home/"): "unexpected"}


@pytest.mark.parametrize("name", VAULTS)
def test_what_is_damaged_in_a_bucket_is_found_and_mended(
    world: World, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, store = world.service, world.owners[name]
    assert _problems(service, "scrub", name, 0) == {}
    wrong = _damage(store)
    assert _problems(service, "scrub", name, 1) == wrong
    keys = {stored.key for stored in store.list("home/")}
    assert set(_problems(service, "repair", name, 1)) >= {each for each in wrong if "!" not in each}
    assert {stored.key for stored in store.list("home/")} == keys, "a plan puts nothing"
    service.run("vault", "repair", name, "--yes")
    assert _problems(service, "scrub", name, 0) == {}
    assert _problems(service, "scrub", name, 0, "--level", "replay") == {}
    recover_bare(world, name, tmp_path / "machine", monkeypatch)


def test_a_bucket_is_kept_by_its_keeper(world: World) -> None:
    """It attests what is there, and what is not old yet stays; a bucket of which nobody says so is left alone."""
    service = world.service
    refused = service.run("vault", "retain", "versioned", codes=(2,)).out
    assert refused is not None and "keep" in refused["hint"]
    config = service.data / "safehold.toml"
    text = config.read_text()
    assert text.count("[vaults.plain]\n") == 1
    config.write_text(text.replace("[vaults.plain]\n", '[vaults.plain]\nkeep = "retain"\n'))
    before = {stored.key for stored in world.owners["plain"].list("home/")}
    out = service.run("keeper", "run", "--once").out
    assert out is not None
    kept = {each["vault"]: each for each in out["vaults"]}
    assert set(kept) == {"near", "far", "plain"}
    assert kept["plain"]["attested"] == kept["near"]["attested"] > 0, kept
    assert "fewer than two generations" in kept["plain"]["blocked"]
    plan = service.run("vault", "retain", "plain").out
    assert plan is not None and plan["vaults"][0]["remove"] == []
    assert before < {stored.key for stored in world.owners["plain"].list("home/")}, "evidence of it is there"
    assert _problems(service, "scrub", "plain", 0) == {}


def _problems(service: Service, verb: str, name: str, code: int, *more: str) -> dict[str, str]:
    out = service.run("vault", verb, name, *more, codes=(code,)).out
    assert out is not None
    (vault,) = out["vaults"]
    assert not vault.get("trouble"), vault
    return {each["object"]: each["problem"] for each in vault["damaged"]}


def recover_bare(world: World, bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """On a machine that has nothing but the recovery key, and credentials that may read."""
    folder.mkdir()
    file = folder / "recovery.txt"
    file.write_text(world.key)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CORE[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CORE[1])
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.server.endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    with closing(Service(folder / "data")) as bare:
        given = ("--vault", f"s3:{bucket}/home", "--identity", str(file))
        plan = bare.run("recover", "plan", *given).out
        assert plan is not None
        report = bare.run("recover", "run", plan["plan"], "--identity", str(file)).out
        assert report is not None and report["lost"] == [] and report["verified"], report
        bare.start()
        client = bare.client("ada", PASSWORD)
        for name, body in world.bodies.items():
            assert client.ask("GET", f"{HOME}{name}").body == body, name
        return report
