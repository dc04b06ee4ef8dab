"""What explains a vault to whoever finds it: FORMAT, its mark in readable text, and reader.py, which reads it.

The page: docs/formats/vault.md.
"""

from __future__ import annotations

import re
from hashlib import sha256
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
To get the data back: `safehold recover plan --vault FOLDER --identity RECOVERY-KEY-FILE`. Without Safehold:
`python reader.py FOLDER RECOVERY-KEY-FILE NEW-FOLDER` (Python, zstandard, pyrage) writes every item as a file.

reader.py                                300 lines that read all of this; what follows is what they do
log/TTTTTTTT/SSSSSSSS-NNNNNNNNNNNN.seg   segments of the log: timeline, segment, number of the first frame
blobs/XX/XXXX...                         one large body each
runs/GGGGGGGGGGGG/NNN.run                the changes up to frame G of the log once more, sorted for restoring
runs/GGGGGGGGGGGG/generation             names the run objects that make up generation G; put last
evidence/UUUUUUUUUUUUUUUU-KKKKKKKK.ev    what was found or done: microseconds since 1970, signer
recovery/TTTTTTTT.open, .done            empty: a recovery that claimed this timeline, and that it ended
aside/                                   what repair or retention moved out of the way; never read
tmp/                                     what was being written; may be removed while nothing runs

All integers are big-endian. `n 'text'` is n bytes, `00` one byte in hex. Digests are SHA-256, CRCs CRC-32 as in zlib.
msgpack values are those of msgpack.org, arrays unless said otherwise.

KEYS. The installation is the first 16 bytes of the SHA-256 of the root's Ed25519 public key. A recovery key is
'SAFEHOLD-RECOVERY-1-' and 84 letters of 0123456789ABCDEFGHJKMNPQRSTVWXYZ, 5 bits each, dashes ignored: 32 bytes, the
secret of an age X25519 identity; 16 bytes, the installation; 4 bytes, the first of the SHA-256 of 'SAFEHOLD-RECOVERY-1'
00 and the 48 bytes before; 4 bits 0. A file may hold several. age writes the identity in bech32 (BIP 173), prefix
'age-secret-key-', in upper case.

ENDS. Segments, run objects, generations and evidence begin and end with the same 176 bytes, but for the first byte:
  8 mark: 93 (at the end 94), 'SH', 'segm' 'runs' 'gene' or 'evid', 0A   2 version, 1   2 zero   4 timeline   4 number
  8 first   16 installation   32 public key of whoever wrote it   32 root's public key   64 certificate
  4 CRC of the 172 bytes before
  The certificate is the root's Ed25519 signature over 'safehold ROLE certificate 1' 00, installation, public key; ROLE
  is 'writer', or 'keeper', which signs no segments. number, first: of a segment, as in its name; of a run object its
  NNN, and G; of a generation 0, and G; of evidence 0, and the microseconds.
  A segment that was left open, or in which a write failed, has no end. One end that is whole is enough.

FRAME: header of 88 bytes, payload, signature, trailer. What lies between the ends is frames, one behind the other.
  8 mark 93 'SHframe'   1 version, 1   1 type   2 zero   4 timeline   4 timeline that this one continues, 0: none
  8 number of the first frame of this timeline   8 number   8 microseconds since 1970, signed   4 count of changes
  4 length of the payload   32 prev   4 CRC of the 84 bytes before
  payload: an age file of a zstd frame of one msgpack value
  64 Ed25519 signature, by the key in the ends, over CONTEXT, the 88 bytes of the header, SHA-256 of the payload
  4 length of the whole frame   8 mark 94 'SHend.' 0A
  Types 1 claim, 2 changes, 3 seal: of the log; CONTEXT 'safehold frame 1' 00; prev: SHA-256 of all of the frame before.
  Types 5 index, 6 bodies, 7 directory, 8 generation: CONTEXT 'safehold run 1' 00; 4 evidence: 'safehold evidence 1' 00.
  Of 4 to 8 prev is the SHA-256 of the object's first 176 bytes, and number the frame's place in the object, from 0.
  After damage the next frame is found by its mark and CRC.

THE LOG. Frames are numbered 1, 2, 3 ... through all timelines. Begin with the highest timeline that has a good frame.
Its frames say which timeline it continues, and with which number it began: of that other one the numbers below count,
and so on down. Timelines in between are void. Within a timeline, frames do not count from the number on that a later
segment begins with: they were written once more there. The log may begin at a generation, whose runs hold what was
before.

CHANGE: an array of 19, of which the first 15, up to prev, make the hash:
  account (16 bytes), kind, timeline, rev, group, at, op, collection (16 bytes), name, media type, digest of the body,
  size of the body, digest of the properties, actor, prev, hash, body, blob, properties
  hash is the SHA-256 of the msgpack array of 16: 1, and the first 15, in the shortest form; what has no value is empty
  bytes, text or 0. A stream is an account's changes of one kind: rev 1, 2, 3 ...; prev is the hash of the rev before,
  32 zeros for the first. Exactly one of body (bytes) and blob (name of a blob) is there where there is a digest, the
  other is nil. properties: msgpack array of [name, text], sorted; nil where the change does not set them.
  kinds: identity contacts calendar notes tasks photos scores. group: rev of the first of the changes that are one.
  ops: mkcol makes a collection, name is its path. setcol sets its properties. rmcol removes it with all that is in it.
  put makes or replaces an item; its properties stay where none are given. props sets those of an item. delete removes
  an item. refused and gap change nothing; gap says that somebody took it on them that revs before it are missing.
  Account of 16 zeros: the installation. Its identity has items 'erased/HEX', accounts that are to be forgotten, and
  'older-identities', JSON whose 'sealed' is an age file, in base64, of age identities that were replaced. Other
  identities have the item 'profile', JSON with the account's 'name'.

PAYLOADS. 1 claim: version, timeline, [timeline, frame, digest] that it continues, writer's public key, microseconds.
  2 changes: an array of changes.
  3 seal: version, position before, position of the seal before (timeline, frame, digest each), then arrays of what came
  since: segments closed [name, size, SHA-256], blobs (the same), heads [account, kind, rev, hash], names that some
  vault lacks, other objects (as segments; may be left out). Size and SHA-256 are of an object's first bytes.
  5 index: [changes, bodies]. The changes have no body. prev is empty where it is the hash of the change before it in
  this frame. bodies: for each change -1, or number of a bodies frame * 2^20 + place in it.   6 bodies: array of bytes.
  7 directory: version, generation, number, since, first and last partition, frames [offset, size, digest], streams,
  names of blobs. Stream: account, kind, base, rev, hash at rev, state root at rev, count of changes here, live items,
  number of the index frame with the first, its place. base: [timeline, rev, hash, state root]. Where that root is not
  empty, older history was dropped: changes up to that rev are those that made what lived then, the rest follows it.
  The changes are those after frame `since` of the log and up to G, of accounts whose first byte >> 2 is a partition
  in the range, sorted by kind as above, account, rev.
  8 generation: version, position, microseconds, [generation before, digest of its frame], frame up to which history may
  be dropped, runs [[name, size, SHA-256], since, upto, first and last partition, changes], streams, changes, items by
  kind (a map). The runs cover each partition from the log's beginning to G, oldest first.
  4 evidence: version, kind, microseconds, vault, position, SHA-256 of the signer's evidence before, facts (a map).
  State root: SHA-256 over the live collections by id: 01, id, 4 length of path, path, digest of properties; each with
  its items by name (bytes): 02, 4 length of name, name, digest of body, digest of properties. No digest: 32 zeros.

BLOB: 8 mark 93 'SHblob' 0A   2 version, 1   2 zero   32 name   4 CRC of the 44 bytes before   an age file of the body
  8 mark 94 'SHblob' 0A   8 length of the age file   32 SHA-256 of all before this mark   32 name   4 CRC of these 80
  The name is HMAC-SHA-256 of the account's item 'blob-key' (in its identity) and the SHA-256 of the body.
"""
#: SHA-256 of what earlier releases put into vaults: of FORMAT with an installation of zeros, and of reader.py.
_EARLIER_MARKS = frozenset(("25d10961f2cb5367fc459b38ffa89c7ad02c9ccec3e9b35c99a14b9690d86097",))
_EARLIER_READERS: frozenset[str] = frozenset()
_VERSION_LINE = re.compile(r"^format: (\d+)$", re.MULTILINE)
_INSTALLATION_LINE = re.compile(r"^installation: ([0-9a-f]{32})$", re.MULTILINE)


def encode_mark(installation: bytes) -> bytes:
    """The bytes of FORMAT for this installation's vaults."""
    return _TEXT.format(first=_FIRST_LINE, version=VERSION, installation=installation.hex()).encode("ascii")


def reader() -> bytes:
    """The bytes of reader.py: this package's own, which is never imported."""
    return files(__package__).joinpath(READER).read_bytes()


def is_mark(data: bytes, installation: bytes) -> bool:
    """Whether this is FORMAT of this installation as this or an earlier release wrote it, to the byte."""
    bare = data.replace(installation.hex().encode(), bytes(16).hex().encode(), 1)
    return data == encode_mark(installation) or (bare != data and sha256(bare).hexdigest() in _EARLIER_MARKS)


def is_reader(data: bytes) -> bool:
    """Whether this is reader.py of this or an earlier release, to the byte."""
    return data == reader() or sha256(data).hexdigest() in _EARLIER_READERS


def parse_mark(data: bytes) -> bytes:
    """The installation that a FORMAT names. Raises Damaged: it is none of ours, or of a later version."""
    text = data.decode("ascii", "replace")
    version, installation = _VERSION_LINE.search(text), _INSTALLATION_LINE.search(text)
    if not text.startswith(_FIRST_LINE) or not version or not installation:
        raise Damaged("its FORMAT is not that of a vault of Safehold")
    if int(version[1]) != VERSION:
        raise Damaged(f"it has format {version[1]}; this program reads format {VERSION}")
    return bytes.fromhex(installation[1])
