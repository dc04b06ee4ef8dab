"""rclone tells how much room there is, and what it is told where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service

PASSWORD = "correct horse"
RCLONE = Path(sys.executable).with_name("rclone")
QUOTA = 1 << 20


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    config = service.data / "safehold.toml"
    config.write_text(config.read_text().replace("quota = 0 ", 'quota = "1 MiB" '))
    service.start()
    yield service
    service.close()


def rclone(service: Service, *args: str) -> subprocess.CompletedProcess[str]:
    plain = os.environ | {"RCLONE_CONFIG": os.devnull}
    hidden = subprocess.run([RCLONE, "obscure", PASSWORD], capture_output=True, text=True, check=True, env=plain)
    where = {
        "RCLONE_WEBDAV_URL": f"http://127.0.0.1:{service.port}/dav/ada/files/notes",
        "RCLONE_WEBDAV_VENDOR": "owncloud",
        "RCLONE_WEBDAV_USER": "ada",
        "RCLONE_WEBDAV_PASS": hidden.stdout.strip(),
    }
    once = ("--retries", "1", "--low-level-retries", "1")
    return subprocess.run([RCLONE, *args, *once], capture_output=True, text=True, check=False, env=plain | where)


def room(service: Service) -> dict[str, int]:
    told = rclone(service, "about", ":webdav:", "--json")
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_rclone_is_told_of_the_room(service: Service, tmp_path: Path) -> None:
    assert room(service) == {"total": QUOTA, "used": 0, "free": QUOTA}
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(1000))
    large.write_bytes(bytes(QUOTA))
    assert rclone(service, "copyto", str(small), ":webdav:small").returncode == 0
    assert room(service) == {"total": QUOTA, "used": 1000, "free": QUOTA - 1000}
    assert rclone(service, "copyto", str(large), ":webdav:large").returncode != 0
    assert rclone(service, "lsf", ":webdav:").stdout.split() == ["small"]
    assert rclone(service, "check", str(small), ":webdav:").returncode == 0
    assert rclone(service, "deletefile", ":webdav:small").returncode == 0
    assert rclone(service, "copyto", str(large), ":webdav:large").returncode == 0
    assert room(service) == {"total": QUOTA, "used": QUOTA, "free": 0}
