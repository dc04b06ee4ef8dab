"""Reads a vault of Safehold without Safehold, and writes every item that lives in it as a plain file.

    python reader.py VAULT-FOLDER RECOVERY-KEY-FILE OUT-FOLDER [--account NAME] [--at-frame N]

It needs Python 3.11 and the packages zstandard and pyrage (age); with cryptography it checks signatures too. The bytes
are explained in FORMAT. Frames are cut out of the log and the runs; the changes in them are sorted by stream (account
and kind); each stream is followed from its last change back to its first, hash by hash; what lives at its end is
written. Damage is told by name and stops nothing; then the exit code is 1.
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
from math import inf
from pathlib import Path
from typing import Any
from zlib import crc32

import pyrage
import zstandard

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None  # type: ignore[assignment, misc]

CHANGES, SEAL, INDEX, BODIES, DIRECTORY, GENERATION = 2, 3, 5, 6, 7, 8  # types of frames
SEGMENT, RUN, MANIFEST = (
    r"log/(\d{8})/(\d{8})-(\d{12})\.seg",
    r"runs/(\d{12})/(\d{3})\.run",
    r"runs/(\d{12})/generation",
)
GENESIS, SYSTEM = bytes(32), bytes(16)  # before a stream's first change; the account of the installation itself
Frame = namedtuple("Frame", "object payload type timeline parent opened number prev digest")
STORED = "account kind timeline rev group at op collection name media digest size props_digest actor prev hash body blob props"
Change = namedtuple("Change", STORED)
BASE = Change(*[None] * 19)._replace(op="base", rev=0, collection=SYSTEM, body=[])  # stands for all that lived at its rev
Fields: Any = type("Fields", (list,), {"hashed": b""})  # an array, and the bytes of its first 14 values

vault, installation, identity, upto = Path(), b"", Any, inf  # set by main
problems: list[str] = []
void: dict[int, float] = {}  # of each timeline, the last frame that counts
changes: dict[Any, dict[bytes, Any]] = defaultdict(dict)  # by stream, then by hash
heads: dict[Any, Any] = defaultdict(lambda: (0, 0, GENESIS))  # the last word on a stream: frame, rev, hash
before: dict[Any, bytes] = {}  # in a run: hash of the change before, by stream
bodies = sqlite3.connect("")  # a temporary file
bodies.execute("CREATE TABLE body (digest PRIMARY KEY, body)")


def unpack(stream: BytesIO) -> Any:
    """The next msgpack value (msgpack.org)."""
    first = stream.read(1)[0]
    if first < 0x80 or first >= 0xE0:
        return first - 256 * (first >= 0xE0)
    if first in (0xC0, 0xC2, 0xC3):
        return (None, None, False, True)[first & 3]
    if 0xCA <= first <= 0xD3:
        number = struct.Struct(">" + "fdBHIQbhiq"[first - 0xCA])
        return number.unpack(stream.read(number.size))[0]
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
    """The age identity and the installation in a recovery key: base32 of 48 bytes and a checksum, behind a label."""
    letters = re.sub(
        r"[^0-9A-Z]", "", text.upper().partition("SAFEHOLD-RECOVERY-1")[2].translate(str.maketrans("OIL", "011"))
    )
    number = sum("0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c) << 5 * i for i, c in enumerate(reversed(letters)))
    raw = (number >> 4).to_bytes(52)
    if sha256(b"SAFEHOLD-RECOVERY-1\0" + raw[:48]).digest()[:4] != raw[48:]:
        raise ValueError("its checksum does not match")
    prefix, number, check = "age-secret-key-", int.from_bytes(raw[:32]) << 4, 1  # bech32: BIP 173
    digits = [number >> 5 * i & 31 for i in range(51, -1, -1)]
    for value in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *digits, *bytes(6)):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator * (top >> i & 1)
    digits += [(check ^ 1) >> 5 * i & 31 for i in range(5, -1, -1)]
    age = prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[d] for d in digits)
    return pyrage.x25519.Identity.from_str(age.upper()), raw[32:48]


def objects(pattern: str) -> list[tuple[list[int], str]]:
    """Names of objects that match, after the numbers in them, sorted."""
    walk = os.walk(vault, onerror=lambda error: problems.append(str(error)))
    names = [Path(folder, file).relative_to(vault).as_posix() for folder, _, files in walk for file in files]
    return sorted(([*map(int, m.groups())], m[0]) for m in (re.fullmatch(pattern, name) for name in names) if m)


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        return not Ed25519PublicKey or Ed25519PublicKey.from_public_bytes(public).verify(signature, message) is None
    except Exception:
        return False


def cut(name: str, letters: bytes, context: bytes) -> tuple[bytes, list[Any], str]:
    """Header and good frames of an object, and what is damaged at an end that may be a write that was cut short."""
    data = b""
    with suppress(OSError):
        data = (vault / name).read_bytes()
    header, frames, torn, at, stop = b"", list[Any](), "", 0, len(data)
    for end, mark in ((data[-176:], b"\x94SH"), (data[:176], b"\x93SH")):
        if end[:8] == mark + letters + b"\n" and crc32(end[:172]) == int.from_bytes(end[172:]):
            header = b"\x93" + end[1:172]
            at, stop = (176, stop) if mark[0] == 0x93 else (at, stop - 176)
    id_, public, root, certificate = header[28:44], header[44:76], header[76:108], header[108:172]
    words = [b"safehold %s certificate 1\0" % role + id_ + public for role in (b"writer", b"keeper")]
    known = id_ == installation == sha256(root).digest()[:16] and any(signed(root, certificate, word) for word in words)
    if not header:
        problems.append(
            f"{name}: it cannot be read or is damaged at both ends, so that no signature in it can be checked"
        )
    elif not known:
        problems.append(f"{name}: it is another installation's, or nobody certified who wrote it; it is left out")
        return b"", [], ""
    for start in (*(match.start() for match in re.compile(b"\x93SHframe").finditer(data, 0, stop)), stop):
        head, size = data[start : start + 88], 164 + int.from_bytes(data[start + 48 : start + 52])
        if start < at or (start < stop and crc32(head[:84]) != int.from_bytes(head[84:])):
            continue
        torn = f"{name}: bytes {at} to {start - 1} are damaged" if start > at else ""
        if torn and (start < stop or stop < len(data) or start - at == 176):  # 176: a footer
            problems.append(torn)
        at, frame = start, data[start : min(start + size, stop)]
        if len(frame) != size or frame[-12:] != struct.pack(">I8s", size, b"\x94SHend.\n"):
            continue
        at += size
        if header and not signed(public, frame[-76:-12], context + head + sha256(frame[88:-76]).digest()):
            problems.append(f"{name}: frame {int.from_bytes(head[28:36])} is not signed by who wrote the object")
        else:
            fields = struct.unpack(">xBxxIIQQ16x32s", head[8:84])
            frames.append(Frame(name, frame[88:-76], *fields, sha256(frame).digest()))
    return header + crc32(header).to_bytes(4), frames, torn if stop == len(data) else ""


def take(frame: Any, number: int) -> Any:
    """Take in what a frame holds, which was so at this frame of the log. Falsy where it is damaged."""
    try:
        squeezed = pyrage.decrypt(frame.payload, [identity])
        if not 0 <= zstandard.frame_content_size(squeezed) <= 512 << 20:
            raise ValueError("too large")
        content = unpack(BytesIO(zstandard.ZstdDecompressor().decompress(squeezed)))
        found = content if frame.type == CHANGES else content[0] if frame.type == INDEX else ()
        for body in content if frame.type == BODIES else [fields[16] for fields in found if fields[16] is not None]:
            bodies.execute("INSERT OR IGNORE INTO body VALUES (?, ?)", (sha256(body).digest(), body))
        for fields in found:
            c, stream = Change(*fields), (fields[0], fields[1])
            c = c._replace(body=None, prev=c.prev or before.get(stream, GENESIS))  # left out in a run where it can be
            before[stream] = c.hash
            props_hold = not c.props or c.props == b"\x90" or sha256(c.props).digest() == c.props_digest
            if not props_hold or sha256(b"\xdc\0\x10\1" + fields.hashed + b"\xc4\x20" + c.prev).digest() != c.hash:
                problems.append(
                    f"{frame.object}: {c.kind} rev {c.rev} of account {c.account.hex()} is not what its hash says"
                )
                continue
            changes[stream].setdefault(c.hash, c)
            heads[stream] = max(heads[stream], (number, c.rev, c.hash))
        ends = [(*s[:2], *s[3:5]) for s in content[7]] if frame.type == DIRECTORY else ()
        for account, kind, rev, head in content[5] if frame.type == SEAL else ends:
            heads[account, kind] = max(heads[account, kind], (number, rev, head))
        return content
    except Exception as error:
        return problems.append(f"{frame.object}: frame {frame.number} cannot be read: {error}")


def read_log() -> list[tuple[int, int]]:
    """Take in the frames that count; the numbers that are missing. A later timeline voids what it does not continue."""
    good, anchor, current, wanted, limit = dict[int, Any](), Frame(*[0] * 9), inf, inf, inf
    for (timeline, segment, first), name in reversed(objects(SEGMENT)):
        if timeline < current and anchor.timeline:
            wanted, limit = anchor.parent, anchor.opened - 1
        current, void[timeline] = timeline, void.get(timeline, limit if timeline <= wanted else 0)
        if timeline > wanted:
            continue
        _, frames, torn = cut(name, b"segm", b"safehold frame 1\0")
        if torn and limit == inf:
            problems.append(torn + ", or a write that was cut short and never acknowledged")
        for frame in reversed(frames):
            if frame.type <= SEAL and frame.timeline == timeline and frame.number <= limit:
                good[frame.number] = anchor = frame
        limit = min(limit, first - 1) if segment else limit  # what is beyond was given up
    last, missing = Frame(*[0] * 9), []
    for number in sorted(number for number in good if number <= upto):
        if number == last.number + 1 and good[number].prev != (last.digest or GENESIS):
            problems.append(f"{good[number].object}: frame {number} does not continue the one before it")
        elif take(good[number], number):
            missing += [(last.number + 1, number - 1)] if last.number + 1 < number else []
            last = good[number]
    return missing


def read_runs() -> int:
    """Take in what the runs hold; up to which frame of the log they go."""
    reach, there, wanted = 0, set(), list[Any]()
    for letters, pattern in ((b"runs", RUN), (b"gene", MANIFEST)):
        for (generation, *_), name in objects(pattern):
            header, frames, torn = cut(name, letters, b"safehold run 1\0")
            if generation > min(upto, void.get(int.from_bytes(header[12:16]), inf)):
                continue
            before.clear()
            content, found = None, defaultdict[Any, list[Any]](list)
            for frame in frames:
                content = take(frame, generation) if frame.prev == sha256(header).digest() else None
                for fields in content[0] if content and frame.type == INDEX else ():
                    found[fields[0], fields[1]].append(changes[fields[0], fields[1]].get(fields[15]))
            if torn or not content or frames[-1].type not in (DIRECTORY, GENERATION):
                problems.append(f"{name}: {torn or 'its last frame is lost, or another object has it'}")
            elif frames[-1].type == GENERATION:
                reach, wanted = generation, [entry[0][0] for entry in content[5]]
            for account, kind, base, _, _, _, count, *_ in content[7] if content and letters == b"runs" else ():
                lived = [c for c in found[account, kind] if c and c.rev <= base[1]]
                if len(found[account, kind]) < count:
                    problems.append(
                        f"{name}: of {count} changes of {kind} of account {account.hex()} {count - len(found[account, kind])} are lost"
                    )
                elif base[3]:
                    changes[account, kind][base[2]] = BASE._replace(rev=base[1], hash=base[2], body=lived)
            there.add(name)
    problems.extend(f"{name} is missing" for name in wanted if name not in there)
    return reach


def history(stream: Any, who: str) -> list[Any]:
    """The changes of a stream, oldest first. What is missing is told, unless somebody took the loss on them."""
    known, chain, (_, rev, want) = changes[stream], list[Any](), heads[stream]
    while rev > 0:
        change = known.get(want) or max((c for c in known.values() if c.rev <= rev), key=lambda c: c.rev, default=BASE)
        if change.rev < rev and all(c.op != "gap" for c in chain):
            problems.append(
                f"{who}: revs {change.rev + 1} to {rev} are missing; what is written may be older, or deleted"
            )
        chain.append(change)
        rev, want = (0, b"") if change.op == "base" else (change.rev - 1, change.prev)
    return chain[::-1]


def live(history: list[Any]) -> dict[bytes, Any]:
    """What lives after these changes: by id of the collection its path, its properties, and by name its items."""
    found: dict[bytes, Any] = {}
    for c in history:
        path, props, items = found.setdefault(c.collection, (f"lost/{c.collection.hex()}", None, {}))
        put, own = items.get(c.name, (c, None))
        if c.op == "base":
            found = live(c.body)
        elif c.op in ("mkcol", "setcol"):
            found[c.collection] = (c.name, c.props, {}) if c.op == "mkcol" else (path, c.props, items)
        elif c.op in ("put", "props"):
            items[c.name] = (c if c.op == "put" else put, own if c.props is None else c.props)
        elif c.op == "delete":
            items.pop(c.name, None)
        elif c.op == "rmcol":
            del found[c.collection]
    return found


def write(state: dict[bytes, Any], kind: str, who: str, folder: Path) -> list[Any]:
    """Write what lives in a stream as files; what the files do not say, by collection."""
    told = []
    for path, props, items in state.values():
        place = folder.joinpath(*map(safe, path.split("/")))
        told.append({"path": path, "kind": kind, "props": dict(unpack(BytesIO(props or b"\x90"))), "items": {}})
        for name, (c, own) in sorted(items.items()):
            try:
                body = (bodies.execute("SELECT body FROM body WHERE digest = ?", (c.digest,)).fetchone() or [b""])[0]
                if c.blob:
                    sealed = (vault / f"blobs/{c.blob.hex()[:2]}/{c.blob.hex()}").read_bytes()
                    body = pyrage.decrypt(sealed[48:-84], [identity])
                if sha256(body).digest() != c.digest:
                    raise ValueError("its body is nowhere")
                place.mkdir(parents=True, exist_ok=True)
                file = place / safe(name)
                while file.exists():
                    file = file.with_name("_" + file.name)
                file.write_bytes(body)
                props = dict(unpack(BytesIO(own or b"\x90")))
                told[-1]["items"][str(file.relative_to(folder))] = {"name": name, "media": c.media, "props": props}
            except Exception as error:
                problems.append(f"{who}: {path}/{name} is lost: {error}")
    return told


def safe(name: str) -> str:
    """A name that every file system takes."""
    text = re.sub(r'[\0-\x1f\x7f<>:"/\\|?*%]|^\.|[. ]$|^$', lambda m: f"%{ord(m[0] or '%'):02X}", name)
    return text if len(text.encode()) < 240 else sha256(name.encode()).hexdigest()


def main() -> int:
    global vault, installation, identity, upto
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("vault", "key", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--account")
    parser.add_argument("--at-frame", type=int, default=inf)
    args = parser.parse_args()
    vault, upto, erased, names, told = (
        args.vault,
        args.at_frame,
        set[str](),
        dict[bytes, str](),
        defaultdict[str, Any](list),
    )
    try:
        identity, installation = recovery_key(args.key.read_text())
        args.out.mkdir(parents=True)
    except Exception as error:
        parser.error(f"{args.key} must hold a recovery key, {args.out} must be new: {error}")
    missing, reach = read_log(), read_runs()
    problems.extend(f"the log's frames {a} to {b} are missing" for a, b in missing if a > 1 or b > reach)
    for account, kind in sorted(heads, key=lambda stream: (stream[1] != "identity", stream)):
        who = names.get(account, account.hex())
        state = {} if account.hex() in erased else live(history((account, kind), f"{who}, {kind}"))
        if kind != "identity" and args.account in (None, who):
            told[who] += write(state, kind, who, args.out / safe(who))
        for item, (c, _) in [pair for _, _, items in state.values() for pair in items.items() if kind == "identity"]:
            erased.add(item.removeprefix("erased/"))
            if item == "profile":
                row = bodies.execute("SELECT body FROM body WHERE digest = ?", (c.digest,)).fetchone()
                names[account] = json.loads(row[0])["name"] if row else who
    for who, collections in told.items():
        print(f"{who}: {sum(len(each['items']) for each in collections)} items in {len(collections)} collections")
        if (args.out / safe(who)).exists():
            (args.out / safe(who) / "index.json").write_text(json.dumps(collections, indent=1, ensure_ascii=False))
    print(
        "Signatures were " + ("checked." if Ed25519PublicKey else "not checked: the package cryptography is not here.")
    )
    print(*dict.fromkeys(problems), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
