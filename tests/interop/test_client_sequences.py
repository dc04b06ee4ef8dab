"""What DAVx5, Apple's clients, Thunderbird and Evolution send, replayed against the program that people run.

The tables lie in `clients/`, with a page that tells how to read them and where each row comes from.
"""

from __future__ import annotations

import http.client
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.interop.conftest import Running
from tests.support.sequences import NO_SOURCE, Row, Table, Unknown, Wire, kept, propfind, read_table, request_of
from tests.support.service import Service
from tests.support.tolerance import judged

FOLDER = Path(__file__).with_name("clients")
TABLES = sorted(FOLDER.glob("*.toml"))
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def accounts(running: Running) -> set[str]:
    """Names of accounts that are there."""
    return {running.user}


@pytest.fixture
def wire(request: pytest.FixtureRequest, running: Running, accounts: set[str]) -> Iterator[Wire]:
    """The connection of the table's client, to an account that no other table uses."""
    user = read_table(request.node.callspec.params["path"]).user
    if user not in accounts:
        running.service.add_account(user, PASSWORD)
        accounts.add(user)
    connection = Wire(running.service.port, user, PASSWORD)
    yield connection
    connection.close()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_client_gets_through_its_task(path: Path, running: Running, wire: Wire) -> None:
    table = read_table(path)
    problems: list[str] = []
    variables = {"user": quote(table.user, safe=""), "dav": f"/dav/{quote(table.user, safe='')}/"}
    for number, row in enumerate(table.rows, 1):
        if row.action:
            wire.close()
            act(row, running.service)
            continue
        try:
            wrong = asked(table, row, wire, variables)
        except Unknown as unknown:
            wrong = [f"nothing has brought {unknown}"]
        problems += [f"row {number} ({row.what}): {problem}" for problem in wrong]
    assert not problems, f"{table.name}:\n" + "\n".join(problems)


def asked(table: Table, row: Row, wire: Wire, variables: dict[str, str]) -> list[str]:
    """Send a row and judge its answer; `variables` gain what the client takes out of it."""
    request = request_of(table, row, variables)
    answer = wire.send(request, login=not row.unauthenticated, follow=row.follow)
    wrong = judged(row, request, answer, variables, table.items)
    if not wrong:
        for name, what in row.keep.items():
            variables[name] = kept(what, answer, variables)
    return wrong


def act(row: Row, service: Service) -> None:
    """What happens to the machine: its folder is copied, and older and newer copies are put in each other's place."""
    old, new = (service.data.with_name(service.data.name + suffix) for suffix in (".old", ".new"))
    assert service.stop() == 0
    if row.action == "the data folder is copied":
        shutil.copytree(service.data, old)
    elif row.action == "the copy is put back":
        service.data.rename(new)
        old.rename(service.data)
    elif row.action == "the newer folder is put back":
        shutil.rmtree(service.data)
        new.rename(service.data)
    else:
        raise AssertionError(f"no such action: {row.action}")
    service.start()


# -- how what they send comes over the wire ---------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/.well-known/carddav", 301), ("/dav/", 401)])
def test_a_head_that_comes_before_its_body_is_answered_on_a_connection_that_lasts(
    running: Running, path: str, status: int
) -> None:
    """Apple's clients and OkHttp write the body after the head, and ask without credentials first."""
    body = propfind("apple", ("{DAV:}current-user-principal",)).encode()
    head = f"PROPFIND {path} HTTP/1.1\r\nHost: x\r\nDepth: 0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.service.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(3):
            connection.sendall(head)
            running.client().ask("OPTIONS", "/dav/")  # by now the head has been seen
            connection.sendall(body)
            answer = http.client.HTTPResponse(connection, method="PROPFIND")
            answer.begin()
            assert (answer.status, answer.getheader("Connection")) == (status, None)
            answer.read()


# -- the tables themselves -----------------------------------------------------------------------------------


def test_every_table_is_told_of() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [path.name for path in TABLES if f"`{path.name}`" not in page] == []


def test_what_has_no_source_is_told_of() -> None:
    page = (FOLDER / "README.md").read_text()
    rows = [(path.name, row) for path in TABLES for row in read_table(path).rows]
    without = [f"`{name}`: {row.what}" for name, row in rows if row.source == NO_SOURCE]
    assert [line for line in without if line not in page] == []


def test_accounts_are_not_shared() -> None:
    users = [read_table(path).user for path in TABLES]
    assert len(users) == len(set(users))
