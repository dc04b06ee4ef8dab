"""Reads a vault of Safehold without Safehold, and writes every item that lives in it as a plain file.

    python reader.py VAULT-FOLDER RECOVERY-KEY-FILE OUT-FOLDER [--account NAME] [--at-frame N]

It needs Python 3.11 and the packages zstandard and pyrage (age); with cryptography it checks signatures too. FORMAT,
beside it, explains the bytes. Damage is told by name and stops nothing; then the exit code is 1.
"""

import argparse
import json
import os
import re
import sqlite3
import struct
import sys
from collections import defaultdict, namedtuple
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import zstandard
from pyrage import decrypt, x25519

with suppress(ImportError):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
SIGNATURES = "checked" if "Ed25519PublicKey" in globals() else "not checked, as cryptography is not installed"
CHANGES, SEAL, INDEX, BODIES, DIRECTORY, GENERATION = 2, 3, 5, 6, 7, 8  # types of frames
record: Any = namedtuple
Frame = record("Frame", "object payload type timeline parent opened number prev digest")
STORED = "account kind timeline rev group at op collection name media digest size props_digest actor prev hash"
Change = record("Change", STORED + " body blob props")
BASE = Change(*[None] * 19)._replace(op="base", rev=0, collection=b"", body=[])  # body: all that lived at its rev
Fields: Any = type("Fields", (list,), {"hashed": b""})  # an array, and the bytes of its first 14 values
BODY = "SELECT body FROM body WHERE digest = ?"
bodies = sqlite3.connect("")  # in a temporary file
bodies.execute("CREATE TABLE body (digest PRIMARY KEY, body)")
problems: list[str] = []
tell = problems.append
changes: dict[Any, dict[bytes, Any]] = defaultdict(dict)  # by stream (account and kind), then by hash
heads: dict[Any, Any] = defaultdict(lambda: (0, 0, b""))  # the last word on a stream: frame, rev, hash


def unpack(stream: BytesIO) -> Any:
    """The next msgpack value (msgpack.org)."""
    first = stream.read(1)[0]
    if first < 0x80 or first >= 0xE0:
        return first - 256 * (first >= 0xE0)
    if first in (0xC0, 0xC2, 0xC3):
        return (None, None, False, True)[first & 3]
    if 0xCC <= first <= 0xD3:
        return int.from_bytes(stream.read(1 << (first & 3)), signed=first >= 0xD0)
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}.get(first, 0)
    size = int.from_bytes(stream.read(width)) if width else first & (0x1F if first >= 0xA0 else 0x0F)
    if 0xA0 <= first <= 0xDB:
        part = stream.read(size)
        return part if 0xC4 <= first <= 0xC6 else sys.intern(part.decode())
    if first < 0x90 or first >= 0xDE:
        return {unpack(stream): unpack(stream) for _ in range(size)}
    values, start = Fields(), stream.tell()
    for place in range(size):
        values.append(unpack(stream))
        if place == 13:
            values.hashed = bytes(stream.getbuffer()[start : stream.tell()])
    return values


def recovery_key(text: str) -> tuple[Any, bytes]:
    """The age identity and the installation in a recovery key: base32 of 48 bytes and a checksum."""
    letters = re.sub("[^0-9A-Z]", "", text)[:84]
    number = sum("0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c) << 5 * i for i, c in enumerate(reversed(letters)))
    raw = (number >> 4).to_bytes(52)
    if number & 15 or sha256(b"SAFEHOLD-RECOVERY-1\0" + raw[:48]).digest()[:4] != raw[48:]:
        raise ValueError("its checksum does not match")
    prefix, number, check = "age-secret-key-", int.from_bytes(raw[:32]) << 4, 1  # bech32: BIP 173
    digits = [number >> 5 * i & 31 for i in range(51, -1, -1)]
    for value in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *digits, *bytes(6)):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator * (top >> i & 1)
    digits += [(check ^ 1) >> 5 * i & 31 for i in range(5, -1, -1)]
    age = prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[d] for d in digits)
    return x25519.Identity.from_str(age.upper()), raw[32:48]


def objects(pattern: str) -> list[tuple[list[int], str]]:
    """Names of objects that match, after the numbers in them, sorted."""
    walk = os.walk(args.vault, onerror=lambda error: tell(str(error)))
    names = [Path(folder, file).relative_to(args.vault).as_posix() for folder, _, files in walk for file in files]
    return sorted(([*map(int, m.groups())], m[0]) for m in (re.fullmatch(pattern, name) for name in names) if m)


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    with suppress(Exception):
        return SIGNATURES != "checked" or Ed25519PublicKey.from_public_bytes(public).verify(signature, message) is None
    return False


def cut(name: str, letters: bytes, last: bool) -> tuple[bytes, list[Any]]:
    """Header and good frames of an object. A segment may end in a write cut short: told only of the last segment."""
    data = b""
    with suppress(OSError):
        data = (args.vault / name).read_bytes()
    header, frames, at, stop = b"", list[Any](), 0, len(data)
    for end, mark in ((data[-176:], b"\x94SH"), (data[:176], b"\x93SH")):
        if end[:8] == mark + letters + b"\n" and crc32(end[:172]) == int.from_bytes(end[172:]):
            header = b"\x93" + end[1:172] + crc32(b"\x93" + end[1:172]).to_bytes(4)
            at, stop = (176, stop) if mark[0] == 0x93 else (at, stop - 176)
    id_, public, root, certificate = header[28:44], header[44:76], header[76:108], header[108:172]
    sort, roles = (b"frame", (b"writer",)) if letters == b"segm" else (b"run", (b"writer", b"keeper"))
    words = [b"safehold %s certificate 1\0" % role + id_ + public for role in roles]
    if id_ != installation or sha256(root).digest()[:16] != id_ or not any(signed(root, certificate, w) for w in words):
        tell(f"{name}: it cannot be read, is another installation's, or is by somebody whom nobody certified")
        stop = at if header else stop  # one that is damaged at both ends is read all the same
    for start in (*(match.start() for match in re.compile(b"\x93SHframe").finditer(data, 0, stop)), stop):
        head, size = data[start : start + 88], 164 + int.from_bytes(data[start + 48 : start + 52])
        if start < at or (start < stop and crc32(head[:84]) != int.from_bytes(head[84:])):
            continue
        if start > at and (last or start < stop or stop < len(data) or start - at == 176):  # 176: a footer
            tell(f"{name}: bytes {at} to {start - 1} are damaged" + ", or never written in full" * (start == len(data)))
        at, frame = start, data[start : min(start + size, stop)]
        if len(frame) != size or frame[-12:] != struct.pack(">I8s", size, b"\x94SHend.\n"):
            continue
        at, fields = start + size, struct.unpack(">xBxxIIQQ16x32s", head[8:84])
        message = b"safehold %s 1\0" % sort + head + sha256(frame[88:-76]).digest()
        own = sort == b"frame" or fields[5] == sha256(header).digest()
        if header and not (own and signed(public, frame[-76:-12], message)):
            tell(f"{name}: frame {fields[4]} is another object's, or not signed by who wrote this one")
        else:
            frames.append(Frame(name, frame[88:-76], *fields, sha256(frame).digest()))
    return header, frames


def take(frame: Any, number: int) -> Any:
    """Take in what a frame holds, which was so at this frame of the log. Falsy where it is damaged."""
    try:
        content = unpack(BytesIO(zstandard.ZstdDecompressor().decompress(decrypt(frame.payload, identities))))
        found = content if frame.type == CHANGES else content[0] if frame.type == INDEX else ()
        for body in content if frame.type == BODIES else [fields[16] for fields in found if fields[16] is not None]:
            bodies.execute("INSERT OR IGNORE INTO body VALUES (?, ?)", (sha256(body).digest(), body))
        for before, fields in zip([[], *found], found, strict=False):
            c, stream = Change(*fields), (fields[0], fields[1])
            if c.name == "older-identities":  # of the installation: replaced keys, sealed to the one that replaced them
                with suppress(Exception):
                    older = decrypt(c.body.partition(b"\n\n")[2], identities)
                    identities.extend(map(x25519.Identity.from_str, older.decode().split()))
            c = c._replace(body=None, prev=c.prev or before[15])  # a run leaves out the hash of the change before
            props_hold = not c.props or c.props == b"\x90" or sha256(c.props).digest() == c.props_digest
            if not props_hold or sha256(b"\xdc\0\x10\1" + fields.hashed + b"\xc4\x20" + c.prev).digest() != c.hash:
                tell(f"{frame.object}: {c.kind} rev {c.rev} of account {c.account.hex()} is not what its hash says")
                continue
            changes[stream].setdefault(c.hash, c)
            heads[stream] = max(heads[stream], (number, c.rev, c.hash))
        ends = [(*s[:2], *s[3:5]) for s in content[7]] if frame.type == DIRECTORY else ()
        for account, kind, rev, head in content[5] if frame.type == SEAL else ends:
            heads[account, kind] = max(heads[account, kind], (number, rev, head))
        return content
    except Exception as error:
        return tell(f"{frame.object}: frame {frame.number} cannot be read: {error}")


def history(stream: Any, who: str) -> list[Any]:
    """The changes of a stream, oldest first. What is missing is told, unless somebody took the loss on them."""
    known, chain, (_, rev, want) = changes[stream], list[Any](), heads[stream]
    while rev > 0:
        change = known.get(want) or max((c for c in known.values() if c.rev <= rev), key=lambda c: c.rev, default=BASE)
        if change.rev < rev and all(c.op != "gap" or b"missing" not in (c.props or b"") for c in chain):
            tell(f"{who}: revs {change.rev + 1} to {rev} are missing; what is here may be older, or deleted")
        chain += change.body[::-1] if change.op == "base" else [change]
        rev, want = (0, b"") if change.op == "base" else (change.rev - 1, change.prev)
    return chain[::-1]


def live(history: list[Any]) -> dict[bytes, Any]:
    """What lives after these changes: by id of the collection its path, its properties, and by name its items."""
    found: dict[bytes, Any] = {}
    for c in history:
        path, _, items = found.setdefault(c.collection, (f"lost/{c.collection.hex()}", None, {}))
        put, own = items.get(c.name, (c, None))
        if c.op in ("mkcol", "setcol"):
            found[c.collection] = (c.name, c.props, {}) if c.op == "mkcol" else (path, c.props, items)
        elif c.op in ("put", "props"):
            items[c.name] = (c if c.op == "put" else put, own if c.props is None else c.props)
        elif c.op == "delete":
            items.pop(c.name, None)
        elif c.op == "rmcol":
            del found[c.collection]
    return found


def write(state: dict[bytes, Any], kind: str, who: str, folder: Path) -> None:
    """Write what lives in a stream as files, and a list of them with what files do not say."""
    told: list[Any] = []
    for path, props, items in state.values():
        place = folder.joinpath(*map(safe, path.split("/")))
        told.append({"path": path, "props": dict(unpack(BytesIO(props or b"\x90"))), "items": {}})
        for name, (c, own) in sorted(items.items()):
            try:
                body = (bodies.execute(BODY, (c.digest,)).fetchone() or [b""])[0]
                if c.blob:
                    sealed = (args.vault / f"blobs/{c.blob.hex()[:2]}/{c.blob.hex()}").read_bytes()
                    body = decrypt(sealed[48:-84], identities)
                if sha256(body).digest() != c.digest:
                    raise ValueError("its body is nowhere")
                place.mkdir(parents=True, exist_ok=True)
                file = place / safe(name)
                while file.exists():
                    file = file.with_name("_" + file.name)
                file.write_bytes(body)
                said = {"name": name, "media": c.media, "props": dict(unpack(BytesIO(own or b"\x90")))}
                told[-1]["items"][file.relative_to(folder).as_posix()] = said
            except Exception as error:
                tell(f"{who}: {path}/{name} is lost: {error}")
    print(f"{who}, {kind}: {sum(len(each['items']) for each in told)} items")
    (args.out / f"{safe(who)}.{kind}.json").write_text(json.dumps(told, indent=1))


def safe(name: str) -> str:
    text = re.sub(r'[\0-\x1f\x7f<>:"/\\|?*%]|^\.|[. ]$|^$', lambda m: f"%{ord(m[0] or '%'):02X}", name)
    return text if len(text.encode()) < 240 else sha256(name.encode()).hexdigest()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for argument in ("vault", "key", "out"):
    parser.add_argument(argument, type=Path)
parser.add_argument("--account")
parser.add_argument("--at-frame", type=int, default=sys.maxsize)
args = parser.parse_args()
try:
    text = args.key.read_text().upper().translate(str.maketrans("OIL", "011"))
    keys = [recovery_key(part) for part in text.split("SAFEH01D-REC0VERY-1")[1:]]
    identities, installation = [key[0] for key in keys], keys[0][1]
    args.out.mkdir(parents=True)
except Exception as error:
    parser.error(f"{args.key} must hold a recovery key, {args.out} must be new: {error}")

# The frames of the log that count. A later timeline voids what is beyond the frame that it continues.
good, void, anchor = dict[int, Any](), dict[int, int](), Frame(*[0] * 9)
current = wanted = limit = sys.maxsize
for (timeline, segment, first), name in reversed(objects(r"log/(\d{8})/(\d{8})-(\d{12})\.seg")):
    if timeline < current and anchor.timeline:
        wanted, limit = anchor.parent, anchor.opened - 1
    current, void[timeline] = timeline, void.get(timeline, limit if timeline <= wanted else 0)
    if timeline <= wanted:
        _, frames = cut(name, b"segm", last=limit == sys.maxsize)
        for frame in reversed(frames):
            if frame.type <= SEAL and frame.timeline == timeline and frame.number <= limit:
                good[frame.number] = anchor = frame
        limit = min(limit, first - 1) if segment else limit  # what is beyond was given up
later_first = sorted((number for number in good if number <= args.at_frame), reverse=True)  # they may hold older keys
read = {number for number in later_first if take(good[number], number)}
for number in sorted(read):
    if number - 1 in read and good[number].prev != good[number - 1].digest:
        tell(f"{good[number].object}: frame {number} does not continue the one before it")

# The runs: the changes up to some frame once more, in other objects; and what lived where older history was dropped.
reach, listed = 0, list[str]()
for (generation,), name in reversed(objects(r"runs/(\d{12})/(?:\d{3}\.run|generation)")):
    header, frames = cut(name, b"gene" if name.endswith("generation") else b"runs", last=True)
    if generation > min(args.at_frame, void.get(int.from_bytes(header[12:16]), sys.maxsize)):
        continue
    found, content = defaultdict[Any, list[Any]](list), None
    for frame in frames:
        content = take(frame, generation)
        for fields in content[0] if content and frame.type == INDEX else ():
            found[fields[0], fields[1]].append(changes[fields[0], fields[1]].get(fields[15]))
    if not content or frames[-1].type not in (DIRECTORY, GENERATION):
        tell(f"{name}: its last frame is lost")
    elif frames[-1].type == GENERATION and not reach:
        reach, listed = generation, [entry[0][0] for entry in content[5]]
    for account, kind, base, _, _, _, count, *_ in content[7] if content and frames[-1].type == DIRECTORY else ():
        here = [c for c in found[account, kind] if c]
        if len(here) < count:
            tell(f"{name}: {count - len(here)} changes of {kind} of account {account.hex()} are lost")
        elif base[3]:
            lived = [c for c in here if c.rev <= base[1]]
            changes[account, kind][base[2]] = BASE._replace(rev=base[1], hash=base[2], body=lived)
problems.extend(f"{name} is missing" for name in listed if not (args.vault / name).exists())
first = min(read, default=1)  # where the log's start was dropped it begins at a generation
gone = [number for number in range(1 if reach < first - 1 else first, max(read, default=1)) if number not in read]
if gone:
    tell(f"{len(gone)} frames of the log are missing, from {gone[0]} to {gone[-1]}")

# The streams, those of identities first: they say who is who, and who was erased.
names, erased = dict[bytes, str](), set[str]()
for account, kind in sorted(heads, key=lambda stream: (stream[1] != "identity", stream)):
    who = names.get(account, account.hex())
    state = {} if account.hex() in erased else live(history((account, kind), f"{who}, {kind}"))
    if kind != "identity" and args.account in (None, who):
        write(state, kind, who, args.out / safe(who))
    for item, (c, _) in [pair for _, _, items in state.values() for pair in items.items() if kind == "identity"]:
        erased.add(item.removeprefix("erased/"))
        if item == "profile" and (row := bodies.execute(BODY, (c.digest,)).fetchone()):
            names[account] = json.loads(row[0])["name"]
print(f"Read up to frame {max(read, default=reach)} of the log. Signatures: {SIGNATURES}.", flush=True)
sys.exit("\n".join(dict.fromkeys(problems)) or 0)
