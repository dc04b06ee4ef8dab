"""Live blobs: files that bear a blob's name, as the data folder's `blobs/` and nothing else has them.

A name is the HMAC of the body's digest under a key of the account (store/blobs.py). So a file can be checked where a
change names it, which says the digest, or where the key of the account was found; else it is put as it is, and whoever
reads it checks it against the change that names it.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from safehold.model.counting import count_text
from safehold.ports.disk import Disk
from safehold.ports.survivors import Aside
from safehold.salvage.ear import Ear
from safehold.salvage.keep import Keep
from safehold.salvage.reading import FoundFile, Step, no_step, reading

BLOB_FILE = re.compile(r"[0-9a-f]{64}\Z")
ASIDE_BYTES = 1024 * 1024
#: Keys that are tried on a body that no change names.
MAX_TRIED = 2000


def take_blob(found: FoundFile, source: int, ear: Ear, disk: Disk, keep: Keep, step: Step = no_step) -> bool:
    """Whether it is copied and put as a blob; else it is aside, with its reason. Raises OSError.

    One of an erased account is neither.
    """
    name = bytes.fromhex(found.path.rpartition("/")[2])
    if name in ear.erased_blobs:
        return False
    half = keep.begin()
    try:
        digest = sha256()
        with reading(disk, found) as file:
            for chunk in file.chunks(0, found.size):
                digest.update(chunk)
                half.write(chunk)
                step(len(chunk))
            why = _fault(ear, name, digest.digest(), file.unread)
            if why:
                half.abort()
                head = file.at(0, ASIDE_BYTES)
                ear.aside(Aside(source, found.name, why, "body", head, name=name.hex()))
                return False
        kept = half.finish()
    except BaseException:
        half.abort()
        raise
    ear.blob(name, kept.path, kept.size, source)
    return True


def _fault(ear: Ear, name: bytes, digest: bytes, unread: int) -> str:
    """Why a file is not what its name says; "" where it is, or nobody can tell."""
    known = ear.blob_digests.get(name)
    if known == digest or (known is None and _keyed(ear, name, digest)):
        return ""
    if unread:
        return f"the disk did not give {count_text(unread, 'byte')} of it"
    return "" if known is None else "its content is not what its name and the change that names it say"


def _keyed(ear: Ear, name: bytes, digest: bytes) -> bool:
    """Whether an account's key gives this name to this body."""
    keys = [key for each in ear.blob_keys.values() for key in each]
    return len(keys) <= MAX_TRIED and any(hmac.digest(key, digest, sha256) == name for key in keys)
