"""What a running service tells by itself: the published status, and mail to the operator and to people.

The operator is written to when a recovery begins or ends, when something was lost, when a brake was pulled, when
writing stops, and when a vault is down for longer than `[mail] vault_down_minutes`. Whoever has left an address is
written to when a recovery lasts longer than a minute, when their data is back then, when not all of it came back, and
of a mass delete. Letters name no item; they lead to the page, where one has to sign in.

Whether a recovery was told of is noted in `run/telling.json`: one that is killed and goes on is told of once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from safehold.adapters.smtp import SmtpMailer, SmtpServer
from safehold.assembly.after import last_report
from safehold.assembly.announced import Announced, as_facts
from safehold.assembly.site import Site
from safehold.assembly.status_file import StatusFile
from safehold.config import Config
from safehold.model.change import Change, Op
from safehold.model.commands import AnyCommand
from safehold.model.counting import count_text
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads
from safehold.ports.mail import Letter
from safehold.recovery.after import FILE_NAME, AfterReport
from safehold.service.addresses import Address, address_of
from safehold.service.notices import MASS_DELETE, NOTICE_PREFIX, RESTORED, Notice, parse_notice
from safehold.service.postbox import Postbox
from safehold.web.notice_words import notice_text
from safehold.web.words import Words

_log = logging.getLogger("safehold.telling")

#: The whole state is looked at so often; less often where nobody would be told.
LOOK_SECONDS = 5.0
#: Incidents of which the operator is told at once. Vaults that are down are told of after a while.
_AT_ONCE = frozenset(
    (
        "writing stopped",
        "device ahead",
        "vault damaged",
        "not the same",
        "core damaged",
        "core renewed",
        "core not renewed",
        "large body damaged",
    )
)
_DOWN = frozenset(("vault missing", "vault not answering"))
#: Of notices, those that a person is written to about.
_MAILED = frozenset((MASS_DELETE, RESTORED))
_OVER = frozenset(("done", "ended"))
_MARK = "telling.json"

#: A recovery that lasts longer is told to people, and so is its end.
NOTICED_SECONDS = 60.0
_BEGAN = "A recovery has begun: the core is being brought back from the vaults."
_ENDED = "The recovery has ended. `safehold recover report` says what came back, and what did not."


class _Told(msgspec.Struct):
    """Who was told of the recovery that is under way; nobody where there is none."""

    operator: bool = False
    people: bool = False


InThread = Callable[[Callable[[CoreReads], None]], object]


class Telling:
    """Used on one thread; `in_thread` runs a long read elsewhere, and what that does is a Postbox's `put`."""

    def __init__(self, site: Site, in_thread: InThread) -> None:
        self._site = site
        self._config: Config = site.config
        self._in_thread = in_thread
        self._announced = Announced(site)
        folder = self._config.status_folder
        self._file = StatusFile(site.data / folder, site.clock, self._config.public_url) if folder else None
        self.postbox = make_postbox(site)
        self._looked = -LOOK_SECONDS
        self._report_mark: tuple[int, int] | None = None
        self._report: AfterReport | None = None
        self._down: dict[str, float] = {}  # message of an incident: since when
        self._mark: Path = site.data / "run" / _MARK

    # -- what others ask -------------------------------------------------------------------------------------

    def announcements(self, reads: CoreReads | None) -> list[dict[str, object]]:
        return as_facts(self._announced.all(reads))

    def report(self) -> AfterReport | None:
        """The last recovery's, read again where its file is another one."""
        try:
            found = (self._site.data / "run" / FILE_NAME).stat()
        except OSError:
            return None
        mark = (found.st_mtime_ns, found.st_size)
        if mark != self._report_mark:
            self._report_mark, self._report = mark, last_report(self._site)
        return self._report

    def incidents(self) -> list[dict[str, Any]]:
        found = self._file.incidents() if self._file is not None else []
        return found + (self.postbox.incidents() if self.postbox is not None else [])

    # -- along the way ---------------------------------------------------------------------------------------

    def tick(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Called every second or so."""
        now = self._site.clock.monotonic()
        if (self._file is None and self.postbox is None) or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        told = status()
        if self._file is not None:
            self._file.offer(told)
        if self.postbox is not None:
            self.recovery(told.get("recovery"))
            self._incidents(told.get("incidents") or (), now)

    @property
    def publishes(self) -> bool:
        return self._file is not None

    def stop(self, status: Mapping[str, Any]) -> None:
        """The published status says that the service has stopped. Blocks for a disk."""
        if self._file is not None:
            self._file.last({**status, "service": "stopped"})

    def waiting(self) -> list[AnyCommand]:
        """Announcements made while there was no identity, to be entered now; then `entered`."""
        return self._announced.waiting()

    def entered(self) -> None:
        self._announced.entered()

    def committed(self, changes: Sequence[Change]) -> None:
        """Notices that were told in these changes."""
        if self.postbox is None:
            return
        told = []
        for change in changes:
            if change.kind is Kind.IDENTITY and change.op is Op.PUT and change.name.startswith(NOTICE_PREFIX):
                notice = parse_notice(change.name, change.body)
                if notice is not None and notice.what in _MAILED:
                    told.append((change.account, notice))
        if told:
            self._in_thread(lambda reads: self._write_notices(reads, told))

    # -- the operator ----------------------------------------------------------------------------------------

    def _incidents(self, incidents: Iterable[Mapping[str, Any]], now: float) -> None:
        seen = set()
        for incident in incidents:
            what, message = str(incident.get("what")), str(incident.get("message") or incident.get("summary"))
            if what in _DOWN:
                seen.add(message)
                since = self._down.setdefault(message, now)
                if now - since < self._config.mail.vault_down_minutes * 60:
                    continue
            elif what not in _AT_ONCE:
                continue
            self._to_operator(f"Safehold: {what}", f"{message}\n\n{incident.get('hint') or ''}", f"{what}: {message}")
        self._down = {message: since for message, since in self._down.items() if message in seen}

    def _to_operator(self, subject: str, text: str, key: str) -> None:
        operator = self._config.mail.operator
        if operator and self.postbox is not None:
            page = f"\n\n{self._config.public_url}/status" if self._config.public_url else ""
            self.postbox.put(Letter(operator, subject, text.strip() + page + "\n", key))

    # -- a recovery ------------------------------------------------------------------------------------------

    def recovery(self, recovery: Mapping[str, Any] | None) -> None:
        """How the one that is under way stands; None where there is none. Also called when one begins or ends.

        The operator is told of each, people only of those that they may have noticed.
        """
        if self.postbox is None:
            return
        active = isinstance(recovery, Mapping) and recovery.get("state") not in _OVER
        told = self._told_of()
        now = _Told(active, told.people)
        if active != told.operator:
            said = _BEGAN if active else _ENDED
            what = "recovery began" if active else "recovery ended"
            self._to_operator(f"Safehold: {what}", said, f"{what} {self._site.clock.now()}")
        if active and recovery is not None and not told.people:
            seconds = recovery.get("seconds")
            now.people = isinstance(seconds, int | float) and seconds >= NOTICED_SECONDS
        elif not active:
            now.people = False
        if now.people != told.people:
            self._to_everybody("recovery-began" if now.people else "recovery-ended")
        if now != told:
            self._note(now)

    def recovered(self, report: AfterReport) -> None:
        """A recovery has left its report: the operator is told of a loss."""
        if report.exact or self.postbox is None:
            return
        older, lost = (sum(getattr(count, what) for count in report.items.values()) for what in ("older", "lost"))
        affected = report.accounts - report.exact_accounts
        said = (
            f"Of {count_text(report.accounts, 'account')} {affected} did not come back exactly: "
            f"{count_text(older, 'item is', 'items are')} older, {lost} "
            "lost. `safehold recover report` names them; those whom it concerns are told on their pages."
        )
        self._to_operator("Safehold: loss", said, f"loss {report.timeline} {report.at}")

    def _to_everybody(self, what: str) -> None:
        stamp = self._site.clock.now()
        self._in_thread(lambda reads: self._write_everybody(reads, what, stamp))

    def _told_of(self) -> _Told:
        try:
            return msgspec.json.decode(self._mark.read_bytes(), type=_Told)
        except (OSError, msgspec.MsgspecError):
            return _Told()

    def _note(self, told: _Told) -> None:
        with suppress(OSError):
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.write_bytes(msgspec.json.encode(told))

    # -- people ----------------------------------------------------------------------------------------------

    def _write_everybody(self, reads: CoreReads, what: str, stamp: int) -> None:
        for account in list(reads.accounts()):
            address = address_of(reads, account)
            if address is not None:
                words = Words(address.lang)
                self._to(account, address, words(f"mail.{what}.subject"), words(f"mail.{what}"), f"{what} {stamp}")

    def _write_notices(self, reads: CoreReads, told: list[tuple[bytes, Notice]]) -> None:
        for id_, notice in told:
            account = reads.account_by_id(id_)
            if account is not None and notice.what == MASS_DELETE:
                device = notice.facts.get("device") or "a device"
                said = (
                    f"{notice.count} items of {account.name} were deleted from {notice.collection} at once by {device}."
                )
                self._to_operator("Safehold: brake", said, f"brake {account.name} {notice.key}")
            address = None if account is None else address_of(reads, account)
            if account is None or address is None:
                continue
            words = Words(address.lang)
            subject = words(f"mail.{notice.what}.subject")
            self._to(account, address, subject, notice_text(notice, words), f"{notice.what} {notice.key}")

    def _to(self, account: Account, address: Address, subject: str, text: str, key: str) -> None:
        words = Words(address.lang)
        parts = [words("mail.greeting", name=account.name), text]
        if self._config.public_url:
            parts.append(words("mail.page", url=f"{self._config.public_url}/account/state"))
        parts.append(words("mail.why"))
        if self.postbox is not None:
            self.postbox.put(Letter(address.address, subject, "\n\n".join(parts) + "\n", key))


def make_postbox(site: Site) -> Postbox | None:
    """None where no mail server is configured."""
    mailer = make_mailer(site)
    return None if mailer is None else Postbox(mailer, site.clock)


class Configured(Protocol):
    """Whoever has a configuration, and a folder that its paths are relative to."""

    @property
    def data(self) -> Path: ...
    @property
    def config(self) -> Config: ...


def make_mailer(site: Configured) -> SmtpMailer | None:
    """None where no mail server is configured."""
    mail = site.config.mail
    if not mail.host:
        return None
    path = site.data / mail.password_file

    def password() -> str:
        """Raises OSError where the file cannot be read: the letter waits."""
        return path.read_text(encoding="utf-8").rstrip("\r\n") if mail.password_file else ""

    server = SmtpServer(mail.host, mail.port, mail.tls, mail.user, mail.sender, password)
    return SmtpMailer(server)
