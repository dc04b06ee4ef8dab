"""What explains a vault to whoever finds it: FORMAT, its mark in readable text, and reader.py, which reads it.

The page: docs/formats/vault.md.
"""

from __future__ import annotations

import re
from importlib.resources import files

from safehold.model.errors import Damaged

NAME = "FORMAT"
READER = "reader.py"
VERSION = 1
_FIRST_LINE = "This is a vault of Safehold."
_TEXT = """\
{first}

format: {version}
installation: {installation}

It holds personal data, encrypted, as a log that only grows. Do not edit, rename or remove anything in it.
To get the data back: `safehold recover plan --vault FOLDER --identity RECOVERY-KEY-FILE`.

log/TTTTTTTT/SSSSSSSS-NNNNNNNNNNNN.seg   segments: timeline, segment number, number of the first frame
blobs/XX/XXXX...                         one large body each
tmp/                                     what was being written; may be removed while nothing runs

All integers are big-endian. The installation is the first 16 bytes of the SHA-256 of the root's Ed25519 public key.

Segment: header of 176 bytes, frames, and, once closed, a footer of 176 bytes (the header, its mark begins with 94).
  8 mark 93 'SHsegm' 0A   2 version   2 zero   4 timeline   4 segment number   8 first frame (0 in segment 0)
  16 installation   32 writer's public key   32 root's public key
  64 root's Ed25519 signature over 'safehold writer certificate 1' 00, installation, writer's public key
  4 CRC-32 of the bytes before
Frame: header of 88 bytes, payload, signature, trailer.
  8 mark 93 'SHframe'   1 version   1 type (1 claim, 2 changes, 3 seal)   2 zero   4 timeline
  4 timeline it continues   8 number of this timeline's claim   8 number   8 microseconds since 1970
  4 count of changes   4 length of payload   32 SHA-256 of the frame before   4 CRC-32 of the bytes before
  payload: an age file (X25519) of a zstd frame of msgpack
  64 writer's Ed25519 signature over 'safehold frame 1' 00, header, SHA-256 of the payload
  4 length of the whole frame   8 mark 94 'SHend.' 0A
Frames are numbered through all timelines. A timeline's claim says which timeline and frame it continues; what the
older timeline holds beyond that is void, and so are frames whose number the next segment begins with or is past.
Blob: 8 mark 93 'SHblob' 0A   2 version   2 zero   32 name   4 CRC-32   an age file of the body
  8 mark 94 'SHblob' 0A   8 length of the age file   32 SHA-256 of all before this mark   32 name   4 CRC-32
"""
_VERSION_LINE = re.compile(r"^format: (\d+)$", re.MULTILINE)
_INSTALLATION_LINE = re.compile(r"^installation: ([0-9a-f]{32})$", re.MULTILINE)


def encode_mark(installation: bytes) -> bytes:
    """The bytes of FORMAT for this installation's vaults."""
    return _TEXT.format(first=_FIRST_LINE, version=VERSION, installation=installation.hex()).encode("ascii")


def reader() -> bytes:
    """The bytes of reader.py: this package's own, which is never imported."""
    return files(__package__).joinpath(READER).read_bytes()


def parse_mark(data: bytes) -> bytes:
    """The installation that a FORMAT names. Raises Damaged: it is none of ours, or of a later version."""
    text = data.decode("ascii", "replace")
    version, installation = _VERSION_LINE.search(text), _INSTALLATION_LINE.search(text)
    if not text.startswith(_FIRST_LINE) or not version or not installation:
        raise Damaged("its FORMAT is not that of a vault of Safehold")
    if int(version[1]) != VERSION:
        raise Damaged(f"it has format {version[1]}; this program reads format {VERSION}")
    return bytes.fromhex(installation[1])
