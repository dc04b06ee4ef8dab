"""The REST API's routes of history and undo; `protocol.openapi_past` describes them. Each account sees its own only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS
from safehold.model.point import parse_point, point_text
from safehold.ports.core import CoreReads, Version
from safehold.protocol import rest, rest_past
from safehold.service.past import find_version, history_page, read_version, removed_collections
from safehold.web.answers import Handler, in_place, json_answer, read_body, signed_in
from safehold.web.gate import Gate
from safehold.web.undoing import done, kinds_meant, planned

#: A body may be a page with scripts, which must not act as this site.
_HARMLESS = {
    "cache-control": "no-store",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "content-disposition": "attachment",
    "x-content-type-options": "nosniff",
}


class Past:
    """The handlers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.table: dict[str, dict[str, Handler]] = {
            "/history": {"GET": self.get_history},
            "/history/{change}": {"GET": self.get_body},
            "/collections": {"GET": self.get_collections},
            "/undo": {"POST": self.undo},
        }

    async def get_history(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        query = request.query_params
        kind = rest_past.parse_kind(query["kind"]) if query.get("kind") else None
        limit = rest.parse_limit(query.get("limit"), rest_past.DEFAULT_CHANGES)
        assert limit is not None
        path = query["collection"].strip("/") if query.get("collection") else None
        look = partial(
            history_page,
            account=account,
            kind=kind,
            path=path,
            name=query.get("name") or None,
            limit=min(limit, rest_past.MAX_CHANGES),
            before=rest_past.parse_before(query.get("before")),
        )
        await in_place(self._gate, account, *kinds_meant(kind, path))
        page = await self._gate.in_thread(look)
        view = rest_past.HistoryPage(
            [_change(version) for version in page.versions],
            None if page.next is None else point_text(page.next),
            {str(held): reason for held, reason in page.held.items()},
        )
        return json_answer(rest.to_json(view))

    async def get_body(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        change = request.path_params["change"]
        return await body_answer(self._gate, account, change)

    async def get_collections(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        await in_place(self._gate, account, *DATA_KINDS)
        return json_answer(await self._gate.in_thread(lambda reads: _collections(reads, account)))

    async def undo(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        header = request.headers.get
        rest.check_origin(header("sec-fetch-site"), header("origin"), header("host"))
        command = rest_past.parse_undo(await read_body(request, rest.MAX_REQUEST_BYTES), account)
        dry_run = rest_past.parse_flag(request.query_params.get("dry_run"))
        undone = await (planned if dry_run else done)(self._gate, account, command)
        view = rest_past.undo_view(undone.named(), undone.point, undone.point_before, dry_run=dry_run)
        return json_answer(rest.to_json(view))


async def body_answer(gate: Gate, account: Account, change: str) -> Response:
    """The body that a change brought, to be kept as a file. Raises BadRequest, NotFound, Held."""
    await in_place(gate, account, *(parse_point(change) or ()))

    def find(reads: CoreReads) -> tuple[Version, Iterator[bytes], bytes]:
        version = find_version(reads, account, change)
        pieces = read_version(reads, gate.blobs, version)
        return version, pieces, next(pieces, b"")

    version, pieces, first = await gate.in_thread(find)
    headers = {**_HARMLESS, "content-length": str(version.size)}
    media = version.media if version.media.isascii() and version.media else "application/octet-stream"
    return StreamingResponse(_stream(gate, first, pieces), 200, headers, media)


async def _stream(gate: Gate, first: bytes, pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    piece = first
    while piece:
        yield piece
        piece = await gate.run_blocking(partial(next, pieces, b""))


def _collections(reads: CoreReads, account: Account) -> bytes:
    with reads.snapshot() as now:
        held = {k: reason for k in DATA_KINDS if (reason := now.held(account.number, k)) is not None}
        live = [c for c in now.collections(account.number) if c.kind in DATA_KINDS and c.kind not in held]
        removed = [gone for k in DATA_KINDS if k not in held for gone in removed_collections(now, account, k)]
    return rest.to_json(
        rest_past.Collections(
            [rest_past.CollectionView(c.kind, c.path) for c in live],
            [
                rest_past.RemovedView(gone.kind, gone.path, rest.format_time(gone.at), point_text(gone.point))
                for gone in removed
            ],
            {str(kind): reason for kind, reason in held.items()},
        )
    )


def _change(version: Version) -> rest_past.ChangeView:
    return rest_past.ChangeView(
        change=point_text({version.kind: version.rev}),
        at=rest.format_time(version.at),
        op=str(version.op),
        kind=version.kind,
        collection=version.path,
        name="" if version.name == version.path else version.name,
        media=version.media,
        size=version.size,
        digest=version.digest.hex(),
        actor=version.actor,
    )
