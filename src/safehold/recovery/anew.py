"""The installation's own identity without its key: in no source, or in one that was not asked (I103).

Without the key of sync tokens no service can start. A recovery that brought back none leaves the identity held, and
says for which of two reasons:

- *it may still come back*: a vault that is configured could not be read, or something is sealed to a key that was not
  given. Then no start makes a new key;
- *to be founded anew* (`TO_FOUND`): all of them were read, or somebody accepted the loss. Then the next writer makes
  one with its first change, on record. What else stood in that identity is as lost, a doubt about the end of the log
  among others (I64): so the end is in doubt from then on, unless the loss was accepted.

The hold and the doubt are set in one transaction with what the recovery has to say of other streams.
"""

from __future__ import annotations

from collections.abc import Collection

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.formats.keys import SEALED_TO_OTHERS
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.model.token import TOKEN_KEY
from safehold.ports.core import TO_FOUND, CoreReads, CoreStore
from safehold.recovery.plan import Plan
from safehold.recovery.report import Loss, Report
from safehold.recovery.selection import SYSTEM

KEY = (SYSTEM, Kind.IDENTITY)
#: What is said where no source even knows how much of it there was.
UNKNOWN = "the installation's own identity is in no vault"
#: Each installation begins with the making of that collection, and then this key.
_KEY_REV = 2
#: Writes that a doubt may have been about which went with it.
LEAST_UNKNOWN_SECONDS = 1.0


def everything_read(plan: Plan, configured: Collection[str]) -> bool:
    """Whether nothing of these vaults, by name, was away or closed to the keys at hand when the plan was made."""
    read = {source.vault for source in plan.sources if not source.problem}
    told = [*plan.problems, *(problem for hole in plan.holes for problem in hole.problems)]
    return read.issuperset(configured) and not any(SEALED_TO_OTHERS in problem for problem in told)


def lacks_key(core: CoreReads) -> bool:
    """Of a core that a recovery has filled. An installation of which nothing was ever written lacks nothing."""
    if core.collection(0, PATH_IDENTITY) is not None and core.secret(0, TOKEN_KEY) is not None:
        return False
    return core.account_by_id(SYSTEM) is not None or bool(core.accounts())


def count_key(report: Report) -> None:
    """The key is one lost item of a report, also where no source names it."""
    if any(loss.account == "" and loss.kind is Kind.IDENTITY and loss.name == TOKEN_KEY for loss in report.lost):
        return
    report.lost.insert(0, Loss("", Kind.IDENTITY, PATH_IDENTITY, TOKEN_KEY, [_KEY_REV]))
    count = report.items[Kind.IDENTITY]
    count.expected, count.lost = count.expected + 1, count.lost + 1


def hold_installation(core: CoreStore, why: str, now: int, *, may_found: bool, in_doubt: bool) -> str:
    """Within a transaction. `in_doubt`: whether the end of the log is so then. Returns a sentence about it."""
    why = (why or core.held(0, Kind.IDENTITY) or UNKNOWN).removeprefix(TO_FOUND)
    core.hold(*KEY, TO_FOUND + why if may_found else why)
    if not may_found:
        return f"the installation, {Kind.IDENTITY} is held, and nothing can be served without its key: {why}"
    if in_doubt and not core.end_in_doubt():
        core.set_end_in_doubt(encode_doubt(Doubt(now, LEAST_UNKNOWN_SECONDS, f"anew-{now:x}")))
    return (
        f"THE INSTALLATION'S OWN KEY IS LOST: {why}; the next start makes a new key of sync tokens. A device goes on "
        "where what its token names is here, and is told to come later where it is not. Look through the accounts, and "
        "erase again who was erased before"
    )
