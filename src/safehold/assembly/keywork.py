"""What `vault keys` does to the keys folder.

First the files (vault/keychange.py, I45), then they are taken up: a running service closes its timeline and opens the
next one with the keys as they are now; with no service running that happens here. What travels in the vaults is sealed
anew by the same step. Killed between the two, the next start takes them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safehold.adapters.lock import FolderLock
from safehold.assembly.keystate import BESIDE, identity_place, keeper_place, travels
from safehold.assembly.session import Session
from safehold.assembly.site import Site
from safehold.formats import keys, segment
from safehold.formats.keys import MAX_RECIPIENTS, Role, SigningKey
from safehold.formats.segment import claim_object
from safehold.formats.travelling import OLDER_IDENTITIES, ROOT_KEY
from safehold.model.commands import NoteInstallation
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.ports.vault import VaultDown
from safehold.recovery.selection import SYSTEM
from safehold.service.control import RELOAD, decode_json
from safehold.vault import keychange, keyring
from safehold.vault.keyring import IDENTITY, RECOVERY
from safehold.vault.segments import timelines

#: Timelines whose writers are shown: the latest.
SHOWN_TIMELINES = 200


@dataclass(frozen=True)
class Seen:
    """A writer's key in the log: the first and last of the latest timelines that it opened."""

    public: bytes
    first: int
    last: int


class KeyWork:
    """The keys folder of one site. Use as a context manager: one at a time changes keys."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._disk = site.disk
        self._folder = str(site.keys_folder)
        self._lock = FolderLock(str(site.data / "run" / "keys-lock"))

    def __enter__(self) -> KeyWork:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    # -- looking

    def describe(self) -> dict[str, Any]:
        """Everything but secrets."""
        site, ring = self._site, self._site.keyring
        reads = site.open_reads() if site.has_core() else None
        try:
            return {
                "installation": ring.installation.hex(),
                "identity": {
                    "place": identity_place(site),
                    "older": max(0, len(ring.opener.identities) - 1),
                    "older_travel": travels(reads, OLDER_IDENTITIES),
                },
                "root": {
                    "place": BESIDE if ring.root is not None else "elsewhere",
                    "public": ring.sealer.root_public.hex(),
                    "travels": travels(reads, ROOT_KEY),
                },
                "recipients": [
                    {"recipient": recipient, "opened_here": recipient in self._own()}
                    for recipient in ring.sealer.recipients
                ],
                "writers": self._writers(),
                "keepers": self._keepers(),
                "recovery_key_beside": self._disk.exists(f"{self._folder}/{RECOVERY}"),
            }
        finally:
            if reads is not None:
                reads.close()

    def _own(self) -> list[str]:
        return [keys.recipient_of(identity) for identity in self._site.keyring.opener.identities]

    def _keepers(self) -> list[dict[str, Any]]:
        ring = self._site.keyring
        if ring.keeper_public is None:
            return []
        return [{"public": ring.keeper_public.hex(), "place": keeper_place(ring)}]

    def _writers(self) -> list[dict[str, Any]]:
        """The writer of today, and those that the vaults' latest timelines name."""
        today = self._site.keyring.sealer.writer.public
        seen = {each.public: each for each in self._seen()}
        seen.setdefault(today, Seen(today, 0, 0))
        return [
            {
                "public": each.public.hex(),
                "current": each.public == today,
                "timelines": [each.first, each.last] if each.last else None,
            }
            for each in sorted(seen.values(), key=lambda one: (one.public == today, one.last), reverse=True)
        ]

    def _seen(self) -> list[Seen]:
        """Out of the headers of the first vault that can be read; certified ones only."""
        site = self._site
        for config in site.config.vaults:
            vault = site.vault(config)
            found: dict[bytes, Seen] = {}
            try:
                for timeline in timelines([vault])[-SHOWN_TIMELINES:]:
                    try:
                        data = vault.get(claim_object(timeline), 0, segment.HEADER_BYTES)
                    except KeyError:
                        continue
                    header = segment.parse_segment_header(data)
                    if header is not None and segment.vouched(header, site.keyring.installation):
                        known = found.get(header.writer_public, Seen(header.writer_public, timeline, timeline))
                        found[header.writer_public] = Seen(known.public, known.first, timeline)
            except VaultDown:
                continue
            finally:
                vault.close()
            return list(found.values())
        return []

    # -- recipients

    def add_recipient(self, recipient: str) -> None:
        """From the next frame on this one reads too. Raises OperatorError."""
        check_recipient(recipient)
        there = list(self._site.keyring.sealer.recipients)
        if recipient in there:
            return
        if len(there) >= MAX_RECIPIENTS:
            raise OperatorError(
                f"there are {MAX_RECIPIENTS} recipients already, which is the most",
                hint="remove one with `safehold vault keys remove`",
                exit_code=2,
            )
        self._change_recipients([*there, recipient])

    def remove_recipient(self, recipient: str) -> None:
        """From the next frame on this one reads no more. Raises OperatorError."""
        self.check_removal(recipient)
        self._change_recipients([r for r in self._site.keyring.sealer.recipients if r != recipient])

    def check_removal(self, recipient: str) -> None:
        """Raises OperatorError where it is none, the last, or the one whose identity is here."""
        there = self._site.keyring.sealer.recipients
        if recipient not in there:
            raise OperatorError(
                f"{recipient} is no recipient", hint="`safehold vault keys` shows which there are", exit_code=2
            )
        if len(there) == 1 or (self._site.identity_beside and recipient == self._own()[0]):
            raise OperatorError(
                "the recovery key would open nothing that is written from then on",
                hint="`safehold vault keys rotate identity` puts a new one in its place",
                exit_code=2,
            )

    def _change_recipients(self, recipients: list[str]) -> None:
        self._site_keys_whole()
        keyring.write_recipients(self._disk, self._folder, recipients)
        self._take_up()

    # -- new keys

    def rotate_writer(self, root: SigningKey | None = None) -> bytes:
        """A new writer's key under the root, which may be given; its public key. Raises OperatorError."""
        self._site_keys_whole()
        root = self.check_root(root)
        secret = self._site.entropy.bytes(keys.SECRET_BYTES)
        keyring.write_signer(self._disk, self._folder, Role.WRITER, root, secret)
        self._take_up()
        return SigningKey(secret).public

    def rotate_identity(self) -> str:
        """A new identity in the place of the newest; the new recovery key. Raises OperatorError.

        The old one stays, to read what was sealed to it, and travels sealed to the new one.
        """
        self._site_keys_whole()
        self.require_identity()
        opener = keychange.new_identity(self._disk, self._folder, self._site.entropy.bytes(keys.SECRET_BYTES))
        self._take_up()
        return keyring.recovery_keys(opener)[0]

    def require_identity(self) -> None:
        """Raises OperatorError where the identity is not beside the core."""
        if not self._site.identity_beside:
            raise OperatorError(
                "the identity does not lie beside the core, so it cannot be replaced here",
                hint=f"bring {IDENTITY} back into {self._folder}, replace it, and move it away again",
            )

    def check_root(self, given: SigningKey | None) -> SigningKey:
        """The given root, or the one here. Raises OperatorError where there is none, or another installation's."""
        ring = self._site.keyring
        root = given or ring.root
        if root is None:
            raise OperatorError("the signing root does not lie here", hint="name its file by --root FILE", exit_code=2)
        if keys.fingerprint(root.public) != ring.installation:
            raise OperatorError("this signing root is of another installation", exit_code=2)
        return root

    # -- away

    def move_identity(self, to: Path) -> None:
        """Identities, recovery keys and keeper's key to another folder. Raises OperatorError."""
        self._site_keys_whole()
        self.check_place(to)
        keychange.identity_away(self._disk, self._folder, str(to))
        self._take_up()

    def move_root(self, to: Path) -> None:
        """The signing root to another folder; it travels no more. Raises OperatorError."""
        self._site_keys_whole()
        self.check_place(to)
        keychange.root_away(self._disk, self._folder, str(to))
        self._take_up()
        with Session(self._site) as session:
            session.execute(NoteInstallation(account=SYSTEM, items={ROOT_KEY: None}))

    def check_place(self, to: Path) -> None:
        """Raises OperatorError where that is no other place than beside the core."""
        if to.resolve().is_relative_to(self._site.data.resolve()):
            raise OperatorError(
                f"{to} lies in the data folder, beside the core", hint="name a folder elsewhere", exit_code=2
            )

    # -- taking up

    def _site_keys_whole(self) -> None:
        """What an older version did not make is made before anything else is touched."""
        self._site.complete_keys()

    def _take_up(self) -> None:
        """Let whoever writes go on with the keys as they are on disk now. Raises OperatorError where that fails."""
        site = self._site
        site.reload_keys()
        try:
            running = site.ask_service(RELOAD)
            if running is None and site.has_core():
                with Session(site) as session:
                    session.execute_all([])
            why = None if running is None else decode_json(running).get("why")
        except SafeholdError as error:
            why = error.message
        if why is not None:
            raise OperatorError(
                f"the keys are changed, but nothing can be written with them yet: {why}",
                hint="the next start takes them up; `safehold vault keys recovery` prints the recovery key as it is",
            )


def check_recipient(recipient: str) -> None:
    """Raises OperatorError (exit 2)."""
    try:
        keys.parse_recipient(recipient)
    except Damaged as error:
        raise OperatorError(
            error.message, hint="`age-keygen -y FILE` prints that of an identity", exit_code=2
        ) from None
