"""What this process's user may do to a vault's files, found out by doing it to a file of its own.

In tmp/, which nobody reads, a file is made, overwritten, shortened, renamed and removed. Of what the vault holds
nothing is touched: whether a segment could be overwritten is asked by opening it for writing and closing it, whether
it could be removed by the rights on its folder.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

_OWN_FILE = "probe"
_REFUSED = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR))


class Rights(NamedTuple):
    """True: this user may; False: it is refused; None: it could not be found out."""

    overwrite: bool | None
    shorten: bool | None
    delete: bool | None
    rename: bool | None


def find_rights(folder: str) -> Rights:
    """By the data where there is some, else by a file of its own. A folder that cannot be reached refuses all."""
    held = _held(folder)
    own = _try_own(folder)
    if held is None:
        return own
    opened = _allowed(lambda: os.close(os.open(held, os.O_WRONLY | os.O_NOFOLLOW)))
    folder_of = os.path.dirname(held)
    removable = os.access(folder_of, os.W_OK | os.X_OK, effective_ids=True) and not _sticky_for_others(folder_of, held)
    return Rights(opened, opened, removable, removable)


def _held(folder: str) -> str | None:
    """A file of the log; None where there is none, or none can be seen."""
    with suppress(OSError):
        for timeline in sorted(os.listdir(f"{folder}/log")):
            for name in sorted(os.listdir(f"{folder}/log/{timeline}")):
                return f"{folder}/log/{timeline}/{name}"
    return None


def _try_own(folder: str) -> Rights:
    path = f"{folder}/tmp/{_OWN_FILE}-{os.getpid()}"
    try:
        with open(path, "wb") as file:
            file.write(b"a file of a probe; it may be removed")
    except OSError as error:
        refused = False if error.errno in _REFUSED else None
        return Rights(refused, refused, refused, refused)
    overwrite = _allowed(lambda: _write(path))
    shorten = _allowed(lambda: os.truncate(path, 1))
    rename = _allowed(lambda: os.rename(path, f"{path}-2"))
    delete = _allowed(lambda: os.unlink(f"{path}-2" if rename else path))
    return Rights(overwrite, shorten, delete, rename)


def _write(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"overwritten")


def _allowed(act: Callable[[], object]) -> bool | None:
    try:
        act()
    except OSError as error:
        return False if error.errno in _REFUSED else None
    return True


def _sticky_for_others(folder: str, path: str) -> bool:
    """Whether the folder lets only owners remove their files, and this one is not ours."""
    info = os.stat(folder)
    user = os.geteuid()
    return bool(info.st_mode & 0o1000) and user not in (0, info.st_uid, os.lstat(path).st_uid)
