"""Real S3 servers on this machine, for tests: SeaweedFS, which enforces what it says, and rclone, which ignores much.

Each runs in a folder of its own, on free ports of 127.0.0.1, and is ended by who started it. SeaweedFS does not sync
what it acknowledges, so these tests kill clients and never the server's machine.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from safehold.adapters.objectstore import S3ObjectStore, S3Settings

REGION = "us-east-1"
#: Whoever owns the bucket may do all; the core's credentials put, get and list, and nothing else.
OWNER = ("OWNER0000000", "owner-secret-0000000000")
CORE = ("CORE00000000", "core-secret-00000000000")
_CORE_MAY = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
)
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class S3Server:
    """A server that runs."""

    endpoint: str
    process: subprocess.Popen[bytes]

    def settings(self, bucket: str, who: tuple[str, str] = OWNER) -> S3Settings:
        return S3Settings(self.endpoint, REGION, bucket, *who)

    def bucket(self, name: str, *, versioned: bool = False, lock_days: int = 0) -> S3ObjectStore:
        """A new bucket, in its owner's hands."""
        store = S3ObjectStore(self.settings(name))
        store.make_bucket(versioned=versioned, lock_days=lock_days)
        return store


def program(name: str) -> str:
    """Beside this Python, as its package puts it, or on the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found is not None, f"{name} is missing: it comes with requirements/test.txt"
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _started(line: list[str], port: int, folder: Path, environment: dict[str, str]) -> S3Server:
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment})
    endpoint = f"http://127.0.0.1:{port}"
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            S3ObjectStore(S3Settings(endpoint, REGION, "any", *OWNER)).list_buckets()
            return S3Server(endpoint, process)
        except Exception:
            if process.poll() is not None or time.monotonic() > until:
                _end(process)
                raise RuntimeError((folder / "log").read_text(errors="replace")[-3000:]) from None
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _seaweed_identities() -> dict[str, object]:
    statement = [{"Effect": "Allow", "Action": list(_CORE_MAY), "Resource": ["arn:aws:s3:::*", "arn:aws:s3:::*/*"]}]
    document = {"Version": "2012-10-17", "Statement": statement}

    def identity(name: str, keys: tuple[str, str], **more: object) -> dict[str, object]:
        return {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], **more}

    return {
        "identities": [
            identity("owner", OWNER, actions=["Admin", "Read", "Write", "List", "Tagging"]),
            identity("core", CORE, actions=[], policyNames=["append"]),
        ],
        "policies": [{"name": "append", "content": json.dumps(document)}],
    }


@contextmanager
def seaweed(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS in one process, telemetry off, without any of its other doors."""
    folder.mkdir(parents=True, exist_ok=True)
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_seaweed_identities()))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    names += ("s3.port", "s3.port.grpc", "admin.port", "admin.port.grpc")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    line = [program("weed"), "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    line += [f"-{name}={port}" for name, port in ports.items()]
    line += ["-master.telemetry=false", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    line += [f"-s3.config={identities}", "-s3.autoCreateBucket=false", "-master.volumeSizeLimitMB=64"]
    line += [f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}"]
    (folder / "data").mkdir(exist_ok=True)
    server = _started(line, ports["s3.port"], folder, {})
    try:
        yield server
    finally:
        _end(server.process)


@contextmanager
def rclone(folder: Path) -> Iterator[S3Server]:
    """rclone's `serve s3` over a folder: it takes conditional writes and ignores the condition."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (port,) = _free_ports(1)
    line = [program("rclone"), "serve", "s3", str(folder / "data"), f"--addr=127.0.0.1:{port}"]
    line += [f"--auth-key={','.join(OWNER)}", "--vfs-cache-mode=off", f"--config={folder / 'rclone.conf'}"]
    server = _started(line, port, folder, {})
    try:
        yield server
    finally:
        _end(server.process)
