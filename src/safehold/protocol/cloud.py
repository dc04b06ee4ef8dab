"""Properties of ownCloud's and Nextcloud's clients on trees of files: those that can be answered with a truth.

Ids are derived from what a recovery brings back as it was: the opaque id of a collection, and a name in it.

- `data-fingerprint` changes with every recovery: a client that sees another one than last time keeps its own copies
  beside ours. It is there, and empty, before any recovery, or the client would not notice the first.
- `permissions`: D delete, N rename, V move, W write a file, C and K make files and folders within.
- `checksums`: the SHA-256 by which the body is known here.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.protocol.names import element, escape

OWNCLOUD = "{http://owncloud.org/ns}"
ID, FILE_ID = OWNCLOUD + "id", OWNCLOUD + "fileid"
PERMISSIONS = OWNCLOUD + "permissions"
SIZE = OWNCLOUD + "size"
CHECKSUMS = OWNCLOUD + "checksums"
OWNER_ID, OWNER_NAME = OWNCLOUD + "owner-id", OWNCLOUD + "owner-display-name"
DATA_FINGERPRINT = OWNCLOUD + "data-fingerprint"

#: What the account itself has of a tree; nothing can be put directly into the home of files.
HOME_PERMISSIONS, ROOT_PERMISSIONS, FOLDER_PERMISSIONS, FILE_PERMISSIONS = "", "CK", "DNVCK", "DNVW"


def number_of(collection: bytes, name: str = "") -> int:
    """The number by which clients know a folder, or a file in it: positive, in 63 bits."""
    return int.from_bytes(sha256(collection + name.encode()).digest()[:8], "big") >> 1


def id_text(number: int) -> str:
    """`id`: an opaque text, here of constant length."""
    return f"{number:019d}"


def text_property(name: str, text: str) -> str:
    return element(name, escape(text))


def checksums(digest_hex: str) -> str:
    return element(CHECKSUMS, f"<checksum>SHA256:{digest_hex}</checksum>")
