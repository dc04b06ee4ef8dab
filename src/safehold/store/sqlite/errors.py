"""SQLite's errors in the words of the house."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import apsw

from safehold.model.errors import Damaged, Held, OutOfSpace, SafeholdError

P = ParamSpec("P")
R = TypeVar("R")

_DAMAGE_HINT = "keep the file as it is; `safehold recover plan` says what the vaults can give back"


def in_words(error: apsw.Error) -> SafeholdError | None:
    """FULL is OutOfSpace, BUSY is Held; CORRUPT, NOTADB and IOERR (a bad checksum among them) are Damaged.

    None for all others: they are mistakes of ours.
    """
    if isinstance(error, apsw.FullError):
        return OutOfSpace("the disk of the core is full", hint="free some space; nothing acknowledged is lost")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Held("another process is writing to the core", retry_after_seconds=5)
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.CantOpenError)):
        code = getattr(error, "extendedresult", 0)
        return Damaged(f"the core cannot be read or written: {error} (SQLite {code})", where="core", hint=_DAMAGE_HINT)
    return None


def is_rot(error: apsw.Error) -> bool:
    """Whether it says that bytes of the file are not what they were, or cannot be read."""
    return isinstance(error, (apsw.CorruptError, apsw.IOError))


def _tell(of: Any, typed: SafeholdError) -> None:
    """Damage is told to whoever minds the store that met it (`on_damage`)."""
    if isinstance(typed, Damaged):
        tell = getattr(of, "on_damage", None)
        if tell is not None:
            tell(typed)


def guarded(method: Callable[P, R]) -> Callable[P, R]:
    """Raise SQLite's errors from this method as typed ones."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except apsw.Error as error:
            typed = in_words(error)
            if typed is None:
                raise
            _tell(args[0] if args else None, typed)
            raise typed from error

    return call


def guarded_iterator(method: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
    """The same for a generator, whose errors come while it is read."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        try:
            yield from method(*args, **kwargs)
        except apsw.Error as error:
            typed = in_words(error)
            if typed is None:
                raise
            _tell(args[0] if args else None, typed)
            raise typed from error

    return call
