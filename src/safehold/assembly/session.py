"""What a command works with: reads of the core, and a way to have changes made.

Where `serve` runs, changes go to it over the local socket. Where nothing runs, the first change takes the lock
and opens a writer, and the end of the session seals, ships and closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from safehold.adapters.passwords import Argon2Hasher
from safehold.adapters.system import SystemEntropy
from safehold.assembly.site import Site
from safehold.assembly.writer import Writer
from safehold.model.change import Change
from safehold.model.commands import AnyCommand, Outcome
from safehold.model.errors import Held, LostBody, OperatorError, SafeholdError
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.ports.blobs import Blobs
from safehold.ports.care import BodySource
from safehold.ports.core import NOT_YET, CoreReads
from safehold.service.control import Wanted, decode_results, encode_commands, encode_wanted
from safehold.service.identity import BLOB_KEY
from safehold.store.blobs import LiveBlobs


class Session:
    """Use as a context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stack = ExitStack()
        self._writer: Writer | None = None
        self._reads: CoreReads | None = None
        self._blobs: Blobs | None = None
        self.entropy = SystemEntropy()
        self.hasher = Argon2Hasher()
        self.disk = site.disk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def reads(self) -> CoreReads:
        if self._reads is None:
            core = self._site.open_reads()
            self._stack.callback(core.close)
            core.source = _Vaults(self._site, self._stack)
            self._reads = core
        return self._reads

    @property
    def blobs(self) -> Blobs:
        """Live blobs; what is staged is in the sync vaults before a change names it, whoever then makes the change."""
        if self._blobs is None:
            archive = self._site.blob_archive()
            self._blobs = LiveBlobs(self.disk, str(self._site.blobs_folder), str(self._site.scratch_folder), archive)
        return self._blobs

    def bring_in(self, account: Account, kinds: Sequence[Kind]) -> None:
        """What is about to be read here, a service that is recovering brings back first; what it cannot stays held."""
        self._site.ask_service(encode_wanted(Wanted(account.id, [kind.value for kind in kinds])))

    def require_in(self, account: Account, kinds: Sequence[Kind]) -> None:
        """The same for what must not be taken for nothing. Raises Held where it is not back yet."""
        self.bring_in(account, kinds)
        for kind in kinds:
            if self.reads.held(account.number, kind) == NOT_YET:
                raise Held(f"the {kind} of {account.name} are {NOT_YET}", hint="see `safehold recover status`")

    def blob_key(self, account: Account) -> bytes:
        key = self.reads.secret(account.number, BLOB_KEY)
        if key is None:
            raise OperatorError(f"the account {account.name} has no blob key", hint="run `safehold recover plan`")
        return key

    def execute(self, command: AnyCommand) -> Outcome:
        """One change, vaulted when this returns. Raises what the service answers, if an error."""
        result = self.execute_all([command])[0]
        if isinstance(result, SafeholdError):
            raise result
        return result

    def execute_all(self, commands: Sequence[AnyCommand]) -> list[Outcome | SafeholdError]:
        """Changes in one transaction; each succeeds or is refused for itself."""
        if self._writer is None:
            answer = self._site.ask_or_lock(encode_commands(commands), self._stack)
            if answer is not None:
                return decode_results(answer)
            self._open_writer()
        assert self._writer is not None
        return list(self._writer.engine.execute_all(commands))

    def _open_writer(self) -> None:
        """The lock is held."""
        writer = self._site.make_writer()
        self._stack.callback(writer.ship_all)
        self._stack.callback(writer.close)
        writer.open()
        writer.found(self._site.config.text)
        self._writer = writer


class _Vaults:
    """A BodySource over the vaults, made once somebody meets damage. A service that runs mends it."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self._site = site
        self._stack = stack
        self._source: BodySource | None = None

    def get(self, journal: int) -> Change | None:
        return None if self._source is None else self._source.get(journal)

    def ask(self, lost: Sequence[LostBody]) -> None:
        if self._source is None:
            from safehold.assembly.read_repair import repair_for
            from safehold.service.incidents import Incidents

            repair, close = repair_for(self._site, Incidents(self._site.clock))
            self._stack.callback(close)
            self._source = repair.patient
        self._source.ask(lost)
