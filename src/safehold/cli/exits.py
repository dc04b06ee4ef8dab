"""The one table of exit codes, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum

from safehold.model.errors import Damaged, Held, OperatorError, RequestError, SafeholdError


class Exit(IntEnum):
    """What a script may conclude."""

    DONE = 0
    FOUND = 1  # something is wrong with the data
    USAGE = 2  # the command as given cannot be done: wrong options, an unknown account, a bad setting
    UNFINISHED = 3  # it could not be finished now: a full disk, a vault away, an interrupt, a bug


class UsageError(SafeholdError):
    """The command line itself is wrong."""


def exit_for(error: BaseException) -> Exit:
    """The exit code that an error stands for."""
    if isinstance(error, OperatorError):
        return Exit(error.exit_code)
    if isinstance(error, Held):
        return Exit.UNFINISHED
    if isinstance(error, Damaged):
        return Exit.FOUND
    if isinstance(error, (UsageError, RequestError)):
        return Exit.USAGE
    return Exit.UNFINISHED
