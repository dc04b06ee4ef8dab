"""Makes tests/vectors/parts: single parts of the format, whole and broken, with what reading them must give.

    python -m tests.support.part_vectors

makes those that are missing; one that is there is never made again (tests/vectors/README.md). The keys are those of
tests.support.logs, so that anybody can open them: the recovery key is in parts/keys/whole.bin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from safehold.formats import blob, claim, evidence, generation, keys, mark, parity, run, seal, segment
from safehold.formats.blob import BlobTrailer
from safehold.formats.evidence import Evidence
from safehold.formats.frame import BadRange, FrameHeader, FrameType, encode_frame, scan_frames, verify_frame
from safehold.formats.generation import Manifest, RunEntry
from safehold.formats.keys import Role, Sealer, SigningKey, certify
from safehold.formats.payload import Packer, Unpacker
from safehold.formats.run import Directory, FramePlace, Index, RunBase, RunHeader, RunName, RunStream
from safehold.formats.seal import Seal, SealedHead, SealedObject
from safehold.formats.segment import SegmentName
from safehold.model.change import GENESIS, Change, Op
from safehold.model.errors import Damaged
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, check_self
from tests.support.changes import START, Streams, account_id, collection_id
from tests.support.logs import IDENTITY, INSTALLATION, OPENER, ROOT, SEALER, WRITER

FOLDER = Path(__file__).parents[1] / "vectors" / "parts"
KEEPER = SigningKey(b"k" * 32)
KEEPING = Sealer(keys.recipient_of(IDENTITY), KEEPER, ROOT.public, certify(ROOT, KEEPER.public, Role.KEEPER))
STRANGER_ROOT = SigningKey(b"s" * 32)
STRANGER = Sealer(
    keys.recipient_of(IDENTITY), WRITER, STRANGER_ROOT.public, certify(STRANGER_ROOT, WRITER.public, Role.WRITER)
)
ACCOUNT = account_id(1)
POSITION = (1, 7, sha256(b"frame 7").digest())
Cases = dict[str, bytes]

#: Decoders of the payload of each type of frame.
DECODERS: Mapping[FrameType, msgspec.msgpack.Decoder[Any]] = {
    FrameType.CLAIM: claim.DECODER,
    FrameType.CHANGES: msgspec.msgpack.Decoder(list[Change]),
    FrameType.SEAL: seal.DECODER,
    FrameType.EVIDENCE: evidence.DECODER,
    FrameType.INDEX: run.INDEX_DECODER,
    FrameType.BODIES: run.BODIES_DECODER,
    FrameType.DIRECTORY: run.DIRECTORY_DECODER,
    FrameType.GENERATION: generation.DECODER,
}


def plain(value: object) -> Any:
    """As JSON has it, bytes in hex."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (list, tuple)):
        fields = getattr(value, "_asdict", None)
        return plain(fields()) if fields is not None else [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def flipped(data: bytes, place: int) -> bytes:
    made = bytearray(data)
    made[place] ^= 0x20
    return bytes(made)


# -- what reading gives ----------------------------------------------------------------------------------------------


def read_end(data: bytes) -> Any:
    """Which sort of end it is, its fields, and whose word it is; None where it is none."""
    parsers: dict[str, Callable[[bytes], Any]] = {
        "segment header": segment.parse_segment_header,
        "segment footer": segment.parse_segment_footer,
        "run header": run.parse_run_header,
        "run footer": run.parse_run_footer,
        "generation header": generation.parse_manifest_header,
        "generation footer": generation.parse_manifest_footer,
        "evidence header": evidence.parse_evidence_header,
        "evidence footer": evidence.parse_evidence_footer,
    }
    found = [(sort, parse(data)) for sort, parse in parsers.items()]
    for sort, header in found:
        if header is not None:
            role = run.role_of(RunHeader(*header), INSTALLATION)
            return {"end": sort, **plain(header), "role": None if role is None else str(role)}
    return None


def read_frames(data: bytes) -> Any:
    """Each frame with what it holds, or what is wrong with it."""
    found: list[Any] = []
    for item in scan_frames(data):
        if isinstance(item, BadRange):
            found.append({"bytes": [item.offset, item.end], "damaged": True})
            continue
        header = {**plain(item.header), "type": item.header.type.name.lower()}
        try:
            verify_frame(item, WRITER.public)
            content = Unpacker(OPENER).unpack(item.payload, DECODERS[item.header.type])
        except Damaged:
            found.append({"frame": header, "damaged": True})
        else:
            found.append({"frame": header, "digest": item.digest.hex(), "content": plain(content)})
    return found


def read_changes(data: bytes) -> Any:
    """Each change of a msgpack array, and whether it is what its hash and digests say."""
    try:
        changes = msgspec.msgpack.decode(data, type=list[Change])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"damaged": True}
    found = []
    for change in changes:
        try:
            check_self(change)
        except BadChange:
            found.append({"change": plain(change), "damaged": True})
        else:
            found.append({"change": plain(change)})
    return found


def read_seal(data: bytes) -> Any:
    try:
        return plain(seal.DECODER.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"damaged": True}


def read_blob(data: bytes) -> Any:
    """The body of the blob whose name is BLOB_NAME."""
    try:
        if len(data) < blob.OVERHEAD_BYTES:
            raise Damaged("too short for a blob")
        trailer = blob.parse_trailer(data, BLOB_NAME)
        blob.check_header(data, BLOB_NAME)
        if trailer.sealed_bytes + blob.OVERHEAD_BYTES != len(data):
            raise Damaged("not as long as its end says")
        if sha256(data[: -blob.TRAILER_BYTES]).digest() != trailer.digest:
            raise Damaged("its digest does not match")
        body = OPENER.decrypt(data[blob.HEADER_BYTES : -blob.TRAILER_BYTES])
        return {"sha256": sha256(body).hexdigest(), "size": len(body)}
    except Damaged:
        return {"damaged": True}


def read_key(data: bytes) -> Any:
    """Age identities and the installation behind a recovery key text."""
    try:
        opener = keys.parse_recovery_key(data.decode())
    except Damaged:
        return {"refused": True}
    return {"identities": list(opener.identities), "installation": opener.installation.hex()}


def read_mark(data: bytes) -> Any:
    try:
        return {"installation": mark.parse_mark(data).hex()}
    except Damaged:
        return {"refused": True}


def read_parity(data: bytes) -> Any:
    """What a parity object says of its group, and whether all of it is whole. Its name follows from its bytes."""
    table = data[parity.HEADER_BYTES : parity.HEADER_BYTES + parity.table_bytes(data)]
    name = parity.parity_object(sha256(table).hexdigest()[:16], data[12] if len(data) > 12 else 0)
    try:
        group = parity.parse_group(data, name, len(data))
    except Damaged:
        return {"refused": True}
    members = [[member.name, member.size, member.digest.hex()] for member in group.members]
    found = {"name": name, "shape": list(group.shape), "members": members, "digests": group.digests.hex()}
    try:
        parity.check_parity(data, name)
    except Damaged:
        return {**found, "damaged": True}
    return found


READERS: dict[str, Callable[[bytes], Any]] = {
    "blob": read_blob,
    "changes": read_changes,
    "ends": read_end,
    "frames": read_frames,
    "keys": read_key,
    "mark": read_mark,
    "parity": read_parity,
    "seal": read_seal,
}


# -- what is read ----------------------------------------------------------------------------------------------------


def ends() -> Cases:
    of_segment = segment.header_for(SegmentName(3, 2, 17), SEALER)
    of_run = run.run_header(3, RunName(17, 2), SEALER)
    by_keeper = run.run_header(3, RunName(17, 2), KEEPING)
    at = RunHeader(0, 0, START, INSTALLATION, KEEPER.public, ROOT.public, KEEPING.certificate)
    whole = segment.encode_header(of_segment)
    return {
        "segment-header": whole,
        "segment-footer": segment.encode_footer(of_segment),
        "run-header": run.encode_run_header(of_run),
        "run-header-by-keeper": run.encode_run_header(by_keeper),
        "run-footer": run.encode_run_footer(of_run),
        "generation-header": generation.encode_manifest_header(of_run._replace(number=0)),
        "generation-footer": generation.encode_manifest_footer(of_run._replace(number=0)),
        "evidence-header": evidence.encode_evidence_header(at),
        "evidence-footer": evidence.encode_evidence_footer(at),
        "stranger": segment.encode_header(segment.header_for(SegmentName(3, 2, 17), STRANGER)),
        "certificate-of-another": segment.encode_header(of_segment._replace(certificate=KEEPING.certificate)),
        "mark-flipped": flipped(whole, 3),
        "key-flipped": flipped(whole, 60),
        "crc-flipped": flipped(whole, 175),
        "cut-short": whole[:-1],
        "zeros": bytes(len(whole)),
    }


def made_changes() -> dict[str, list[Change]]:
    """Every operation; what a group is; a body in a blob; a body that is lost."""
    streams = Streams()
    folder = "contacts/default"
    every = [
        streams.mkcol(ACCOUNT, Kind.CONTACTS, folder, {"type": "addressbook", "{DAV:}displayname": "<displayname/>"}),
        streams.make(ACCOUNT, Kind.CONTACTS, Op.SETCOL, collection_id(folder), props={"type": "addressbook"}),
        streams.put_card(ACCOUNT, folder, "ann.vcf", text="Änn"),
        streams.make(ACCOUNT, Kind.CONTACTS, Op.PROPS, collection_id(folder), "ann.vcf", props={"{urn:x}y": "<y/>"}),
        streams.make(
            ACCOUNT, Kind.CONTACTS, Op.REFUSED, collection_id(folder), "ann.vcf", body=b"x", media="text/vcard"
        ),
        streams.delete(ACCOUNT, Kind.CONTACTS, folder, "ann.vcf"),
        streams.make(ACCOUNT, Kind.CONTACTS, Op.GAP, collection_id(folder), props={"missing": "revs 3 to 4"}),
        streams.make(ACCOUNT, Kind.CONTACTS, Op.RMCOL, collection_id(folder), folder),
    ]
    moved = Streams()
    moved.put_card(ACCOUNT, folder, "old.vcf")
    group = [
        moved.put_card(ACCOUNT, folder, "new.vcf"),
        moved.make(ACCOUNT, Kind.CONTACTS, Op.DELETE, collection_id(folder), "old.vcf", group=2),
    ]
    photo = Streams().make(
        ACCOUNT,
        Kind.PHOTOS,
        Op.PUT,
        collection_id("files/photos"),
        "a.jpg",
        body=BODY,
        blob=BLOB_NAME,
        media="image/jpeg",
    )
    return {"every-operation": every, "group": group, "blob": [photo]}


def changes() -> Cases:
    made = made_changes()
    card = made["every-operation"][2]
    put = msgspec.msgpack.encode([card])
    replace = msgspec.structs.replace
    broken = {
        "name-changed": [replace(card, name="bob.vcf")],
        "hash-changed": [replace(card, hash=flipped(card.hash, 0))],
        "prev-changed": [replace(card, prev=GENESIS)],
        "body-changed": [replace(card, body=flipped(card.body or b"", 3))],
        "body-lost": [replace(card, body=None)],
        "properties-changed": [replace(made["every-operation"][1], props=msgspec.msgpack.encode([["type", "game"]]))],
    }
    found = {name: msgspec.msgpack.encode(each) for name, each in (made | broken).items()}
    return found | {"cut-short": put[:-5], "no-array": b"\xc0"}


def seals() -> Cases:
    of_segment = SealedObject("log/00000001/00000000-000000000000.seg", 4096, sha256(b"segment").digest())
    of_run = SealedObject("runs/000000000007/000.run", 1000, sha256(b"run").digest())
    heads = [SealedHead(ACCOUNT, Kind.CONTACTS, 3, sha256(b"head").digest())]
    value = Seal(seal.VERSION, POSITION, (0, 0, b""), [of_segment], [], heads, [], [of_run])
    whole = msgspec.msgpack.encode(value)
    fields = msgspec.msgpack.decode(whole)
    return {
        "with-objects": whole,
        "without-objects": msgspec.msgpack.encode(fields[:7]),
        "cut-short": whole[:-4],
        "too-few-members": msgspec.msgpack.encode(fields[:6]),
    }


def payloads() -> dict[FrameType, object]:
    """One of each type of frame."""
    card = made_changes()["every-operation"][2]
    bare = msgspec.structs.replace(card, body=None)
    base = RunBase(1, 2, card.prev, sha256(b"root").digest())
    stream = RunStream(ACCOUNT, Kind.CONTACTS, base, 3, card.hash, sha256(b"root of 3").digest(), 1, 1, 1, 0)
    entry = RunEntry(SealedObject("runs/000000000007/000.run", 1000, sha256(b"run").digest()), 0, 7, 0, 63, 1)
    return {
        FrameType.CLAIM: claim.Claim(claim.VERSION, 1, (0, 0, b""), WRITER.public, START),
        FrameType.CHANGES: [card],
        FrameType.SEAL: Seal(seal.VERSION, POSITION, (0, 0, b""), [], [], [], [], []),
        FrameType.EVIDENCE: Evidence(1, "scrub", START, "near", POSITION, b"", {"objects": 3, "damaged": []}),
        FrameType.INDEX: Index([bare], [run.body_pointer(0, 0)]),
        FrameType.BODIES: [card.body],
        FrameType.DIRECTORY: Directory(
            1, 7, 0, 0, 0, 63, [FramePlace(176, 300, sha256(b"frame").digest())], [stream], [BLOB_NAME]
        ),
        FrameType.GENERATION: Manifest(1, POSITION, START, (0, b""), 0, [entry], 1, 1, {"contacts": 1}),
    }


def made_frame(type_: FrameType, value: object, number: int = 1) -> bytes:
    count = 1 if type_ in (FrameType.CHANGES, FrameType.INDEX) else 0
    header = FrameHeader(type_, 1, 0, 1, number, START, count, 0, bytes(32))
    return encode_frame(header, Packer(SEALER).pack(value), WRITER.sign)


def frames() -> Cases:
    made = {type_.name.lower(): made_frame(type_, value) for type_, value in payloads().items()}
    card = made["changes"]
    two = card + made_frame(FrameType.CHANGES, payloads()[FrameType.CHANGES], 2)
    other_sort = made_frame(FrameType.INDEX, payloads()[FrameType.INDEX])
    broken = {
        "header-flipped": flipped(two, 30),
        "payload-flipped": flipped(two, len(card) // 2),
        "signature-flipped": flipped(two, len(card) - 40),
        "length-flipped": flipped(two, len(card) - 9),
        "end-mark-flipped": flipped(two, len(card) - 1),
        "cut-short": two[:-30],
        "garbage-between": card + b"\x93SHframe garbage" + two[len(card) :],
        "signature-of-a-run": card[:-76] + other_sort[-76:-12] + card[-12:],
    }
    return made | broken


BODY = b"\xff\xd8" + bytes(range(256)) * 4
BLOB_NAME = sha256(b"a name").digest()


def blobs() -> Cases:
    sealed = BytesIO()
    SEALER.encrypt_stream(BytesIO(BODY), sealed)
    head = blob.encode_header(BLOB_NAME) + sealed.getvalue()
    whole = head + blob.encode_trailer(BlobTrailer(len(sealed.getvalue()), sha256(head).digest(), BLOB_NAME))
    return {
        "whole": whole,
        "header-flipped": flipped(whole, 20),
        "body-flipped": flipped(whole, len(whole) // 2),
        "end-flipped": flipped(whole, len(whole) - 20),
        "cut-short": whole[:-100],
        "of-another-name": flipped(flipped(whole, 12), len(whole) - 36),
        "only-ends": whole[:48] + whole[-84:],
    }


def key_texts() -> Cases:
    key = keys.recovery_key(IDENTITY, INSTALLATION)
    older = keys.recovery_key(keys.identity_of(b"o" * 32), INSTALLATION)
    other = keys.recovery_key(IDENTITY, bytes(16))
    digit = key[-1]
    texts = {
        "whole": key,
        "as-a-file": f"# The recovery key.\n#\n\n{key}\n",
        "as-typed": key.lower().replace("-", " ").replace("0", "o").replace("1", "l"),
        "two": f"{key}\n{older}\n",
        "of-two-installations": f"{key}\n{other}\n",
        "one-letter-wrong": key[:-1] + ("A" if digit != "A" else "B"),
        "two-letters-swapped": key[:30] + key[31] + key[30] + key[32:],
        "too-short": key[:-6],
        "bare-identity": IDENTITY,
        "nothing": "# only a remark\n",
    }
    return {name: text.encode() for name, text in texts.items()}


def marks() -> Cases:
    whole = mark.encode_mark(INSTALLATION)
    return {
        "whole": whole,
        "of-a-later-format": whole.replace(b"format: 1", b"format: 2"),
        "of-something-else": b"# a readme\n",
        "cut-short": whole[:40],
    }


def parities() -> Cases:
    one, two = bytes(range(256)) * 20, b"short " * 50
    members = [("blobs/00/" + "00" * 32, one[:5000]), ("evidence/0001764155647000-0123abcd.ev", two)]
    group, columns = parity.make_group(members, 2, 1, 4096)
    whole = parity.encode_parity(group, 0, columns[0])
    wider, more = parity.make_group(members, 10, 2, 4096)
    return {
        "whole": whole,
        "ten-and-two": parity.encode_parity(wider, 1, more[1]),
        "column-flipped": flipped(whole, len(whole) - 1000),
        "end-flipped": flipped(whole, len(whole) - 20),
        "table-flipped": flipped(whole, parity.HEADER_BYTES + 20),
        "header-flipped": flipped(whole, 23),
        "cut-short": whole[:-100],
    }


MAKERS: dict[str, Callable[[], Cases]] = {
    "blob": blobs,
    "changes": changes,
    "ends": ends,
    "frames": frames,
    "keys": key_texts,
    "mark": marks,
    "parity": parities,
    "seal": seals,
}


def main() -> None:
    for group, make in MAKERS.items():
        for name, data in make().items():
            path = FOLDER / group / f"{name}.bin"
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for path in FOLDER.glob("*/*.bin"):
        if not path.with_suffix(".json").exists():
            expected = READERS[path.parent.name](path.read_bytes())
            path.with_suffix(".json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
