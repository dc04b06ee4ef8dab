"""PUT, DELETE, PROPPATCH, MKCOL and MKCALENDAR: from request to command, from outcome to answer."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from hashlib import sha256
from mimetypes import guess_type

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.media import icalendar_media, vcard_media
from safehold.model.commands import Body, DeleteItem, MakeCollection, PatchProps, PutItem, RemoveCollection, Tags
from safehold.model.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Held,
    NotAllowed,
    NotFound,
    OverQuota,
    PreconditionFailed,
    RequestError,
    TooLarge,
    UnsupportedMedia,
)
from safehold.model.items import Item
from safehold.model.kinds import HOME_CONTACTS, CollectionType
from safehold.ports.blobs import INLINE_LIMIT_BYTES, BodyStage
from safehold.protocol.caldav import MKCALENDAR
from safehold.protocol.conditions import INFINITY, check_unmodified_since, etag, parse_depth, parse_tags
from safehold.protocol.making import NewCollection, read_mkcalendar, read_mkcol
from safehold.protocol.multistatus import make_document, patch_document
from safehold.protocol.names import CALDAV, CARDDAV, DAV
from safehold.protocol.prefer import REPRESENTATION, applied
from safehold.protocol.properties import PROTECTED_ERROR, is_file_root, refusal
from safehold.protocol.target import Place, href_of
from safehold.protocol.webdav import read_proppatch
from safehold.protocol.xml import parse
from safehold.service.identity import BLOB_KEY
from safehold.web.dav_call import HOMES, Call, collection_at, find
from safehold.web.dav_reads import content_type, headers_of_body, with_body
from safehold.web.respond import Reply, empty, xml

#: Bytes handed to a stage at a time: each goes through a thread.
_SPILL_BYTES = 256 * 1024
_MUST_BE_NULL = DAV + "resource-must-be-null"
_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(?:[ \t]*;[\x20-\x7e]{0,120})?").fullmatch
_UNTOLD = frozenset(("", "application/x-www-form-urlencoded"))  # what tools send that were told nothing


def conditions(call: Call) -> tuple[Tags | None, Tags | None]:
    """If-Match and If-None-Match. Raises BadRequest, PreconditionFailed.

    If-Unmodified-Since is judged here and then held to the transaction as the tag of what was judged.
    """
    request = call.request
    if_match = parse_tags(request.header(b"if-match"))
    if if_match is None and b"if-unmodified-since" in request.headers:
        try:
            item = find(call, call.gate.reads).item
        except NotFound:
            item = None
        if item is not None:
            check_unmodified_since(item, request.headers)
            if_match = Tags(digests=(item.digest,))
    return if_match, parse_tags(request.header(b"if-none-match"), weak=True)


# -- PUT -----------------------------------------------------------------------------------------------------


async def put(call: Call) -> Reply:
    """RFC 9110 section 9.3.4. The body is stored as sent, so the answer may give its entity tag."""
    target = call.target
    if target.place not in (Place.ITEM, Place.FILE) or target.slash:
        if target.place in (Place.NOWHERE, Place.FILES):
            raise Forbidden("nothing can be put at this address")
        raise NotAllowed("a collection cannot be put", hint="put items into it, or make one with MKCOL")
    if b"content-range" in call.request.headers:
        raise BadRequest("a PUT of a part of a body is not supported")
    if call.request.header(b"content-encoding") not in (None, "", "identity"):
        raise UnsupportedMedia("bodies are stored as sent; send them without Content-Encoding")
    if_match, if_none_match = conditions(call)
    guard = call.guard()
    draft = await (_file(call) if target.place is Place.FILE else _object(call))
    body, media, uid, component = draft
    command = PutItem(
        account=call.account.id,
        actor=call.actor,
        path=target.path,
        name=target.name,
        body=body,
        media=media,
        uid=uid,
        component=component,
        if_match=if_match,
        if_none_match=if_none_match,
        guard=guard,
        intake=True,
    )
    wanted = call.prefers.returned == REPRESENTATION
    try:
        outcome = await call.gate.execute(command)
    except PreconditionFailed:
        if wanted and (there := await _representation(call, 412)) is not None:
            return there
        raise
    if outcome.taken:
        return _taken(call, created=outcome.created)
    if wanted:
        stored = await _representation(call, 201 if outcome.created else 200, body.digest)
        if stored is not None:
            return stored
    return empty(201 if outcome.created else 204, [(b"etag", etag(body.digest).encode()), *call.preferred()])


def _taken(call: Call, *, created: bool) -> Reply:
    """It waits in the intake: there is no entity tag yet, so the device fetches it once it can (I17).

    Whether something was there nobody knows; what the device said it would make is made.
    """
    followed = call.preferred()
    return empty(201 if created else 204, followed)


async def _representation(call: Call, status: int, digest: bytes | None = None) -> Reply | None:
    """The item as it is now, as the answer to a PUT that was done or refused (RFC 8144 section 2.3).

    None where there is none, or not the one of this `digest` any more, or it cannot be read now: then the answer goes
    without it, for what became of the write is certain.
    """
    try:
        item = find(call, call.gate.reads).item
        if item is None or digest not in (None, item.digest):
            return None
        return await _stored(call, item, status)
    except (NotFound, Held):
        return None


async def _stored(call: Call, item: Item, status: int) -> Reply:
    about = [(b"content-location", href_of(call.target).encode()), *applied(f"return={REPRESENTATION}")]
    headers = [*headers_of_body(item), content_type(item.media), *about]
    return await with_body(call.gate, item, status, headers, 0, item.size)


_Draft = tuple[Body, str, str | None, str | None]


async def _object(call: Call) -> _Draft:
    """A vCard or iCalendar object, valid. Raises InvalidContent, UnsupportedMedia, TooLarge."""
    card = call.target.path.startswith(HOME_CONTACTS + "/")
    limit_element = (CARDDAV if card else CALDAV) + "max-resource-size"
    data = await call.request.read(call.gate.max_object_bytes, limit_element)
    content_type = call.request.header(b"content-type")
    component = None
    if card:
        media = vcard_media(content_type, data)
        uid = check_vcard(data).uid
    else:
        media = icalendar_media(content_type, data)
        facts = check_icalendar(data)
        uid, component = facts.uid, facts.component
    # Whatever its size: its UID must be at hand wherever the change is applied, in a recovery too.
    return Body(sha256(data).digest(), len(data), inline=data), media, uid, component


async def _file(call: Call) -> _Draft:
    """A file, whatever it holds, in constant memory. Nothing of it stays where the client goes away half-way."""
    _require_folder(call)
    room = _room(call)
    held = bytearray()
    size = 0
    stage: BodyStage | None = None
    try:
        async for chunk in call.request.chunks(call.gate.max_file_bytes):
            size += len(chunk)
            if room is not None and max(size, call.request.length or 0) > room:
                raise OverQuota(f"this account has room for {room:,} bytes, and this is larger")
            held += chunk
            if len(held) > (INLINE_LIMIT_BYTES if stage is None else _SPILL_BYTES):
                stage = stage or _stage(call)
                await call.gate.run_blocking(partial(stage.write, bytes(held)))
                held.clear()
        data = bytes(held)
        if stage is None:
            body = Body(sha256(data).digest(), len(data), inline=data)
        else:
            body = await call.gate.run_blocking(partial(_finish, stage, data))
    except BaseException:
        if stage is not None:
            stage.abort()
        raise
    return body, _file_media(call), None, None


def _room(call: Call) -> int | None:
    """Bytes that a file may have by the account's quota, as it stands now; None where there is no quota.

    What is stored is judged within the transaction; this keeps a body that is in vain out of the vaults.
    """
    limit, reads = call.gate.quota_bytes, call.gate.reads
    if not limit:
        return None
    above = reads.collection(call.account.number, call.target.path)
    item = reads.item(above, call.target.name) if above is not None else None
    there = 0 if item is None else item.size
    waiting = reads.intake(call.account.number)
    used = reads.used_bytes(call.account.number) + waiting.inline_bytes + waiting.blob_bytes
    return max(there, limit - used + there)


def _finish(stage: BodyStage, rest: bytes) -> Body:
    if rest:
        stage.write(rest)
    return stage.finish()


def _stage(call: Call) -> BodyStage:
    key = call.gate.reads.secret(call.account.number, BLOB_KEY)
    if key is None:
        raise Held("the key of your large files is not here now")
    return call.gate.blobs.stage(key)


def _require_folder(call: Call) -> None:
    """Raises Conflict before a large body is taken in vain. Where it is not sure, the intake takes it."""
    with suppress(Held):
        collection_at_or_conflict(call)


def collection_at_or_conflict(call: Call) -> str:
    """The path of the folder that the target lies in. Raises Conflict, Held."""
    try:
        return collection_at(call.gate.reads, call.account, call.target.path).path
    except NotFound:
        raise Conflict(f"there is no folder at {call.target.path}", hint="make the folder first") from None


def _file_media(call: Call) -> str:
    """The media type that the client says, else the one that the name suggests."""
    said = (call.request.header(b"content-type") or "").strip()
    if said.lower() not in _UNTOLD and _MEDIA(said):
        return said
    return media_of_name(call.target.name)


def media_of_name(name: str) -> str:
    """The media type that a file's name suggests."""
    return guess_type(name, strict=False)[0] or "application/octet-stream"


# -- DELETE --------------------------------------------------------------------------------------------------


async def delete(call: Call) -> Reply:
    """RFC 4918 section 9.6. A collection goes as a whole or not at all."""
    target, gate = call.target, call.gate
    if target.place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if target.place not in (Place.COLLECTION, Place.ITEM, Place.FILE) or is_file_root(target.full_path):
        raise Forbidden("this belongs to the account and cannot be deleted")
    if_match, if_none_match = conditions(call)
    guard = call.guard()
    folder = target.place is Place.COLLECTION or (
        target.place is Place.FILE and gate.reads.collection(call.account.number, target.full_path) is not None
    )
    if folder:
        if parse_depth(call.request.headers) != INFINITY:
            raise BadRequest("a collection is deleted with Depth: infinity", hint="leave the header out")
        await gate.execute(
            RemoveCollection(
                account=call.account.id, actor=call.actor, path=target.full_path, if_match=if_match, guard=guard
            )
        )
    else:
        await gate.execute(
            DeleteItem(
                account=call.account.id,
                actor=call.actor,
                path=target.path,
                name=target.name,
                if_match=if_match,
                if_none_match=if_none_match,
                guard=guard,
                intake=not target.slash,
            )
        )
    return empty(204)


# -- PROPPATCH -----------------------------------------------------------------------------------------------


async def proppatch(call: Call) -> Reply:
    """RFC 4918 section 9.2: all or nothing, and the answer says which instruction was the reason.

    A home takes properties too, though it is no collection of any kind: some devices give up where it does not.
    """
    steps = await call.read_body(read_proppatch)
    place = call.target.place
    if place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if place in HOMES:
        path, name, href = call.target.path, None, href_of(call.target)
    elif place in (Place.COLLECTION, Place.ITEM, Place.FILE):
        collection, item = find(call, call.gate.reads)
        path, name = collection.path, None if item is None else item.name
        href = call.view_of(collection).href if item is None else href_of(call.target)
    else:
        refused = {step.name: ("403 Forbidden", PROTECTED_ERROR) for step in steps}
        return xml(207, patch_document(href_of(call.target), steps, refused))
    refused = {step.name: why for step in steps if (why := refusal(step)) is not None}
    if not refused:
        last = {step.name: step.value for step in steps}
        command = PatchProps(
            account=call.account.id,
            actor=call.actor,
            path=path,
            name=name,
            set={name: value for name, value in last.items() if value is not None},
            remove=tuple(name for name, value in last.items() if value is None),
            guard=call.guard(),
        )
        try:
            await call.gate.execute(command)
        except TooLarge:
            refused = dict.fromkeys(command.set, ("507 Insufficient Storage", ""))
    if not refused and call.minimal:
        return empty(200, call.preferred())  # RFC 8144 section 2.2
    return xml(207, patch_document(href, steps, refused))


# -- ACL -----------------------------------------------------------------------------------------------------


async def acl(call: Call) -> Reply:
    """RFC 3744 section 8.1: every entry there is is protected, and none can be added. It is not in Allow either."""
    await call.read_body(partial(parse, root=DAV + "acl"))
    if call.target.place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if call.target.place in (Place.COLLECTION, Place.ITEM, Place.FILE):
        find(call, call.gate.reads)
    raise Forbidden(
        "who may do what cannot be changed: what is an account's is that account's alone",
        element=DAV + "no-protected-ace-conflict",
    )


# -- MKCOL, MKCALENDAR ---------------------------------------------------------------------------------------


async def mkcol(call: Call) -> Reply:
    """RFC 4918 section 9.3, RFC 5689."""
    content_type = (call.request.header(b"content-type") or "").lower()

    def reader(body: bytes) -> NewCollection:
        if body.strip() and content_type and "xml" not in content_type:
            raise UnsupportedMedia(f"MKCOL takes XML or nothing, not {content_type[:80]!r}")
        return read_mkcol(body)

    new = await call.read_body(reader)
    path = _place_for_collection(call)
    if call.gate.reads.collection(call.account.number, path) is not None:
        raise NotAllowed(f"there is a collection at {path} already", element=_MUST_BE_NULL)
    return await _make(call, path, new, DAV + "mkcol-response")


async def mkcalendar(call: Call) -> Reply:
    """RFC 4791 section 5.3.1, where what is there already is a 403."""
    new = await call.read_body(read_mkcalendar)
    try:
        path = _place_for_collection(call, CALDAV + "calendar-collection-location-ok")
        if call.gate.reads.collection(call.account.number, path) is not None:
            raise NotAllowed(f"there is a collection at {path} already", element=_MUST_BE_NULL)
        return await _make(call, path, new, MKCALENDAR + "-response")
    except NotAllowed as error:
        raise Forbidden(error.message, hint=error.hint, element=error.element) from None


def _place_for_collection(call: Call, element: str = "") -> str:
    """The path at which the target would have a collection. Raises NotAllowed, Forbidden, Conflict."""
    target = call.target
    if target.place in (Place.COLLECTION, Place.FILE):
        return target.full_path
    if target.place is Place.ITEM:
        collection_at_or_conflict(call)
        raise Forbidden("an address book or calendar holds no collections", element=element)
    if target.place is Place.NOWHERE:
        raise Forbidden("no collection can lie at this address", element=element)
    raise NotAllowed("there is a collection here already", element=_MUST_BE_NULL)


async def _make(call: Call, path: str, new: NewCollection, response: str) -> Reply:
    """Make it, or say which property was the reason not to (RFC 5689 section 3.5)."""
    if new.refused:
        return xml(403, make_document(response, new.steps, new.refused))
    try:
        await call.gate.execute(
            MakeCollection(
                account=call.account.id,
                actor=call.actor,
                path=path,
                type=new.type,
                components=new.components,
                props=new.props,
                guard=call.guard(),
            )
        )
    except Forbidden as error:
        raise _with_advice(error, path, new.type) from None
    return empty(201, [(b"cache-control", b"no-cache"), *call.preferred()])


def _with_advice(error: Forbidden, path: str, type_: CollectionType) -> RequestError:
    if type_ is CollectionType.FOLDER and not error.hint:
        what = "addressbook" if path.startswith(HOME_CONTACTS) else "calendar"
        return Forbidden(
            error.message,
            hint=f"name the resource type {what} in the body (RFC 5689)",
            element=error.element or DAV + "valid-resourcetype",
        )
    return error
