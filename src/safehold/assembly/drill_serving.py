"""The service over a core that a drill has recovered: read-only, in this process, asked as devices ask.

The same application that serves people (web/app.py), over the scratch core and the one vault that was drilled, without
a port: real requests through the ASGI interface, signed in as whoever the sample names. What it answers is compared
with what the live core's journal tells.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from safehold.archiver.told import Told, ToldCollection
from safehold.config import Config
from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import BodiesDamaged, Held, Unauthenticated
from safehold.model.histogram import Histogram
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.model.token import TOKEN_KEY
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock, Entropy
from safehold.recovery.after import AfterReport
from safehold.recovery.chains import StreamKey
from safehold.service.ahead import Proofs
from safehold.web.gate import Figures
from safehold.web.span_cache import SpanCache

T = TypeVar("T")

#: Kinds that devices ask for by WebDAV.
DAV_KINDS = (Kind.CONTACTS, Kind.CALENDAR, Kind.NOTES, Kind.TASKS, Kind.PHOTOS)
#: Those of them that are plain folders, which nobody syncs by token.
PLAIN_KINDS = (Kind.NOTES, Kind.PHOTOS)
#: The sample: accounts, collections of each, bodies of each; a listing of more items than that is not asked for.
ACCOUNTS, COLLECTIONS, BODIES, LISTED = 10, 8, 5, 2_000
#: Sentences, at most.
MAX_DIFFERENCES = 50
_DAV = "{DAV:}"
_PROPFIND = (
    b'<propfind xmlns="DAV:"><prop><getetag/><getcontentlength/><getlastmodified/><resourcetype/></prop></propfind>'
)
_SYNC = (
    b'<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>'
)


class Sampled(NamedTuple):
    requests: int
    differences: list[str]
    rule: str


class ScratchGate:
    """Implements web.gate.Gate over a core that is only read. Whoever names an account is signed in to it."""

    sends_mail = False
    quota_bytes = 0
    recovering = False
    public_url = ""

    def __init__(
        self, reads: CoreReads, blobs: Blobs, clock: Clock, entropy: Entropy, config: Config, erased_days: int
    ) -> None:
        self.reads = reads
        self.blobs = blobs
        self.clock = clock
        self.entropy = entropy
        self.proxies = config.trusted_proxies
        self.max_object_bytes = config.max_object_bytes
        self.max_file_bytes = config.max_file_bytes
        self.max_request_bytes = config.max_request_bytes
        self.erased_days = erased_days
        self.spans = SpanCache()
        self.proofs = Proofs()
        self.token_key = reads.secret(0, TOKEN_KEY) or b""

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:  # noqa: ARG002
        name = base64.b64decode((authorization or "").removeprefix("Basic ")).decode().partition(":")[0]
        account = self.reads.account_named(name)
        if account is None:
            raise Unauthenticated(f"the recovered core does not know {name}")
        return account

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        return await self.authenticate(authorization, peer)

    async def ready(self, account: Account, kinds: Iterable[Kind]) -> None:
        """Nothing is under way."""

    async def execute(self, command: AnyCommand) -> Outcome:  # noqa: ARG002
        raise Held("a drill only reads")

    def locks(self, account: Account) -> HeldLocks:  # noqa: ARG002
        return HeldLocks()

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        return work(self.reads)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return work()

    async def mend(self, error: BodiesDamaged) -> None:
        raise Held("a recovered body is not what its digest says") from error

    def free_bytes(self) -> int | None:
        return None

    def figures(self) -> Figures:
        return Figures(0, Histogram(()), Histogram(()), {})

    def device_ahead(self, account: Account, path: str, device: str) -> None:
        """No device asks here."""

    def recovery_report(self) -> AfterReport | None:
        return None

    def status(self) -> dict[str, Any]:
        return {"service": "drill"}


def draw(accounts: Sequence[bytes], seed: int) -> frozenset[bytes]:
    """The accounts of the sample."""
    return frozenset(random.Random(seed).sample(sorted(accounts), min(ACCOUNTS, len(accounts))))  # noqa: S311 - a sample


def sample(
    gate: ScratchGate, told: Mapping[StreamKey, Told], seed: int, rest: Callable[[], None] = lambda: None
) -> Sampled:
    """Ask for what lives in these streams, and compare with what the live core's journal tells of them."""
    asking = _Asking(gate, random.Random(seed), rest)  # noqa: S311 - a sample
    accounts = len({id_ for id_, _ in told})
    rule = (
        f"{accounts} accounts drawn by the seed {seed}; of each, up to {COLLECTIONS} collections a kind of at most "
        f"{LISTED} items: PROPFIND of depth 1, REPORT sync-collection but of plain folders, "
        f"GET of up to {BODIES} bodies by digest"
    )
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asking.all(told))
    finally:
        loop.close()
    return Sampled(asking.requests, asking.differences, rule)


class _Asking:
    def __init__(self, gate: ScratchGate, drawn: random.Random, rest: Callable[[], None]) -> None:
        from safehold.web.app import make_app

        self._gate = gate
        self._app = make_app(gate)
        self._random = drawn
        self._rest = rest
        self.requests = 0
        self.differences: list[str] = []

    async def all(self, told: Mapping[StreamKey, Told]) -> None:
        for key in sorted(told, key=lambda key: (key[0], str(key[1]))):
            account = self._gate.reads.account_by_id(key[0])
            if account is None:
                self._differ(f"account {key[0].hex()}: the scratch service does not know it")
                continue
            found = [one for _, one in sorted(told[key].collections.items()) if len(one.items) <= LISTED]
            for collection in self._random.sample(found, min(COLLECTIONS, len(found))):
                await self._collection(account, key[1], collection)
                self._rest()

    async def _collection(self, account: Account, kind: Kind, meant: ToldCollection) -> None:
        base = quote(f"/dav/{account.name}/{meant.path}/")
        ghosts = {item.name for path, item in self._gate.reads.ghost_items(account.number, kind) if path == meant.path}
        asked = [("PROPFIND", {"depth": "1"}, _PROPFIND)]
        if kind not in PLAIN_KINDS:
            asked.append(("REPORT", {"depth": "0"}, _SYNC))
        for method, headers, body in asked:
            status, _, answer = await self._ask(account, method, base, headers, body)
            if status != 207:
                self._differ(f"{method} {base} was answered {status}")
                continue
            self._listing(f"{method} {base}", _responses(answer, base), meant)
        names = sorted(set(meant.items) - ghosts)
        for name in self._random.sample(names, min(BODIES, len(names))):
            status, headers, answer = await self._ask(account, "GET", base + quote(name, safe=""), {}, b"")
            item = meant.items[name]
            if status != 200:
                self._differ(f"GET {base}{quote(name)} was answered {status}")
            elif sha256(answer).digest() != item.digest:
                self._differ(f"GET {base}{quote(name)} gave another body than the live core has")
            elif headers.get("etag") != _tag(item.digest):
                self._differ(f"GET {base}{quote(name)} gave another ETag than the live core has")

    def _listing(self, what: str, listed: Mapping[str, Mapping[str, str]], meant: ToldCollection) -> None:
        if set(listed) != set(meant.items):
            self._differ(f"{what} lists {len(listed)} items, and not the {len(meant.items)} of the live core")
            return
        for name, props in listed.items():
            item = meant.items[name]
            wanted = {"getetag": _tag(item.digest), "getcontentlength": str(item.size)}
            for prop, value in wanted.items():
                if prop in props and props[prop] != value:
                    self._differ(f"{what}: {name} has another {prop} than in the live core")
                    return

    def _differ(self, sentence: str) -> None:
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(sentence)

    async def _ask(
        self, account: Account, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """One request straight into the application."""
        self.requests += 1
        credentials = base64.b64encode(f"{account.name}:drill".encode()).decode()
        sent = {"authorization": f"Basic {credentials}", "host": "drill", "user-agent": "safehold-drill", **headers}
        if body:
            sent |= {"content-length": str(len(body)), "content-type": "application/xml; charset=utf-8"}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(target),
            "raw_path": target.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
            "root_path": "",
        }
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        start: dict[str, Any] = {}
        pieces: list[bytes] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(bytes(message.get("body", b"")))

        await self._app(scope, receive, send)
        answered = {name.decode(): value.decode("latin-1") for name, value in start.get("headers", ())}
        return int(start.get("status", 0)), answered, b"".join(pieces)


def _tag(digest: bytes) -> str:
    return f'"{digest.hex()}"'


def _responses(answer: bytes, base: str) -> dict[str, dict[str, str]]:
    """By name of the item: its properties that were found. Collections are left out."""
    found: dict[str, dict[str, str]] = {}
    for response in ElementTree.fromstring(answer).iter(f"{_DAV}response"):  # noqa: S314 - our own application's answer
        href = response.findtext(f"{_DAV}href") or ""
        if href.endswith("/") or not href.startswith(base):
            continue
        props: dict[str, str] = {}
        for propstat in response.iter(f"{_DAV}propstat"):
            if " 200 " in f"{propstat.findtext(f'{_DAV}status')} ":
                for prop in propstat.iterfind(f"{_DAV}prop/*"):
                    props[prop.tag.removeprefix(_DAV)] = prop.text or ""
        found[unquote(href.removeprefix(base))] = props
    return found
