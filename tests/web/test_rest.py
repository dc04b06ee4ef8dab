"""The REST API over the real service: scores, leaderboards, the account, errors, and its description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from safehold.lab.world import MICROSECONDS
from safehold.model.errors import OutOfSpace
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.vault import VaultDown, VaultFull
from safehold.web import rest
from tests.support.edge import Answer, Edge, TestGate

ANNA, BOB = ("anna", "secret"), ("bob", "secret")


@pytest.fixture
def gate(tmp_path: Path) -> TestGate:
    return TestGate(tmp_path)


@pytest.fixture
def anna(gate: TestGate) -> Account:
    return gate.add_account("anna")


@pytest.fixture
def edge(gate: TestGate, anna: Account) -> Iterator[Edge]:
    edge = Edge(gate, rest.routes(gate))
    yield edge
    edge.close()


def post(edge: Edge, body: Any, game: str = "chess", user: tuple[str, str] = ANNA, **options: Any) -> Answer:
    return edge.ask("POST", f"/api/v1/scores/{game}", json_body=body, user=user, **options)


def get(edge: Edge, path: str, user: tuple[str, str] | None = ANNA) -> Answer:
    return edge.ask("GET", f"/api/v1/{path}", user=user)


def problem(answer: Answer) -> str:
    """What a problem document says, once it is sure that it is one."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == answer.status
    assert document["title"]
    return f"{document['detail']} {document.get('hint', '')}"


# -- scores ----------------------------------------------------------------------------------------------------


def test_a_score_is_recorded_and_comes_back(edge: Edge) -> None:
    sent = {"score": 1200, "at": "2026-02-03T04:05:06Z", "detail": {"level": 7, "moves": ["e4", "e5"], "é": None}}
    answer = post(edge, sent)
    assert answer.status == 201
    assert answer.json == sent | {"game": "chess", "best": 1200}
    assert get(edge, "scores/chess").json == {"game": "chess", "best": 1200, "history": [sent]}


def test_a_score_without_a_time_is_of_now_and_without_detail_has_null(edge: Edge) -> None:
    answer = post(edge, {"score": 0.5})
    assert answer.json["at"] == "2026-01-01T00:00:00Z"
    assert get(edge, "scores/chess").json["history"] == [{"score": 0.5, "at": "2026-01-01T00:00:00Z", "detail": None}]


def test_the_history_is_whole_and_newest_first_and_a_limit_cuts_it(edge: Edge) -> None:
    days = [3, 1, 28, 14, 2]
    for day in days:
        post(edge, {"score": day * 10, "at": f"2026-02-{day:02d}T00:00:00Z"})
    whole = get(edge, "scores/chess").json
    assert [line["score"] for line in whole["history"]] == [280, 140, 30, 20, 10]
    cut = get(edge, "scores/chess?limit=2").json
    assert cut["history"] == whole["history"][:2]
    assert cut["best"] == whole["best"] == 280


def test_scores_of_one_time_are_all_kept_the_last_one_first(edge: Edge) -> None:
    for score in range(20):
        post(edge, {"score": score, "at": "2026-02-03T04:05:06Z"})
    assert [line["score"] for line in get(edge, "scores/chess").json["history"]] == list(range(19, -1, -1))


def test_the_best_is_of_the_whole_history(edge: Edge) -> None:
    for score in (-5, 2**40, 7.25):
        best = post(edge, {"score": score}).json["best"]
    assert best == 2**40
    assert get(edge, "scores/chess?limit=1").json["best"] == 2**40


def test_whole_numbers_of_64_bits_are_exact(edge: Edge) -> None:
    for score in (2**63 - 1, 2**63 - 2, -(2**63)):
        assert post(edge, {"score": score}).status == 201
        edge.gate.clock.advance(1)
    found = get(edge, "scores/chess").json
    assert [line["score"] for line in found["history"]] == [-(2**63), 2**63 - 2, 2**63 - 1]
    assert found["best"] == 2**63 - 1
    limited = get(edge, "scores/chess?limit=1").json
    assert (limited["best"], len(limited["history"])) == (2**63 - 1, 1)


@pytest.mark.parametrize("game", ["tic tac toe", "Käse", "a.b-c_d~", "100%", "#1?", "🎮"])
def test_a_game_may_have_any_name(edge: Edge, game: str) -> None:
    from urllib.parse import quote

    assert post(edge, {"score": 1}, quote(game, safe="")).json["game"] == game
    assert get(edge, f"scores/{quote(game, safe='')}").json["game"] == game
    assert [g["game"] for g in get(edge, "scores").json["games"]] == [game]


def test_games_are_listed_with_their_best(edge: Edge) -> None:
    assert get(edge, "scores").json == {"games": []}
    post(edge, {"score": 3}, "chess")
    post(edge, {"score": 9}, "go")
    post(edge, {"score": 5}, "chess")
    games = get(edge, "scores").json["games"]
    assert [(g["game"], g["best"]) for g in games] == [("chess", 5), ("go", 9)]
    assert games[0]["changed_at"] == "2026-01-01T00:00:00Z"


def test_nobody_sees_the_scores_of_another(edge: Edge) -> None:
    edge.gate.add_account("bob")
    post(edge, {"score": 3})
    assert get(edge, "scores/chess", BOB).status == 404
    assert get(edge, "scores", BOB).json == {"games": []}


def test_the_history_names_the_device(edge: Edge, anna: Account) -> None:
    post(edge, {"score": 3}, headers={"user-agent": "Game/1.0\x07 (phone)"})
    newest = next(edge.gate.reads.history(anna.number, kind=Kind.SCORES))
    assert newest.actor == "device:Game/1.0  (phone)"


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "object"),
        (b"{}", "`score`"),
        (b'{"score":null}', "`$.score`"),
        (b'{"score":"12"}', "`$.score`"),
        (b'{"score":true}', "`$.score`"),
        (b'{"score":NaN}', "malformed"),
        (b'{"score":Infinity}', "malformed"),
        (b'{"score":1e999}', "`$.score`"),
        (b'{"score":9223372036854775808}', "`$.score`"),
        (b'{"score":1,"level":2}', "`level`"),
        (b'{"score":1,"at":5}', "`$.at`"),
        (b'{"score":1,"at":"yesterday"}', "yesterday"),
        (b'{"score":1,"at":"2026-02-30T00:00:00Z"}', "2026-02-30"),
        (b'{"score":1,"at":"2026-02-03"}', "2026-02-03"),
        (b'{"score":1,"at":"2026-02-03T04:05:06"}', "2026-02-03"),
        (b'{"score":1,"at":"1969-12-31T23:59:59Z"}', "1970"),
        (b'{"score":1,"at":"9999-12-31T23:59:59Z"}', "2112"),
        (b'{"score":1,"at":"0001-01-01T00:00:00+23:59"}', "1970"),
        (b'{"score":1,"detail":"\\ud800"}', ""),
        (b'{"score":1,"detail":"\xff"}', "`$.detail`"),
        (b'{"score":1,"detail":' + b"[" * 4000 + b"]" * 4000 + b"}", "nested"),
        (b'{"score":1,"at":' + b"[" * 30000 + b"]" * 30000 + b"}", ""),
    ],
)
def test_a_bad_score_is_refused_and_the_answer_names_the_field(edge: Edge, body: bytes, said: str) -> None:
    answer = edge.ask("POST", "/api/v1/scores/chess", body, user=ANNA)
    assert answer.status == 400
    assert said in problem(answer)
    assert get(edge, "scores/chess").status == 404


@pytest.mark.parametrize(
    "text", ["123456789012345678901234567890", "-0.0", "1e300", '"\\u0000"', '{"a":{"a":[]}}', '""']
)
def test_a_detail_is_any_json(edge: Edge, text: str) -> None:
    answer = edge.ask("POST", "/api/v1/scores/chess", b'{"score":-1e-9999,"detail": %s }' % text.encode(), user=ANNA)
    assert (answer.status, answer.json["score"]) == (201, 0)
    assert get(edge, "scores/chess").json["history"][0]["detail"] == json.loads(text)


@pytest.mark.parametrize("game", ["", "a%2Fb", "a/b", "..", ".", "a%00b", "x" * 256, "%FF", "%0A"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_name_of_a_game(edge: Edge, method: str, game: str) -> None:
    body = {"score": 1} if method == "POST" else None
    answer = edge.ask(method, f"/api/v1/scores/{game}", json_body=body, user=ANNA)
    assert answer.status == 400
    problem(answer)


def test_a_detail_may_have_16_kib_and_no_more(edge: Edge) -> None:
    assert post(edge, {"score": 1, "detail": "x" * (16384 - 2)}).status == 201
    answer = post(edge, {"score": 1, "detail": "x" * (16384 - 1)})
    assert answer.status == 413
    assert "16384" in problem(answer)


def test_a_request_over_the_limit_is_refused_before_it_is_read(edge: Edge) -> None:
    answer = edge.ask("POST", "/api/v1/scores/chess", b"", user=ANNA, headers={"content-length": str(10**12)})
    assert answer.status == 413
    answer = edge.ask("POST", "/api/v1/scores/chess", user=ANNA, chunks=[b" " * 40_000] * 2)
    assert answer.status == 413
    assert "65536" in problem(answer)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "10001", "99999999999999999999", "١"])
def test_a_limit_is_a_count(edge: Edge, limit: str) -> None:
    post(edge, {"score": 1})
    from urllib.parse import quote

    for path in ("scores/chess", "leaderboards/chess"):
        answer = get(edge, f"{path}?limit={quote(limit)}")
        assert answer.status == 400
        assert "limit" in problem(answer)


def test_nothing_is_given_without_credentials(edge: Edge) -> None:
    for path in ("scores", "scores/chess", "leaderboards/chess", "account"):
        for user in (None, ("anna", "wrong"), ("nobody", "secret")):
            answer = get(edge, path, user)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="Safehold", charset="UTF-8"'
            problem(answer)


def test_guessing_is_answered_429_with_a_time(edge: Edge) -> None:
    statuses = {}
    for number in range(20):
        answer = get(edge, "account", ("anna", f"guess {number}"))
        statuses[answer.status] = answer
    assert set(statuses) == {401, 429}
    assert int(statuses[429].headers["retry-after"]) >= 1
    assert edge.ask("GET", "/api/v1/account", user=ANNA, peer="198.51.100.7").status == 200


def test_another_method_is_405_with_what_is_allowed(edge: Edge) -> None:
    answer = edge.ask("DELETE", "/api/v1/scores/chess", user=ANNA)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    problem(answer)
    assert edge.ask("OPTIONS", "/api/v1/account").headers["allow"] == "GET, HEAD, OPTIONS, PATCH"


def test_head_is_get_without_a_body(edge: Edge) -> None:
    got, headed = get(edge, "account"), edge.ask("HEAD", "/api/v1/account", user=ANNA)
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers == got.headers


def test_a_path_that_is_none_is_404_as_a_problem(edge: Edge) -> None:
    for path in ("/api/v1/nothing", "/api/v2/scores", "/api/"):
        answer = edge.ask("GET", path)
        assert answer.status == 404
        assert "openapi.json" in problem(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "https://elsewhere.example"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://["}, 403),
        ({"origin": "https://pim.example:8460"}, 200),
        ({}, 200),
    ],
)
def test_another_sites_page_can_change_nothing(edge: Edge, headers: dict[str, str], status: int) -> None:
    patched = edge.ask("PATCH", "/api/v1/account", json_body={"listed": True}, user=ANNA, headers=headers)
    assert patched.status == status
    assert get(edge, "account").json["listed"] is (status == 200)
    assert post(edge, {"score": 1}, headers=headers).status == (201 if status == 200 else 403)


# -- loss is never a delete ------------------------------------------------------------------------------------


def test_held_scores_are_503_and_never_404_or_empty(edge: Edge, anna: Account) -> None:
    post(edge, {"score": 1})
    edge.gate.hold(anna, Kind.SCORES, "revision 2 is missing")
    assert post(edge, {"score": 2}).status == 202, "it is taken, and recorded with the others"
    assert get(edge, "account").json["waiting"] == 1
    for answer in [get(edge, path) for path in ("scores", "scores/chess", "scores/other")]:
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        problem(answer)
    edge.gate.hold(anna, Kind.SCORES, None)
    assert sorted(line["score"] for line in get(edge, "scores/chess").json["history"]) == [1, 2]


def test_a_leaderboard_waits_for_everybody_on_it_and_for_nobody_else(edge: Edge) -> None:
    bob = edge.gate.add_account("bob")
    edge.gate.hold(bob, Kind.SCORES, "being restored")
    assert get(edge, "leaderboards/chess").status == 200
    edge.gate.hold(bob, Kind.SCORES, None)
    assert edge.ask("PATCH", "/api/v1/account", json_body={"listed": True}, user=BOB).status == 200
    edge.gate.hold(bob, Kind.SCORES, "being restored")
    assert get(edge, "leaderboards/chess").status == 503


def test_a_held_identity_is_503(edge: Edge, anna: Account) -> None:
    edge.gate.hold(anna, Kind.IDENTITY, "revision 3 is missing")
    assert get(edge, "account").status == 503


@pytest.mark.parametrize(
    ("failure", "status"), [(VaultDown("the vault is away"), 503), (VaultFull("the vault is full"), 507)]
)
def test_a_vault_that_cannot_take_the_score_is_said(edge: Edge, failure: Exception, status: int) -> None:
    edge.gate.log.failure = failure
    answer = post(edge, {"score": 1})
    assert answer.status == status
    assert int(answer.headers["retry-after"]) >= 1
    assert get(edge, "scores/chess").status == 404, "nothing was kept"
    assert post(edge, {"score": 1}).status == 201


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), OutOfSpace("the disk is full")])
def test_a_fault_of_ours_is_not_500_and_does_not_tell(
    edge: Edge, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    edge.gate.broken = fault
    answer = get(edge, "scores")
    assert answer.status == (507 if isinstance(fault, OutOfSpace) else 503)
    assert "a bug" not in problem(answer)
    assert ("a bug" in caplog.text) == isinstance(fault, RuntimeError)


# -- leaderboards and the account ------------------------------------------------------------------------------


def test_the_leaderboard_shows_the_best_of_those_who_chose_to_be_listed(edge: Edge) -> None:
    for name, scores, listed in (
        ("bob", (5, 9), True),
        ("carol", (9, 1), True),
        ("dave", (7,), True),
        ("eve", (99,), False),
    ):
        edge.gate.add_account(name)
        for score in scores:
            post(edge, {"score": score}, user=(name, "secret"))
            edge.gate.clock.advance(1)
        edge.ask("PATCH", "/api/v1/account", json_body={"listed": listed}, user=(name, "secret"))
    board = get(edge, "leaderboards/chess").json
    assert board["game"] == "chess"
    assert [(e["rank"], e["score"]) for e in board["entries"]] == [(1, 9), (1, 9), (3, 7)]
    assert {e["name"] for e in board["entries"]} == {"bob", "carol", "dave"}
    assert [e["name"] for e in get(edge, "leaderboards/chess?limit=1").json["entries"]] == [board["entries"][0]["name"]]
    assert get(edge, "leaderboards/unknown").json == {"game": "unknown", "entries": []}


def test_the_account_says_and_changes_whether_it_is_listed(edge: Edge) -> None:
    assert get(edge, "account").json == {"name": "anna", "listed": False, "waiting": 0}
    answer = edge.ask("PATCH", "/api/v1/account", json_body={"listed": True}, user=ANNA)
    assert (answer.status, answer.json) == (200, {"name": "anna", "listed": True, "waiting": 0})
    assert get(edge, "account").json["listed"] is True


@pytest.mark.parametrize("body", [{}, {"listed": "yes"}, {"listed": None}, {"listed": True, "name": "root"}, []])
def test_the_account_takes_nothing_else(edge: Edge, body: Any) -> None:
    answer = edge.ask("PATCH", "/api/v1/account", json_body=body, user=ANNA)
    assert answer.status == 400
    problem(answer)
    assert get(edge, "account").json == {"name": "anna", "listed": False, "waiting": 0}


# -- times -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
        ("2026-02-03t04:05:06z", "2026-02-03T04:05:06Z"),
        ("2026-02-03 04:05:06+02:00", "2026-02-03T02:05:06Z"),
        ("2026-02-03T04:05:06.5-00:30", "2026-02-03T04:35:06.500000Z"),
        ("2026-02-03T04:05:06.123456789Z", "2026-02-03T04:05:06.123456Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_times_are_rfc_3339_and_come_back_in_utc(edge: Edge, sent: str, kept: str) -> None:
    assert post(edge, {"score": 1, "at": sent}).json["at"] == kept
    assert get(edge, "scores/chess").json["history"][0]["at"] == kept


def test_a_time_of_now_keeps_its_microseconds(edge: Edge) -> None:
    edge.gate.clock.advance(1 / MICROSECONDS)
    assert post(edge, {"score": 1}).json["at"] == "2026-01-01T00:00:00.000001Z"


# -- the description -------------------------------------------------------------------------------------------


def described(edge: Edge) -> dict[str, Any]:
    answer = get(edge, "openapi.json", None)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json
    return found


METHODS = {"get", "put", "post", "patch", "delete", "head", "options"}


def test_every_route_is_described_and_every_description_is_served(edge: Edge) -> None:
    document = described(edge)
    assert document["openapi"] == "3.1.0"
    base = document["servers"][0]["url"]
    told = {(base + path, m) for path, item in document["paths"].items() for m in item if m in METHODS}
    served = set()
    for route in rest.routes(edge.gate):
        assert isinstance(route, Route)
        if route.path == "/api/{rest:path}":
            continue  # what is left over: it answers 404
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        allow = edge.ask("OPTIONS", path.replace("{game}", "chess")).headers["allow"]
        served |= {(path, m.lower()) for m in allow.split(", ") if m not in ("HEAD", "OPTIONS")}
    assert told == served


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_description_refers_to_what_it_has_and_has_nothing_idle(edge: Edge) -> None:
    document = described(edge)
    used = set(references(document))
    components = document["components"]
    there = {f"#/components/{sort}/{name}" for sort in ("schemas", "responses") for name in components[sort]}
    assert used == there


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Hold a value against a schema: as much of JSON Schema as the description uses."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    types = schema.get("type")
    if types is None:
        return
    names = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
    allowed = tuple(names.get(t, (int, float)) for t in ([types] if isinstance(types, str) else types))
    assert any(isinstance(value, a) for a in allowed), (schema, value)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, inner in value.items():
            check(document, schema["properties"][name], inner)
    if isinstance(value, list):
        for inner in value:
            check(document, schema["items"], inner)


def test_the_answers_are_as_described(edge: Edge) -> None:
    document = described(edge)
    edge.ask("PATCH", "/api/v1/account", json_body={"listed": True}, user=ANNA)
    made = {
        ("/scores/{game}", "post"): post(edge, {"score": 1.5, "detail": [1]}),
        ("/scores/{game}", "get"): get(edge, "scores/chess"),
        ("/scores", "get"): get(edge, "scores"),
        ("/leaderboards/{game}", "get"): get(edge, "leaderboards/chess"),
        ("/account", "get"): get(edge, "account"),
        ("/account", "patch"): edge.ask("PATCH", "/api/v1/account", json_body={"listed": False}, user=ANNA),
        ("/state", "get"): get(edge, "state"),
        ("/openapi.json", "get"): get(edge, "openapi.json", None),
        ("/history", "get"): get(edge, "history?limit=2"),
        ("/history/{change}", "get"): get(edge, "history/scores:2"),
        ("/collections", "get"): get(edge, "collections"),
        ("/undo", "post"): edge.ask("POST", "/api/v1/undo", json_body={"to": "scores:1", "kind": "scores"}, user=ANNA),
    }
    operations = {(p, m) for p, item in document["paths"].items() for m in item if m in METHODS}
    assert set(made) == operations
    for (path, method), answer in made.items():
        described_answer = document["paths"][path][method]["responses"][str(answer.status)]
        if "*/*" in described_answer["content"]:
            continue
        check(document, described_answer["content"]["application/json"]["schema"], answer.json)
    refused = get(edge, "account", None)
    shown = document["paths"]["/account"]["get"]["responses"][str(refused.status)]["$ref"].rpartition("/")[2]
    content = document["components"]["responses"][shown]["content"]
    check(document, content["application/problem+json"]["schema"], json.loads(refused.body))
