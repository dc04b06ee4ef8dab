"""The REST API's routes: high scores, leaderboards, the account's settings; with those of `rest_past`.

`protocol.openapi` describes them.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safehold import __version__
from safehold.model.errors import Held, NotFound
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import HOME_SCORES, Kind
from safehold.model.paths import check_segment
from safehold.ports.core import CoreReads, Stored
from safehold.protocol import rest
from safehold.protocol.openapi import BASE, document_bytes
from safehold.web.account import state_of
from safehold.web.answers import Handler, Resource, actor, in_place, json_answer, read_body, refuse_json, signed_in
from safehold.web.gate import Gate
from safehold.web.layout import words_of
from safehold.web.rest_past import Past
from safehold.web.state_pages import state_json
from safehold.web.status import StatusSource, remembered


def routes(gate: Gate, source: StatusSource | None = None) -> list[Route]:
    """Every path of the API, and a last one that answers for paths that are none."""
    api = Api(gate, source or remembered(gate))
    found = [
        Route(BASE + path, Resource(gate, handlers, refuse_json), name=path) for path, handlers in api.table.items()
    ]
    return [*found, Route("/api/{rest:path}", Resource(gate, _nothing(), refuse_json), name="/api")]


def _nothing() -> dict[str, Handler]:
    async def nothing(_: Request) -> Response:
        raise NotFound("the API has nothing here", hint=f"see {BASE}/openapi.json")

    return dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), nothing)


class Api:
    """The handlers. A game's name is the rest of the path, so that a slash in it is refused and not misread."""

    def __init__(self, gate: Gate, source: StatusSource) -> None:
        self._gate = gate
        self._source = source
        self.table: dict[str, dict[str, Handler]] = {
            "/scores": {"GET": self.list_games},
            "/scores/{game:path}": {"GET": self.get_scores, "POST": self.add_score},
            "/leaderboards/{game:path}": {"GET": self.get_leaderboard},
            "/account": {"GET": self.get_account, "PATCH": self.patch_account},
            "/state": {"GET": self.get_state},
            **Past(gate).table,
            "/openapi.json": {"GET": self.get_description},
        }

    # -- scores ----------------------------------------------------------------------------------------------

    async def add_score(self, request: Request) -> Response:
        account = await self._writer(request)
        await in_place(self._gate, account, Kind.SCORES)
        body = await read_body(request, rest.MAX_REQUEST_BYTES)
        game = request.path_params["game"]
        command = rest.parse_score(body, account, game, self._gate.clock.now(), actor(request))
        outcome = await self._gate.execute(command)
        if outcome.taken:  # what the best score is shows once the others are here
            return json_answer(rest.to_json(rest.recorded(command, None)), 202)
        best = self._gate.reads.best_score(account.number, game)
        return json_answer(rest.to_json(rest.recorded(command, best)), 201)

    async def get_scores(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        await in_place(self._gate, account, Kind.SCORES)
        game = check_segment(request.path_params["game"])
        limit = rest.parse_limit(request.query_params.get("limit"), None)
        return json_answer(await self._gate.in_thread(lambda reads: _history(reads, account, game, limit)))

    async def list_games(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        await in_place(self._gate, account, Kind.SCORES)
        return json_answer(await self._gate.in_thread(lambda reads: _games(reads, account)))

    async def get_leaderboard(self, request: Request) -> Response:
        await signed_in(self._gate, request)
        game = check_segment(request.path_params["game"])
        limit = rest.parse_limit(request.query_params.get("limit"), rest.DEFAULT_LEADERS)
        assert limit is not None
        return json_answer(await self._gate.in_thread(lambda reads: _leaderboard(reads, game, limit)))

    # -- the account -----------------------------------------------------------------------------------------

    async def get_account(self, request: Request) -> Response:
        return self._account(await signed_in(self._gate, request))

    async def patch_account(self, request: Request) -> Response:
        account = await self._writer(request)
        body = await read_body(request, rest.MAX_REQUEST_BYTES)
        await self._gate.execute(rest.parse_account_patch(body, account, actor(request)))
        now = self._gate.reads.account_by_id(account.id)
        if now is None:
            raise Held("this account was erased in this moment")
        return self._account(now)

    def _account(self, account: Account) -> Response:
        waiting = self._gate.reads.intake(account.number).items
        return json_answer(rest.to_json(rest.AccountView(account.name, account.listed, waiting)))

    async def get_state(self, request: Request) -> Response:
        account = await signed_in(self._gate, request)
        state = await state_of(self._gate, self._source, account)
        return json_answer(msgspec.json.encode(state_json(state, words_of(request))))

    async def get_description(self, _: Request) -> Response:
        return json_answer(document_bytes(__version__))

    async def _writer(self, request: Request) -> Account:
        """Who asks for a change, and that no other site's page does."""
        account = await signed_in(self._gate, request)
        header = request.headers.get
        rest.check_origin(header("sec-fetch-site"), header("origin"), header("host"))
        return account


# -- reads, each of one moment ---------------------------------------------------------------------------------


def _history(reads: CoreReads, account: Account, game: str, limit: int | None) -> bytes:
    with reads.snapshot() as now:
        _check_whole(now, account)
        collection = now.collection(account.number, f"{HOME_SCORES}/{game}")
        if collection is None:
            raise NotFound(f"you have no scores in {game}")
        best: int | float | None = now.best_score(account.number, game)
        inexact = best is not None and abs(best) > rest.EXACT_LIMIT
        items = now.items(collection)
        if limit is not None and not inexact:
            items = items[-limit:]  # their names begin with their times
        scores = _scores(now, collection, items)
        if inexact:
            best = max(score.score for _, _, score in scores)
        result = rest.history(game, best, scores)
        if limit is not None:
            result = rest.History(result.game, result.best, result.history[:limit])
    return rest.to_json(result)


def _scores(reads: CoreReads, collection: Collection, items: list[Item]) -> list[tuple[int, int, rest.Score]]:
    found = reads.items_with_bodies(collection, [item.name for item in items])
    scores = []
    for item, stored in found:
        at, score = rest.score_of(_inline(stored))
        scores.append((at, item.rev, score))
    if len(scores) != len(items):
        raise Held("some scores of this game cannot be read now")
    return scores


def _inline(stored: Stored) -> bytes:
    if stored.inline is None:
        raise Held("a score of this game cannot be read now")
    return stored.inline


def _games(reads: CoreReads, account: Account) -> bytes:
    with reads.snapshot() as now:
        _check_whole(now, account)
        games = []
        for collection in now.collections(account.number, HOME_SCORES + "/"):
            name = collection.path.removeprefix(HOME_SCORES + "/")
            best = rest.whole(now.best_score(account.number, name))
            games.append(rest.Game(name, best, rest.format_time(collection.changed_at)))
    return rest.to_json(rest.Games(games))


def _leaderboard(reads: CoreReads, game: str, limit: int) -> bytes:
    """Of nobody who is listed may the scores be unknown: their name would be missing, or stand too low."""
    with reads.snapshot() as now:
        for account in now.accounts():
            if account.listed:
                _check_whole(now, account)
        board = rest.leaderboard(game, now.leaderboard(game, limit))
    return rest.to_json(board)


def _check_whole(reads: CoreReads, account: Account) -> None:
    if reads.held(account.number, Kind.SCORES) is not None:
        raise Held("scores are being restored")
