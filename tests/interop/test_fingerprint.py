"""Clients of file trees see that a recovery has been: they keep what they have beside what came back."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service

PASSWORD = "correct horse"
NOTES, PHOTOS, FILES = "/dav/ada/files/notes/", "/dav/ada/files/photos/", "/dav/ada/files/"
OWNCLOUD = "{http://owncloud.org/ns}"
ASKED = (
    '<propfind xmlns="DAV:" xmlns:o="http://owncloud.org/ns"><prop><o:id/><o:fileid/><o:data-fingerprint/>'
    "<resource-id/><quota-used-bytes/></prop></propfind>"
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    yield service
    service.close()


def told(service: Service, path: str) -> dict[str, list[str | None]]:
    """What each resource in a folder is told to be, by href: its properties that are there, in the order asked."""
    client = service.client("ada", PASSWORD)
    answer = client.xml("PROPFIND", path, ASKED, "1")
    client.close()
    assert answer.status == 207
    found = {}
    for response in ET.fromstring(answer.body).iter("{DAV:}response"):
        prop = response.find("{DAV:}propstat/{DAV:}prop")
        assert prop is not None
        found[str(response.findtext("{DAV:}href"))] = ["".join(e.itertext()) or None for e in prop]
    return found


def fingerprints(service: Service) -> set[str | None]:
    seen = {told(service, path)[path][2] for path in (FILES, NOTES, PHOTOS)}
    assert len(seen) == 1, "all trees tell the same"
    return seen


def lose_and_recover(service: Service) -> None:
    for folder in ("core", "blobs"):
        shutil.rmtree(service.data / folder)
    service.run("recover", "run", "--yes")


def test_a_fingerprint_changes_with_each_recovery_and_nothing_else_does(service: Service) -> None:
    service.start()
    client = service.client("ada", PASSWORD)
    assert client.ask("MKCOL", NOTES + "folder").status == 201
    for name, body in (("n.txt", b"note"), ("folder/ü.txt", b"inner"), ("big.jpg", bytes(200_000))):
        assert client.put(NOTES + name, body, "image/jpeg").status == 201
    client.close()
    seen = [fingerprints(service)]
    before = told(service, NOTES) | told(service, NOTES + "folder/")
    for _ in range(2):
        assert service.stop() == 0
        lose_and_recover(service)
        service.start()
        seen.append(fingerprints(service))
        after = told(service, NOTES) | told(service, NOTES + "folder/")
        assert without_fingerprint(after) == without_fingerprint(before)
    assert seen[0] == {None}
    assert seen[1] != seen[2]
    assert {None}.isdisjoint(seen[1] | seen[2])
    assert service.stop() == 0
    service.start()  # an ordinary start changes nothing
    assert fingerprints(service) == seen[2]


def without_fingerprint(found: dict[str, list[str | None]]) -> dict[str, list[str | None]]:
    """Folders tell it third, files do not."""
    return {href: [*values[:2], *values[3:]] if href.endswith("/") else values for href, values in found.items()}
