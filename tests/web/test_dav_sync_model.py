"""A token of any past moment answers exactly what has changed since, whole or page by page.

Whoever applies the answer to what it had then has what is there now; what nobody touched since is not named.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.asgi import DECLARED, DavGate, Device, tag_of, vcard

BOOK = "/dav/anna/contacts/default/"
NAMES = ("a.vcf", "b.vcf", "c.vcf")
FOREIGN = '"' + "0" * 64 + '"'
MAKE = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"

_ops = st.tuples(
    st.sampled_from(("put", "put", "delete", "delete", "refused put", "refused delete", "taken uid", "props", "look")),
    st.sampled_from(NAMES),
    st.integers(0, 2),
)


class Seen(NamedTuple):
    """What a device had with a token, and how much had been touched by then."""

    token: str
    items: dict[str, str]
    touched: int


class World:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.items: dict[str, str] = {}  # name -> ETag
        self.touched: list[str] = []
        self.seen: list[Seen] = []

    def do(self, op: str, name: str, number: int) -> None:
        device, path = self.device, BOOK + name
        if op == "put":
            body = vcard(name, f"N{number}")
            assert device.put(path, body).status in (201, 204)
            if self.items.get(name) != tag_of(body):
                self.touched.append(name)
            self.items[name] = tag_of(body)
        elif op == "delete":
            assert device.ask("DELETE", path).status == (204 if self.items.pop(name, None) else 404)
            self.touched.append(name)
        elif op == "refused put":
            assert device.put(path, vcard(name, f"R{number}"), if_match=FOREIGN).status == 412
            self.touched.append(name)
        elif op == "refused delete":
            refused = device.ask("DELETE", path, headers={"If-Match": FOREIGN}).status
            assert refused == (412 if name in self.items else 404)
            self.touched.append(name)
        elif op == "taken uid":
            taken = device.put(BOOK + "other.vcf", vcard(name)).status == 409
            assert taken == (name in self.items)
            self.touched.append("other.vcf")
            if not taken:
                assert device.ask("DELETE", BOOK + "other.vcf").status == 204
        elif op == "props":
            device.proppatch(path, f"<D:set><D:prop><x xmlns='urn:x'>{number}</x></D:prop></D:set>")
            self.touched.append(name)
        else:
            self.look()

    def look(self) -> None:
        answer = self.device.sync(BOOK)
        listed = {r["href"].rpartition("/")[2]: r[200]["D:getetag"].text for r in answer.listed}
        assert listed == self.items
        self.seen.append(Seen(answer.token, listed, len(self.touched)))

    def check(self, seen: Seen, limit: int | None) -> None:
        items, named, token = dict(seen.items), set(), seen.token
        while True:
            page = self.device.sync(BOOK, token, limit=limit)
            news = [r for r in page.listed if r["status"] != 507]
            assert limit is None or len(news) <= limit
            for response in news:
                name = response["href"].rpartition("/")[2]
                named.add(name)
                items.pop(name, None)
                if response["status"] is None:
                    items[name] = response[200]["D:getetag"].text
            token = page.token
            if len(news) == len(page.listed):
                break
        assert items == self.items
        assert named <= set(self.touched[seen.touched :])
        assert token == self.device.sync(BOOK).token


@settings(max_examples=40)
@given(ops=st.lists(_ops, max_size=25), limit=st.none() | st.integers(1, 3), anew=st.booleans())
def test_every_token_leads_to_what_is_there_now(ops: list[tuple[str, str, int]], limit: int | None, anew: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gate = DavGate(Path(folder))
        gate.add_account("anna")
        device = Device(gate)
        world = World(device)
        world.look()
        for op in ops:
            world.do(*op)
        world.look()
        for seen in world.seen:
            world.check(seen, limit)
        if anew:
            assert device.ask("DELETE", BOOK).status == 204
            body = f"<D:mkcol {DECLARED}><D:set><D:prop>{MAKE}</D:prop></D:set></D:mkcol>"
            assert device.ask("MKCOL", BOOK, body).status == 201
            for seen in world.seen:
                assert device.sync(BOOK, seen.token, limit=limit).error == "D:valid-sync-token"
        device.close()
