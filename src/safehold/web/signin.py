"""Sign-in at the edge: the slow hash runs in threads of its own, and the same credentials are hashed once at a time."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from safehold.model.errors import Held, SafeholdError, Unauthenticated
from safehold.model.items import Account
from safehold.service.auth import Authenticator, PasswordCheck, SignedIn

_log = logging.getLogger("safehold.signin")

#: Slow hashes at a time: each takes a core and 64 MiB.
HASHING_THREADS = 2


class SignIn:
    """Feeds an Authenticator from one event loop."""

    def __init__(self, authenticator: Authenticator, *, threads: int = HASHING_THREADS) -> None:
        self._authenticator = authenticator
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._checks: dict[PasswordCheck, asyncio.Task[SignedIn]] = {}

    async def authenticate(self, authorization: str | None, peer: str) -> SignedIn:
        """Raises Unauthenticated, TooManyAttempts, Held."""
        found = self._authenticator.begin(authorization, peer)
        if isinstance(found, SignedIn):
            return found
        task = self._checks.get(found)
        if task is None:
            task = self._checks[found] = asyncio.create_task(self._check(found))
            task.add_done_callback(_retrieve)
        # Shielded: a request that is broken off does not take the check from others with the same credentials.
        return await asyncio.shield(task)

    async def owner(self, authorization: str | None, peer: str) -> Account:
        """The account whose own password this is. Raises as `authenticate`, and Unauthenticated for an app password.

        Whoever finds a device must not be able to give himself further passwords, or to lock the owner's others out.
        """
        who = await self.authenticate(authorization, peer)
        if who.label:
            raise Unauthenticated(
                "the password of one device does not open this page", hint="sign in with your account's own password"
            )
        return who.account

    async def _check(self, check: PasswordCheck) -> SignedIn:
        try:
            ok = await asyncio.get_running_loop().run_in_executor(self._threads, check.run)
        except BaseException as error:
            self._authenticator.abandon(check)
            if not isinstance(error, Exception):
                raise
            _log.error("a password could not be checked: %s", error, exc_info=not isinstance(error, SafeholdError))
            raise Held("passwords cannot be checked now", hint="the operator's log says why") from error
        finally:
            del self._checks[check]
        return self._authenticator.finish(check, ok)

    def close(self) -> None:
        """Let the running hashes end and start no other."""
        self._threads.shutdown(cancel_futures=True)


def _retrieve(task: asyncio.Task[SignedIn]) -> None:
    """Nobody may be left waiting for the result; that is no fault."""
    if not task.cancelled():
        task.exception()
